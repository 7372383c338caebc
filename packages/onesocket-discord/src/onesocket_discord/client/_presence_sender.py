"""Presence updates at the pace that Discord allows; of those that have to wait only the newest is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from onesocket.protocols._pace import Pace, SendWindow

PRESENCE_UPDATE_LIMIT: Final = Pace(5, per=20.0)
"""Discord's limit on presence updates."""


class PresenceSender:
    """Sends through `send`, and waits its turn before."""

    def __init__(self, send: Callable[[Any], Awaitable[None]]) -> None:
        self._send = send
        self._window = SendWindow.of(PRESENCE_UPDATE_LIMIT)
        self._newest: asyncio.Event | None = None
        """Set once a newer update has come."""

    def __repr__(self) -> str:
        return f"<PresenceSender {self._window!r}>"

    async def send(self, payload: Any) -> None:
        """Return when it's sent, or when a newer update has taken its place. Raises what `send` raises."""
        if self._newest is not None:
            self._newest.set()
        overtaken = self._newest = asyncio.Event()
        while (wait := self._window.take(asyncio.get_running_loop().time())) > 0:
            try:
                async with asyncio.timeout(wait):
                    await overtaken.wait()
            except TimeoutError:
                continue
            return
        await self._send(payload)
