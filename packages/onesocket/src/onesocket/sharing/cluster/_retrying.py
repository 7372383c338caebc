"""Operations on the engine that are repeated until they were carried out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from ...errors import EngineFull, EngineUnavailable, MailboxFull

T = TypeVar("T")
_FIRST_DELAY: Final = 0.02
_MAX_DELAY: Final = 0.5


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
