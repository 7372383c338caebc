"""The library `websockets`: its asyncio server and client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory
from websockets.http11 import Request, Response

from onesocket.wire._deflate_parameters import DeflateParameters
from onesocket.wire._handshake import Data

from .endpoint import Endpoint, EngineServer, ServerSettings, Signal, finish_tcp, reset_tcp, split


class WebsocketsEndpoint(Endpoint):
    """One `Connection`."""

    def __init__(self, connection: Connection, signal: Signal) -> None:
        super().__init__(signal, connection.remote_address[1])
        self._connection = connection

    async def read(self) -> None:
        """Read until the end."""
        try:
            while True:
                self.note_message(await self._connection.recv())
        except ConnectionClosed as ended:
            if ended.rcvd is not None:
                self.note_close(ended.rcvd.code, ended.rcvd.reason)
            if isinstance(ended.__cause__, Exception) and ended.sent is not None and ended.rcvd is None:
                self.failures.append(f"websockets: {ended}")
        await self._connection.wait_closed()
        self.note_end()

    async def _send(self, data: Data, pieces: int) -> bool:
        parts: Any = split(data, pieces)
        try:
            await self._connection.send(parts if len(parts) > 1 else data)
        except ConnectionClosed:
            return False
        return True

    async def _ping(self, payload: bytes) -> None:
        waiter: Any = await self._connection.ping(payload)  # a future

        def answered(done: asyncio.Future[float]) -> None:
            if not done.cancelled() and done.exception() is None:
                self.note_pong(payload)

        waiter.add_done_callback(answered)

    async def _close(self, code: int, reason: str) -> None:
        await self._connection.close(code, reason)

    async def _drop(self) -> None:
        reset_tcp(self._connection.transport)

    async def _end_stream(self) -> None:
        finish_tcp(self._connection.transport)


class _WebsocketsServer:
    def __init__(self, server: Server, endpoints: list[WebsocketsEndpoint]) -> None:
        self.port = next(iter(server.sockets)).getsockname()[1]
        self._server = server
        self._endpoints = endpoints

    async def aclose(self) -> None:
        for endpoint in self._endpoints:
            await endpoint.aclose()
        self._server.close()
        await self._server.wait_closed()


class WebsocketsEngine:
    """The library `websockets`."""

    name = "websockets"
    compresses = True
    waits_for_close = True

    def __init__(self) -> None:
        self._readers: set[asyncio.Task[None]] = set()

    async def serve(self, settings: ServerSettings, opened: Callable[[Endpoint], None], signal: Signal) -> EngineServer:
        """Listen on loopback."""
        endpoints: list[WebsocketsEndpoint] = []

        async def handle(connection: ServerConnection) -> None:
            endpoint = WebsocketsEndpoint(connection, signal)
            endpoints.append(endpoint)
            opened(endpoint)
            await endpoint.read()

        def refuse(connection: ServerConnection, request: Request) -> Response | None:
            del request
            return connection.respond(*settings.refusal) if settings.refusal is not None else None

        wish = settings.deflate
        factory = ServerPerMessageDeflateFactory
        server = await serve(
            handle,
            "127.0.0.1",
            0,
            process_request=refuse,
            compression=None,
            extensions=None
            if wish is None
            else [
                factory(
                    wish.server_no_context_takeover,
                    wish.client_no_context_takeover,
                    wish.server_max_window_bits,
                    wish.client_max_window_bits,
                )
            ],
            select_subprotocol=lambda _, offered: next((it for it in offered if it == settings.subprotocol), None),
            max_size=None,
            ping_interval=None,
        )
        return _WebsocketsServer(server, endpoints)

    async def connect(self, url: str, deflate: DeflateParameters | None, signal: Signal) -> Endpoint:
        """Open a connection."""
        extensions = None
        if deflate is not None:
            extensions = [
                ClientPerMessageDeflateFactory(
                    deflate.server_no_context_takeover,
                    deflate.client_no_context_takeover,
                    deflate.server_max_window_bits,
                    deflate.client_max_window_bits or True,
                )
            ]
        connection = await connect(
            url, compression=None, extensions=extensions, max_size=None, ping_interval=None, proxy=None
        )
        endpoint = WebsocketsEndpoint(connection, signal)
        task = asyncio.get_running_loop().create_task(endpoint.read())
        self._readers.add(task)
        task.add_done_callback(self._readers.discard)
        return endpoint

    async def aclose(self) -> None:
        """Wait for the readers."""
        for task in tuple(self._readers):
            task.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
