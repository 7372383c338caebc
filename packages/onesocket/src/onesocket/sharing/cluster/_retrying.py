"""Operations on the engine that are repeated until they were carried out, waits, and the end of tasks that use it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeAlias, TypeVar

from ...errors import EngineFull, EngineUnavailable, MailboxFull

T = TypeVar("T")
Adopt: TypeAlias = Callable[[asyncio.Task[Any]], object]
"""Called with each task that is made: the end of a loop of the program may have to spare it."""
_FIRST_DELAY: Final = 0.02
_MAX_DELAY: Final = 0.5
_CANCEL_AGAIN: Final = 0.25
"""Seconds for the clean-up of a task that was cancelled."""


class Backoff:
    """Delays between attempts on an engine: short, as a lease doesn't wait."""

    __slots__ = ("_delay",)

    def __init__(self) -> None:
        self._delay = _FIRST_DELAY

    def reset(self) -> None:
        """Begin again with the shortest delay."""
        self._delay = _FIRST_DELAY

    async def wait(self) -> None:
        """Wait, each time longer."""
        await asyncio.sleep(self._delay)
        self._delay = min(2 * self._delay, _MAX_DELAY)


async def until_done(operation: Callable[[], Awaitable[T]]) -> T:
    """Repeat an operation that can be repeated, while the engine is away or full. Raises all its other errors."""
    backoff = Backoff()
    while True:
        try:
            return await operation()
        except (EngineUnavailable, EngineFull, MailboxFull):
            await backoff.wait()


async def set_within(event: asyncio.Event, timeout: float | None) -> bool:
    """Wait for an event; False: the time is up."""
    try:
        async with asyncio.timeout(timeout):
            await event.wait()
    except TimeoutError:
        return False
    return True


def start_task(work: Coroutine[Any, Any, T], adopt: Adopt, name: str | None = None) -> asyncio.Task[T]:
    """Start a task on the running loop, and have it adopted."""
    task = asyncio.get_running_loop().create_task(work, name=name)
    adopt(task)
    return task


async def end_tasks(*tasks: asyncio.Task[Any], again: float = _CANCEL_AGAIN) -> None:
    """Cancel tasks, every `again` seconds until they have ended. Their errors are not raised.

    Once is not enough: a client of an engine can lose a cancellation, as `asyncio.wait_for` of Python 3.11 does when it
    comes with a result; and what repeats operations would go on for ever.
    """
    waiting = {task for task in tasks if not task.get_loop().is_closed()}  # with their loop, they have ended
    ending = tuple(waiting)
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=again)
    for task in ending:
        if not task.cancelled():
            task.exception()
