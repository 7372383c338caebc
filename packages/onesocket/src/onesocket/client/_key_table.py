"""Streams by the keys of their messages: a message is delivered by one look-up, however many streams there are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import replace
from typing import Any

from .._record import record
from ._gap import Gap
from ._sinks import BatchTarget, Sink, name_of
from ._subscription import Predicate
from ._user_code import USER_ERRORS


@record
class KeySelection:
    """Selects the messages of some keys."""

    keys: tuple[Hashable, ...]
    key_of: Callable[[Any], Hashable]
    wildcard: Callable[[Any], Hashable] | None = None

    def within(self, where: Predicate | None) -> Predicate:
        """A predicate for the messages of these keys for which `where` is true."""
        keys, key_of, wildcard = frozenset(self.keys), self.key_of, self.wildcard

        def selects(message: Any) -> bool:
            if not is_wanted(key_of(message), keys, wildcard):
                return False
            return where is None or bool(where(message))

        return selects

    def gap_sink(self, sink: Sink) -> Sink:
        """A sink that passes on the gap markers that are about some of these keys, and tells which."""
        keys = frozenset(self.keys)

        def take(gap: Gap) -> None:
            if gap.keys is None:
                sink(gap)
            elif not keys.isdisjoint(gap.keys):
                sink(replace(gap, keys=keys & gap.keys))

        return take


def is_wanted(key: Any, keys: Collection[Hashable], wildcard: Callable[[Any], Hashable] | None) -> bool:
    """Check whether the messages of a key are among those of some keys."""
    return key in keys or (wildcard is not None and key is not None and wildcard(key) in keys)


class _Several:
    """A sink that passes messages on to several ones."""

    __slots__ = ("_report", "sinks")

    def __init__(self, sinks: tuple[Sink, ...], report: Callable[[BaseException, str], None]) -> None:
        self.sinks = sinks
        self._report = report

    def __call__(self, message: Any) -> None:
        """Pass a message on."""
        for sink in self.sinks:
            try:
                sink(message)
            except USER_ERRORS as error:
                self._report(error, name_of(sink))


class KeyTable(BatchTarget):
    """The sinks of each key: one sink of a fan-out."""

    __slots__ = ("_key_of", "_report", "_sinks", "remove", "streams")

    def __init__(self, key_of: Callable[[Any], Hashable], report: Callable[[BaseException, str], None]) -> None:
        self._key_of = key_of
        self._report = report
        self._sinks: dict[Hashable, Sink | None] = {}
        self.streams = 0
        """Number of sinks that were added and not taken off."""
        self.remove: Callable[[], object]
        """Removes the table itself from its fan-out."""

    def __repr__(self) -> str:
        return f"<KeyTable keys={len(self._sinks)} streams={self.streams}>"

    def put(self, message: Any) -> None:
        """Deliver a message to the sink of its key."""
        sink = None
        try:
            sink = self._sinks.get(self._key_of(message))
            if sink is not None:
                sink(message)
        except USER_ERRORS as error:
            self._report(error, "the key of a message" if sink is None else name_of(sink))

    def put_many(self, batch: list[Any]) -> None:
        """Deliver messages to the sinks of their keys."""
        key_of, sink_of = self._key_of, self._sinks.get
        messages, sink = iter(batch), None
        while True:  # as `put`, but in line: a call for each message costs as much as the rest
            try:
                for message in messages:
                    sink = None
                    sink = sink_of(key_of(message))
                    if sink is not None:
                        sink(message)
            except USER_ERRORS as error:
                self._report(error, "the key of a message" if sink is None else name_of(sink))
            else:
                return

    def add(self, keys: Iterable[Hashable], sink: Sink) -> None:
        """Deliver messages of these keys to a sink."""
        self.streams += 1
        for key in keys:
            self._set(key, (*self._get(key), sink))

    def take_off(self, keys: Iterable[Hashable], sink: Sink) -> None:
        """Deliver no more to a sink that was added with these keys."""
        self.streams -= 1
        for key in keys:
            self._set(key, tuple(other for other in self._get(key) if other != sink))

    def _get(self, key: Hashable) -> tuple[Sink, ...]:
        sink = self._sinks.get(key)
        return () if sink is None else sink.sinks if isinstance(sink, _Several) else (sink,)

    def _set(self, key: Hashable, sinks: tuple[Sink, ...]) -> None:
        if not sinks:
            self._sinks.pop(key, None)
        else:
            self._sinks[key] = self._one(sinks)

    def _one(self, sinks: tuple[Sink, ...]) -> Sink:
        return sinks[0] if len(sinks) == 1 else _Several(sinks, self._report)


class WildcardKeyTable(KeyTable):
    """The sinks of each key, and of the wildcard for it: found at the first message of a key, after each change."""

    __slots__ = ("_added", "_declared_key_of", "_wildcard")

    def __init__(
        self,
        key_of: Callable[[Any], Hashable],
        wildcard: Callable[[Any], Hashable],
        report: Callable[[BaseException, str], None],
    ) -> None:
        super().__init__(self._find_key, report)
        self._declared_key_of = key_of
        self._wildcard = wildcard
        self._added: dict[Hashable, tuple[Sink, ...]] = {}

    def _find_key(self, message: Any) -> Hashable:
        key = self._declared_key_of(message)
        if key not in self._sinks:
            sinks = () if key is None else (*self._get(key), *self._get(self._wildcard(key)))
            self._sinks[key] = self._one(tuple(dict.fromkeys(sinks))) if sinks else None
        return key

    def _get(self, key: Hashable) -> tuple[Sink, ...]:
        return self._added.get(key, ())

    def _set(self, key: Hashable, sinks: tuple[Sink, ...]) -> None:
        self._added[key] = sinks
        if not sinks:
            del self._added[key]
        self._sinks.clear()


def new_key_table(selection: KeySelection, report: Callable[[BaseException, str], None]) -> KeyTable:
    """Make the table for streams of a protocol's keys."""
    if selection.wildcard is None:
        return KeyTable(selection.key_of, report)
    return WildcardKeyTable(selection.key_of, selection.wildcard, report)
