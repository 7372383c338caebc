"""A coroutine function as a subscriber: one task, one message after the other, behind a queue."""

from __future__ import annotations

import asyncio
import inspect
import weakref
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final

from ._subscription import Subscription

# While a client that closes waits for callbacks, it looks this often whether one of them has begun to close it, too.
_POLL_INTERVAL: Final = 0.05


class RunningCallback:
    """A callback, as whatever it awaits or starts knows it."""

    __slots__ = ("task",)

    def __init__(self, task: asyncio.Task[Any] | None = None) -> None:
        self.task = task
        """The one that it runs in at the moment."""


CURRENT_CALLBACK: ContextVar[RunningCallback | None] = ContextVar("CURRENT_CALLBACK", default=None)
"""The callback that is running here, if any; whatever it awaits or starts inherits it."""


class CallbackTasks(set[asyncio.Task[None]]):
    """The tasks of one client's callbacks."""

    def __init__(self) -> None:
        super().__init__()
        self._closers: set[asyncio.Task[Any]] = set()
        self.answers: weakref.WeakKeyDictionary[asyncio.Task[Any], asyncio.Task[None]] = weakref.WeakKeyDictionary()
        """Tasks that plain callbacks have returned, with the tasks that await them."""

    async def settle(self, grace: float) -> None:
        """Wait for all of them; whichever takes longer than `grace` seconds is cancelled."""
        # A callback may be the one that closes the client, or several may: it doesn't wait for those.
        me = callback_task()
        if me is not None:
            me = self.answers.get(me, me)
            self._closers.add(me)
        deadline = asyncio.get_running_loop().time() + grace
        try:
            while (tasks := self - self._closers) and (left := deadline - asyncio.get_running_loop().time()) > 0:
                # In short steps: one of them may become a closer itself.
                await asyncio.wait(tasks, timeout=min(left, _POLL_INTERVAL), return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=grace)
        finally:
            if me is not None:
                self._closers.discard(me)


class AsyncCallback:
    """Awaits `callback` for each message of `stream`; the task starts with the first one, and ends with the stream.

    `first`: what the callback returned for the message before.
    """

    def __init__(
        self,
        callback: Callable[[Any], Any],
        stream: Subscription[Any],
        report: Callable[[BaseException, str], None],
        tasks: set[asyncio.Task[None]],
        first: Awaitable[Any] | None = None,
    ) -> None:
        self._callback = callback
        self._first = first
        self._stream = stream
        self._report = report
        self._tasks = tasks
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, unless it has begun; on the running loop."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._call_each(), name="onesocket callback")
            self._tasks.add(self._task)
            if isinstance(self._first, asyncio.Task) and isinstance(self._tasks, CallbackTasks):
                self._tasks.answers[self._first] = self._task
            self._task.add_done_callback(self._tasks.discard)

    def finish(self) -> None:
        """Call it no more; it finishes the message that it has."""
        self._stream.close()

    def remove(self) -> None:
        """Call it no more, and cancel it, unless the callback itself says so: then it finishes this message."""
        self.finish()
        if self._task is not None and self._task is not callback_task():
            self._task.cancel()

    async def _call_each(self) -> None:
        CURRENT_CALLBACK.set(RunningCallback(asyncio.current_task()))
        try:
            while self._first is not None or not self._stream.is_closed:
                try:
                    if self._first is not None:
                        first, self._first = self._first, None
                        await first
                    async for message in self._stream:
                        answer = self._callback(message)
                        if inspect.isawaitable(answer):
                            await answer
                except asyncio.CancelledError as error:
                    task = asyncio.current_task()
                    if task is not None and task.cancelling():
                        raise
                    self._report_error(error)  # not ours: something that the callback awaited was cancelled
                except Exception as error:  # noqa: BLE001 - a subscriber's exception harms no other subscriber
                    self._report_error(error)
                else:
                    return
        finally:
            self._stream.close()

    def _report_error(self, error: BaseException) -> None:
        self._report(error, getattr(self._callback, "__qualname__", type(self._callback).__qualname__))


def is_async(callback: Callable[..., Any]) -> bool:
    """Whether it's a coroutine function, or an object that is called like one."""
    return inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(type(callback).__call__)


def callback_task() -> asyncio.Task[Any] | None:
    """The task of the callback that this is part of; if it isn't, the running one, and None outside of any."""
    work = CURRENT_CALLBACK.get()
    if work is not None and work.task is not None:
        return work.task
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
