"""The subscribers of one client: how they are added, begin, and end."""

from __future__ import annotations

import asyncio
import functools
import operator
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import OnesocketError, SlowConsumer
from ._callback import Callback, CallbackHost, CallbackTasks
from ._early_messages import EarlyMessages
from ._gap import Gap, GapReason
from ._key_table import KeySelection, KeyTable, new_key_table
from ._losses import Losses
from ._options import check_flag
from ._queue import DEFAULT_LIMIT, Overflow, Queue
from ._reader_options import ReaderOptions, check_callback
from ._sink_caller import SinkCaller
from ._sinks import BatchSink, Filter, Sink, Tap, name_of
from ._subscription import Predicate, Subscription
from ._user_code import USER_ERRORS

if TYPE_CHECKING:
    from ._snapshot_keeper import SnapshotKeeper


def _noop() -> None:
    pass


class FanOut(SinkCaller):
    """The subscribers of one client."""

    __slots__ = (
        "_epoch",
        "_failing",
        "_failure",
        "_hold_connection",
        "_holding",
        "_key_table",
        "_names_events",
        "_on_loop",
        "_queues",
        "_release_connection",
        "_soon",
        "_stop_keeping",
        "_tasks",
        "_watching",
        "ask_snapshot",
        "early",
        "ended",
        "keeper",
        "losses",
        "snapshot",
    )

    def __init__(
        self,
        *,
        event_of: Callable[[Any], str | None],
        names_events: bool = True,
        hold: Callable[[], object],
        release: Callable[[], object],
        report: Callable[[BaseException, str], None],
        on_loop: Callable[..., object],
        soon: Callable[[Callable[[], None]], object] = lambda call: asyncio.get_running_loop().call_soon(call),
    ) -> None:
        super().__init__(event_of, report)
        self._names_events = names_events
        self._hold_connection = hold
        self._release_connection = release
        self._on_loop = on_loop
        self._holding = 0
        """Number of readers with the rule `wait` that hold the connection back."""
        self._queues: dict[Queue[Any], Callable[[], None]] = {}
        """The queues of all readers, with the functions that end their being sinks."""
        self._failing: dict[Queue[Any], KeySelection | None] = {}
        """The queues of those that get the error with which the client fails, with the keys that they read."""
        self._key_table: KeyTable | None = None
        """None: no stream of keys is open."""
        self._tasks: CallbackTasks | None = None
        """None: there was no callback yet."""
        self._soon = soon
        self._epoch = 0
        self._failure: OnesocketError | None = None
        """The error with which the client failed, for the first reader to come; None again once an attempt follows."""
        self.early = EarlyMessages(self._sinks)
        self.ask_snapshot: Callable[[Callable[[list[Any]], object]], object] | None = None
        """Has its argument called with what late readers begin with, at its place among the messages; None: nothing."""
        self.snapshot: Sequence[Any] = ()
        """Messages that the first reader gets before those that waited for it."""
        self.keeper: SnapshotKeeper | None = None
        """Keeps what late readers begin with, here or elsewhere."""
        self._stop_keeping: Callable[[], None] | None = None
        """Ends its being a sink; None: it is none."""
        self._watching = 0
        """Number of sinks that are the client's own."""
        self.losses = Losses()
        self.ended = False

    def __len__(self) -> int:
        """Number of subscribers."""
        by_key = 0 if self._key_table is None else self._key_table.streams - 1  # it is one sink itself
        return len(self._sinks) - self.early.is_sink - self._watching + by_key

    @property
    def depth(self) -> int:
        """Length of the longest queue of any subscriber."""
        return max(map(len, tuple(self._queues)), default=0)

    @property
    def is_held(self) -> bool:
        """True while a subscriber with the rule `wait` holds the connection back."""
        return self._holding > 0

    # --- the connection -----------------------------------------------------------------------------------------------

    def announce(self, gap: Gap) -> None:
        """Put a gap marker into every stream that wants one."""
        self._count(gap)
        for queue in tuple(self._queues):
            queue.epoch = gap.epoch
        self._deliver(gap, self._sinks.gaps, None)

    def _count(self, gap: Gap) -> None:
        self.losses.gaps += gap.reason is GapReason.RECONNECTED
        self.losses.undecodable += gap.reason is GapReason.UNDECODABLE
        self.losses.undelivered += gap.reason is GapReason.UNDECODABLE

    def ready(self, epoch: int) -> None:
        """A connection is up: an older failure that a reader has not seen yet is no news any more."""
        for queue in tuple(self._queues):
            queue.epoch = epoch
            if not queue.ended:  # the end of a stream of answers stays
                queue.error = None
        self._epoch = epoch
        self._failure = None

    def fail(self, error: OnesocketError) -> None:
        """The client gave up, and no caller is told: raise the error in the readers that want it."""
        self._failure = error
        for queue in tuple(self._failing):
            queue.fail(error)

    def fail_keys(self, error: OnesocketError, keys: Collection[Hashable]) -> None:
        """The connection of these keys is given up: raise the error in the readers of some of them, or of all."""
        for queue, selection in tuple(self._failing.items()):
            if selection is None or any(key in keys for key in selection.keys):
                queue.fail(error)

    def forget_failure(self) -> None:
        """Another attempt follows the failure: it is no news for readers to come."""
        self._failure = None

    def begin_with(
        self, items: Iterable[Any], failure: OnesocketError | None, epoch: int, snapshot: Sequence[Any] = ()
    ) -> None:
        """Let the readers that came meanwhile, and the first ones still to come, begin with these messages.

        `snapshot`: messages before those.
        """
        failure = failure if epoch else self._failure  # until a connection is up, a failure is that of a call from here
        self.ready(epoch)
        self._failure = failure
        self.snapshot = snapshot
        waited = list(items)
        for item in waited:
            if isinstance(item, Gap):
                self._count(item)
        self.delivered += sum(not isinstance(item, Gap) for item in waited)
        self.early.begin_with(waited)

    def limits(self) -> tuple[bool, int]:
        """Returns whether a reader may hold the connection back, and the largest limit of any reader; in any thread."""
        readers: tuple[Queue[Any] | ReaderOptions, ...] = (*self._queues, *(each.options for each in self._direct))
        return any(each.overflow is Overflow.WAIT for each in readers), max((each.limit for each in readers), default=0)

    def lose(self, count: int) -> None:
        """Record that so many messages were dropped on their way to this loop."""
        for queue in tuple(self._queues):
            queue.lose(count)
        for callback in tuple(self._direct):
            self.losses.overflow(count)
            if callback.options.overflow is Overflow.FAIL:
                callback.remove()
                error = SlowConsumer(f"this callback fell {count} messages behind")
                self._report(error, name_of(callback.function))
            elif callback.options.gaps:
                callback.call(Gap(GapReason.OVERFLOW, self._epoch, count))

    # --- adding and removing ------------------------------------------------------------------------------------------

    def subscribe(
        self,
        event: str | None = None,
        where: Predicate | None = None,
        *,
        keys: KeySelection | None = None,
        limit: int = DEFAULT_LIMIT,
        overflow: Overflow | str = Overflow.FAIL,
        gaps: bool = True,
        raise_on_failure: bool = True,
        from_now: bool = False,
    ) -> Subscription[Any]:
        """Returns a new stream. `from_now`: it gets no message from before, which goes on waiting for another."""
        options = ReaderOptions.check(event, where, limit, overflow, gaps=gaps, names_events=self._names_events)
        if keys is not None:
            options = options.of_keys(keys)
        check_flag("raise_on_failure", raise_on_failure)
        queue = self._new_queue(options)

        attach = (
            functools.partial(self._add_queue, queue, options)
            if keys is None or event is not None
            else functools.partial(self._add_queue_of_keys, queue, options, keys, where)
        )

        def begin(waited: list[Any], failure: OnesocketError | None) -> None:
            if queue not in self._queues:  # closed meanwhile
                return
            queue.begin_with(waited)
            if raise_on_failure and not queue.ended:
                queue.error = failure
            if not queue.is_idle:
                queue.wake()

        if raise_on_failure:
            self._failing[queue] = keys
        self._queues[queue] = attach()
        if not from_now:
            self.early.call_when_here(lambda: self._begin(options, begin, lambda: self._suspend(queue, attach)))
        if self.ended:
            queue.end()
        return Subscription(queue, self._detach, self._abandon)

    def open_private(self, limit: int, overflow: Overflow | str) -> Subscription[Any]:
        """Returns a stream of nothing but what is put into its queue."""
        queue = self._new_queue(ReaderOptions.check(None, None, limit, overflow, gaps=True, names_events=False))
        self._queues[queue] = _noop
        if self.ended:
            queue.end()
        return Subscription(queue, self._detach, self._abandon)

    def on(
        self,
        event: str | None,
        callback: Callable[[Any], Any],
        *,
        where: Predicate | None = None,
        keys: KeySelection | None = None,
        limit: int = DEFAULT_LIMIT,
        overflow: Overflow | str = Overflow.FAIL,
        gaps: bool = False,
        on_end: Callable[[], object] | None = None,
    ) -> Callable[[], None]:
        """Add a callback; returns the function that removes it. `on_end`: called once when it is called no more."""
        check_callback(callback)
        options = ReaderOptions.check(event, where, limit, overflow, gaps=gaps, names_events=self._names_events)
        if keys is not None:
            options = options.of_keys(keys)
        added = Callback(callback, options, self._new_callback_host(), on_end)

        def begin(waited: list[Any], _: OnesocketError | None) -> None:
            if not added.is_removed:
                added.begin(waited)

        self.early.call_when_here(lambda: self._begin(options, begin))
        return added.remove

    def tap(self, many: BatchSink, gap: Sink) -> None:
        """For as long as the client lives, call `many` with the messages of each read, and `gap` with gap markers.

        The list is shared with other subscribers: it must not be changed.
        """

        def begin(waited: list[Any], _: OnesocketError | None) -> None:
            self._add(None, Tap(many), gap)
            for item in waited:
                if isinstance(item, Gap):
                    gap(item)
                else:
                    many([item])

        self._begin(ReaderOptions(None, None, DEFAULT_LIMIT, Overflow.FAIL, gaps=True), begin)

    def keep_snapshots(self, keeper: SnapshotKeeper) -> None:
        """Let late readers begin with what `keeper` keeps.

        It gets messages one by one, as callbacks do: one of them may add a reader.
        """
        self._watching += 1
        self._stop_keeping = self._sinks.add(None, lambda message: keeper.put(message, message), keeper.lose)
        self.keeper = keeper
        self.ask_snapshot = lambda ready: ready(keeper.items())

    def take_keeper(self) -> SnapshotKeeper | None:
        """Return the keeper, which gets no messages from here any more; None: there was none."""
        if self._stop_keeping is not None:
            self._stop_keeping()
            self._stop_keeping = self.ask_snapshot = None
            self._watching -= 1
        return self.keeper

    def watch(self, many: BatchSink) -> None:
        """For as long as the client lives, call `many` with the messages of each read; it is no subscriber."""
        self._watching += 1
        self._add(None, Tap(many), None)

    def end(self) -> None:
        """The client is closed: every stream ends; readers and callbacks get what is queued."""
        self.ended = True
        for queue in tuple(self._queues):
            queue.end()

    def close_all(self) -> None:
        """End every stream and callback of this handle, and let go of what is queued; a running callback may finish."""
        self.ended = True
        if self._tasks is not None:
            self._tasks.add_closer()
        self.early.forget()
        for callback in tuple(self._direct):
            callback.remove()
        for queue in tuple(self._queues):
            self._let_go(queue)

    def break_off(self, error: OnesocketError) -> None:
        """End every stream with this error, at once."""
        self.ended = True
        for queue in tuple(self._queues):
            queue.break_off(error)

    async def settle(self, grace: float) -> None:
        """Wait for the callbacks' tasks; each that takes longer than `grace` seconds is cancelled."""
        if self._tasks is not None:
            await self._tasks.settle(grace)

    def _begin(
        self,
        options: ReaderOptions,
        begin: Callable[[list[Any], OnesocketError | None], object],
        suspend: Callable[[], Callable[[], None]] = lambda: lambda: None,
    ) -> None:
        """Let a reader begin with the messages that waited for it, and the error that ended the connection meanwhile.

        A late one begins with a snapshot, where there are any. `suspend` keeps messages from it until that is here, and
        returns the function that ends this.
        """

        def is_wanted(message: Any) -> bool:
            if options.event is not None and self._name_of(message) != options.event:
                return False
            try:
                return options.where is None or bool(options.where(message))
            except USER_ERRORS as error:
                self._report(error, getattr(options.where, "__qualname__", "where"))
                return False

        def part(items: Sequence[Any]) -> list[Any]:
            return [item for item in items if isinstance(item, Gap) or is_wanted(item)]

        filtered = options.where is not None
        was_counted = self.early.only_counts
        waited = self.early.take(options.event, filtered=filtered, epoch=self._epoch, is_wanted=is_wanted)
        if self.ask_snapshot is not None and (waited is None or was_counted):
            resume = suspend()

            def begin_late(items: list[Any]) -> None:
                resume()
                begin(part(items), None)

            self.ask_snapshot(begin_late)
            return
        if waited is None:
            begin([], None)
            return
        for item in waited:
            if isinstance(item, Gap) and item.reason is GapReason.OVERFLOW:
                self.losses.overflow(item.missed or 0)
        before = part(self.snapshot)
        if options.event is None and not filtered:
            self.snapshot = ()
        begin([*before, *waited], self._failure)

    def _suspend(self, queue: Queue[Any], attach: Callable[[], Callable[[], None]]) -> Callable[[], None]:
        """Let no message into a new queue until the function is called that is returned."""
        self._queues[queue]()
        self._queues[queue] = lambda: None
        queue.clear()

        def resume() -> None:
            if queue in self._queues:
                self._queues[queue] = attach()

        return resume

    def _new_queue(self, options: ReaderOptions) -> Queue[Any]:
        queue: Queue[Any] = Queue(
            options.limit,
            options.overflow,
            marks_gaps=options.gaps,
            losses=self.losses,
            hold=self.hold,
            release=self.release,
        )
        queue.epoch = self._epoch
        return queue

    def _add_stream(self, queue: Queue[Any], options: ReaderOptions) -> Subscription[Any]:
        self._queues[queue] = self._add_queue(queue, options)
        if self.ended:
            queue.end()
        return Subscription(queue, self._detach, self._abandon)

    def _add_queue(self, queue: Queue[Any], options: ReaderOptions) -> Callable[[], None]:
        sink = queue.put if options.where is None else Filter(options.where, queue.put)
        return self._add(options.event, sink, options.gap_sink(queue.put))

    def _add_queue_of_keys(
        self, queue: Queue[Any], options: ReaderOptions, keys: KeySelection, where: Predicate | None
    ) -> Callable[[], None]:
        """Let a queue get its messages from the table of keys; returns the function that ends that."""
        table = self._key_table
        if table is None:
            table = self._key_table = new_key_table(keys, self._report)
            table.remove = self._sinks.add(None, table.put, None)
        sink = queue.put if where is None else Filter(where, queue.put)
        table.add(keys.keys, sink)
        remove_gap_sink = self._sinks.add(None, None, keys.gap_sink(queue.put)) if options.gaps else None

        def detach() -> None:
            table.take_off(keys.keys, sink)
            if remove_gap_sink is not None:
                remove_gap_sink()
            if not table.streams:
                table.remove()
                self._key_table = None

        if options.where is not None and (left := operator.length_hint(self._rest)):
            missed = (Filter(options.where, queue.put),)  # it missed the moment at which the table got these
            for message in self._batch[-left:]:
                self._deliver(message, missed, None)
        return detach

    def _open_stream(self, callback: Callback, waited: Iterable[Any]) -> Subscription[Any]:
        """Returns a stream for a callback that a task calls; it begins with the messages that waited."""
        queue = self._new_queue(callback.options)
        queue.begin_with(waited)
        return self._add_stream(queue, callback.options)

    def _new_callback_host(self) -> CallbackHost:
        # For each callback a new one, as one of its own would keep a fan-out without callbacks in a reference cycle.
        if self._tasks is None:
            self._tasks = CallbackTasks()
        return CallbackHost(self._attach, self._open_stream, self._report, self._soon, self._tasks)

    def _attach(self, callback: Callback) -> Callable[[], None]:
        """Make the function of a callback a sink; returns the function that ends that."""
        options = callback.options
        # Without a predicate the function itself is called, to save a call for each message.
        sink = callback.function if options.where is None else Filter(options.where, callback.call)
        remove = self._add(options.event, sink, options.gap_sink(callback.call))
        self._direct.append(callback)

        def detach() -> None:
            self._direct.remove(callback)
            remove()

        return detach

    def _abandon(self, queue: Queue[Any]) -> None:
        """A reader was garbage-collected without being closed, in any thread."""
        self._on_loop(self._drop_abandoned, queue)

    def _drop_abandoned(self, queue: Queue[Any]) -> None:
        queue.waiter = None  # no reader is left to wake, and its loop may be closed
        self._let_go(queue)

    def _let_go(self, queue: Queue[Any]) -> None:
        queue.clear()
        queue.end()
        self._detach(queue)

    def _detach(self, queue: Queue[Any]) -> None:
        remove = self._queues.pop(queue, None)
        self._failing.pop(queue, None)
        if remove is not None:
            remove()

    def hold(self) -> None:
        """Hold the connection back, until as many calls of `release`."""
        self._holding += 1
        if self._holding == 1:
            self._hold_connection()

    def release(self) -> None:
        """Undo one `hold`."""
        self._holding -= 1
        if self._holding == 0:
            self._release_connection()
