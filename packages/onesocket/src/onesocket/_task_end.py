"""Tasks that outlive their event loop, in other ones: hidden from its end, and ended without a turn of it."""

from __future__ import annotations

import asyncio
from asyncio.tasks import _unregister_task  # pyright: ignore[reportPrivateUsage] - documented
from typing import Any


def hide_task(task: asyncio.Task[Any]) -> None:
    """Leave a task out of `asyncio.all_tasks()`: who cancels all of a loop, as `asyncio.run()` does, spares it.

    The function is the documented one for tasks of another kind ("Extending", in the documentation of asyncio).
    """
    _unregister_task(task)


def leave_alone(_: asyncio.Task[Any]) -> None:
    """Take no note of a task: it's on a loop of the library's own, which nothing ends but itself."""


def end_task(task: asyncio.Task[Any]) -> BaseException | None:
    """End a task that doesn't run at the moment, as the collector does; returns what it raises for that, if anything.

    For tasks of a loop that is closed, has stopped, or is about to: a cancellation would take turns of it.
    """
    if task.done():
        _retrieve(task)
        return None
    unlogged: Any = task
    unlogged._log_destroy_pending = False  # noqa: SLF001 - as asyncio.gather does: its end is no news
    hide_task(task)
    task.add_done_callback(_retrieve)  # if the loop goes on, its next step finds that it is over
    coroutine: Any = task.get_coro()
    try:
        coroutine.close()
    except BaseException as error:  # noqa: BLE001 - the caller decides what it means
        return error
    return None


def _retrieve(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()
