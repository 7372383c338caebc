"""Waiting for many ends, with one deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any


async def wait_for_all(ends: Iterable[Awaitable[Any]], timeout: float) -> None:
    """Wait for all of them, but not longer than `timeout` seconds."""
    tasks = [asyncio.ensure_future(end) for end in ends]
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=max(timeout, 0.0))
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late)
