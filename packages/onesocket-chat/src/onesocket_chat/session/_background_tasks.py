"""Background tasks of a session."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

_log = logging.getLogger("onesocket")


class BackgroundTasks:
    """Runs at most one task per name."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._closed = False

    def __repr__(self) -> str:
        return f"<BackgroundTasks {sorted(self._tasks)}>"

    def start(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        """Start a task, unless one of this name runs or the session is closed."""
        before = self._tasks.get(name)
        if self._closed or (before is not None and not before.done()):
            coroutine.close()
            return
        task = asyncio.get_running_loop().create_task(coroutine, name=f"onesocket chat: {name}")
        self._tasks[name] = task
        task.add_done_callback(lambda done: self._done(name, done))

    async def aclose(self) -> None:
        """Cancel all tasks and wait for their end."""
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
            _log.error("a background task of the chat failed: %s", name, exc_info=task.exception())
