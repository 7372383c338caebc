"""The driver's connections to an SQLite database: each has a thread, which answers to the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import aiosqlite

_ENDS_WITHIN: Final = 10.0
"""Seconds that a thread is waited for: as long as its statement may wait for a lock of another program."""


class SqliteDriver:
    """Opens connections, and waits for the end of their threads.

    A connection that is given up, because the task that opened or used it was cancelled, is closed behind its back.
    If the event loop ends before that, the thread has nobody to answer to, and a traceback is printed.
    """

    def __init__(self, arguments: Callable[[], tuple[Sequence[Any], Mapping[str, Any]]]) -> None:
        self._arguments = arguments
        self._threads: list[threading.Thread] = []

    async def connect(self) -> aiosqlite.Connection:
        """Open a connection, or, if that is cancelled, close it again: the driver would lose the open file."""
        given, named = self._arguments()
        connection = aiosqlite.connect(*given, **named, isolation_level=None)
        thread = connection._thread  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - it has no public name
        thread.daemon = True  # a program that ends without closing its store does end
        # Without those that have ended. One of a connection that is opened at the same time may not have begun.
        self._threads = [*(each for each in self._threads if each.ident is None or each.is_alive()), thread]
        opening = asyncio.ensure_future(_open(connection))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            await asyncio.wait([opening])
            if opening.exception() is None:
                await connection.close()
            raise

    async def wait_ended(self) -> None:
        """Wait until the threads of closed connections have ended."""
        for each in self._threads:
            await asyncio.to_thread(each.join, _ENDS_WITHIN)


async def _open(connection: aiosqlite.Connection) -> aiosqlite.Connection:
    return await connection
