"""uvicorn with an ASGI application and no framework, on both of its implementations of WebSocket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from ..base import load
from .base import HOST, READERS, Broadcaster

Send = Callable[[dict[str, Any]], Awaitable[None]]


class UvicornSansIo(Broadcaster):
    """`ws="websockets-sansio"`."""

    distribution = "uvicorn"
    implementation: ClassVar[str] = "websockets-sansio"

    @classmethod
    def check(cls) -> None:
        """Check that the library and its parser are installed."""
        load("uvicorn", cls.distribution)
        load("websockets", "websockets")

    async def serve(self) -> int:
        """Listen."""
        uvicorn = load("uvicorn", self.distribution)
        self.audience: set[Send] = set()
        listening = socket.create_server((HOST, 0), backlog=READERS)
        config = uvicorn.Config(
            self._application,
            interface="asgi3",  # a bound method is not recognised
            ws=self.implementation,
            ws_ping_interval=None,
            ws_per_message_deflate=False,
            lifespan="off",
            log_level="warning",
            timeout_graceful_shutdown=1,
        )
        self.server = uvicorn.Server(config)
        self.serving = asyncio.create_task(self.server.serve(sockets=[listening]))
        return int(listening.getsockname()[1])

    async def _application(
        self, _scope: dict[str, Any], receive: Callable[[], Awaitable[dict[str, Any]]], send: Send
    ) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        self.audience.add(send)
        try:
            while (await receive())["type"] != "websocket.disconnect":
                pass
        finally:
            self.audience.discard(send)

    async def stop(self) -> None:
        """Stop it."""
        self.server.should_exit = True
        await self.serving

    def connected(self) -> int:
        """In the set."""
        return len(self.audience)

    async def broadcast(self, size: int) -> None:
        """Send."""
        event = {"type": "websocket.send", "text": "x" * size}
        for send in self.audience:
            await send(event)


class UvicornWebsockets(UvicornSansIo):
    """`ws="websockets"`."""

    implementation = "websockets"
