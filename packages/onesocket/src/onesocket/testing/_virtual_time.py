"""An event loop with virtual time: tests of timeouts and back-off take no time, and are deterministic."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class DeadlockError(RuntimeError):
    """All tasks wait and no timer is set: on a real loop, the test would hang."""


class _VirtualSelector:
    """Moves the clock to the next timer, where a selector would sleep until then."""

    def __init__(self) -> None:
        self.now = 0.0

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise DeadlockError("all tasks wait, and no timer is set")
        self.now += max(0.0, timeout)
        return []

    def close(self) -> None:
        pass


class VirtualTimeLoop(asyncio.BaseEventLoop):
    """`time()` starts at 0 and jumps from timer to timer. For work without sockets, processes or threads.

    With a `shuffle`, the callbacks of one turn run in random order: code must not depend on asyncio's.
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
        """Advance the clock as if the machine had been suspended: all timers in between fire late, at once."""
        self._clock.now += seconds

    # Hooks of BaseEventLoop for subclasses with a selector.

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

    Raises `RuntimeError` if a task is left, or for an error that reached the loop's exception handler; raises
    `DeadlockError` where a real loop would hang.
    """
    problems: list[dict[str, Any]] = []
    loop = loop if loop is not None else VirtualTimeLoop()
    loop.set_exception_handler(lambda _loop, context: problems.append(context))
    try:
        result = loop.run_until_complete(main())
        left = asyncio.all_tasks(loop)
        if left:
            raise RuntimeError(f"tasks left: {left}")
    finally:
        _cancel_all(loop)
        loop.close()
    if problems:
        raise RuntimeError(f"unhandled errors: {problems}") from problems[0].get("exception")
    return result


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
