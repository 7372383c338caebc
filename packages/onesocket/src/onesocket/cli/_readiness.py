"""Waits until a file descriptor can be read or written, without blocking the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def wait_ready(fd: int, add: Callable[..., object], remove: Callable[[int], object]) -> None:
    """Wait for `fd`; `add` and `remove` are the event loop's methods for reading or for writing.

    Returns soon for a regular file, which is always ready. Raises NotImplementedError on Windows, and OSError or
    ValueError if `fd` is closed.
    """
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    try:
        add(fd, _resolve, ready)
    except PermissionError:  # epoll takes neither regular files nor /dev/null
        await asyncio.sleep(0)
        return
    try:
        await ready
    finally:
        remove(fd)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
