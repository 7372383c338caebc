"""Servers that call a coroutine for each connection: aiohttp and websockets."""

from __future__ import annotations

from typing import Any

from ..base import load
from .base import HOST, Broadcaster


class AiohttpServer(Broadcaster):
    """`send_str` to each, one after the other, as its documents show for a chat."""

    distribution = "aiohttp"

    @classmethod
    def check(cls) -> None:
        """Check that the library is installed."""
        load("aiohttp", cls.distribution)

    async def serve(self) -> int:
        """Listen."""
        web = load("aiohttp.web", self.distribution)
        self.audience: set[Any] = set()

        async def handle(request: Any) -> Any:
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            self.audience.add(socket)
            try:
                async for _ in socket:
                    pass
            finally:
                self.audience.discard(socket)
            return socket

        app = web.Application()
        app.router.add_get("/", handle)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self.runner.setup()
        await web.TCPSite(self.runner, HOST, 0).start()
        return int(self.runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop it."""
        await self.runner.cleanup()

    def connected(self) -> int:
        """In the set."""
        return len(self.audience)

    async def broadcast(self, size: int) -> None:
        """Send."""
        text = "x" * size
        for socket in self.audience:
            await socket.send_str(text)


class WebsocketsServer(Broadcaster):
    """Its own `broadcast()`."""

    distribution = "websockets"

    @classmethod
    def check(cls) -> None:
        """Check that the library is installed."""
        load("websockets.asyncio.server", cls.distribution)

    async def serve(self) -> int:
        """Listen."""
        self.module = load("websockets.asyncio.server", self.distribution)
        self.audience: set[Any] = set()

        async def handle(connection: Any) -> None:
            self.audience.add(connection)
            try:
                await connection.wait_closed()
            finally:
                self.audience.discard(connection)

        self.server = await self.module.serve(handle, HOST, 0, compression=None, ping_interval=None)
        return int(self.server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop it."""
        self.server.close()
        await self.server.wait_closed()

    def connected(self) -> int:
        """In the set."""
        return len(self.audience)

    async def broadcast(self, size: int) -> None:
        """Send."""
        self.module.broadcast(self.audience, "x" * size)
