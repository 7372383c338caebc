"""Delivers each message to all subscribers and isolates their errors."""

from __future__ import annotations

import asyncio
import functools
import inspect
import operator
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from ..errors import InvalidOption, OnesocketError, SlowConsumer
from ._async_callback import AsyncCallback, CallbackTasks, is_async
from ._backlog import Backlog, ExpectedReader, filter_backlog
from ._direct_callback import DirectCallback
from ._gap import Gap, GapReason
from ._queue import Overflow, Queue, check_limit
from ._registrations import check_event, check_where
from ._sinks import BatchSink, Filter, Sink, Tap, batch_sink_of, name_of, remove_first
from ._subscription import Predicate, Subscription
from ._user_code import USER_ERRORS

ReportError = Callable[[BaseException, str], None]


def _call_soon(call: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_soon(call)


class FanOut:
    """The subscribers of one client.

    The hot path is `publish`, over tuples: each change replaces a tuple, and none is changed while it is walked.
    """

    def __init__(
        self,
        *,
        event_of: Callable[[Any], str | None],
        hold: Callable[[], object],
        release: Callable[[], object],
        report: ReportError,
        on_loop: Callable[..., object],
        soon: Callable[[Callable[[], None]], object] = _call_soon,
    ) -> None:
        self._event_of = event_of
        self._hold_feed = hold
        self._release_feed = release
        self._report = report
        self._on_loop = on_loop
        self._soon = soon
        self._holding = 0
        self._all: tuple[Sink, ...] = ()
        self._all_many: tuple[BatchSink, ...] = ()
        """Those among them that take several messages at once, and ..."""
        self._all_calls: tuple[Sink, ...] = ()
        """... the rest: `publish_many` treats them differently."""
        self._batch: list[Any] = []
        """The batch that callbacks are being called with; streams have it already."""
        self._rest: Iterator[Any] = iter(())
        """The messages of it that callbacks have not got yet."""
        self._named: dict[str | None, tuple[Sink, ...]] = {}
        self._gaps: tuple[Sink, ...] = ()
        self._queues: dict[Queue[Any], Callable[[], None]] = {}
        self._failing: dict[Queue[Any], None] = {}
        self._direct: list[DirectCallback] = []
        self._tasks = CallbackTasks()
        self._epoch = 0
        self._backlog = Backlog()
        self._stop_waiting: Callable[[], None] | None = None
        """Removes the sink that fills `_waiting`; None: there is none."""
        self._first: ExpectedReader | None = None
        self._failure: OnesocketError | None = None
        """The error that ended a connection for good which was up; None again once the next one is."""
        self._early: list[Callable[[], None]] | None = None
        """What readers do once the messages before them are here; None: they are."""
        self._due: deque[Callable[[], None]] = deque()
        self._is_changing = False
        self.delivered = 0
        self.ended = False

    def __len__(self) -> int:
        """How many subscribers there are."""
        return len(self._all) + sum(map(len, self._named.values())) - (self._stop_waiting is not None)

    @property
    def depth(self) -> int:
        """The longest queue of any subscriber."""
        return max(map(len, tuple(self._queues)), default=0)

    @property
    def is_held(self) -> bool:
        """Whether a subscriber with the rule `wait` holds the feed back."""
        return self._holding > 0

    # --- the hot path -------------------------------------------------------------------------------------------------

    def publish(self, message: Any) -> None:
        """Deliver one message to all subscribers."""
        self.delivered += 1
        named = self._named.get(self._name_of(message)) if self._named else None
        for sink in self._all:
            try:
                answer = sink(message)
            except USER_ERRORS as error:
                self._report(error, name_of(sink))
            else:
                if answer is not None:
                    self._await_answer(None, sink, answer)
        if named is not None:
            self._publish_named(message, named)

    def publish_many(self, batch: list[Any]) -> None:
        """Deliver several messages: to streams at once, then to callbacks one by one.

        A subscriber that is added by a callback begins with the message after.
        """
        if len(batch) == 1:
            self.publish(batch[0])
            return
        self.delivered += len(batch)
        for many in self._all_many:
            try:
                many(batch)
            except USER_ERRORS as error:
                self._report(error, name_of(many))
        if self._all_calls or self._named:
            outer = self._batch, self._rest
            self._batch, self._rest = batch, iter(batch)
            try:
                self._call_each(self._rest)
            except BaseException:  # the program ends, perhaps: streams of an event get the rest, should the loop go on
                for message in self._rest if self._named else ():
                    self._publish_named(message, self._named.get(self._name_of(message), ()))
                raise
            finally:
                self._batch, self._rest = outer

    def _call_each(self, messages: Iterator[Any]) -> None:
        for message in messages:
            named = self._named.get(self._name_of(message)) if self._named else None
            for sink in self._all_calls:
                try:
                    answer = sink(message)
                except USER_ERRORS as error:
                    self._report(error, name_of(sink))
                else:
                    if answer is not None:
                        self._await_answer(None, sink, answer)
            if named is not None:
                self._publish_named(message, named)

    def _publish_named(self, message: Any, sinks: tuple[Sink, ...]) -> None:
        for sink in sinks:
            try:
                answer = sink(message)
            except USER_ERRORS as error:
                self._report(error, name_of(sink))
            else:
                if answer is not None:
                    self._await_answer(self._name_of(message), sink, answer)

    def _await_answer(self, event: str | None, sink: Sink, answer: object) -> None:
        """A plain callback returned this: an awaitable is awaited in a task, and before the next message."""
        if not inspect.isawaitable(answer):
            return
        for direct in self._direct:
            if direct.awaits is None and direct.event == event and direct.callback == sink:
                direct.await_answer(answer)
                return
        # It has removed itself in this call.
        stream = Subscription[Any](Queue(1, Overflow.FAIL), lambda _: None)
        stream.close()
        AsyncCallback(sink, stream, self._report, self._tasks, answer).start()

    def _name_of(self, message: Any) -> str | None:
        try:
            event: object = self._event_of(message)
        except USER_ERRORS as error:
            self._report(error, "the protocol's event name")
            return None
        # A function of the caller's own may find anything in a message that the peer wrote.
        return event if isinstance(event, str) else None

    def announce(self, gap: Gap) -> None:
        """Put a gap marker into every stream that wants one."""
        for queue in tuple(self._queues):
            queue.epoch = gap.epoch
        for sink in self._gaps:
            try:
                sink(gap)
            except USER_ERRORS as error:
                self._report(error, name_of(sink))

    def ready(self, epoch: int) -> None:
        """A connection is up: an older failure that a reader has not seen yet is no news any more."""
        for queue in tuple(self._queues):
            queue.epoch = epoch
            queue.error = None
        self._epoch = epoch
        self._failure = None

    def fail(self, error: OnesocketError) -> None:
        """The client gave up: tell the readers that want to know."""
        self._failure = error if self._epoch else None
        for queue in tuple(self._failing):
            queue.fail(error)

    # --- what waits for its first reader ------------------------------------------------------------------------------

    def keep_for_first_reader(self) -> None:
        """From now on, keep what comes for the first of our own subscribers that reads everything."""
        self._first = self.expect_reader()

    def expect_backlog(self) -> None:
        """As `keep_for_first_reader`, with messages that waited elsewhere: `begin_with` brings them."""
        self.keep_for_first_reader()
        self._early = []

    def begin_with(self, items: Iterable[Any], failure: OnesocketError | None, epoch: int) -> None:
        """Let the readers that came meanwhile, and the first ones still to come, begin with these messages."""
        self.ready(epoch)
        self._failure = failure
        for item in items:
            if isinstance(item, Gap):
                self._backlog.put_gap(item)
            else:
                self._backlog.put(item)
        early, self._early = self._early or [], None
        for begin in early:
            begin()

    def _when_backlog_is_here(self, begin: Callable[[], None]) -> None:
        if self._early is None:
            begin()
        else:
            self._early.append(begin)

    def limits(self) -> tuple[bool, int]:
        """Returns whether a reader may hold the feed back, and the largest limit of any reader; in any thread."""
        readers: tuple[Queue[Any] | DirectCallback, ...] = (*self._queues, *self._direct)
        return any(reader.overflow is Overflow.WAIT for reader in readers), max((r.limit for r in readers), default=0)

    @property
    def has_callbacks(self) -> bool:
        """True if plain functions are called in the turn of the loop that delivers."""
        return bool(self._direct)

    def lose(self, count: int) -> None:
        """So many messages were dropped on their way to this loop."""
        for queue in tuple(self._queues):
            queue.lose(count)
        for direct in tuple(self._direct):
            if direct.overflow is Overflow.FAIL:
                self._report(SlowConsumer(f"this callback fell {count} messages behind"), name_of(direct.callback))
                self._direct.remove(direct)
                direct.remove()
            elif direct.marks_gaps and direct.awaits is None:
                direct.call(Gap(GapReason.OVERFLOW, self._epoch, count))

    def stop_keeping(self) -> None:
        """Stop waiting for a first reader: what came before isn't wanted."""
        self.give_up(self._first)

    def expect_reader(self) -> ExpectedReader:
        """Keep what comes from now on until `caught_up` with this, or `give_up`."""
        if self._stop_waiting is None:
            self._stop_waiting = self._add(None, self._backlog.put, self._backlog.put_gap)
        return self._backlog.expect()

    def give_up(self, reader: ExpectedReader | None) -> None:
        """Stop waiting for this reader: it won't come, or it needs nothing of what came before."""
        if reader is not None:
            self._backlog.forget(reader)
            if self._stop_waiting is not None and not self._backlog:
                stop, self._stop_waiting = self._stop_waiting, None
                stop()

    def take_backlog(
        self, first: ExpectedReader | None, event: str | None, where: Predicate | None = None, *, filtered: bool
    ) -> tuple[list[Any], OnesocketError | None]:
        """Returns the messages that waited for this reader, and the error that ended the connection meanwhile.

        A reader of everything ends the waiting.

        `filtered`: it reads a part; `where` is asked here, if it is given.
        """
        if first is None or first not in self._backlog or not first.serves(event, filtered=filtered):
            return [], None
        waited = self._backlog.since(first, self._epoch)
        if event is None and not filtered:
            self.give_up(first)
            return waited, self._failure
        if self._backlog.only_counts:  # this reader wasn't waited for: it begins with its call
            return [], self._failure
        return filter_backlog(waited, lambda message: self._is_wanted(message, event, where)), self._failure

    def _is_wanted(self, message: Any, event: str | None, where: Predicate | None) -> bool:
        if event is not None and self._name_of(message) != event:
            return False
        try:
            return where is None or bool(where(message))
        except USER_ERRORS as error:
            self._report(error, getattr(where, "__qualname__", "where"))
            return False

    # --- coming and going ---------------------------------------------------------------------------------------------

    def subscribe(
        self,
        event: str | None,
        where: Predicate | None,
        *,
        limit: int,
        overflow: Overflow | str,
        gaps: bool,
        raise_on_failure: bool,
        from_now: bool = False,
    ) -> Subscription[Any]:
        """Returns a new stream. `from_now`: it gets nothing that came before, which goes on waiting for another."""
        check_event(event)
        check_where(where)
        queue = self._new_queue(limit, Overflow.of(overflow), gaps=gaps)
        first = None if from_now else self._first

        def begin() -> None:
            waited, failure = self.take_backlog(first, event, where, filtered=where is not None)
            queue.begin_with(waited)
            if raise_on_failure and not queue.ended:
                queue.error = failure
            if queue.head or queue.error is not None:
                queue.wake()
            if queue.head and queue.on_item is not None:
                queue.on_item()
                queue.on_item = None

        self._when_backlog_is_here(begin)
        sink: Sink = queue.put if where is None else Filter(where, queue.put)
        remove = self._add(event, sink, sink if gaps and where is None else queue.put if gaps else None)
        self._queues[queue] = remove
        if raise_on_failure:
            self._failing[queue] = None
        if self.ended:
            queue.end()
        return Subscription(queue, self._detach, self._abandon)

    def _new_queue(self, limit: int, overflow: Overflow, *, gaps: bool) -> Queue[Any]:
        queue: Queue[Any] = Queue(limit, overflow, marks_gaps=gaps, hold=self._hold, release=self._release)
        queue.epoch = self._epoch
        return queue

    def on(
        self,
        event: str | None,
        callback: Callable[[Any], Any],
        *,
        where: Predicate | None = None,
        limit: int,
        overflow: Overflow | str,
        gaps: bool,
    ) -> Callable[[], None]:
        """Add a callback; returns the function that removes it."""
        check_event(event)
        if not callable(callback):  # pyright: ignore[reportUnnecessaryComparison]
            raise InvalidOption(f"on() needs a function, not {type(callback).__name__}")
        check_where(where)
        check_limit(limit)
        rule = Overflow.of(overflow)
        if not is_async(callback):
            return self._add_direct(event, callback, where, limit, rule, gaps=gaps)
        stream = self.subscribe(event, where, limit=limit, overflow=rule, gaps=gaps, raise_on_failure=False)
        caller = AsyncCallback(callback, stream, self._report, self._tasks)
        # A client may get its callbacks before there is a loop, so the task begins with the first message.
        if len(stream):
            self._soon(caller.start)
        else:
            stream.on_item(caller.start)
        return caller.remove

    def _add_direct(
        self, event: str | None, callback: Sink, where: Predicate | None, limit: int, overflow: Overflow, *, gaps: bool
    ) -> Callable[[], None]:
        def add(sink: Sink, gap_sink: Sink) -> Callable[[], None]:
            filtered = sink if where is None else Filter(where, gap_sink)
            return self._add(event, filtered, gap_sink if gaps else None)

        def queue_up(answer: Awaitable[Any], waited: Iterable[Any]) -> AsyncCallback:
            queue = self._new_queue(limit, overflow, gaps=gaps)
            queue.begin_with(waited)
            put = functools.partial(queue.put)  # not a batch sink: it begins with the next message
            self._queues[queue] = add(put, put)
            caller = AsyncCallback(
                callback, Subscription(queue, self._detach, self._abandon), self._report, self._tasks, answer
            )
            caller.start()
            return caller

        def remove() -> None:
            if direct in self._direct:
                self._direct.remove(direct)
            direct.remove()

        def begin() -> None:
            if direct in self._direct:
                waited, _ = self.take_backlog(self._first, event, where, filtered=where is not None)
                direct.start(waited, self._soon)

        direct = DirectCallback(event, callback, add, queue_up, self._report)
        direct.limit, direct.overflow, direct.marks_gaps = limit, overflow, gaps
        self._direct.append(direct)
        self._when_backlog_is_here(begin)
        return remove

    def tap(self, many: BatchSink, gap: Sink) -> None:
        """For as long as the client lives, call `many` with the messages of each read, and `gap` with gap markers.

        Nobody changes the list, which others get, too.
        """
        self.give_up(self._first)
        self._add(None, Tap(many), gap)

    def end(self) -> None:
        """The client is closed: every stream ends; readers and callbacks get what is queued."""
        self.ended = True
        for queue in tuple(self._queues):
            queue.end()

    def close_all(self) -> None:
        """End every stream and callback of this handle, and let go of what is queued; a running callback may finish."""
        self.ended = True
        for direct in tuple(self._direct):
            direct.remove()
        self._direct.clear()
        for queue in tuple(self._queues):
            self._let_go(queue)

    def break_off(self, error: OnesocketError) -> None:
        """End every stream with this error, at once."""
        self.ended = True
        for queue in tuple(self._queues):
            queue.break_off(error)

    async def settle(self, grace: float) -> None:
        """Wait for the callbacks' tasks; whichever takes longer than `grace` seconds is cancelled."""
        await self._tasks.settle(grace)

    def _add(self, event: str | None, sink: Sink, gap_sink: Sink | None) -> Callable[[], None]:
        removed = False

        def add() -> None:
            if event is None:
                self._set_all((*self._all, sink))
                many = batch_sink_of(sink)
                if many is not None and (left := operator.length_hint(self._rest)):
                    many(self._batch[-left:])
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
                self._set_all(remove_first(self._all, sink))
            else:
                rest = remove_first(self._named.get(event, ()), sink)
                if rest:
                    self._named[event] = rest
                else:
                    self._named.pop(event, None)
            if gap_sink is not None:
                self._gaps = remove_first(self._gaps, gap_sink)

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
        ways = [batch_sink_of(sink) for sink in sinks]
        self._all_many = tuple(many for many in ways if many is not None)
        self._all_calls = tuple(sink for sink, many in zip(sinks, ways, strict=True) if many is None)

    def _abandon(self, queue: Queue[Any]) -> None:
        """A reader went away without a word, in whatever thread."""
        self._on_loop(self._let_go, queue)

    def _let_go(self, queue: Queue[Any]) -> None:
        queue.waiter = None  # no reader is left to wake, and its loop may be closed
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
