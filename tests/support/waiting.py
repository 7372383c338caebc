"""Waits for conditions that nothing announces."""

import asyncio
from collections.abc import Callable

DEADLINE = 30.0
"""Seconds that a wait may take."""


async def until(condition: Callable[[], bool], within: float = DEADLINE) -> None:
    """Check `condition` in every turn of the event loop until it holds. Raises TimeoutError."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - checked in every turn of the loop, so no sleep delays the test
            await asyncio.sleep(0)
