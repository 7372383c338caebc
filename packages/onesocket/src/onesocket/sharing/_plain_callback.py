"""A plain function as a subscriber of a link: called in the turn of the loop that brings the messages."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final

from ..client._async_callback import CURRENT_CALLBACK, RunningCallback, callback_task
from ..client._user_code import USER_ERRORS
from ..errors import OnesocketError
from ._raise_in_loop import raise_in_loop
from ._shared_subscription import SharedSubscription

CALLS_PER_TURN: Final = 256
"""So many messages in one turn of the loop; the rest waits for the next one."""


class PlainCallback:
    """Calls `callback` with each message of `stream`, one after the other, without a task of its own.

    Should it return something to be awaited all the same, that is awaited, in a task, before the next message.
    """

    def __init__(
        self,
        callback: Callable[[Any], object],
        stream: SharedSubscription[Any],
        report: Callable[[BaseException, str], None],
        tasks: set[asyncio.Task[None]],
    ) -> None:
        self._callback = callback
        self._stream = stream
        self._report = report
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._work = RunningCallback()
        self._context = contextvars.copy_context()
        self._context.run(CURRENT_CALLBACK.set, self._work)  # what it starts before it returns is part of it, too

    def start(self) -> None:
        """Begin, in the next turn: whoever asks for it has its `remove` before the first message."""
        self._loop.call_soon(self._call_each, context=self._context)

    def remove(self) -> None:
        """Call it no more. It may be the callback itself that says so: then it finishes this message."""
        self._stream.close()
        task = self._work.task
        if task is not None and task is not callback_task():
            task.cancel()

    def _on_ready(self) -> None:
        self._context.run(self._call_each)

    def _call_each(self) -> None:
        callback, stream = self._callback, self._stream
        try:
            for _ in range(CALLS_PER_TURN):
                if not stream.waiting and not self._is_filled():
                    return
                try:
                    answer = callback(stream.waiting.popleft())
                except USER_ERRORS as error:
                    self._tell(error)
                    continue
                if answer is not None and inspect.isawaitable(answer):  # that look would cost more than the call
                    task = self._work.task = self._loop.create_task(self._finish(answer), name="onesocket callback")
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                    return
        except BaseException as error:  # noqa: BLE001 - raised where it takes nobody's messages along
            self._give_up(error)
            return
        self.start()

    def _is_filled(self) -> bool:
        """Whether there's a message; if not, it rings for the next one, or it's the end."""
        while True:
            try:
                return self._stream.fill(self._on_ready)
            except StopAsyncIteration:
                self._stream.close()
                return False
            except OnesocketError as error:
                self._tell(error)

    async def _finish(self, answer: Awaitable[object]) -> None:
        task = asyncio.current_task()
        try:
            await answer
        except asyncio.CancelledError as error:
            if task is not None and task.cancelling():
                self._stream.close()
                raise
            self._tell(error)  # not ours: something that the callback awaited was cancelled
        except Exception as error:  # noqa: BLE001 - a subscriber's exception harms nobody else
            self._tell(error)
        except GeneratorExit:  # its loop was closed
            raise
        except BaseException as error:  # noqa: BLE001 - as in `_call_each`
            self._give_up(error)
        self._work.task = None
        self.start()

    def _give_up(self, error: BaseException) -> None:
        """Call it no more; what ends the program ends it, but not through the feed, which is everybody's."""
        self._stream.close()
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise_in_loop(error)
        else:
            self._tell(error)

    def _tell(self, error: BaseException) -> None:
        self._report(error, getattr(self._callback, "__qualname__", type(self._callback).__qualname__))
