"""The port between a client and what observes it: metrics, traces. It has no call for each message."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Protocol, cast

from ..errors import InvalidOption
from ._status import Change, Stats, Status
from ._user_code import USER_ERRORS


class SourceKind(enum.StrEnum):
    """Kind of a source, which decides what its counters mean."""

    CONNECTION = "connection"
    """A `Client`, which holds its connection; also the one behind shared clients."""
    READER = "reader"
    """A shared client: its own readers, of a connection that is a source by itself."""
    PROCESS = "process"
    """This process among those that share a connection: its changes tell of owners that change."""
    FOLLOWER = "follower"
    """The same, while another process holds the connection: its state counts, too."""


class Source(Protocol):
    """A client, which has `stats` as well, or a process; snapshots may be taken in any thread."""

    @property
    def status(self) -> Status:
        """A frozen snapshot of this moment."""
        ...


def stats_of(source: Source) -> Stats | None:
    """Returns the counters of a client; None: the source is a process."""
    stats: Stats | None = getattr(source, "stats", None)
    return stats


class Instruments(Protocol):
    """Observes the connections of clients: `Client(instruments=...)`.

    Counters are read from a source's snapshots when metrics are collected; only changes of the state are reported.
    Sources should be referred to weakly. The methods are called on the source's event loop and must not block; `remove`
    may be called in any thread, by the garbage collector too. An exception of theirs is reported as one of a callback.
    """

    def add(self, source: Source, kind: SourceKind) -> None:
        """Begin to observe a source; again with another kind if that changes."""

    def remove(self, source: Source) -> None:
        """Note that the source is closed: its counters are final, and it has no state any more."""

    def changed(self, source: Source, change: Change) -> None:
        """Take a change of the state. CONNECTING begins an attempt, and CONNECTED ends it."""

    def opened(self, source: Source, epoch: int) -> None:
        """Note that the upgrade of this attempt went through: its login follows."""


class Observer:
    """Reports one source to all its instruments. It doesn't refer to the source, so a forgotten one goes at once."""

    def __init__(
        self, instruments: tuple[Instruments, ...], kind: SourceKind, report: Callable[[BaseException, str], None]
    ) -> None:
        self._instruments = instruments
        self._kind = kind
        self._report = report
        self._is_added = False

    def __repr__(self) -> str:
        return f"<Observer {self._kind.value} of {len(self._instruments)}>"

    def begin(self, source: Source, kind: SourceKind | None = None) -> None:
        """Add the source, unless it is; `kind`: its kind from now on."""
        if self._is_added and kind in (None, self._kind):
            return
        self._is_added = True
        self._kind = kind or self._kind
        self._call(lambda each: each.add(source, self._kind))

    def changed(self, source: Source, change: Change) -> None:
        """Report a change of the state; the source is added with its first one."""
        self.begin(source)
        self._call(lambda each: each.changed(source, change))

    def opened(self, source: Source, epoch: int) -> None:
        """Report an upgrade."""
        self._call(lambda each: each.opened(source, epoch))

    def end(self, source: Source) -> None:
        """Remove the source, once."""
        if self._is_added:
            self._is_added = False
            self._call(lambda each: each.remove(source))

    def _call(self, call: Callable[[Instruments], None]) -> None:
        for each in self._instruments:
            try:
                call(each)
            except USER_ERRORS as error:
                self._report(error, f"{type(each).__qualname__} of instruments=")


InstrumentsOption = Instruments | Sequence[Instruments] | None
_METHODS = ("add", "remove", "changed", "opened")


def check_instruments(value: object) -> tuple[Instruments, ...]:
    """`value` as instruments; raises `InvalidOption`."""
    given: tuple[object, ...] = () if value is None else (value,)
    if isinstance(value, list | tuple):
        given = tuple(cast("Sequence[object]", value))
    for each in given:
        if isinstance(each, type) or not all(callable(getattr(each, name, None)) for name in _METHODS):
            raise InvalidOption(
                "instruments must be an object such as onesocket.instruments.Prometheus() (an instance), or a list of "
                f"them, not {each!r}"
            )
    return cast("tuple[Instruments, ...]", given)
