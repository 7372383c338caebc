"""One WebSocket on a byte stream: the parser and the extensions of `websockets`, our rules for everything else.

The library parses, checks and inflates. Its own answers (PONG, CLOSE) are thrown away, as it gives them for a whole
read at once: here they are given in order, when their frame's turn has come, and not while the socket is full.
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
from ._close_reason import truncate_close_reason
from ._deflate import DeflateFactory
from ._fragments import Fragments
from ._handshake_parser import AcceptedHandshake, HandshakeParser
from ._handshake_protocol import HandshakeProtocol
from ._tcp import TcpSocket, close_when_delivered
from ._tls_write_monitor import TlsWriteMonitor, disable_write_buffer
from ._transport import TransportEvents

# So many frames of one burst are handled in one turn of the loop; the rest waits for the next turns.
SLICE: Final = 128
# So much is parsed at a time: compressed a thousandfold, it is 16 MiB of messages, whatever the peer sends at once.
_CHUNK: Final = 16_384
_NO_CODE: Final = 1005
_OK: Final = 1000

# At its debug level it logs whole requests, tokens included. Not by getLogger(): nobody shall switch this one on.
_SILENT: Final = logging.Logger("onesocket.transports._websockets", level=logging.CRITICAL + 1)  # noqa: LOG001


class WebsocketsStream(asyncio.Protocol):
    """Frames of one line, held to the rules, and handed over in fair slices; ends with exactly one `on_gone`."""

    def __init__(
        self, request: DialRequest, events: TransportEvents, received: Callable[[Data], object], *, deflate: bool
    ) -> None:
        self._received = received
        self.activity = 0
        """Grows with whatever is read, and when the socket is read again."""
        self.error: OnesocketError = connection_reset()
        """Why it ended."""
        self._gone = asyncio.get_running_loop().create_future()
        self.on_open: Callable[[Handshake], None] | None = None
        self._request = request
        self._events = events
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._under_tls: TlsWriteMonitor | None = None
        self._socket: TcpSocket | None = None
        limit = request.max_size
        self._parser = ClientProtocol(
            parse_uri(request.url),
            extensions=[DeflateFactory()] if deflate else None,
            subprotocols=[Subprotocol(name) for name in request.subprotocols] or None,
            # The library limits the compressed size too, and what can't be compressed grows by a little.
            max_size=limit if limit is None or not deflate else limit + limit // 1000 + 64,
            logger=_SILENT,
        )
        self._open = False
        self._raw = bytearray()
        self._queue: deque[Frame] = deque()
        self._fragments = Fragments(request.max_size)
        self._paused = False
        self._stopped = False
        self._drain_handle: asyncio.Handle | None = None
        self._ignores_input = False
        """Whatever still comes doesn't count (RFC 6455, sections 5.5.1 and 7.1.7)."""
        self._lost = False
        self._close_sent = False
        self._full = False
        self._writable = True
        self._owed_pong: bytes | None = None

    @property
    def is_open(self) -> bool:
        """Whether the upgrade went through."""
        return self._open

    @property
    def is_reading(self) -> bool:
        """Whether the socket is being read."""
        return not self._stopped

    def start_handshake(
        self, transport: asyncio.Transport, early: bytes, sock: TcpSocket, under_tls: TlsWriteMonitor | None
    ) -> None:
        """Take the stream over and send the upgrade request; `early`: what has come already."""
        self._transport = transport
        self._socket = sock
        self._under_tls = under_tls
        if transport.is_closing():  # its end was told to whoever held it before
            self.error = connection_reset("during the upgrade")
            self.connection_lost(None)
            return
        disable_write_buffer(transport)
        if under_tls is not None:
            under_tls.on_change = self._update_writable
        request = self._parser.connect()
        for name, value in upgrade_headers(self._request):
            request.headers[name] = value
        self._parser.send_request(request)
        answer = HandshakeParser(
            self._request, self._parser.key, extensions=self._parser.available_extensions is not None
        )
        waiting = HandshakeProtocol(
            self._request, transport, answer, self, accepted=self._accepted, failed=self._failed
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
        if self._parser.handshake_exc is not None:  # nothing is left that may be wrong but these
            self._failed(InvalidHandshake("the server switched on an extension that was not offered"))
            transport.abort()
            return
        transport.set_protocol(self)
        self._open = True
        if self.on_open is not None:
            self.on_open(Handshake(accepted.subprotocol, accepted.headers))
        if not self._writable:
            self._events.writable(self._writable)
        if accepted.rest:
            self.data_received(accepted.rest)

    def _failed(self, error: OnesocketError) -> None:
        self._ignores_input = True
        self.error = error
        if self._socket is not None:
            self._socket.deliver_on_close()  # the answer has come, and was no WebSocket's

    def set_receiver(self, received: Callable[[Data], object], many: Callable[[list[Data]], object] | None) -> None:
        """Hand every message to this from now on."""
        del many  # messages come one by one here
        self._received = received

    async def wait_closed(self) -> None:
        """Return when the stream has ended, and everything that came before that is handed over."""
        await asyncio.shield(self._gone)

    # --- what asyncio calls -----------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self.activity += 1
        if self._ignores_input:
            return
        self._raw += data
        if self._drain_handle is None:
            self._work()

    def eof_received(self) -> None:
        """The peer ended its half; the transport closes itself, and tells by `connection_lost`."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The stream ended. What came before that is still handed over, in slices."""
        self._lost = True
        self._paused = False
        self._drain_soon()

    def pause_writing(self) -> None:
        """Something is left in the user-space buffer."""
        self._full = True
        self._update_writable()

    def resume_writing(self) -> None:
        """The kernel has all of it."""
        self._full = False
        self._update_writable()

    def _update_writable(self) -> None:
        writable = not self._full and (self._under_tls is None or not self._under_tls.is_full)
        if writable is self._writable:
            return
        self._writable = writable
        if writable and self._owed_pong is not None:
            payload, self._owed_pong = self._owed_pong, None
            self._pong(payload)
        if self._open and self._writable is writable:
            self._events.writable(writable)

    # --- slices and back-pressure -----------------------------------------------------------------------------------

    def pause(self) -> None:
        """Hand over nothing more."""
        if not self._paused and not self._close_sent and not self._lost:
            self._paused = True
            if self._open:  # before that, the answer to the upgrade is still to be read
                self._stop_socket()

    def resume(self) -> None:
        """Go on, with what was held back first."""
        if self._paused:
            self._paused = False
            self._drain_soon()

    def _drain_soon(self) -> None:
        if self._drain_handle is None:
            self._drain_handle = self._loop.call_soon(self._drain)

    def _drain(self) -> None:
        self._drain_handle = None
        self._work()

    def _work(self) -> None:
        """Handle one slice; the socket is read again only when nothing is left."""
        budget = SLICE
        while self._queue or self._raw or self._parser.parser_exc is not None:
            if self._paused and self._open:
                self._stop_socket()
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
        elif not self._paused:
            self._start_socket()

    def _parse(self) -> None:
        chunk = bytes(self._raw[:_CHUNK])
        del self._raw[:_CHUNK]
        self._parser.receive_data(chunk)
        self._parser.data_to_send()
        for event in self._parser.events_received():
            if isinstance(event, Frame):
                self._queue.append(event)

    def _stop_socket(self) -> None:
        if self._transport is not None and not self._stopped:
            self._stopped = True
            if not self._transport.is_closing():
                self._transport.pause_reading()

    def _start_socket(self) -> None:
        if self._transport is not None and self._stopped:
            self._stopped = False
            self.activity += 1  # silence counts from now on: we didn't listen
            if not self._transport.is_closing():
                self._transport.resume_reading()

    # --- what came --------------------------------------------------------------------------------------------------

    def _take(self, frame: Frame) -> None:
        payload = bytes(frame.data)
        match frame.opcode:
            case Opcode.PING:
                self._pong(payload)
            case Opcode.PONG:
                self._events.pong(payload)
            case Opcode.CLOSE:
                self._closed_by_peer(int.from_bytes(payload[:2], "big") or _NO_CODE, payload[2:].decode())
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
        """What the parser stopped at, after everything before it was handled."""
        close = self._parser.close_rcvd
        if close is not None:
            # To the library a CLOSE inside a fragmented message is an error; RFC 6455, section 5.4 allows it.
            self._closed_by_peer(int(close.code), close.reason)
        elif isinstance(error, PayloadTooBig):
            self._too_big()
        elif isinstance(error, UnicodeDecodeError):
            self._violate(InvalidText("the server sent a close reason that is not UTF-8"))
        else:
            self._violate(ProtocolViolation(f"the server broke the WebSocket protocol: {error}"))

    def _too_big(self) -> None:
        self._violate(
            MessageTooBig(
                f"the server's message is larger than max_size ({self._request.max_size} bytes), its fragments "
                "together and decompressed; raise max_size= if it is meant to"
            )
        )

    def _closed_by_peer(self, code: int, reason: str) -> None:
        self._ignores_input = True
        if not self._close_sent:
            self._send_close(_OK if code == _NO_CODE else code, "")
            self._events.peer_closed(code, reason)
        if self._transport is not None and self._socket is not None:
            close_when_delivered(self._socket, lambda: self._writable, self._transport.close)

    def _violate(self, error: ProtocolViolation) -> None:
        """Fail the line (RFC 6455, section 7.1.7): say why, hand over nothing more, and let it end."""
        self._ignores_input = True
        self.error = error
        if not self._close_sent:
            self._send_close(error.code, "")
        if self._socket is not None:
            self._socket.deliver_on_close()  # the peer has to hear why, unless it takes longer than it may
        self._start_socket()
        self._events.violated(error)

    # --- what goes out ----------------------------------------------------------------------------------------------

    def send(self, data: Data) -> bool:
        """Write one message; False when none is taken any more."""
        transport = self._transport
        if transport is None or not self._open or self._close_sent or transport.is_closing():
            return False
        if isinstance(data, str):
            self._write(Opcode.TEXT, data.encode())
        else:
            self._write(Opcode.BINARY, data)
        if transport.is_closing() and not self._full:
            self.pause_writing()  # the write itself met the end of the line: its fate is unknown
        return True

    def ping(self, payload: bytes) -> None:
        """Write a PING."""
        if self._open and not self._close_sent:
            self._write(Opcode.PING, payload)

    def close(self, code: int, reason: str) -> None:
        """Send CLOSE, once. The peer's is behind whatever it sent before: nobody may hold the socket back any more."""
        if self._open and not self._close_sent:
            self._send_close(code, reason)
            self._paused = False
            self._drain_soon()

    def abort(self, code: int | None) -> None:
        """End it now. What wasn't handed over by then is let go: the deadline is the deadline."""
        if self._transport is None:
            return
        self._queue.clear()
        self._raw.clear()
        if code is not None and self._open and self._writable and not self._close_sent:
            self._send_close(code, "")
            # uvloop passes a write on to the kernel at the end of the turn, and drops it when it is aborted before.
            self._loop.call_soon(self._transport.abort)
        else:
            self._transport.abort()

    def _pong(self, payload: bytes) -> None:
        if self._close_sent:
            return
        if self._writable:
            self._write(Opcode.PONG, payload)
        else:
            # Only the newest PING needs an answer (RFC 6455, section 5.5.3), so a flood of them can't fill our buffer.
            self._owed_pong = payload

    def _send_close(self, code: int, reason: str) -> None:
        self._close_sent = True
        self._write(Opcode.CLOSE, code.to_bytes(2, "big") + truncate_close_reason(reason).encode())

    def _write(self, opcode: Opcode, payload: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            frame = Frame(opcode, payload)
            self._transport.write(frame.serialize(mask=True, extensions=self._parser.extensions))

    def _finish(self) -> None:
        if self._gone.done():
            return
        self._ignores_input = True
        self._gone.set_result(None)
