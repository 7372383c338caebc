"""The functions that a fan-out calls with each message, and what is known of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._queue import Queue
from ._subscription import Predicate

Sink = Callable[[Any], object]
BatchSink = Callable[[list[Any]], object]


class BatchTarget:
    """Base of objects whose `put` is a sink, and whose `put_many` takes several messages at once."""

    __slots__ = ()

    def put(self, message: Any) -> None:
        """Take one message."""
        raise NotImplementedError

    def put_many(self, batch: list[Any]) -> None:
        """Take several messages."""
        raise NotImplementedError


class Tap:
    """A sink that takes several messages at once."""

    __slots__ = ("many",)

    def __init__(self, many: BatchSink) -> None:
        self.many = many

    def __call__(self, message: Any) -> None:
        """Pass on one message."""
        self.many([message])


class Filter:
    """A sink that passes on what the predicate accepts."""

    __slots__ = ("sink", "where")

    def __init__(self, where: Predicate, sink: Sink) -> None:
        self.where = where
        self.sink = sink

    def __call__(self, message: Any) -> None:
        """Pass it on, or not."""
        if self.where(message):
            self.sink(message)


class _Entry:
    """One entry of a table. A sink may be in it several times."""

    __slots__ = ("event", "gap_sink", "is_removed", "sink", "table")

    def __init__(self, table: SinkTable, event: str | None, sink: Sink | None, gap_sink: Sink | None) -> None:
        self.table = table
        self.event = event
        self.sink = sink
        self.gap_sink = gap_sink
        self.is_removed = False

    def remove(self) -> None:
        """Remove it, once."""
        if not self.is_removed:
            self.is_removed = True
            self.table.change(self)


class SinkTable:
    """The sinks of one fan-out. Each change replaces a tuple: none is changed while it is walked."""

    __slots__ = ("_changes", "_is_changing", "all", "batches", "calls", "gaps", "named")

    def __init__(self) -> None:
        self.all: tuple[Sink, ...] = ()
        """Sinks of all messages."""
        self.batches: tuple[BatchSink, ...] = ()
        """The functions of those among them that take several messages at once, and ..."""
        self.calls: tuple[Sink, ...] = ()
        """... the rest of them."""
        self.named: dict[str, tuple[Sink, ...]] = {}
        """Sinks of the messages with an event name."""
        self.gaps: tuple[Sink, ...] = ()
        """Sinks of gap markers."""
        self._changes: list[_Entry] = []  # a deque takes 0.7 KB, and there are few at a time
        self._is_changing = False

    def __len__(self) -> int:
        return len(self.all) + sum(map(len, self.named.values()))

    def add(self, event: str | None, sink: Sink | None, gap_sink: Sink | None) -> Callable[[], None]:
        """Add a sink of messages, one of gap markers, or both; returns the function that removes them."""
        entry = _Entry(self, event, sink, gap_sink)
        self.change(entry)
        return entry.remove

    def change(self, entry: _Entry) -> None:
        """Add an entry, or take off a removed one.

        One after the other: the collector may end a subscription in the midst of any other change.
        """
        self._changes.append(entry)
        if self._is_changing:
            return
        self._is_changing = True
        try:
            while self._changes:
                entry = self._changes.pop(0)
                (self._take_off if entry.is_removed else self._put_in)(entry)
        finally:
            self._is_changing = False

    def _put_in(self, entry: _Entry) -> None:
        if entry.sink is None:
            pass
        elif entry.event is None:
            self._set_all((*self.all, entry.sink))
        else:
            self.named[entry.event] = (*self.named.get(entry.event, ()), entry.sink)
        if entry.gap_sink is not None:
            self.gaps = (*self.gaps, entry.gap_sink)

    def _take_off(self, entry: _Entry) -> None:
        if entry.sink is None:
            pass
        elif entry.event is None:
            self._set_all(_remove_first(self.all, entry.sink))
        else:
            rest = _remove_first(self.named.get(entry.event, ()), entry.sink)
            if rest:
                self.named[entry.event] = rest
            else:
                self.named.pop(entry.event, None)
        if entry.gap_sink is not None:
            self.gaps = _remove_first(self.gaps, entry.gap_sink)

    def _set_all(self, sinks: tuple[Sink, ...]) -> None:
        batches = [batch_sink_of(sink) for sink in sinks]
        self.all = sinks
        self.batches = tuple(many for many in batches if many is not None)
        self.calls = tuple(sink for sink, many in zip(sinks, batches, strict=True) if many is None)


def _remove_first(sinks: tuple[Sink, ...], sink: Sink) -> tuple[Sink, ...]:
    """The sinks without the first one that is equal to `sink`."""
    index = next((place for place, other in enumerate(sinks) if other == sink), None)
    return sinks if index is None else (*sinks[:index], *sinks[index + 1 :])


def name_of(sink: Sink) -> str:
    """The name of the function, for reports."""
    if isinstance(sink, Filter):
        sink = sink.where
    elif isinstance(sink, Tap):
        sink = sink.many
    return getattr(sink, "__qualname__", None) or type(sink).__qualname__


def batch_sink_of(sink: Sink) -> BatchSink | None:
    """The function that takes several messages at once, of a sink that has one."""
    if isinstance(sink, Tap):
        return sink.many
    owner: object = getattr(sink, "__self__", None)
    if isinstance(owner, BatchTarget):
        return owner.put_many
    if isinstance(owner, Queue):
        return owner.put_many  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return None
