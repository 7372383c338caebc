"""Messages that come before the first reader of everything: they wait for it, and are shown to readers of a part."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ._backlog import Backlog, ExpectedReader, filter_backlog
from ._gap import Gap
from ._sinks import SinkTable


class EarlyMessages:
    """The backlog of one fan-out: a sink among its others."""

    __slots__ = ("_backlog", "_begins", "_first", "_remove", "_sinks")

    def __init__(self, sinks: SinkTable) -> None:
        self._sinks = sinks
        self._backlog = Backlog()
        self._first: ExpectedReader | None = None
        self._remove: Callable[[], None] | None = None
        """Removes the sink that fills the backlog; None: there is none."""
        self._begins: list[Callable[[], None]] | None = None
        """Functions with which readers begin once earlier messages are here; None: they are."""

    def __repr__(self) -> str:
        return f"<EarlyMessages {self._backlog!r}>"

    @property
    def is_sink(self) -> bool:
        """True while it gets messages."""
        return self._remove is not None

    @property
    def only_counts(self) -> bool:
        """True while messages are not kept, as each reader to come reads a part of them already."""
        return self._first is not None and self._backlog.only_counts

    def keep(self) -> None:
        """Keep each message from now on for the first reader of everything."""
        self._remove = self._sinks.add(None, self._backlog.put, self._backlog.put_gap)
        self._first = self._backlog.expect()

    def expect(self) -> None:
        """As `keep`, behind messages that waited elsewhere: `begin_with` brings them."""
        self.keep()
        self._begins = []

    def begin_with(self, items: Iterable[Any]) -> None:
        """Let readers, those that have come meanwhile and those to come, begin with these messages."""
        for item in items:
            if isinstance(item, Gap):
                self._backlog.put_gap(item)
            else:
                self._backlog.put(item)
        begins, self._begins = self._begins or [], None
        for begin in begins:
            begin()

    def call_when_here(self, begin: Callable[[], None]) -> None:
        """Call this once earlier messages are here: now, unless they are expected."""
        if self._begins is None:
            begin()
        else:
            self._begins.append(begin)

    def take(
        self, event: str | None, *, filtered: bool, epoch: int, is_wanted: Callable[[Any], bool]
    ) -> list[Any] | None:
        """Returns the messages that waited for this reader; None: none did, as an earlier reader had them.

        A reader of everything ends the waiting. `filtered`: it reads a part, of the event or of all messages.
        """
        first = self._first
        if first is None or not first.serves(event, filtered=filtered):
            return None
        waited = self._backlog.since(first, epoch)
        if event is None and not filtered:
            self.stop()
            return waited
        # Where messages are only counted, this reader wasn't waited for: it begins with its call.
        return [] if self._backlog.only_counts else filter_backlog(waited, is_wanted)

    def forget(self) -> None:
        """Keep no more, and let no reader begin any more."""
        self.stop()
        self._begins = None

    def stop(self) -> None:
        """Keep no more: the first reader of everything is here, or none will come."""
        first, self._first = self._first, None
        remove, self._remove = self._remove, None
        if first is not None:
            self._backlog.forget(first)
        if remove is not None:
            remove()
