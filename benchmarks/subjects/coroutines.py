"""The peers with coroutines: websockets, picows.websockets, aiohttp and httpx-ws."""

from __future__ import annotations

import contextlib
from typing import Any, ClassVar, Self

from .base import Subject, load


class Websockets(Subject):
    """`websockets`, by its asyncio client."""

    distribution = "websockets"
    module: ClassVar[str] = "websockets.asyncio.client"

    @classmethod
    def check(cls) -> None:
        """Check that the library is installed."""
        load(cls.module, cls.distribution)

    async def open(self) -> None:
        """Connect."""
        connect = load(self.module, self.distribution).connect
        self.ws: Any = await connect(self.url, compression=None, ping_interval=None, proxy=None)

    async def close(self) -> None:
        """Close."""
        await self.ws.close()

    async def receive(self, count: int, size: int) -> None:
        """`recv`, which is a little faster than `async for`."""
        await self.ws.send(f"receive {count} {size}")
        receive = self.ws.recv
        for _ in range(count):
            await receive()

    async def send(self, count: int, payload: str) -> None:
        """`send`, which drains."""
        await self.ws.send(f"send {count}")
        send = self.ws.send
        for _ in range(count):
            await send(payload)
        await self.ws.recv()

    async def echo(self, count: int, payload: str) -> None:
        """`send`, then `recv`."""
        await self.ws.send(f"echo {count}")
        send, receive = self.ws.send, self.ws.recv
        for _ in range(count):
            await send(payload)
            await receive()


class PicowsWebsockets(Websockets):
    """picows' coroutines, in the shape of `websockets`."""

    distribution = "picows"
    module = "picows.websockets"


class Aiohttp(Subject):
    """aiohttp's client, with one session for all connections of a process, as its documents say."""

    distribution = "aiohttp"

    def __init__(self, url: str, session: Any = None) -> None:
        super().__init__(url)
        self.session = session
        self.owns_session = session is None

    @classmethod
    def check(cls) -> None:
        """Check that the library is installed."""
        load("aiohttp", cls.distribution)

    async def open(self) -> None:
        """Connect."""
        if self.owns_session:
            aiohttp = load("aiohttp", self.distribution)
            self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self.ws: Any = await self.session.ws_connect(self.url)

    async def close(self) -> None:
        """Close the WebSocket, and the session with the last one."""
        await self.ws.close()
        if self.owns_session:
            await self.session.close()

    def another(self) -> Self:
        """Return one more WebSocket of the same session."""
        return type(self)(self.url, self.session)

    async def receive(self, count: int, size: int) -> None:
        """`receive`, its fastest way."""
        await self.ws.send_str(f"receive {count} {size}")
        receive = self.ws.receive
        for _ in range(count):
            await receive()

    async def send(self, count: int, payload: str) -> None:
        """`send_str`, which drains."""
        await self.ws.send_str(f"send {count}")
        send = self.ws.send_str
        for _ in range(count):
            await send(payload)
        await self.ws.receive()

    async def echo(self, count: int, payload: str) -> None:
        """`send_str`, then `receive`."""
        await self.ws.send_str(f"echo {count}")
        send, receive = self.ws.send_str, self.ws.receive
        for _ in range(count):
            await send(payload)
            await receive()


class HttpxWs(Subject):
    """httpx-ws."""

    distribution = "httpx-ws"

    @classmethod
    def check(cls) -> None:
        """Check that the library is installed."""
        load("httpx_ws", cls.distribution)

    async def open(self) -> None:
        """Connect."""
        self.stack = contextlib.AsyncExitStack()
        session = load("httpx_ws", self.distribution).aconnect_ws(self.url, keepalive_ping_interval_seconds=None)
        self.ws: Any = await self.stack.enter_async_context(session)

    async def close(self) -> None:
        """Close."""
        await self.stack.aclose()

    async def receive(self, count: int, size: int) -> None:
        """`receive_text`."""
        await self.ws.send_text(f"receive {count} {size}")
        receive = self.ws.receive_text
        for _ in range(count):
            await receive()

    async def send(self, count: int, payload: str) -> None:
        """`send_text`."""
        await self.ws.send_text(f"send {count}")
        send = self.ws.send_text
        for _ in range(count):
            await send(payload)
        await self.ws.receive_text()

    async def echo(self, count: int, payload: str) -> None:
        """`send_text`, then `receive_text`."""
        await self.ws.send_text(f"echo {count}")
        send, receive = self.ws.send_text, self.ws.receive_text
        for _ in range(count):
            await send(payload)
            await receive()
