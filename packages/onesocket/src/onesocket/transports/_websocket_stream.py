"""The client's side of one WebSocket over a byte stream: upgrade, messages, back-pressure, close handshake."""

from __future__ import annotations

import asyncio
import contextlib
import enum
from collections.abc import Callable
from typing import Final

from ..errors import InvalidHandshake, InvalidText, MessageTooBig, OnesocketError, ProtocolViolation
from ..lifecycle._peer_errors import connection_reset, message_too_big
from ..wire._deflate import Deflater
from ..wire._deflate_parameters import OFFER, read_answer
from ..wire._frames import CLOSED, CONTROLS, PENDING, VIOLATED, FrameReader, encode_frame
from ..wire._handshake import Data, DialRequest, Handshake
from ..wire._response_parser import AcceptedHandshake, ResponseParser
from ..wire._upgrade_request import new_key, upgrade_request
from ._close_frame import NO_STATUS, NORMAL_CLOSURE, close_payload
from ._handshake_protocol import HandshakeProtocol
from ._socket_transport import SocketTransport
from ._tcp import TcpSocket, close_when_delivered
from ._tls_write_monitor import TlsWriteMonitor, disable_write_buffer
from ._transport import TransportEvents
from ._tunnel import Tunnel

_TEXT: Final = 0x81
_BINARY: Final = 0x82
_CLOSE: Final = 0x88
_PING: Final = 0x89
_PONG: Final = 0x8A
_COMPRESSED: Final = 0x40
_OPCODE_PING: Final = 9

# Bytes that the peer's system has not acknowledged, and that delay nothing: some always are where small messages are
# sent without end, and a PING among them must find a peer whose system takes what its program doesn't.
_NO_BACKLOG: Final = 65_536

# Seconds for which the end of TCP is left to the server (RFC 6455, section 7.1.1). If our end came first, the kernel
# would keep the closed socket until the server's FIN, beside the next connection. A server may leave the end to us.
_FIN_WAIT: Final = 0.25


class StreamPhase(enum.Enum):
    """Phase of the outgoing half of a WebSocket."""

    HANDSHAKE = "handshake"
    OPEN = "open"
    CLOSE_SENT = "close sent"


class Reading(enum.Enum):
    """State of the incoming half: whether the socket is read, and whether messages are delivered."""

    OPEN = "open"
    DRAINING = "draining"
    """The socket is not read: messages received before are delivered first, a slice in each turn of the loop."""
    PAUSED = "paused"
    """The socket is not read, and no message is delivered."""
    OVER = "over"
    """Input doesn't count any more (RFC 6455, sections 5.5.1 and 7.1.7)."""


# Constants: in Python 3.11 each access to a member of an enum is a call.
_MAY_SEND: Final = StreamPhase.OPEN
_OPEN: Final = Reading.OPEN
_PAUSED: Final = Reading.PAUSED
_OVER: Final = Reading.OVER


class WebSocketStream(asyncio.BufferedProtocol):
    """Delivers messages in fair slices: at most 512 in one turn of the loop."""

    on_open: Callable[[Handshake], None] | None = None

    def __init__(
        self,
        request: DialRequest,
        events: TransportEvents,
        received: Callable[[Data], object],
        *,
        compress: bool = False,
    ) -> None:
        """`compress`: offer permessage-deflate."""
        self.activity = 0
        """Grows with each read, and when the socket is read again."""
        self.parts = 0
        """Grows with each read that brought a part of a message, and completed none."""
        self.error: OnesocketError = connection_reset()
        """Reason for the end of the stream."""
        self._request = request
        self._events = events
        self._received = received
        self._received_many: Callable[[list[Data]], object] | None = None
        self._compress = compress
        self._deflater: Deflater | None = None
        """None: no extension was agreed on."""
        self._reader = FrameReader(masked=False)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._write: Callable[[bytes], bool] = _takes_none
        self._socket: TcpSocket | None = None
        self._under_tls: TlsWriteMonitor | None = None
        self._phase = StreamPhase.HANDSHAKE
        self._reading = _OPEN
        self._held: list[Data] = []
        """Received before a pause, and not delivered."""
        self._drain_handle: asyncio.Handle | None = None
        self._lost = False
        """The byte stream has ended; what was received before is still delivered."""
        self._full = False
        """Bytes are left in the user-space buffer of the transport."""
        self._writable = True
        """Last value that `TransportEvents.writable` reported."""
        self._pending_pong: bytes | None = None
        self._is_gone = False
        """The byte stream has ended, and everything is delivered."""
        self._waiter: asyncio.Future[None] | None = None
        self._fin_timer: asyncio.TimerHandle | None = None
        """Set while the server's FIN is awaited, after both CLOSE frames."""

    def __repr__(self) -> str:
        return f"<WebSocketStream {self._phase.value} reading={self._reading.value} held={len(self._held)}>"

    @property
    def is_open(self) -> bool:
        """True once the upgrade has succeeded."""
        return self._phase is not StreamPhase.HANDSHAKE

    @property
    def is_reading(self) -> bool:
        """True if the socket is read."""
        return self._reading is _OPEN

    @property
    def backlog(self) -> int | None:
        """Another number whenever the peer's system has taken more of the written bytes; None: hardly any wait."""
        sock, transport = self._socket, self._transport
        if sock is None or (self._writable and sock.unacknowledged() <= _NO_BACKLOG):
            return None
        return sock.acknowledged() + (transport.taken if isinstance(transport, SocketTransport) else 0)

    def wait_closed(self) -> asyncio.Future[None]:
        """Return a new future, done once the stream has ended, and everything received before that is delivered."""
        self._waiter = self._loop.create_future()
        if self._is_gone:
            self._waiter.set_result(None)
        return self._waiter

    # --- the upgrade --------------------------------------------------------------------------------------------------

    def start_handshake(
        self, transport: asyncio.Transport, tunnel: Tunnel, sock: TcpSocket, under_tls: TlsWriteMonitor | None
    ) -> None:
        """Take the byte stream from its first protocol, and send the upgrade request."""
        self._transport = transport
        self._socket = sock
        self._under_tls = under_tls
        self._write = transport.write if isinstance(transport, SocketTransport) else self._write_to_loop
        if under_tls is not None:
            under_tls.on_change = self._update_writable
        key = new_key()
        response = ResponseParser(self._request, key, extensions=self._compress)
        waiting = HandshakeProtocol(
            self._request, transport, response, self, accepted=self._accepted, failed=self._failed
        )
        if transport.is_closing():  # with TLS 1.3 for example by an alert, as soon as the handshake is done on our side
            tunnel.on_lost(waiting.connection_lost)
            return
        disable_write_buffer(transport)
        transport.set_protocol(waiting)
        transport.write(upgrade_request(self._request, key, OFFER if self._compress else None))
        early = tunnel.take_early()
        if early:
            waiting.data_received(early)

    def _accepted(self, accepted: AcceptedHandshake) -> None:
        transport = self._transport
        if transport is None:
            return
        inflate = None
        if self._compress:
            try:
                agreed = read_answer(value for name, value in accepted.headers if name == "sec-websocket-extensions")
            except InvalidHandshake as error:
                self._failed(error)
                transport.abort()
                return
            if agreed is not None:
                self._deflater = agreed.deflater(is_client=True)
                inflate = agreed.inflater(is_client=True, max_size=self._request.max_size).inflate
        self._reader = FrameReader(masked=False, max_size=self._request.max_size, inflate=inflate)
        self.get_buffer = self._reader.get_buffer  # type: ignore[method-assign] # one call less for each read
        transport.set_protocol(self)
        self._opened(Handshake(accepted.subprotocol, accepted.headers))
        if accepted.rest:
            self._take(self._reader.feed(accepted.rest))

    def _opened(self, handshake: Handshake) -> None:
        self._phase = StreamPhase.OPEN
        if self._reading is not _OPEN:  # a pause during the handshake: its response had to be read
            self._set_socket_reading(wanted=False)
        if self.on_open is not None:
            self.on_open(handshake)
        self._update_writable()

    def _failed(self, error: OnesocketError) -> None:
        self._reading = _OVER
        self.error = error
        if self._socket is not None and self._transport is not None and not self._transport.is_closing():
            self._socket.deliver_on_close()  # the response has come, and was no WebSocket's

    # --- called by asyncio --------------------------------------------------------------------------------------------

    def buffer_updated(self, nbytes: int) -> None:
        """Take the bytes of one read."""
        self.activity += 1
        try:
            self._take(self._reader.received(nbytes))
        except (KeyboardInterrupt, SystemExit):
            self._interrupted()
            raise

    def _interrupted(self) -> None:
        """End the connection: Ctrl-C may have lost messages of it, and the event loop may go on."""
        if self._transport is not None:
            self._transport.abort()

    def eof_received(self) -> bool:
        """Let the transport close itself: at once, unless our CLOSE is on its way."""
        if self._phase is _MAY_SEND:  # without a CLOSE of the peer, it needn't wait for its unsent bytes
            if self._full and self._transport is not None:
                self._transport.abort()
            return False
        if self._transport is not None and self._transport.get_extra_info("ssl_object") is None:
            self._close_when_delivered()
            return True
        if self._socket is not None and self._socket.unacknowledged() == 0:  # TLS can't be kept half open
            self._socket.deliver_on_close()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end of the stream. What was received before is still delivered, in slices."""
        if exc is not None and self.is_open and self._reading is not _OVER:
            self.error = connection_reset(type(exc).__name__)
            self.error.__cause__ = exc.with_traceback(None)
        self._lost = True
        self._unpause()

    def pause_writing(self) -> None:
        """Note that bytes are left in the user-space buffer."""
        self._full = True
        self._update_writable()

    def resume_writing(self) -> None:
        """Note that the kernel has taken all bytes."""
        self._full = False
        self._update_writable()

    # --- messages -----------------------------------------------------------------------------------------------------

    def set_receiver(
        self, received: Callable[[Data], object], many: Callable[[list[Data]], object] | None = None
    ) -> None:
        """Deliver each message to `received` from now on, or several at once to `many`."""
        self._received = received
        self._received_many = many

    def _take(self, messages: list[Data]) -> None:
        """Take what the reader has parsed; its control frames came before these messages."""
        state = self._reader.state
        if state & CONTROLS:
            self._take_controls()
        if self._reading is not _OPEN:
            if self._reading is not _OVER:
                self._held += messages
        elif messages:
            self._deliver(messages)
        elif not state:
            self.parts += 1
        if state & (PENDING | CLOSED | VIOLATED):
            self._attend()

    def _deliver(self, messages: list[Data]) -> None:
        if self._received_many is not None:
            self._received_many(messages)
            return
        for place, data in enumerate(messages):
            if self._reading is _PAUSED:
                self._held = messages[place:] + self._held
                return
            if self._reading is _OVER:  # aborted: the rest is dropped
                return
            self._received(data)

    def _take_controls(self) -> None:
        for opcode, payload in self._reader.take_controls():
            if self._reading is _OVER:
                return
            if opcode == _OPCODE_PING:
                self._answer_ping(payload)
            else:
                self._events.pong(payload)

    def _attend(self) -> None:
        """Handle what is behind the messages: more of them, or the end."""
        if self._reading is _OVER:
            return
        if self._reader.state & PENDING or self._held or self._reading is not _OPEN:
            self._stop_socket()
            if self._reading is not _PAUSED:
                self._drain_soon()
        else:
            self._end_of_input()

    def _end_of_input(self) -> None:
        """Handle the peer's CLOSE or violation, once everything before it is delivered."""
        reader = self._reader
        if reader.close is not None:
            self._reading = _OVER
            self._closed_by_peer(*reader.close)
        elif reader.violation is not None:
            self._reading = _OVER
            self._violate(*reader.violation)

    # --- slices and pauses --------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Deliver no message until `resume`, and stop reading."""
        if self._phase is not StreamPhase.CLOSE_SENT and self._reading is not _OVER and not self._lost:
            self._stop_socket()
            self._reading = _PAUSED

    def resume(self) -> None:
        """Deliver the messages received before, then read again."""
        if self._reading is _PAUSED:
            self._unpause()

    def _unpause(self) -> None:
        """End a pause, if there is one. The peer's CLOSE is behind all that it sent before, so a close needs this."""
        if self._reading is _PAUSED:
            self._reading = Reading.DRAINING
        self._drain_soon()

    def _drain_soon(self) -> None:
        if self._drain_handle is None:
            self._drain_handle = self._loop.call_soon(self._drain)

    def _drain(self) -> None:
        self._drain_handle = None
        try:
            self._drain_slice()
        except (KeyboardInterrupt, SystemExit):
            self._interrupted()
            self._drain_soon()
            raise

    def _drain_slice(self) -> None:
        """Deliver one slice of what was received before; the socket is read again when nothing is left."""
        if self._reading is _PAUSED:
            return
        if not self._held and self._reader.state & PENDING and self._reading is not _OVER:
            self._held = self._reader.more()
            if self._reader.state & CONTROLS:
                self._take_controls()
        held: list[Data] = []
        if self._held and not self._is_paused():
            held, self._held = self._held, []
            self._deliver(held)
        if self._is_paused():
            return
        if self._reading is not _OVER:
            # In this turn no other slice may follow: uvloop would read the socket in it.
            if held or self._held or self._reader.state & PENDING:
                self._drain_soon()
                return
            self._start_socket()
            if self._reader.state & (CLOSED | VIOLATED):
                self._end_of_input()
        if self._lost:
            self._reading = _OVER
            self._is_gone = True
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)

    def _is_paused(self) -> bool:
        # A call, so that type checkers know that delivered messages may have changed it.
        return self._reading is _PAUSED

    def _stop_socket(self) -> None:
        if self._reading is _OPEN:
            self._reading = Reading.DRAINING
            self._set_socket_reading(wanted=False)

    def _start_socket(self) -> None:
        if self._reading is not _OPEN:
            self._reading = _OPEN
            self.activity += 1  # the time without reading is no silence of the peer
            self._set_socket_reading(wanted=True)

    def _set_socket_reading(self, *, wanted: bool) -> None:
        transport = self._transport
        if transport is None or not self.is_open or transport.is_closing():
            return
        if wanted:
            transport.resume_reading()
        else:
            transport.pause_reading()

    # --- sending ------------------------------------------------------------------------------------------------------

    def send(self, data: Data) -> bool:
        """Write one message; False if the connection takes none any more."""
        if self._phase is not _MAY_SEND:
            return False
        first = _TEXT if isinstance(data, str) else _BINARY
        if self._deflater is None:
            return self._write(encode_frame(first, data, True))  # noqa: FBT003 - masked
        payload = self._deflater.deflate(data.encode() if isinstance(data, str) else data)
        return self._write(encode_frame(first | _COMPRESSED, payload, True))  # noqa: FBT003 - masked

    def send_run(self, messages: list[Data]) -> bool:
        """Write several messages with one call to the system; False if the connection takes none any more."""
        if self._phase is not _MAY_SEND:
            return False
        if self._deflater is None:
            frames = [encode_frame(_TEXT if isinstance(data, str) else _BINARY, data, True) for data in messages]  # noqa: FBT003 - masked
        else:
            # All are encoded before the first is deflated: what the deflater has seen must be sent.
            texts = [(_TEXT, data.encode()) if isinstance(data, str) else (_BINARY, data) for data in messages]
            deflate = self._deflater.deflate
            frames = [encode_frame(first | _COMPRESSED, deflate(data), True) for first, data in texts]  # noqa: FBT003 - masked
        return self._write(b"".join(frames))

    def _write_to_loop(self, data: bytes) -> bool:
        """Write to a transport of the loop's own, as `SocketTransport.write` does."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        transport.write(data)
        if transport.is_closing() and not self._full:
            self.pause_writing()  # this write met the end of the connection: delivery is unknown
        return True

    def ping(self, payload: bytes) -> None:
        """Write a PING."""
        if self._phase is _MAY_SEND:
            self._write_control(_PING, payload)

    def _write_control(self, first: int, payload: bytes) -> None:
        self._write(encode_frame(first, payload, True))  # noqa: FBT003 - masked

    def _update_writable(self) -> None:
        writable = not self._full and (self._under_tls is None or not self._under_tls.is_full)
        if writable is self._writable or not self.is_open:
            return
        self._writable = writable
        if writable and self._pending_pong is not None:
            payload, self._pending_pong = self._pending_pong, None
            self._answer_ping(payload)
        if self._writable is writable:
            self._events.writable(writable)

    def _answer_ping(self, payload: bytes) -> None:
        if self._phase is not _MAY_SEND:
            return
        if self._writable:
            self._write_control(_PONG, payload)
        else:
            # Only the newest PING needs an answer (RFC 6455, section 5.5.3), so a flood of them can't fill the buffer.
            self._pending_pong = payload

    # --- the end ------------------------------------------------------------------------------------------------------

    def close(self, code: int, reason: str) -> None:
        """Send CLOSE, once; the peer's CLOSE, or the caller's deadline, ends the connection."""
        if self._phase is _MAY_SEND:
            self._send_close(code, reason)
            self._unpause()

    def abort(self, code: int | None) -> None:
        """End the connection now, and drop what was not delivered: a deadline has passed."""
        transport = self._transport
        if transport is None:
            return
        self._held = []
        self._reading = _OVER
        if code is not None and self._writable and self._phase is _MAY_SEND:
            self._send_close(code)
            # uvloop passes a write on to the kernel at the end of the turn, and drops it when it is aborted before.
            self._loop.call_soon(transport.abort)
        else:
            transport.abort()

    def _closed_by_peer(self, code: int, reason: str) -> None:
        if self._phase is _MAY_SEND:
            self._send_close(NORMAL_CLOSURE if code == NO_STATUS else code)
            self._events.peer_closed(code, reason)
        self._fin_timer = self._loop.call_later(_FIN_WAIT, self._close_when_delivered)

    def _violate(self, code: int, text: str) -> None:
        """Fail the connection (RFC 6455, section 7.1.7): send the reason, deliver no message after it, and close."""
        kind = {MessageTooBig.code: MessageTooBig, InvalidText.code: InvalidText}.get(code, ProtocolViolation)
        error = self.error = (
            message_too_big(text) if kind is MessageTooBig else kind(f"the server broke the WebSocket protocol: {text}")
        )
        was_closing = self._phase is not _MAY_SEND
        if not was_closing:
            self._send_close(code)
        self._events.violated(error)
        if was_closing:  # the answer to our CLOSE can't be found in this any more
            self._close_when_delivered()

    def _send_close(self, code: int, reason: str = "") -> None:
        self._phase = StreamPhase.CLOSE_SENT
        self._write_control(_CLOSE, close_payload(code, reason))

    def _close_when_delivered(self) -> None:
        if self._socket is not None and self._transport is not None:
            close_when_delivered(self._socket, lambda: self._writable, self._transport.close)

    def release(self) -> None:
        """Drop the references to the ended byte stream, which refers to this object: no cycle is left."""
        for handle in (self._drain_handle, self._fin_timer):
            if handle is not None:
                handle.cancel()
        if self._under_tls is not None:
            self._under_tls.on_change = None
            if self._transport is not None:
                # asyncio's TLS keeps the methods of the last buffered protocol. AttributeError: the transport dropped
                # its TLS already, and so has no way back to them.
                with contextlib.suppress(AttributeError):
                    self._transport.set_protocol(asyncio.BufferedProtocol())
        self._write = _takes_none
        self.on_open = self._transport = self._socket = self._under_tls = None


def _takes_none(_: bytes) -> bool:
    return False
