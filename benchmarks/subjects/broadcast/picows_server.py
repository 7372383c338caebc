"""picows' server: the floor that the chat server is held against."""

from __future__ import annotations

from collections.abc import Callable

import picows
from picows import WSListener, WSMsgType, WSTransport, WSUpgradeRequest

from .base import HOST, Broadcaster


class _ServerListener(WSListener):
    """Puts itself on the list, and takes itself off it."""

    def __init__(self, audience: set[WSTransport]) -> None:
        self._audience = audience

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Add a reader."""
        self._audience.add(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Remove a reader."""
        self._audience.discard(transport)


class BarePicowsServer(Broadcaster):
    """The same bytes to every transport, and nothing around it."""

    distribution = "picows"

    @classmethod
    def check(cls) -> None:
        """Onesocket needs it itself."""

    async def serve(self) -> int:
        """Listen."""
        self.audience: set[WSTransport] = set()
        make: Callable[[WSUpgradeRequest], WSListener] = lambda _request: _ServerListener(self.audience)  # noqa: E731
        self.server = await picows.ws_create_server(make, HOST, 0)
        return int(self.server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening; the readers have gone."""
        self.server.close()

    def connected(self) -> int:
        """On the list."""
        return len(self.audience)

    async def broadcast(self, size: int) -> None:
        """Write."""
        payload = b"x" * size
        for transport in self.audience:
            transport.send(WSMsgType.TEXT, payload)
