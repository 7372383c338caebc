"""python-socketio: events in its own protocol; each is as long on the wire as the others' messages."""

from __future__ import annotations

from typing import Any

from .base import Countdown, Subject, load

_FRAMING = len('42["m",""]')


class SocketIo(Subject):
    """`AsyncClient` on its WebSocket transport."""

    distribution = "python-socketio"

    @classmethod
    def check(cls) -> None:
        """Check that the library and aiohttp are installed."""
        load("socketio", cls.distribution)
        load("aiohttp", "aiohttp")

    async def open(self) -> None:
        """Connect."""
        module = load("socketio", self.distribution)
        self.client: Any = module.AsyncClient(reconnection=False, handle_sigint=False)
        self.countdown = Countdown(0)
        self.answer: str | None = None
        self.client.on("m", self._received)
        base = self.url.replace("ws://", "http://").rsplit("/", 1)[0]
        await self.client.connect(base, transports=["websocket"])

    async def close(self) -> None:
        """Close."""
        await self.client.disconnect()

    async def _received(self, _message: str) -> None:
        self.countdown.left -= 1
        if not self.countdown.left:
            self.countdown.finish()
        elif self.answer is not None:
            await self.client.emit("m", self.answer)

    async def receive(self, count: int, size: int) -> None:
        """Count in the handler."""
        self.countdown = Countdown(count)
        await self.client.emit("m", f"receive {count} {size}")
        await self.countdown.done

    async def send(self, count: int, payload: str) -> None:
        """`emit`."""
        self.countdown = Countdown(1)
        payload = payload[_FRAMING:]
        await self.client.emit("m", f"send {count}")
        emit = self.client.emit
        for _ in range(count):
            await emit("m", payload)
        await self.countdown.done

    async def echo(self, count: int, payload: str) -> None:
        """The next one from within the handler."""
        self.countdown = Countdown(count)
        self.answer = payload[_FRAMING:]
        await self.client.emit("m", f"echo {count}")
        await self.client.emit("m", self.answer)
        await self.countdown.done
        self.answer = None
