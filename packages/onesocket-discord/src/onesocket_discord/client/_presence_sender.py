"""Sends presence updates within Discord's limit; of waiting ones only the newest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from onesocket.protocols._pace import Pace, SendWindow

PRESENCE_UPDATE_LIMIT: Final = Pace(5, per=20.0)
"""Discord's limit on presence updates."""


class PresenceSender:
    """Calls `send` when the limit allows."""

    def __init__(self, send: Callable[[Any], Awaitable[None]]) -> None:
        self._send = send
        self._window = SendWindow.of(PRESENCE_UPDATE_LIMIT)
        self._newest: asyncio.Event | None = None
        """Set when a newer update replaces this one."""

    def __repr__(self) -> str:
        return f"<PresenceSender {self._window!r}>"

    async def send(self, payload: Any) -> None:
        """Return when the update is sent, or replaced by a newer one. Raises the errors of `send`."""
        if self._newest is not None:
            self._newest.set()
        replaced = self._newest = asyncio.Event()
        while (wait := self._window.take(asyncio.get_running_loop().time())) > 0:
            try:
                async with asyncio.timeout(wait):
                    await replaced.wait()
            except TimeoutError:
                continue
            return
        await self._send(payload)
