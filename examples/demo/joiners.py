"""Threads full of tasks that join one connection: here, or in a process of their own (``python -m``)."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from onesocket import join
from onesocket.errors import OnesocketError

JOINED = "joined"


class Joiners:
    """Threads with an event loop and tasks each, of which each task joins; `tell` gets each outcome, in its thread."""

    def __init__(self, url: str, *, threads: int, tasks: int, tell: Callable[[str], object], **options: Any) -> None:
        self._url = url
        self._tasks = tasks
        self._tell = tell
        self._options = options
        self._leave = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def go(self) -> None:
        """Start all threads; their tasks join and stay."""
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float) -> bool:
        """Let all tasks leave; return whether the threads ended in time."""
        self._leave.set()
        for thread in self._threads:
            thread.join(seconds)
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        asyncio.run(self._all())

    async def _all(self) -> None:
        # All stay until stop(): the last one to leave closes the connection.
        leave = asyncio.ensure_future(asyncio.to_thread(self._leave.wait))
        await asyncio.gather(*(self._one(leave) for _ in range(self._tasks)))
        await leave

    async def _one(self, leave: asyncio.Future[bool]) -> None:
        try:
            async with join(self._url, **self._options):
                self._tell(JOINED)
                await asyncio.shield(leave)
        except OnesocketError as error:
            self._tell(type(error).__name__)


def main(setup: dict[str, Any]) -> None:
    """Run in a process: write "ready", join at the first line of stdin, and leave at the end of stdin."""
    from onesocket.cli._output import silence_log
    from onesocket.sharing.host import HostOptions

    silence_log()
    joiners = Joiners(
        setup["url"],
        threads=setup["threads"],
        tasks=setup["tasks"],
        tell=_write,
        scope="host",
        host_options=HostOptions(directory=setup["directory"]),
    )
    _write("ready")
    if sys.stdin.readline():
        joiners.go()
        sys.stdin.read()
        joiners.stop(5.0)


def _write(outcome: str) -> None:
    os.write(1, f"{outcome}\n".encode())


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
