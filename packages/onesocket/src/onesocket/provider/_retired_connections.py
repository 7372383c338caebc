"""The earlier connections of a provider, while they are closed."""

from __future__ import annotations

import asyncio
import logging
from typing import Generic

from ._identity_connection import C, IdentityConnection

_log = logging.getLogger("onesocket")


class RetiredConnections(Generic[C]):
    """Closes connections, each in a task of its own, so that cancelling a caller doesn't stop it half-way."""

    def __init__(self) -> None:
        self._closing: dict[asyncio.Task[None], IdentityConnection[C]] = {}

    def add(self, connection: IdentityConnection[C]) -> None:
        """Close or leave this connection."""
        task = asyncio.get_running_loop().create_task(
            connection.client.aclose(), name="onesocket closes the old client"
        )
        self._closing[task] = connection
        task.add_done_callback(self._on_done)

    async def wait_closed(self) -> None:
        """Wait until no connection is left; subscribers may still run, and one of them may be the caller."""
        for connection in tuple(self._closing.values()):
            await connection.wait_closed()

    async def wait_done(self) -> None:
        """Wait until the subscribers have ended, too."""
        if self._closing:
            await asyncio.wait(tuple(self._closing))

    def _on_done(self, task: asyncio.Task[None]) -> None:
        del self._closing[task]
        if not task.cancelled() and task.exception() is not None:
            _log.error("closing the old client failed", exc_info=task.exception())
