"""True if the line is up, for those who wait for it."""

from __future__ import annotations

import asyncio

from onesocket import State
from onesocket.client import Change


class ConnectionMonitor:
    """Follows the changes of one client after the other."""

    def __init__(self) -> None:
        self._up = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Line {'up' if self.is_connected else 'down'}>"

    @property
    def is_connected(self) -> bool:
        """True if it is connected and logged in."""
        return self._up.is_set()

    def changed(self, change: Change) -> None:
        """The client changed its state."""
        if change.new is State.CONNECTED:
            self._up.set()
        else:
            self._up.clear()

    async def wait_connected(self, timeout: float) -> bool:
        """Wait until it is up, at most `timeout` seconds; False: it was not."""
        try:
            async with asyncio.timeout(max(0.0, timeout)):
                await self._up.wait()
        except TimeoutError:
            return False
        return True
