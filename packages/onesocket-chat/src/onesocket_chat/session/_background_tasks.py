"""Background work that ends with its owner."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

_log = logging.getLogger("onesocket")


class BackgroundTasks:
    """Tasks with names; of each name there is at most one at a time."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._closed = False

    def __repr__(self) -> str:
        return f"<Chores {sorted(self._tasks)}>"

    def start(self, name: str, chore: Coroutine[Any, Any, None]) -> None:
        """Do this, unless it is being done or everything is over."""
        before = self._tasks.get(name)
        if self._closed or (before is not None and not before.done()):
            chore.close()
            return
        task = asyncio.get_running_loop().create_task(chore, name=f"onesocket chat: {name}")
        self._tasks[name] = task
        task.add_done_callback(lambda done: self._done(name, done))

    async def aclose(self) -> None:
        """Cancel all of it and wait for the end."""
        self._closed = True
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _done(self, name: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(name) is task:
            del self._tasks[name]
        if not task.cancelled() and task.exception() is not None:
            _log.error("a chore of the chat failed: %s", name, exc_info=task.exception())
