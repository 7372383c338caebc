"""python-socketio's server on aiohttp; an event is as long on the wire as the others' messages."""

from __future__ import annotations

from typing import Any, Final

from ..base import load
from .base import HOST, Broadcaster

_FRAMING: Final = len('42["m",""]')


class SocketIoServer(Broadcaster):
    """A python-socketio server that broadcasts by `emit`."""

    distribution = "python-socketio"
    dialect = "socket.io"

    @classmethod
    def check(cls) -> None:
        """Check that the library and aiohttp, its server, are installed."""
        load("socketio", cls.distribution)
        load("aiohttp", "aiohttp")

    async def serve(self) -> int:
        """Listen."""
        web = load("aiohttp.web", "aiohttp")
        self.server: Any = load("socketio", self.distribution).AsyncServer(async_mode="aiohttp", ping_interval=3600)
        self.audience: set[str] = set()
        self.server.on("connect", self._came)
        self.server.on("disconnect", self._went)
        app = web.Application()
        self.server.attach(app)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self.runner.setup()
        await web.TCPSite(self.runner, HOST, 0).start()
        return int(self.runner.addresses[0][1])

    async def _came(self, session_id: str, _environment: Any) -> None:
        self.audience.add(session_id)

    async def _went(self, session_id: str, _reason: Any) -> None:
        self.audience.discard(session_id)

    async def stop(self) -> None:
        """Stop it."""
        await self.server.shutdown()
        await self.runner.cleanup()

    def connected(self) -> int:
        """In the set."""
        return len(self.audience)

    async def broadcast(self, size: int) -> None:
        """Emit."""
        await self.server.emit("m", "x" * (size - _FRAMING))
