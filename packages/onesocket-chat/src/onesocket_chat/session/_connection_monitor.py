"""The state of a session's connection: now, and its latest changes."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from onesocket import State
from onesocket.client import Change

MAX_CHANGES: Final = 500


class ConnectionMonitor:
    """Follows the state of the session's client."""

    def __init__(self) -> None:
        self._up = asyncio.Event()
        self.changes: deque[Change] = deque(maxlen=MAX_CHANGES)
        """The latest changes, the oldest first."""
        self.total = 0
        """The number of changes so far."""

    def __repr__(self) -> str:
        return f"<ConnectionMonitor {'up' if self.is_connected else 'down'}>"

    @property
    def is_connected(self) -> bool:
        """True if the client is connected and logged in."""
        return self._up.is_set()

    def changed(self, change: Change) -> None:
        """Record a change of the client's state."""
        self.total += 1
        self.changes.append(change)
        if change.new is State.CONNECTED:
            self._up.set()
        else:
            self._up.clear()

    async def wait_connected(self, timeout: float) -> bool:
        """Wait until the client is connected; returns False after `timeout` seconds."""
        try:
            async with asyncio.timeout(max(0.0, timeout)):
                await self._up.wait()
        except TimeoutError:
            return False
        return True
