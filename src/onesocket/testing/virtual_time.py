"""An event loop whose clock jumps: tests of time-outs and back-off take no time, and depend on no luck."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class NothingWillHappen(RuntimeError):
    """Everything waits, and no timer is set: on a real loop, this test would hang."""


class _JumpingSelector(selectors.SelectSelector):
    """Where the real one would sleep until the next timer, this one moves the clock there."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise NothingWillHappen("every task waits for something that nobody will do, and no timer is set")
        self.now += max(0.0, timeout)
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`time()` starts at 0 and jumps from timer to timer. For work without sockets, processes or threads."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping.now


def run_virtual(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run `main()` on a loop of its own with virtual time.

    Raises `RuntimeError` if it leaves a task behind, and whatever reached the loop's exception handler; raises
    `NothingWillHappen` where a real loop would hang.
    """
    problems: list[dict[str, Any]] = []
    loop = VirtualTimeLoop()
    loop.set_exception_handler(lambda _loop, context: problems.append(context))
    try:
        result = loop.run_until_complete(main())
        left = asyncio.all_tasks(loop)
        if left:
            raise RuntimeError(f"left behind: {left}")
    finally:
        _cancel_all(loop)
        loop.close()
    if problems:
        raise RuntimeError(f"nobody handled: {problems}") from problems[0].get("exception")
    return result


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
