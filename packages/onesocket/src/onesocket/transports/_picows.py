"""The default transport: picows' core behind the port.

What picows' core leaves to its user is done here: the close handshake, PONGs, the size limit over all fragments, UTF-8,
a fair share of the loop, and an end that is awaited. It is given a stream that we dialled and, of the answer to the
upgrade, a form that its strict parser takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
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
from ._bounded_reads import BoundedReads
from ._dialled_connection import DialledConnection
from ._dialler import Dialler
from ._handshake_parser import AcceptedHandshake, HandshakeParser
from ._handshake_protocol import HandshakeProtocol
from ._picows_listener import PicowsListener
from ._tcp import TcpSocket
from ._tls_write_monitor import TlsWriteMonitor
from ._transport import TransportEvents

_NO_LIMIT: Final = 2**62
_READ_BUFFER: Final = 16 * 1024

# Its stub doesn't know it.
_make_parser: Callable[..., Any] = WSProtocol  # pyright: ignore[reportUnknownVariableType]

# picows logs whole requests at its debug level, tokens included, and violations that we report as typed errors. Not by
# getLogger(): nobody's configuration of loggers shall switch this one on.
_SILENT: Final = logging.Logger("onesocket.transports._picows", level=logging.CRITICAL + 1)  # noqa: LOG001


class _ClientParserLog(logging.LoggerAdapter[logging.Logger]):
    """What picows logs to. Nothing is written, but its one ERROR says that its parser refuses a frame.

    That comes before picows sends its CLOSE, and nothing else says so in time.
    """

    def __init__(self, listener: PicowsListener) -> None:
        super().__init__(_SILENT, {})
        self._listener = listener

    def error(self, *_: object, **__: object) -> None:
        """The parser refuses a frame."""
        self._listener.parser_refuses()


class PicowsTransport:
    """Makes lines on picows' core."""

    name = "picows"

    def __repr__(self) -> str:
        return f"<PicowsTransport {picows.__version__}>"  # type: ignore[attr-defined]

    def dial(
        self, request: DialRequest, events: TransportEvents, received: Callable[[Data], object]
    ) -> DialledConnection:
        """Start opening one line."""
        # aiofastnet 1.2 takes an end of line during the TLS handshake for an error nobody handles, and logs it; the
        # loop's own TLS is silent, and its errors say more.
        dialler = Dialler(request, socket_kind=_PicowsSocket, open_plain=_open_plain)
        return DialledConnection(dialler, PicowsStream(request, events, received), events)


class _PicowsSocket(TcpSocket):
    """A socket that tells when it was closed, and leaves no trace in the event loop."""

    def close(self) -> None:
        """Close it.

        aiofastnet 1.2 may have given it to the event loop's selector after it had decided to close it; a registration
        that outlives the descriptor would trip whoever gets the same number next.
        """
        if self.fileno() != -1:
            with contextlib.suppress(Exception):  # no loop, or not registered
                asyncio.get_running_loop().remove_reader(self.fileno())
        super().close()


async def _open_plain(protocol: asyncio.Protocol, sock: socket.socket) -> asyncio.Transport:
    transport, _ = await aiofastnet.create_connection(asyncio.get_running_loop(), lambda: protocol, sock=sock)
    return transport


class PicowsStream:
    """picows on one byte stream."""

    def __init__(self, request: DialRequest, events: TransportEvents, received: Callable[[Data], object]) -> None:
        self.on_open: Callable[[Handshake], None] | None = None
        self.error: OnesocketError = connection_reset()
        self._request = request
        self._listener = PicowsListener(events, received, request.max_size)
        self._listener.on_open = self._opened
        self._upgraded: asyncio.Future[picows.WSTransport | None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._parser: Any = None
        """picows' protocol, a BufferedProtocol; its stub doesn't know it."""
        self._reads: BoundedReads | None = None

    def __repr__(self) -> str:
        return f"<PicowsStream {self._listener!r}>"

    @property
    def activity(self) -> int:
        """Grows with whatever it reads, and when it reads again."""
        return self._listener.activity + (0 if self._reads is None else self._reads.reads)

    @property
    def is_open(self) -> bool:
        """Whether the upgrade went through."""
        return self._listener.transport is not None

    @property
    def is_reading(self) -> bool:
        """Whether the socket is being read."""
        return self._listener.is_reading

    # --- the upgrade ------------------------------------------------------------------------------------------------

    def start_handshake(
        self, transport: asyncio.Transport, early: bytes, sock: TcpSocket, under_tls: TlsWriteMonitor | None
    ) -> None:
        """Take the stream over and send the upgrade request; `early`: what has come already."""
        if transport.is_closing():  # its end was told to whoever held it before
            self._failed(connection_reset("during the upgrade"))
            return
        request = self._request
        self._transport = transport
        self._listener.watch(sock, under_tls)
        parser = self._parser = self._make_parser()
        parser.connection_made(transport)  # it writes the request
        answer = HandshakeParser(request, parser.transport.request.headers["Sec-WebSocket-Key"])
        waiting = HandshakeProtocol(request, transport, answer, parser, accepted=self._accepted, failed=self._failed)
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
            ws_listener_factory=self._listener_for,
            logger=_ClientParserLog(self._listener),
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

    def _listener_for(self, _request: object, _response: object) -> PicowsListener:
        return self._listener

    def _accepted(self, accepted: AcceptedHandshake) -> None:
        transport, parser = self._transport, self._parser
        if transport is None or parser is None:
            return
        self._listener.handshake = Handshake(accepted.subprotocol, accepted.headers)
        reads = self._reads = BoundedReads(parser)
        transport.set_protocol(reads)
        for data in (accepted.canonical(), accepted.rest):
            reads.feed(data)

    def _opened(self) -> None:
        if not self._upgraded.done():
            self._upgraded.set_result(self._listener.transport)
        if self.on_open is not None:
            self.on_open(self._listener.handshake)

    def _failed(self, error: OnesocketError) -> None:
        self.error = error
        self._listener.deliver_on_close()  # the answer has come, and was no WebSocket's
        if not self._upgraded.done():
            self._upgraded.set_result(None)

    # --- while it is open -------------------------------------------------------------------------------------------

    def set_receiver(self, received: Callable[[Data], object], many: Callable[[list[Data]], object] | None) -> None:
        """Hand every message to this from now on."""
        self._listener.set_receiver(received, many)

    def send(self, data: Data) -> bool:
        """Write one message; False when none is taken any more."""
        return self._listener.send(data)

    def ping(self, payload: bytes) -> None:
        """Write a PING."""
        self._listener.ping(payload)

    def close(self, code: int, reason: str) -> None:
        """Send CLOSE, once."""
        self._listener.close(code, reason)

    def abort(self, code: int | None) -> None:
        """End it now."""
        if self.is_open:
            self._listener.abort(code)
        elif self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        """Hand over nothing more."""
        self._listener.pause()

    def resume(self) -> None:
        """Go on, with what was held back first."""
        self._listener.resume()

    async def wait_closed(self) -> None:
        """Return when the stream has ended, and everything that came before that is handed over."""
        transport = await self._upgraded
        if transport is None:
            return
        try:
            await transport.wait_disconnected()
        except picows.WSProtocolError as error:
            await self._listener.drained()
            self.error = connection_reset() if self._listener.was_closed else _violation(error)
        except Exception as error:  # noqa: BLE001 - whatever the layers below raise becomes a typed error
            self.error = connection_reset(type(error).__name__)
            self.error.__cause__ = error
        else:
            await self._listener.drained()
            self.error = self._listener.violation or connection_reset()


def _violation(error: picows.WSProtocolError) -> ProtocolViolation:
    code = int(error.code.value if hasattr(error.code, "value") else error.code)
    kinds = {MessageTooBig.code: MessageTooBig, InvalidText.code: InvalidText}
    kind = kinds.get(code, ProtocolViolation)
    hint = "; raise max_size= if it is meant to" if kind is MessageTooBig else ""
    return kind(f"the server broke the WebSocket protocol: {error}{hint}")
