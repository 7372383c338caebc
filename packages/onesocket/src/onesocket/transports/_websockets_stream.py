"""One WebSocket on a byte stream: the parser and the extensions of `websockets`, own rules for everything else.

The library parses, checks and inflates. Its own answers (PONG, CLOSE) are discarded, as it gives them for a whole read
at once: here they are sent in order, when their frame's turn has come, and not while the socket is full.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from websockets.client import ClientProtocol
from websockets.exceptions import PayloadTooBig
from websockets.frames import Frame, Opcode
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from ..errors import InvalidHandshake, InvalidText, MessageTooBig, OnesocketError, ProtocolViolation
from ..lifecycle._peer_errors import connection_reset
from ..wire._handshake import Data, DialRequest, Handshake, upgrade_headers
from ..wire._response_parser import AcceptedHandshake, ResponseParser
from ._close_frame import NO_STATUS, NORMAL_CLOSURE
from ._deflate import DeflateFactory
from ._handshake_protocol import HandshakeProtocol
from ._stream_flow import MAY_SEND, PAUSED, StreamFlow
from ._tcp import TcpSocket
from ._tls_write_monitor import TlsWriteMonitor, disable_write_buffer
from ._transport import TransportEvents

# Frames of one burst that are handled in one turn of the loop; the rest waits for the next turns.
SLICE: Final = 128
# Bytes parsed at a time: compressed a thousandfold, they are 16 MiB of messages, whatever the peer sends at once.
_CHUNK: Final = 16_384

# At its debug level it logs whole requests, tokens included. Not by getLogger(), so that no configuration of loggers
# switches this one on.
_SILENT: Final = logging.Logger("onesocket.transports._websockets", level=logging.CRITICAL + 1)  # noqa: LOG001


class WebsocketsStream(StreamFlow, asyncio.Protocol):
    """Enforces RFC 6455 on the frames of one connection, and delivers messages in fair slices."""

    def __init__(
        self, request: DialRequest, events: TransportEvents, received: Callable[[Data], object], *, deflate: bool
    ) -> None:
        super().__init__(request, events, received)
        self._gone = self._loop.create_future()
        limit = request.max_size
        self._parser = ClientProtocol(
            parse_uri(request.url),
            extensions=[DeflateFactory()] if deflate else None,
            subprotocols=[Subprotocol(name) for name in request.subprotocols] or None,
            # The library limits the compressed size too, and incompressible data grows by a little.
            max_size=limit if limit is None or not deflate else limit + limit // 1000 + 64,
            logger=_SILENT,
        )
        self._raw = bytearray()
        self._queue: deque[Frame] = deque()
        self._ignores_input = False
        """Further input doesn't count (RFC 6455, sections 5.5.1 and 7.1.7)."""
        self._lost = False
        """The byte stream has ended; what was received before is still delivered."""

    def start_handshake(
        self, transport: asyncio.Transport, early: bytes, sock: TcpSocket, under_tls: TlsWriteMonitor | None
    ) -> None:
        """Take the byte stream and send the upgrade request; `early`: bytes that have arrived already."""
        self._attach(transport, sock, under_tls)
        if transport.is_closing():  # the end was reported to the protocol before this one
            self.error = connection_reset("during the upgrade")
            self.connection_lost(None)
            return
        disable_write_buffer(transport)
        request = self._parser.connect()
        for name, value in upgrade_headers(self._request):
            request.headers[name] = value
        self._parser.send_request(request)
        response = ResponseParser(
            self._request, self._parser.key, extensions=self._parser.available_extensions is not None
        )
        waiting = HandshakeProtocol(
            self._request, transport, response, self, accepted=self._accepted, failed=self._failed
        )
        transport.set_protocol(waiting)
        transport.write(b"".join(self._parser.data_to_send()))
        if early:
            waiting.data_received(early)

    def _accepted(self, accepted: AcceptedHandshake) -> None:
        transport = self._transport
        if transport is None:
            return
        self._parser.receive_data(accepted.canonical())
        self._parser.data_to_send()
        self._parser.events_received()
        if self._parser.handshake_exc is not None:  # the parser of the response has checked everything else
            self._failed(InvalidHandshake("the server switched on an extension that was not offered"))
            transport.abort()
            return
        transport.set_protocol(self)
        self._opened(Handshake(accepted.subprotocol, accepted.headers))
        if accepted.rest:
            self.data_received(accepted.rest)

    def _failed(self, error: OnesocketError) -> None:
        self._ignores_input = True
        self.error = error
        self._deliver_on_close()  # the response has come, and was no WebSocket's

    def release(self) -> None:
        """Drop the references to the ended byte stream, and end the parser, a generator that refers to itself."""
        super().release()
        self._parser.parser.close()

    async def wait_closed(self) -> None:
        """Wait until the stream has ended, and everything received before that is delivered."""
        await asyncio.shield(self._gone)

    # --- called by asyncio ------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        self.activity += 1
        if self._ignores_input:
            return
        self._raw += data
        if self._drain_handle is None:
            self._work()

    def eof_received(self) -> None:
        """Let the transport close itself, which is reported by `connection_lost`."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Note the end of the stream. What was received before is still delivered, in slices."""
        self._lost = True
        self._unpause()

    # --- slices -----------------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Deliver no message until `resume`, and stop reading."""
        if not self._lost:
            super().pause()

    def _drain(self) -> None:
        self._drain_handle = None
        self._work()

    def _work(self) -> None:
        """Handle one slice; the socket is read again only when nothing is left."""
        budget = SLICE
        while self._queue or self._raw or self._parser.parser_exc is not None:
            if self._reading is PAUSED and self.is_open:
                return
            if self._ignores_input:
                self._queue.clear()
                self._raw.clear()
                break
            if not self._queue and self._parser.parser_exc is not None:
                self._judge(self._parser.parser_exc)
            elif not self._queue:
                self._parse()
            elif budget:
                budget -= 1
                self._take(self._queue.popleft())
            else:
                self._stop_socket()
                self._drain_soon()
                return
        if self._lost:
            self._finish()
        elif self._reading is not PAUSED:
            self._start_socket()

    def _parse(self) -> None:
        chunk = bytes(self._raw[:_CHUNK])
        del self._raw[:_CHUNK]
        self._parser.receive_data(chunk)
        self._parser.data_to_send()
        self._queue.extend(event for event in self._parser.events_received() if isinstance(event, Frame))

    # --- received frames --------------------------------------------------------------------------------------------

    def _take(self, frame: Frame) -> None:
        payload = bytes(frame.data)
        match frame.opcode:
            case Opcode.PING:
                self._answer_ping(payload)
            case Opcode.PONG:
                self._events.pong(payload)
            case Opcode.CLOSE:
                self._closed_by_peer(int.from_bytes(payload[:2], "big") or NO_STATUS, payload[2:].decode())
            case _:
                self._take_part(frame, payload)

    def _take_part(self, frame: Frame, payload: bytes) -> None:
        if not self._fragments.under_way:
            self._fragments.begin(is_text=frame.opcode is Opcode.TEXT)
        try:
            message = self._fragments.add(payload, last=frame.fin)
        except ProtocolViolation as error:
            self._violate(error)
            return
        if message is not None:
            self._received(message)

    def _judge(self, error: Exception) -> None:
        """Handle the parser's error, after everything before it was handled."""
        close = self._parser.close_rcvd
        if close is not None:
            # To the library a CLOSE inside a fragmented message is an error; RFC 6455, section 5.4 allows it.
            self._closed_by_peer(int(close.code), close.reason)
        elif isinstance(error, PayloadTooBig):
            self._violate(
                MessageTooBig(
                    f"the server's message is larger than max_size ({self._request.max_size} bytes), its fragments "
                    "together and decompressed; raise max_size= if it is meant to"
                )
            )
        elif isinstance(error, UnicodeDecodeError):
            self._violate(InvalidText("the server sent a close reason that is not UTF-8"))
        else:
            self._violate(ProtocolViolation(f"the server broke the WebSocket protocol: {error}"))

    def _closed_by_peer(self, code: int, reason: str) -> None:
        self._ignores_input = True
        if self._phase is MAY_SEND:
            self._send_close(NORMAL_CLOSURE if code == NO_STATUS else code)
            self._events.peer_closed(code, reason)
        if self._transport is not None:
            self._close_when_delivered(self._transport.close)

    def _violate(self, error: ProtocolViolation) -> None:
        """Fail the connection (RFC 6455, section 7.1.7): send the reason, deliver no message after it, and close."""
        self._ignores_input = True
        self.error = error
        if self._phase is MAY_SEND:
            self._send_close(error.code)
        self._deliver_on_close()
        self._start_socket()
        self._events.violated(error)

    # --- sending ----------------------------------------------------------------------------------------------------

    def send(self, data: Data) -> bool:
        """Write one message; False if the connection takes none any more."""
        transport = self._transport
        if transport is None or self._phase is not MAY_SEND or transport.is_closing():
            return False
        if isinstance(data, str):
            self._write(Opcode.TEXT, data.encode())
        else:
            self._write(Opcode.BINARY, data)
        if transport.is_closing() and not self._full:
            self.pause_writing()  # this write met the end of the connection: delivery is unknown
        return True

    def ping(self, payload: bytes) -> None:
        """Write a PING."""
        if self._phase is MAY_SEND:
            self._write(Opcode.PING, payload)

    def abort(self, code: int | None) -> None:
        """End the connection now, and drop what was not delivered: a deadline has passed."""
        if self._transport is None:
            return
        self._queue.clear()
        self._raw.clear()
        if code is not None and self._writable and self._phase is MAY_SEND:
            self._send_close(code)
            # uvloop passes a write on to the kernel at the end of the turn, and drops it when it is aborted before.
            self._loop.call_soon(self._transport.abort)
        else:
            self._transport.abort()

    def _write_pong(self, payload: bytes) -> None:
        self._write(Opcode.PONG, payload)

    def _write_close(self, code: int, reason: str) -> None:
        self._write(Opcode.CLOSE, code.to_bytes(2, "big") + reason.encode())

    def _write(self, opcode: Opcode, payload: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            frame = Frame(opcode, payload)
            self._transport.write(frame.serialize(mask=True, extensions=self._parser.extensions))

    def _finish(self) -> None:
        if not self._gone.done():
            self._ignores_input = True
            self._gone.set_result(None)
