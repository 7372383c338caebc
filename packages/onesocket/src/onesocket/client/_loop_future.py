"""Resolves a future from another event loop than its own: the one that a shared connection has moved to."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any


def resolve_on_loop(future: asyncio.Future[Any], result: object = None, error: BaseException | None = None) -> None:
    """Give a future its outcome, unless it has one; soon, if this is not its loop, and never, if that is closed."""
    loop = future.get_loop()
    if loop is asyncio.get_running_loop():
        _resolve(future, result, error)
    else:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, future, result, error)


def _resolve(future: asyncio.Future[Any], result: object, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
