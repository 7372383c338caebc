"""The event loops of the program on which connections live: that of the main thread notices its end."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Final

from .._task_end import hide_task
from ._connection_inbox import ConnectionInbox
from ._host_loop import HostLoop
from ._loop_inbox import LoopInbox

STANDSTILL: Final = 1.0
"""Seconds without running after which a loop counts as ended, if others share a connection that lives on it."""
BLOCKED_AFTER: Final = 3.0
"""Seconds without a turn after which a loop that runs counts as standing still, where other processes depend on it."""


class ProgramLoop(HostLoop):
    """An event loop of the program, which may stop or block it: another thread finds out whether it stands still."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._is_asked = False
        """True while it is to be found out whether it takes a turn."""
        self._stood_for = 0.0
        """Seconds for which it took no turn, counted while whoever looks was awake."""
        self._looked_at = 0.0

    def stands_still(self, longest: float) -> bool:
        """True if it is closed, or takes no turns, as it has stopped or is blocked; asked by one thread, repeatedly.

        An interval between two calls counts for `longest` seconds at most: the whole process may have stood still.
        """
        now = time.monotonic()
        if self._is_asked:
            self._stood_for += min(now - self._looked_at, longest)
        else:
            self._is_asked, self._stood_for = True, 0.0
            self.loop_inbox.post_soon(self._takes_turn)
        self._looked_at = now
        return self.loop.is_closed() or self._stood_for >= (BLOCKED_AFTER if self.loop.is_running() else STANDSTILL)

    def _takes_turn(self) -> None:
        self._is_asked = False


class MainLoop(ProgramLoop):
    """The running loop of the main thread. Its connections are closed with it, or move to another loop.

    `on_end` is called on the loop, before it's closed: `asyncio.run()` and `asyncio.Runner` await it, as they close the
    asynchronous generators of their loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_end: Callable[[MainLoop], Awaitable[object]]) -> None:
        super().__init__(loop)
        self._on_end = on_end
        self._is_watched = True
        self._stands_since: float | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._generator = self._watch_end()
        _run_at_once(self._generator.asend(None))

    async def _watch_end(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            if self._is_watched:
                await self._on_end(self)

    def inbox_of_connection(self) -> LoopInbox:
        """An inbox that moves with its connection."""
        return ConnectionInbox(self.loop)

    def end_soon(self) -> None:
        """Call `on_end`, as the tasks of the loop have been cancelled; on the loop."""

        async def end() -> None:
            await self._on_end(self)

        task = self.loop.create_task(end(), name="onesocket leaves a loop")
        hide_task(task)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def has_ended(self) -> bool:
        """True if the loop is closed, or has not been running for a while, as far as it was asked; in any thread."""
        if self.loop.is_closed():
            return True
        if self.loop.is_running():
            self._stands_since = None
            return False
        now, since = time.monotonic(), self._stands_since  # read once: the loop may run just now
        if since is None:
            since = self._stands_since = now
            self.loop_inbox.post_soon(self._runs)  # a program may run it in short slices, between our looks
        return now - since >= STANDSTILL

    def _runs(self) -> None:
        self._stands_since = None

    def release(self) -> None:
        """No connection is left here: forget the end of the loop. In any thread."""
        self._is_watched = False
        if self.loop_inbox.is_here:
            _run_at_once(self._generator.aclose())


def is_main_thread() -> bool:
    """True in the main thread."""
    return threading.current_thread() is threading.main_thread()


def _run_at_once(step: Any) -> None:
    """Perform a step of an asynchronous generator that waits for nothing."""
    with contextlib.suppress(StopIteration, RuntimeError):  # RuntimeError: it is being closed already
        step.send(None)
