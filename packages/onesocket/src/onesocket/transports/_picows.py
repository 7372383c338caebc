"""The default transport: picows' core behind the port.

It adds to picows' core: the close handshake, PONGs, the size limit over all fragments, UTF-8, a fair share of the loop,
and an end that is awaited. picows is given a byte stream that `Dialler` opened, and the response to the upgrade in a
form that its strict parser takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import weakref
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import aiofastnet
import picows
from picows.picows import WSProtocol  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType]

from ..errors import InvalidText, MessageTooBig, OnesocketError, ProtocolViolation
from ..lifecycle._peer_errors import connection_reset
from ..urls import parse_url
from ..wire._handshake import Data, DialRequest, Handshake, upgrade_headers
from ..wire._response_parser import AcceptedHandshake, ResponseParser
from ._bounded_reads import BoundedReads
from ._close_frame import close_code
from ._dialled_connection import DialledConnection
from ._dialler import Dialler
from ._handshake_protocol import HandshakeProtocol
from ._picows_listener import PicowsListener
from ._tcp import TcpSocket
from ._tls_write_monitor import TlsWriteMonitor
from ._transport import TransportEvents

_NO_LIMIT: Final = 2**62
_READ_BUFFER: Final = 16 * 1024

# picows' stub doesn't know it.
_make_parser: Callable[..., Any] = WSProtocol  # pyright: ignore[reportUnknownVariableType]

# picows logs whole requests at its debug level, tokens included, and violations that are reported as typed errors. Not
# by getLogger(), so that no configuration of loggers switches this one on.
_SILENT: Final = logging.Logger("onesocket.transports._picows", level=logging.CRITICAL + 1)  # noqa: LOG001


class _ClientParserLog(logging.LoggerAdapter[logging.Logger]):
    """The logger that picows is given. It writes nothing, and reports the one ERROR: the parser refuses a frame.

    That comes before picows sends its CLOSE, and picows has no other signal for it.
    """

    def __init__(self, listener: PicowsListener) -> None:
        super().__init__(_SILENT, {})
        # Weak: the parser keeps its logger, so a strong one would keep every ended connection in a cycle.
        self._listener = weakref.ref(listener)

    def error(self, *_: object, **__: object) -> None:
        """Report that the parser refuses a frame."""
        listener = self._listener()
        if listener is not None:
            listener.parser_refuses()


class PicowsTransport:
    """Opens connections with picows' core."""

    name = "picows"

    def __repr__(self) -> str:
        return f"<PicowsTransport {picows.__version__}>"  # type: ignore[attr-defined]

    def dial(
        self, request: DialRequest, events: TransportEvents, received: Callable[[Data], object]
    ) -> DialledConnection:
        """Begin to open one connection."""
        # aiofastnet 1.2 logs an end of the stream during the TLS handshake as an unhandled error; the loop's own TLS
        # is silent, and its errors say more.
        dialler = Dialler(request, socket_kind=_PicowsSocket, open_plain=_open_plain)
        return DialledConnection(dialler, PicowsStream(request, events, received), events)


class _PicowsSocket(TcpSocket):
    """A socket that reports its close, and leaves no trace in the event loop."""

    def close(self) -> None:
        """Close the socket, and remove it from the loop's selector.

        aiofastnet 1.2 may have registered it there after it had decided to close it; a registration that outlives the
        descriptor would trip the next socket with the same number.
        """
        if self.fileno() != -1:
            with contextlib.suppress(Exception):  # no loop, or not registered
                asyncio.get_running_loop().remove_reader(self.fileno())
        super().close()


async def _open_plain(protocol: asyncio.Protocol, sock: socket.socket) -> asyncio.Transport:
    transport, _ = await aiofastnet.create_connection(asyncio.get_running_loop(), lambda: protocol, sock=sock)
    return transport


class PicowsStream(PicowsListener):
    """picows on one byte stream: the upgrade, and the end."""

    def __init__(self, request: DialRequest, events: TransportEvents, received: Callable[[Data], object]) -> None:
        super().__init__(request, events, received)
        self._upgraded: asyncio.Future[None] = self._loop.create_future()
        """Done when the upgrade has succeeded or failed."""
        self._parser: Any = None
        """picows' protocol, a BufferedProtocol; its stub doesn't know it."""

    def start_handshake(
        self, transport: asyncio.Transport, early: bytes, sock: TcpSocket, under_tls: TlsWriteMonitor | None
    ) -> None:
        """Take the byte stream and send the upgrade request; `early`: bytes that have arrived already."""
        if transport.is_closing():  # the end was reported to the protocol before this one
            self._failed(connection_reset("during the upgrade"))
            return
        self._attach(transport, sock, under_tls)
        request = self._request
        parser = self._parser = self._make_parser()
        parser.connection_made(transport)  # it writes the request
        response = ResponseParser(request, parser.transport.request.headers["Sec-WebSocket-Key"])
        waiting = HandshakeProtocol(request, transport, response, parser, accepted=self._accepted, failed=self._failed)
        transport.set_protocol(waiting)
        if early:
            waiting.data_received(early)

    def _make_parser(self) -> Any:
        request = self._request
        parts = urlsplit(parse_url(request.url).url)
        headers = list(upgrade_headers(request))
        if request.subprotocols:
            headers.append(("Sec-WebSocket-Protocol", ", ".join(request.subprotocols)))
        return _make_parser(
            host_port=parts.netloc,
            ws_path=f"{parts.path}?{parts.query}" if parts.query else parts.path,
            is_client_side=True,
            ws_listener_factory=self._get_listener,
            logger=_ClientParserLog(self),
            disconnect_on_exception=True,
            websocket_handshake_timeout=None,
            enable_auto_ping=False,
            auto_ping_idle_timeout=10,
            auto_ping_reply_timeout=10,
            auto_ping_strategy=picows.WSAutoPingStrategy.PING_WHEN_IDLE,
            enable_auto_pong=False,
            max_frame_size=request.max_size or _NO_LIMIT,
            extra_headers=headers,
            read_buffer_init_size=_READ_BUFFER,
        )

    def _get_listener(self, _request: object, _response: object) -> PicowsListener:
        return self

    def _accepted(self, accepted: AcceptedHandshake) -> None:
        transport, parser = self._transport, self._parser
        if transport is None or parser is None:
            return
        self.handshake = Handshake(accepted.subprotocol, accepted.headers)
        reads = BoundedReads(parser, self)
        transport.set_protocol(reads)
        for data in (accepted.canonical(), accepted.rest):
            reads.feed(data)

    def _opened(self, handshake: Handshake) -> None:
        if not self._upgraded.done():
            self._upgraded.set_result(None)
        super()._opened(handshake)

    def _failed(self, error: OnesocketError) -> None:
        self.error = error
        self._deliver_on_close()  # the response has come, and was no WebSocket's
        if not self._upgraded.done():
            self._upgraded.set_result(None)

    def abort(self, code: int | None) -> None:
        """End the connection now."""
        if self.is_open:
            super().abort(code)
        elif self._transport is not None:
            self._transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the stream has ended, and everything received before that is delivered."""
        await self._upgraded
        ws = self._ws
        if ws is not None:
            try:
                await ws.wait_disconnected()
            except picows.WSProtocolError as error:
                await self.drained()
                self.error = connection_reset() if self._was_closed else _violation(error)
            except Exception as error:  # noqa: BLE001 - any exception of the layers below becomes a typed error
                self.error = connection_reset(type(error).__name__)
                self.error.__cause__ = error
            else:
                await self.drained()
                self.error = self.violation or connection_reset()

    def release(self) -> None:
        """Drop the references to the ended byte stream and to picows' objects."""
        super().release()
        self._parser = self._ws = None


def _violation(error: picows.WSProtocolError) -> ProtocolViolation:
    code = close_code(error.code)
    kinds = {MessageTooBig.code: MessageTooBig, InvalidText.code: InvalidText}
    kind = kinds.get(code, ProtocolViolation)
    hint = "; raise max_size= if it is meant to" if kind is MessageTooBig else ""
    return kind(f"the server broke the WebSocket protocol: {error}{hint}")
