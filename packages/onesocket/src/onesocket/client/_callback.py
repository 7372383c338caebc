"""A function as a subscriber: called in the turn of the loop that reads the message, or by a task behind a queue."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import Context, ContextVar, copy_context
from typing import Any, Final

from .._record import record
from ..errors import OnesocketError
from ._reader_options import ReaderOptions
from ._sinks import name_of
from ._subscription import Subscription
from ._user_code import USER_ERRORS, is_async, raise_in_loop

SLICE: Final = 128
"""Number of early messages that a plain function is called with in one turn of the loop."""
UNLIMITED: Final = 2**31
"""Limit of a plain function that catches up: as a sink it has none either."""

# While a client that closes waits for callbacks, it looks this often whether one of them has begun to close it, too.
_POLL_INTERVAL: Final = 0.05

_current: ContextVar[asyncio.Task[Any] | None] = ContextVar("onesocket_callback_task", default=None)
"""The task of the callback that is running here, if any; tasks that it starts inherit it."""


class CallbackTasks(set[asyncio.Task[None]]):
    """The tasks of one client's callbacks."""

    __slots__ = ("_answers", "_closers")

    def __init__(self) -> None:
        super().__init__()
        self._closers: dict[asyncio.Task[Any], None] = {}
        self._answers: dict[asyncio.Task[Any], asyncio.Task[None]] = {}
        """Running tasks that plain functions have returned, with the tasks that await them."""

    def start(self, callback: Callback, answer: Awaitable[Any] | None) -> asyncio.Task[None]:
        """Run the callback in a task, which begins with awaiting `answer`."""
        task = asyncio.get_running_loop().create_task(callback.run(answer), name="onesocket callback")
        self.add(task)
        if isinstance(answer, asyncio.Task):
            self._answers[answer] = task
            answer.add_done_callback(lambda done: self._answers.pop(done, None))
        task.add_done_callback(self.discard)
        return task

    def add_closer(self) -> asyncio.Task[Any] | None:
        """Record that this callback, if it is one, closes the client: its end is not waited for."""
        me = callback_task()
        if me is not None:
            me = self._answers.get(me, me)
            self._closers[me] = None
        return me

    async def settle(self, grace: float) -> None:
        """Wait for all of them; each that takes longer than `grace` seconds is cancelled."""
        me = self.add_closer()
        deadline = asyncio.get_running_loop().time() + grace
        try:
            while (tasks := self.difference(self._closers)) and (
                left := deadline - asyncio.get_running_loop().time()
            ) > 0:
                # In short steps: one of them may become a closer itself.
                await asyncio.wait(tasks, timeout=min(left, _POLL_INTERVAL), return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=grace)
        finally:
            if me is not None:
                self._closers.pop(me, None)


@record
class CallbackHost:
    """The parts of a fan-out that its callbacks use."""

    attach: Callable[[Callback], Callable[[], None]]
    """Makes the function of a callback a sink, and returns the function that ends that."""
    open_stream: Callable[[Callback, Iterable[Any]], Subscription[Any]]
    """Opens the queue of a callback, which begins with the messages given."""
    report: Callable[[BaseException, str], None]
    soon: Callable[[Callable[[], None]], object]
    """Calls a function in the next turn of the loop."""
    tasks: CallbackTasks


class Callback:
    """Calls `function` with each message, one after the other.

    A plain function is a sink itself. A coroutine function is called by a task, behind a queue; so is a plain one while
    earlier messages wait for it, and from the moment that it returns an awaitable.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        options: ReaderOptions,
        host: CallbackHost,
        on_end: Callable[[], object] | None = None,
    ) -> None:
        """`on_end`: called once, when the function is called no more."""
        self.function = function
        self._on_end = on_end
        self.options = options
        self.is_removed = False
        self._is_async = is_async(function)
        """True for a coroutine function, and for one that has returned an awaitable."""
        self._host = host
        self._detach: Callable[[], None] | None = None
        """Ends its being a sink; None: it is none."""
        self._stream: Subscription[Any] | None = None
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        waiting = 0 if self._stream is None else len(self._stream)
        return f"<Callback {name_of(self.function)} waiting={waiting}>"

    def begin(self, waited: Sequence[Any]) -> None:
        """Begin with the messages that waited for it, in the next turn of the loop, or without any."""
        if not waited and not self._is_async:
            self._detach = self._host.attach(self)
            return
        stream = self._stream = self._host.open_stream(self, waited)
        if not self._is_async:
            stream.queue.limit = UNLIMITED
        # A client may get its callbacks before there is a loop, so the task begins with the first message.
        if len(stream):
            self._host.soon(self._start)
        else:
            stream.queue.on_item = self._start

    def call(self, item: Any) -> None:
        """Call a function that is a sink with one message or gap marker."""
        try:
            answer = self.function(item)
        except USER_ERRORS as error:
            self._report(error)
        except BaseException as error:  # noqa: BLE001 - reported, or raised in the loop
            self.fail(error)
        else:
            if answer is not None and inspect.isawaitable(answer):
                self.await_answer(answer)

    def await_answer(self, answer: Awaitable[Any]) -> None:
        """Await what the function returned, before it is called with the next message."""
        self._is_async = True
        self._stop_being_sink()
        self._stream = self._host.open_stream(self, ())
        self._start(answer)
        if self.is_removed:  # by itself, in this call, which it finishes
            self._stream.close()

    def remove(self) -> None:
        """Call it no more, and cancel it, unless the callback itself says so: then it finishes this message."""
        self.is_removed = True
        self._stop_being_sink()
        if self._stream is not None:
            self._stream.close()
        if self._task is not None and self._task is not callback_task():
            self._task.cancel()
        self._end()

    def fail(self, error: BaseException) -> None:
        """Remove it, as it raised what is no `Exception`; the end of the program is raised in a turn of its own."""
        self.remove()
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise_in_loop(error)
        else:
            self._report(error)

    def _stop_being_sink(self) -> None:
        detach, self._detach = self._detach, None
        if detach is not None:
            detach()

    def _start(self, answer: Awaitable[Any] | None = None) -> None:
        if self._task is None and (answer is not None or not self.is_removed):
            self._task = self._host.tasks.start(self, answer)

    async def run(self, answer: Awaitable[Any] | None) -> None:
        """Await `answer`, then call the function with each message of its stream."""
        stream = self._stream
        if stream is None:
            return
        _current.set(asyncio.current_task())
        try:
            while not await self._call_each(stream, answer):
                answer = None
        finally:
            stream.close()
            if self._detach is None:  # else it has become a sink
                self._end()

    def _end(self) -> None:
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end()

    async def _call_each(self, stream: Subscription[Any], answer: Awaitable[Any] | None) -> bool:
        """Returns False if the function raised and is to be called with the next message."""
        left = SLICE
        try:
            if answer is not None:
                await answer
            if self._becomes_sink(stream):
                return True
            async for message in stream:
                result = self.function(message)
                if inspect.isawaitable(result):
                    self._is_async = True
                    stream.queue.limit = self.options.limit
                    await result
                    continue
                if (left := left - 1) <= 0:
                    await asyncio.sleep(0)
                    left = SLICE + len(stream.queue.items)  # new messages in the turn that brings them, as a sink
                if self._becomes_sink(stream):
                    return True
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._report(error)  # not ours: something that the callback awaited was cancelled
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a subscriber's exception harms no other subscriber
            self._report(error)
            return stream.is_closed or not isinstance(error, Exception)
        else:
            return True
        return stream.is_closed

    def _becomes_sink(self, stream: Subscription[Any]) -> bool:
        """Make a plain function a sink, once nothing waits for it."""
        if self._is_async or stream.is_closed or not stream.queue.is_idle:
            return False
        stream.close()
        self._stream = self._task = None
        self._detach = self._host.attach(self)
        return True

    def _report(self, error: BaseException) -> None:
        self._host.report(error, name_of(self.function))


class CallbackKeys:
    """The subscriber of a callback's keys: refusals are reported as what the callback raises."""

    __slots__ = ("_name", "_report")

    def __init__(self, callback: Callable[..., Any], report: Callable[[BaseException, str], None]) -> None:
        self._name = name_of(callback)
        self._report = report

    def refused(self, error: OnesocketError) -> None:
        """Report the refusal of keys."""
        self._report(error, self._name)

    def fail(self, error: OnesocketError) -> None:
        """Report that no subscription is possible."""
        self._report(error, self._name)


def copy_context_outside_callbacks() -> Context:
    """A copy of the present context in which no callback is running."""
    context = copy_context()
    context.run(_current.set, None)
    return context


def callback_task() -> asyncio.Task[Any] | None:
    """The task of the callback that this is part of; if it isn't, the running one, and None outside of any."""
    task = _current.get()
    if task is not None:
        return task
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
