"""Every message to everybody who asked for it; nobody's trouble is anybody else's."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from ..errors import InvalidOption, OnesocketError
from .async_callback import AsyncCallback, callback_task, is_async
from .gap import Gap
from .queue import Overflow, Queue
from .subscription import Predicate, Subscription

# While aclose() waits for callbacks, it looks this often whether one of them has begun to close the client, too.
_STEP: Final = 0.05

Sink = Callable[[Any], object]
Many = Callable[[list[Any]], object]
Report = Callable[[BaseException, str], None]

# What a subscriber raises harms nobody else. The result of a cancelled future, looked at in a callback, is among it:
# that `CancelledError` isn't the cancellation of whoever happens to run the callback.
HARMLESS: Final = (Exception, asyncio.CancelledError)


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
        on_loop: Callable[..., None],
    ) -> None:
        self._event_of = event_of
        self._hold_feed = hold
        self._release_feed = release
        self._report = report
        self._on_loop = on_loop
        self._holding = 0
        self._all: tuple[Sink, ...] = ()
        self._all_many: tuple[Many, ...] = ()
        """Those among them that take several messages at once, and ..."""
        self._all_calls: tuple[Sink, ...] = ()
        """... the rest: `publish_many` treats them differently."""
        self._batch: list[Any] = []
        """What callbacks are being called with at the moment; streams don't have it yet. And ..."""
        self._rest: Iterator[Any] = iter(())
        """... those of it that are still to come."""
        self._divided: Sequence[Any] = ()
        """The rest of a batch that came to be divided."""
        self._named: dict[str, tuple[Sink, ...]] = {}
        self._gaps: tuple[Sink, ...] = ()
        self._queues: dict[Queue[Any], Callable[[], None]] = {}
        self._failing: dict[Queue[Any], None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._epoch = 0
        self._closers: set[asyncio.Task[Any]] = set()
        self._due: deque[Callable[[], None]] = deque()
        self._is_changing = False
        self.delivered = 0
        self.ended = False

    def __len__(self) -> int:
        """How many subscribers there are."""
        return len(self._all) + sum(map(len, self._named.values()))

    @property
    def depth(self) -> int:
        """The longest queue of any subscriber."""
        return max((len(queue.items) for queue in tuple(self._queues)), default=0)

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
            except HARMLESS as error:
                self._report(error, _name(sink))
        if self._named:
            self._publish_named(message)

    def publish_many(self, batch: list[Any]) -> None:
        """Hand several messages to everybody: callbacks get them one by one, then streams at once."""
        if self._named or self._batch or len(batch) == 1:
            for message in batch:
                self.publish(message)
            return
        self.delivered += len(batch)
        if self._all_calls:
            for message in self._call_each(batch):
                self.publish(message)
        else:
            self._hand_on(batch)

    def _call_each(self, batch: list[Any]) -> Sequence[Any]:
        """Returns what nobody has got yet, as somebody came in the midst."""
        self._batch, self._rest, self._divided = batch, iter(batch), ()
        try:
            for message in self._rest:
                for sink in self._all_calls:
                    try:
                        sink(message)
                    except HARMLESS as error:
                        self._report(error, _name(sink))
        except BaseException:  # the program ends, perhaps: what was divided nobody has got yet
            rest: list[Any] = list(self._divided)
            self._divided = ()
            if rest:
                self.delivered += len(rest)
                self._hand_on(rest)
            for message in rest if self._named else ():
                self._publish_named(message)
            raise
        finally:
            if self._batch:
                self._batch = []
                if self._all_many:
                    self._hand_on(batch)
        return self._divided

    def _divide(self) -> None:
        """Somebody comes while callbacks are called with a batch: what comes after this message is theirs, too."""
        batch, self._batch = self._batch, []
        if batch:
            self._divided = list(self._rest)  # and so the walk ends with this message
            self.delivered -= len(self._divided)
            self._hand_on(batch[: len(batch) - len(self._divided)])

    def _hand_on(self, batch: list[Any]) -> None:
        for many in self._all_many:
            try:
                many(batch)
            except HARMLESS as error:
                self._report(error, _name(many))

    def _publish_named(self, message: Any) -> None:
        try:
            event: object = self._event_of(message)
        except HARMLESS as error:
            self._report(error, "the protocol's event name")
            return
        if not isinstance(event, str):
            return  # a function of the caller's own may find anything in a message that the peer wrote
        for sink in self._named.get(event, ()):
            try:
                sink(message)
            except HARMLESS as error:
                self._report(error, _name(sink))

    def announce(self, gap: Gap) -> None:
        """Put a gap marker into every stream that wants one."""
        for queue in tuple(self._queues):
            queue.epoch = gap.epoch
        for sink in self._gaps:
            try:
                sink(gap)
            except HARMLESS as error:
                self._report(error, _name(sink))

    def ready(self, epoch: int) -> None:
        """A line is up: an older failure that a reader has not seen yet is no news any more."""
        for queue in tuple(self._queues):
            queue.epoch = epoch
            queue.error = None
        self._epoch = epoch

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
        _check_event(event)
        if where is not None and not callable(where):  # pyright: ignore[reportUnnecessaryComparison]
            raise InvalidOption(f"where must be a function of the message, not {type(where).__name__}")
        queue: Queue[Any] = Queue(limit, Overflow.of(overflow), marks_gaps=gaps, hold=self._hold, release=self._release)
        sink: Sink = queue.put if where is None else _Filter(where, queue.put)
        remove = self._add(event, sink, sink if gaps and where is None else queue.put if gaps else None)
        self._queues[queue] = remove
        queue.epoch = self._epoch
        if raise_on_failure:
            self._failing[queue] = None
        if self.ended:
            queue.end()
        return Subscription(queue, self._detach, self._abandon)

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
        _check_event(event)
        if not callable(callback):  # pyright: ignore[reportUnnecessaryComparison]
            raise InvalidOption(f"on() needs a function, not {type(callback).__name__}")
        if not is_async(callback):
            return self._add(event, callback, callback if gaps else None)
        stream = self.subscribe(event, None, limit=limit, overflow=overflow, gaps=gaps, raise_on_failure=False)
        caller = AsyncCallback(callback, stream, self._report, self._tasks)
        # A client may get its callbacks before there is a loop, so the task begins with the first message.
        stream.on_item(caller.start)
        return caller.remove

    def tap(self, many: Many, gap: Sink) -> None:
        """For as long as the client lives, call `many` with the messages of each read, and `gap` with gap markers.

        Nobody changes the list, which others get, too.
        """
        self._add(None, _Tap(many), gap)

    def end(self) -> None:
        """The client is closed: every stream ends; readers and callbacks get what is queued."""
        self.ended = True
        for queue in tuple(self._queues):
            queue.end()

    async def settle(self, grace: float) -> None:
        """Wait for the callbacks' tasks; whichever takes longer than `grace` seconds is cancelled."""
        # A callback may be the one that closes the client, or several may: nobody waits for those.
        me = callback_task()
        if me is not None:
            self._closers.add(me)
        deadline = asyncio.get_running_loop().time() + grace
        try:
            while (tasks := self._tasks - self._closers) and (left := deadline - asyncio.get_running_loop().time()) > 0:
                # In short steps: one of them may become a closer itself.
                await asyncio.wait(tasks, timeout=min(left, _STEP), return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=grace)
        finally:
            if me is not None:
                self._closers.discard(me)

    def _add(self, event: str | None, sink: Sink, gap_sink: Sink | None) -> Callable[[], None]:
        removed = False

        def add() -> None:
            if event is None:
                self._set_all((*self._all, sink))
            else:
                self._named[event] = (*self._named.get(event, ()), sink)
            if gap_sink is not None:
                self._gaps = (*self._gaps, gap_sink)

        def remove() -> None:
            nonlocal removed
            if not removed:
                removed = True
                self._change(take_off)

        def take_off() -> None:
            if event is None:
                self._set_all(_without(self._all, sink))
            else:
                rest = _without(self._named.get(event, ()), sink)
                if rest:
                    self._named[event] = rest
                else:
                    self._named.pop(event, None)
            if gap_sink is not None:
                self._gaps = _without(self._gaps, gap_sink)

        self._divide()
        self._change(add)
        return remove

    def _change(self, change: Callable[[], None]) -> None:
        """One after the other: the collector may end a subscription in the midst of any other change."""
        self._due.append(change)
        if self._is_changing:
            return
        self._is_changing = True
        try:
            while self._due:
                self._due.popleft()()
        finally:
            self._is_changing = False

    def _set_all(self, sinks: tuple[Sink, ...]) -> None:
        self._all = sinks
        ways = [_many_of(sink) for sink in sinks]
        self._all_many = tuple(many for many in ways if many is not None)
        self._all_calls = tuple(sink for sink, many in zip(sinks, ways, strict=True) if many is None)

    def _abandon(self, queue: Queue[Any]) -> None:
        """A reader went away without a word, in whatever thread."""
        self._on_loop(self._let_go, queue)

    def _let_go(self, queue: Queue[Any]) -> None:
        queue.clear()
        queue.end()
        self._detach(queue)

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


class _Tap:
    """A sink that takes several messages at once."""

    __slots__ = ("many",)

    def __init__(self, many: Many) -> None:
        self.many = many

    def __call__(self, message: Any) -> None:
        self.many([message])


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
    if isinstance(sink, _Tap):
        sink = sink.many
    return getattr(sink, "__qualname__", None) or type(sink).__qualname__


def _check_event(event: object) -> None:
    if event is not None and not isinstance(event, str):
        raise InvalidOption(f"an event name is a str, or None for all messages, not {type(event).__name__}")


def _many_of(sink: Sink) -> Many | None:
    if isinstance(sink, _Tap):
        return sink.many
    owner: object = getattr(sink, "__self__", None)
    if isinstance(owner, Queue):
        return owner.put_many  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return None
