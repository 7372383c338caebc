"""An event loop whose clock jumps: tests of time-outs and back-off take no time, and depend on no luck."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class NothingWillHappen(RuntimeError):
    """Everything waits, and no timer is set: on a real loop, this test would hang."""


class _VirtualSelector:
    """Where a selector would sleep until the next timer, this one moves the time there."""

    def __init__(self) -> None:
        self.now = 0.0

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise NothingWillHappen("every task waits for something that nobody will do, and no timer is set")
        self.now += max(0.0, timeout)
        return []

    def close(self) -> None:
        pass


class VirtualTimeLoop(asyncio.BaseEventLoop):
    """`time()` starts at 0 and jumps from timer to timer. For work without sockets, processes or threads.

    With a `shuffle`, what is due in one turn runs in an order of its choice: code must not depend on asyncio's.
    """

    _ready: deque[Any]

    def __init__(self, shuffle: random.Random | None = None) -> None:
        super().__init__()
        self._clock = _VirtualSelector()
        self._selector = self._clock
        self._shuffle = shuffle
        self.turns = 0
        """Turns of the loop so far."""

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._clock.now

    def jump(self, seconds: float) -> None:
        """Move the clock as if the machine had been suspended: timers in between all fire late, at once."""
        self._clock.now += seconds

    # BaseEventLoop's own hooks for whoever brings the selector.

    def _run_once(self) -> None:
        self.turns += 1
        if self._shuffle is not None and len(self._ready) > 1:
            due = list(self._ready)
            self._shuffle.shuffle(due)
            self._ready.clear()
            self._ready.extend(due)
        super()._run_once()  # type: ignore[misc] # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]

    def _process_events(self, events: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


def run_virtual(main: Callable[[], Coroutine[Any, Any, T]], *, loop: VirtualTimeLoop | None = None) -> T:
    """Run `main()` on a loop of its own with virtual time.

    Raises `RuntimeError` if it leaves a task behind, and whatever reached the loop's exception handler; raises
    `NothingWillHappen` where a real loop would hang.
    """
    problems: list[dict[str, Any]] = []
    loop = loop if loop is not None else VirtualTimeLoop()
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
