"""The functions that a fan-out calls with each message, and what is known of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._queue import Queue
from ._subscription import Predicate

Sink = Callable[[Any], object]
BatchSink = Callable[[list[Any]], object]


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


def remove_first(sinks: tuple[Sink, ...], sink: Sink) -> tuple[Sink, ...]:
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
    if isinstance(owner, Queue):
        return owner.put_many  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return None
