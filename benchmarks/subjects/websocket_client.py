"""websocket-client: blocking calls, no event loop."""

from __future__ import annotations

from typing import Any

from .base import Subject, load


class WebsocketClient(Subject):
    """`create_connection` with its defaults."""

    distribution = "websocket-client"
    blocking = True

    @classmethod
    def check(cls) -> None:
        """Check that the library is installed."""
        load("websocket", cls.distribution)

    async def open(self) -> None:
        """Connect."""
        self.ws: Any = load("websocket", self.distribution).create_connection(self.url, timeout=60)

    async def close(self) -> None:
        """Close."""
        self.ws.close()

    async def receive(self, count: int, size: int) -> None:
        """`recv`."""
        self.ws.send(f"receive {count} {size}")
        receive = self.ws.recv
        for _ in range(count):
            receive()

    async def send(self, count: int, payload: str) -> None:
        """`send`."""
        self.ws.send(f"send {count}")
        send = self.ws.send
        for _ in range(count):
            send(payload)
        self.ws.recv()

    async def echo(self, count: int, payload: str) -> None:
        """`send`, then `recv`."""
        self.ws.send(f"echo {count}")
        send, receive = self.ws.send, self.ws.recv
        for _ in range(count):
            send(payload)
            receive()
