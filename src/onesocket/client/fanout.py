"""Every message to everybody who asked for it; nobody's trouble is anybody else's."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from ..errors import OnesocketError
from .async_callback import AsyncCallback, current_task
from .gap import Gap
from .subscription import Overflow, Predicate, Queue, Subscription

Sink = Callable[[Any], object]
Report = Callable[[BaseException, str], None]


class Fanout:
    """The subscribers of one client.

    The hot path is `publish`, over tuples: who comes or goes replaces one, and nobody changes one while it's walked.
    """

    def __init__(
        self,
        *,
        event_of: Callable[[Any], str | None],
        hold: Callable[[], None],
        release: Callable[[], None],
        report: Report,
    ) -> None:
        self._event_of = event_of
        self._hold_feed = hold
        self._release_feed = release
        self._report = report
        self._holding = 0
        self._all: tuple[Sink, ...] = ()
        self._named: dict[str, tuple[Sink, ...]] = {}
        self._gaps: tuple[Sink, ...] = ()
        self._queues: dict[Queue[Any], Callable[[], None]] = {}
        self._failing: dict[Queue[Any], None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.delivered = 0
        self.ended = False

    def __len__(self) -> int:
        """How many subscribers there are."""
        return len(self._all) + sum(map(len, self._named.values()))

    @property
    def depth(self) -> int:
        """The longest queue of any subscriber."""
        return max((len(queue.items) for queue in self._queues), default=0)

    @property
    def is_held(self) -> bool:
        """Whether a subscriber with the rule `wait` holds the feed back."""
        return self._holding > 0

    # --- the hot path -----------------------------------------------------------------------------------------------

    def publish(self, message: Any) -> None:
        """Hand one message to everybody who asked for it."""
        self.delivered += 1
        for sink in self._all:
            try:
                sink(message)
            except Exception as error:  # noqa: BLE001 - a subscriber's exception harms nobody else
                self._report(error, _name(sink))
        if self._named:
            self._publish_named(message)

    def _publish_named(self, message: Any) -> None:
        try:
            event = self._event_of(message)
        except Exception as error:  # noqa: BLE001 - the protocol's event function may be the caller's own
            self._report(error, "the protocol's event name")
            return
        if event is None:
            return
        for sink in self._named.get(event, ()):
            try:
                sink(message)
            except Exception as error:  # noqa: BLE001 - as above
                self._report(error, _name(sink))

    def announce(self, gap: Gap) -> None:
        """Put a gap marker into every stream that wants one."""
        for queue in self._queues:
            queue.epoch = gap.epoch
        for sink in self._gaps:
            try:
                sink(gap)
            except Exception as error:  # noqa: BLE001 - as above
                self._report(error, _name(sink))

    def fail(self, error: OnesocketError) -> None:
        """The client gave up: tell the readers that want to know."""
        for queue in tuple(self._failing):
            queue.fail(error)

    # --- coming and going -------------------------------------------------------------------------------------------

    def subscribe(
        self,
        event: str | None,
        where: Predicate | None,
        *,
        limit: int,
        overflow: Overflow | str,
        gaps: bool,
        raise_on_failure: bool,
    ) -> Subscription[Any]:
        """A new stream."""
        queue: Queue[Any] = Queue(limit, Overflow.of(overflow), marks_gaps=gaps, hold=self._hold, release=self._release)
        sink: Sink = queue.put if where is None else _Filter(where, queue.put)
        remove = self._add(event, sink, sink if gaps and where is None else queue.put if gaps else None)
        self._queues[queue] = remove
        if raise_on_failure:
            self._failing[queue] = None
        if self.ended:
            queue.end()
        return Subscription(queue, self._detach)

    def on(
        self,
        event: str | None,
        callback: Callable[[Any], Any],
        *,
        limit: int,
        overflow: Overflow | str,
        gaps: bool,
    ) -> Callable[[], None]:
        """A callback; returns the function that takes it off again."""
        if not inspect.iscoroutinefunction(callback) and not inspect.iscoroutinefunction(type(callback).__call__):
            return self._add(event, callback, callback if gaps else None)
        stream = self.subscribe(event, None, limit=limit, overflow=overflow, gaps=gaps, raise_on_failure=False)
        caller = AsyncCallback(callback, stream, self._report, self._tasks)
        # A client may get its callbacks before there is a loop, so the task begins with the first message.
        stream.on_item(caller.start)
        return caller.remove

    async def aclose(self, grace: float) -> None:
        """End every stream; readers and callbacks get what is queued, callbacks within `grace` seconds."""
        self.ended = True
        for queue in tuple(self._queues):
            queue.end()
        # A callback may be the one that closes the client: it must not wait for itself.
        tasks = {task for task in self._tasks if task is not current_task()}
        if tasks:
            _, tasks = await asyncio.wait(tasks, timeout=grace)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=grace)

    def _add(self, event: str | None, sink: Sink, gap_sink: Sink | None) -> Callable[[], None]:
        if event is None:
            self._all = (*self._all, sink)
        else:
            self._named[event] = (*self._named.get(event, ()), sink)
        if gap_sink is not None:
            self._gaps = (*self._gaps, gap_sink)
        removed = False

        def remove() -> None:
            nonlocal removed
            if removed:
                return
            removed = True
            if event is None:
                self._all = _without(self._all, sink)
            else:
                rest = _without(self._named.get(event, ()), sink)
                if rest:
                    self._named[event] = rest
                else:
                    self._named.pop(event, None)
            if gap_sink is not None:
                self._gaps = _without(self._gaps, gap_sink)

        return remove

    def _detach(self, queue: Queue[Any]) -> None:
        remove = self._queues.pop(queue, None)
        self._failing.pop(queue, None)
        if remove is not None:
            remove()

    def _hold(self) -> None:
        self._holding += 1
        if self._holding == 1:
            self._hold_feed()

    def _release(self) -> None:
        self._holding -= 1
        if self._holding == 0:
            self._release_feed()


class _Filter:
    """A sink that passes on what the predicate accepts."""

    __slots__ = ("sink", "where")

    def __init__(self, where: Predicate, sink: Sink) -> None:
        self.where = where
        self.sink = sink

    def __call__(self, message: Any) -> None:
        if self.where(message):
            self.sink(message)


def _without(sinks: tuple[Sink, ...], sink: Sink) -> tuple[Sink, ...]:
    index = next((place for place, other in enumerate(sinks) if other == sink), None)
    return sinks if index is None else (*sinks[:index], *sinks[index + 1 :])


def _name(sink: Sink) -> str:
    return getattr(sink, "__qualname__", None) or type(sink).__qualname__
