"""picows: `ws_create_server` and `ws_connect`. It has no permessage-deflate; its frames are put together here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_connect,
    ws_create_server,
)

from onesocket.wire._deflate_parameters import DeflateParameters
from onesocket.wire._handshake import Data

from .endpoint import Endpoint, EngineServer, ServerSettings, Signal, finish_tcp, reset_tcp, split

_MAX_FRAME = 1 << 30


class PicowsEndpoint(Endpoint):
    """One `WSTransport`."""

    def __init__(self, transport: WSTransport, signal: Signal) -> None:
        peer = transport.underlying_transport.get_extra_info("peername")
        super().__init__(signal, peer[1] if peer else 0)
        self._transport = transport
        self._kind = WSMsgType.BINARY
        self._pieces: list[bytes] = []
        self._closing = False

    def take(self, frame: WSFrame) -> None:
        """Take one frame."""
        payload = frame.get_payload_as_bytes()
        if frame.msg_type is WSMsgType.PING:
            self._transport.send_pong(payload)
        elif frame.msg_type is WSMsgType.PONG:
            self.note_pong(payload)
        elif frame.msg_type is WSMsgType.CLOSE:
            self.note_close(int.from_bytes(payload[:2], "big"), payload[2:].decode())
            if not self._closing:
                self._closing = True
                self._transport.send_close(frame.get_close_code() if payload else WSCloseCode.OK)
            self._transport.disconnect()
        else:
            if frame.msg_type is not WSMsgType.CONTINUATION:
                self._kind = frame.msg_type
            self._pieces.append(payload)
            if frame.fin:
                whole = b"".join(self._pieces)
                self._pieces.clear()
                self.note_message(whole.decode() if self._kind is WSMsgType.TEXT else whole)

    async def _send(self, data: Data, pieces: int) -> bool:
        if self._closing or self._transport.is_disconnected:
            return False
        parts = split(data, pieces)
        for number, part in enumerate(parts):
            kind = WSMsgType.TEXT if isinstance(data, str) else WSMsgType.BINARY
            raw = part.encode() if isinstance(part, str) else part
            self._transport.send(WSMsgType.CONTINUATION if number else kind, raw, fin=number == len(parts) - 1)
        return True

    async def _ping(self, payload: bytes) -> None:
        self._transport.send_ping(payload)

    async def _close(self, code: int, reason: str) -> None:
        if not self._closing:
            self._closing = True
            self._transport.send_close(code, reason.encode())  # type: ignore[arg-type] # its stub knows only registered codes

    async def _drop(self) -> None:
        reset_tcp(self._transport.underlying_transport)

    async def _end_stream(self) -> None:
        finish_tcp(self._transport.underlying_transport)


class _Listener(WSListener):
    def __init__(self, opened: Callable[[PicowsEndpoint], None], signal: Signal) -> None:
        self._opened = opened
        self._signal = signal
        self._endpoint: PicowsEndpoint | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._endpoint = PicowsEndpoint(transport, self._signal)
        self._opened(self._endpoint)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if self._endpoint is not None:
            self._endpoint.take(frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if self._endpoint is not None:
            self._endpoint.note_end()


class _PicowsServer:
    def __init__(self, server: asyncio.Server, endpoints: list[PicowsEndpoint]) -> None:
        self.port = server.sockets[0].getsockname()[1]
        self._server = server
        self._endpoints = endpoints

    async def aclose(self) -> None:
        self._server.close()
        for endpoint in self._endpoints:
            await endpoint.aclose()


class PicowsEngine:
    """picows."""

    name = "picows"
    compresses = False
    waits_for_close = True

    async def serve(self, settings: ServerSettings, opened: Callable[[Endpoint], None], signal: Signal) -> EngineServer:
        """Listen on loopback."""
        endpoints: list[PicowsEndpoint] = []

        def note(endpoint: PicowsEndpoint) -> None:
            endpoints.append(endpoint)
            opened(endpoint)

        def answer(request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
            if settings.refusal is not None:
                status, body = settings.refusal
                return WSUpgradeResponseWithListener(
                    WSUpgradeResponse.create_error_response(status, body.encode()), None
                )
            offered = request.headers.get("Sec-WebSocket-Protocol", "").replace(" ", "").split(",")
            is_offered = settings.subprotocol in offered
            chosen = {"Sec-WebSocket-Protocol": settings.subprotocol} if settings.subprotocol and is_offered else {}
            return WSUpgradeResponseWithListener(WSUpgradeResponse.create_101_response(chosen), _Listener(note, signal))

        server = await ws_create_server(answer, "127.0.0.1", 0, max_frame_size=_MAX_FRAME, enable_auto_pong=False)
        return _PicowsServer(server, endpoints)

    async def connect(self, url: str, deflate: DeflateParameters | None, signal: Signal) -> Endpoint:
        """Open a connection."""
        del deflate
        found: list[PicowsEndpoint] = []
        await ws_connect(
            lambda: _Listener(found.append, signal), url, max_frame_size=_MAX_FRAME, enable_auto_pong=False
        )
        return found[0]

    async def aclose(self) -> None:
        """Nothing is left."""
