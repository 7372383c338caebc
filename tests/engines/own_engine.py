"""The project's own engine: its transport, and the connections of its servers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from onesocket.errors import OnesocketError, ProtocolViolation
from onesocket.transports._connection_acceptor import AcceptedConnection, RequestAnswer
from onesocket.transports._server_connection import ServerConnection, ServerConnectionLimits, ServerConnectionOwner
from onesocket.transports._socket_server import bind_host, serve_sockets
from onesocket.transports._transport import TransportConnection
from onesocket.transports._websocket import WebSocketTransport
from onesocket.wire._deflate_parameters import DeflateParameters, choose_offer
from onesocket.wire._handshake import Data, DialRequest, Handshake
from onesocket.wire._http_response import HttpResponse
from onesocket.wire._request_parser import HttpRequest

from .endpoint import Endpoint, EngineServer, ServerSettings, Signal

_BACKLOG: Final = 16
_LARGE: Final = 1 << 28
_LIMITS: Final = ServerConnectionLimits(max_size=_LARGE, write_buffer=_LARGE, close_timeout=5.0)


class OwnClientEndpoint(Endpoint):
    """One connection of `WebSocketTransport`."""

    def __init__(self, url: str, deflate: DeflateParameters | None, signal: Signal) -> None:
        super().__init__(signal)
        self.handshake: Handshake | None = None
        self.error: OnesocketError | None = None
        transport = WebSocketTransport(compression=None if deflate is None else "deflate")
        self._connection: TransportConnection = transport.dial(DialRequest(url), self, self.note_message)

    async def wait_open(self) -> None:
        """Wait for the upgrade; raises the error of the attempt."""
        await self._signal.until(lambda: self.handshake is not None or self.error is not None)
        if self.handshake is None and self.error is not None:
            raise self.error

    def opened(self, handshake: Handshake) -> None:
        """Note the upgrade."""
        self.handshake = handshake
        self.is_compressed = any(name == "sec-websocket-extensions" for name, _ in handshake.headers)
        self._signal.notify()

    def pong(self, payload: bytes) -> None:
        """Note a PONG."""
        self.note_pong(payload)

    def writable(self, now_writable: bool) -> None:
        """Note whether the kernel takes more."""
        self._is_writable = now_writable
        self._signal.notify()

    def peer_closed(self, code: int, reason: str) -> None:
        """Note the CLOSE of the other side."""
        self.note_close(code, reason)

    def violated(self, error: ProtocolViolation) -> None:
        """Note a violation."""
        self.failures.append(f"{type(error).__name__}: {error}")

    def ended(self, error: OnesocketError) -> None:
        """Note the end."""
        self.error = error
        self.note_end()

    async def _send(self, data: Data, pieces: int) -> bool:
        del pieces
        return self._connection.send(data)

    async def _ping(self, payload: bytes) -> None:
        self._connection.ping(payload)

    async def _close(self, code: int, reason: str) -> None:
        self._connection.close(code, reason)

    async def _drop(self) -> None:
        self._connection.abort()

    async def _end_stream(self) -> None:
        raise NotImplementedError("the transport has no end of the stream without a CLOSE")


class OwnServerEndpoint(Endpoint):
    """One `ServerConnection`."""

    def __init__(self, opened: Callable[[Endpoint], None], signal: Signal) -> None:
        super().__init__(signal)
        self._opened = opened
        self._connection: ServerConnection | None = None

    @property
    def _open(self) -> ServerConnection:
        if self._connection is None:
            raise RuntimeError("not open")
        return self._connection

    def adopt(self, connection: ServerConnection) -> None:
        """Note the upgrade."""
        self._connection = connection
        self.is_compressed = connection.extensions is not None
        if connection._transport is not None:
            peer = connection._transport.get_extra_info("peername")
            self.remote_port = peer[1] if peer else 0  # none: it was reset already
        self._opened(self)

    def lost(self) -> None:
        """Note the end."""
        reader = self._open._reader  # its owner is told the code alone
        if reader.close is not None:
            self.note_close(*reader.close)
        if reader.violation is not None:
            self.failures.append(f"onesocket: {reader.violation}")
        self.note_end()

    async def _send(self, data: Data, pieces: int) -> bool:
        del pieces
        if self._open.closing:
            return False
        payload = data.encode() if isinstance(data, str) else data
        self._open.writer(binary=isinstance(data, bytes))(payload)
        return True

    async def _ping(self, payload: bytes) -> None:
        raise NotImplementedError("a ServerConnection sends no PING")

    async def _close(self, code: int, reason: str) -> None:
        self._open.close(code, reason)

    async def _drop(self) -> None:
        if self._connection is not None:
            self._connection.reset()

    async def _end_stream(self) -> None:
        if self._open._transport is not None:
            self._open._transport.close()


class _EndpointOwner:
    """Passes the events of a `ServerConnection` on to its endpoint."""

    def __init__(self, endpoint: OwnServerEndpoint) -> None:
        self.opened = endpoint.adopt
        self.received = endpoint.note_message
        self._endpoint = endpoint

    def overflowed(self) -> None:
        """Go on: the buffer has no limit here."""

    def drained(self) -> None:
        """Do nothing."""

    def ended(self, code: int) -> None:
        """Note the end."""
        del code
        self._endpoint.lost()


class OwnServer:
    """Listening sockets on loopback; `make_owner` makes the owner of each connection."""

    handshake_timeout = 10.0

    def __init__(self, settings: ServerSettings, make_owner: Callable[[], ServerConnectionOwner]) -> None:
        self.port = 0
        self._settings = settings
        self._make_owner = make_owner
        self._close: Callable[[], None] = lambda: None
        self._transports: set[asyncio.Transport] = set()

    async def listen(self) -> None:
        """Accept connections."""
        sockets = await bind_host("127.0.0.1", 0)
        self.port = sockets[0].getsockname()[1]
        self._close = await serve_sockets(sockets, lambda: AcceptedConnection(self), backlog=_BACKLOG)

    async def aclose(self) -> None:
        """Accept no more, and abort the connections."""
        self._close()
        for transport in tuple(self._transports):
            transport.abort()
        while self._transports:  # noqa: ASYNC110 - their ends are a few turns away
            await asyncio.sleep(0)

    # --- ConnectionAcceptor -----------------------------------------------------------------------------------------

    def delay(self) -> float:
        """None."""
        return 0.0

    def accept(self, address: str, transport: asyncio.Transport) -> bool:
        """Accept each."""
        self._transports.add(transport)
        return True

    def upgraded(self, transport: asyncio.Transport) -> None:
        """Do nothing."""

    def connection_ended(self, address: str, transport: asyncio.Transport) -> None:
        """Forget one."""
        self._transports.discard(transport)

    def answer_request(self, request: HttpRequest, address: str) -> RequestAnswer:
        """Answer as the settings say."""
        if self._settings.refusal is not None:
            status, body = self._settings.refusal
            return HttpResponse.text(status, body)
        deflate = None
        if self._settings.deflate is not None:
            deflate = choose_offer(request.headers.getall("Sec-WebSocket-Extensions"), self._settings.deflate)
        offered = request.headers.get("Sec-WebSocket-Protocol", "").replace(" ", "").split(",")
        name = self._settings.subprotocol if self._settings.subprotocol in offered else ""
        return ServerConnection(self._make_owner(), _LIMITS, subprotocol=name or None, deflate=deflate)


class OwnEngine:
    """onesocket."""

    name = "onesocket"
    compresses = True
    waits_for_close = True

    async def serve(self, settings: ServerSettings, opened: Callable[[Endpoint], None], signal: Signal) -> EngineServer:
        """Listen on loopback."""
        server = OwnServer(settings, lambda: _EndpointOwner(OwnServerEndpoint(opened, signal)))
        await server.listen()
        return server

    async def connect(self, url: str, deflate: DeflateParameters | None, signal: Signal) -> Endpoint:
        """Open a connection."""
        endpoint = OwnClientEndpoint(url, deflate, signal)
        await endpoint.wait_open()
        return endpoint

    async def aclose(self) -> None:
        """Nothing is left."""
