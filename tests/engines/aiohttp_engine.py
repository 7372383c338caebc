"""aiohttp: `web.WebSocketResponse` and `ClientSession.ws_connect`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

import aiohttp
from aiohttp import web

from onesocket.wire._deflate_parameters import DeflateParameters
from onesocket.wire._handshake import Data

from .endpoint import Endpoint, EngineServer, ServerSettings, Signal, finish_tcp, reset_tcp

_Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse
_SMALLEST_WINDOW: Final = 9
_ENDS: Final = frozenset({aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED})


class AiohttpEndpoint(Endpoint):
    """One `WebSocketResponse` or `ClientWebSocketResponse`."""

    def __init__(self, ws: _Socket, signal: Signal, transport: asyncio.BaseTransport | None) -> None:
        peer = transport.get_extra_info("peername") if transport is not None else None
        super().__init__(signal, peer[1] if peer else 0)
        self._ws = ws
        self._transport = transport

    async def read(self) -> None:
        """Read until the end."""
        with contextlib.suppress(ConnectionError):
            while not self._ws.closed:
                message = await self._ws.receive()
                if message.type in _ENDS:
                    break
                await self._take(message)
        await self._signal.until(lambda: self.is_idle)
        self.note_end()

    async def _take(self, message: aiohttp.WSMessage) -> None:
        if message.type in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}:
            self.note_message(message.data)
        elif message.type is aiohttp.WSMsgType.PING:
            await self._ws.pong(message.data)
        elif message.type is aiohttp.WSMsgType.PONG:
            self.note_pong(bytes(message.data))
        elif message.type is aiohttp.WSMsgType.CLOSE:
            self.note_close(message.data, message.extra or "")
        elif message.type is aiohttp.WSMsgType.ERROR:
            self.failures.append(f"aiohttp: {message.data!r}")

    async def _send(self, data: Data, pieces: int) -> bool:
        del pieces
        if self._ws.closed or self._transport is None or self._transport.is_closing():
            return False
        await (self._ws.send_str(data) if isinstance(data, str) else self._ws.send_bytes(data))
        return True

    async def _ping(self, payload: bytes) -> None:
        await self._ws.ping(payload)

    async def _close(self, code: int, reason: str) -> None:
        # Its close_code is no record of the answer: it need not have waited for one.
        await self._ws.close(code=code, message=reason.encode())

    async def _drop(self) -> None:
        reset_tcp(self._transport)

    async def _end_stream(self) -> None:
        finish_tcp(self._transport)


class _AiohttpServer:
    def __init__(self, settings: ServerSettings, opened: Callable[[Endpoint], None], signal: Signal) -> None:
        self.port = 0
        self._settings = settings
        self._opened = opened
        self._signal = signal
        self._runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0.1)
        self._endpoints: list[AiohttpEndpoint] = []

    async def listen(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]

    async def aclose(self) -> None:
        for endpoint in self._endpoints:
            await endpoint.aclose()
        await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if self._settings.refusal is not None:
            status, body = self._settings.refusal
            return web.Response(status=status, text=body)
        names = [self._settings.subprotocol] if self._settings.subprotocol else []
        deflates = self._settings.deflate is not None
        ws = web.WebSocketResponse(protocols=names, autoping=False, compress=deflates, max_msg_size=0)
        await ws.prepare(request)
        endpoint = AiohttpEndpoint(ws, self._signal, request.transport)
        self._endpoints.append(endpoint)
        self._opened(endpoint)
        await endpoint.read()
        return ws


class AiohttpEngine:
    """aiohttp."""

    name = "aiohttp"
    compresses = True
    waits_for_close = False

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._readers: set[asyncio.Task[None]] = set()

    async def serve(self, settings: ServerSettings, opened: Callable[[Endpoint], None], signal: Signal) -> EngineServer:
        """Listen on loopback."""
        server = _AiohttpServer(settings, opened, signal)
        await server.listen()
        return server

    async def connect(self, url: str, deflate: DeflateParameters | None, signal: Signal) -> Endpoint:
        """Open a connection."""
        if self._session is None:
            self._session = aiohttp.ClientSession()
        bits = 0 if deflate is None else max(deflate.server_max_window_bits or 15, _SMALLEST_WINDOW)
        ws = await self._session.ws_connect(url, autoping=False, compress=bits, max_msg_size=0)
        connection = ws._response.connection
        endpoint = AiohttpEndpoint(ws, signal, connection.transport if connection is not None else None)
        task = asyncio.get_running_loop().create_task(endpoint.read())
        self._readers.add(task)
        task.add_done_callback(self._readers.discard)
        return endpoint

    async def aclose(self) -> None:
        """Close the client's session."""
        for task in tuple(self._readers):
            task.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None
