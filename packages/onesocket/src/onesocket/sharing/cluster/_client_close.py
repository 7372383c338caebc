"""The close of a leader's client when its lease is lost: in order for a while, then at once."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Final

from ...client._client import Client
from ._retrying import Adopt, start_task
from ._textless_error import textless

_log: Final = logging.getLogger("onesocket")


class ClientClose:
    """Closes a client once, and knows when another thread has to reset its connection otherwise."""

    def __init__(self, client: Client, adopt: Adopt) -> None:
        self._client = client
        self._adopt = adopt
        self._task: asyncio.Task[None] | None = None
        self.reset_at = math.inf
        """Time of the lease's clock at which the connection is reset, unless it is closed; inf: it is not to be."""

    def __repr__(self) -> str:
        return f"<ClientClose {'idle' if self._task is None else 'begun'} reset_at={self.reset_at:g}>"

    def begin(self, timeout: float, reset_at: float) -> None:
        """Close in order for `timeout` seconds, and then at once: the next leader may dial."""
        self.reset_at = reset_at
        self._task = start_task(self._run(timeout), self._adopt)

    async def finished(self) -> None:
        """Wait for the end of a close that has begun."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self, timeout: float) -> None:
        closing = start_task(self._client.aclose(), self._adopt)
        await asyncio.wait([closing], timeout=timeout)
        self._client.internals.runner.abort()
        await asyncio.wait([closing])
        if not closing.cancelled() and (error := closing.exception()) is not None:
            _log.error("closing the connection of the cluster failed: it was reset", exc_info=textless(error))
