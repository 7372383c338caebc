"""Flow control of one WebSocket over a dialled byte stream; the same for each library that parses frames."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import enum
from collections.abc import Callable
from typing import Final

from ..errors import OnesocketError
from ..lifecycle._peer_errors import connection_reset
from ..wire._handshake import Data, DialRequest, Handshake
from ._close_frame import truncate_close_reason
from ._fragments import Fragments
from ._tcp import TcpSocket, close_when_delivered
from ._tls_write_monitor import TlsWriteMonitor
from ._transport import TransportEvents


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


# Constants: in Python 3.11 each access to a member of an enum is a call.
OPEN: Final = Reading.OPEN
PAUSED: Final = Reading.PAUSED
MAY_SEND: Final = StreamPhase.OPEN


class StreamFlow(abc.ABC):
    """Base of the streams of `DialledConnection`: back-pressure both ways, PONGs, and our CLOSE."""

    on_open: Callable[[Handshake], None] | None = None

    def __init__(self, request: DialRequest, events: TransportEvents, received: Callable[[Data], object]) -> None:
        self.activity = 0
        """Grows with each read, and when the socket is read again."""
        self.error: OnesocketError = connection_reset()
        """Reason for the end of the stream."""
        self._request = request
        self._events = events
        self._received = received
        self._received_many: Callable[[list[Data]], object] | None = None
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._socket: TcpSocket | None = None
        self._under_tls: TlsWriteMonitor | None = None
        self._phase = StreamPhase.HANDSHAKE
        self._reading = OPEN
        self._fragments = Fragments(request.max_size)
        self._drain_handle: asyncio.Handle | None = None
        self._full = False
        """Bytes are left in the user-space buffer of the transport."""
        self._writable = True
        """Last value that `TransportEvents.writable` reported."""
        self._pending_pong: bytes | None = None

    @property
    def is_open(self) -> bool:
        """True once the upgrade has succeeded."""
        return self._phase is not StreamPhase.HANDSHAKE

    @property
    def is_reading(self) -> bool:
        """True if the socket is read."""
        return self._reading is OPEN

    def set_receiver(
        self, received: Callable[[Data], object], many: Callable[[list[Data]], object] | None = None
    ) -> None:
        """Deliver each message to `received` from now on, or several at once to `many`."""
        self._received = received
        self._received_many = many

    @abc.abstractmethod
    def start_handshake(
        self, transport: asyncio.Transport, early: bytes, sock: TcpSocket, under_tls: TlsWriteMonitor | None
    ) -> None:
        """Take the byte stream and send the upgrade request; `early`: bytes that have arrived already."""

    @abc.abstractmethod
    def send(self, data: Data) -> bool:
        """Write one message; False if the connection takes none any more."""

    @abc.abstractmethod
    def ping(self, payload: bytes) -> None:
        """Write a PING."""

    @abc.abstractmethod
    def abort(self, code: int | None) -> None:
        """End the connection now, and drop messages that were not delivered."""

    @abc.abstractmethod
    async def wait_closed(self) -> None:
        """Wait until the stream has ended, and everything received before that is delivered."""

    @abc.abstractmethod
    def _drain(self) -> None:
        """Deliver one slice of the messages received before; runs in a turn of its own."""

    @abc.abstractmethod
    def _write_pong(self, payload: bytes) -> None: ...

    @abc.abstractmethod
    def _write_close(self, code: int, reason: str) -> None: ...

    # --- beginning --------------------------------------------------------------------------------------------------

    def _attach(self, transport: asyncio.Transport, sock: TcpSocket, under_tls: TlsWriteMonitor | None) -> None:
        self._transport = transport
        self._socket = sock
        self._under_tls = under_tls
        if under_tls is not None:
            under_tls.on_change = self._update_writable

    def _opened(self, handshake: Handshake) -> None:
        self._phase = StreamPhase.OPEN
        if self._reading is not OPEN:  # a pause during the handshake: its response had to be read
            self._set_socket_reading(wanted=False)
        if self.on_open is not None:
            self.on_open(handshake)
        self._update_writable()

    # --- incoming ---------------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Deliver no message until `resume`, and stop reading."""
        if self._phase is not StreamPhase.CLOSE_SENT:
            self._stop_socket()
            self._reading = PAUSED

    def resume(self) -> None:
        """Deliver the messages received before, then read again."""
        if self._reading is PAUSED:
            self._unpause()

    def _unpause(self) -> None:
        """End a pause, if there is one. The peer's CLOSE is behind all that it sent before, so a close needs this."""
        if self._reading is PAUSED:
            self._reading = Reading.DRAINING
        self._drain_soon()

    def _drain_soon(self) -> None:
        if self._drain_handle is None:
            self._drain_handle = self._loop.call_soon(self._drain)

    def _stop_socket(self) -> None:
        if self._reading is OPEN:
            self._reading = Reading.DRAINING
            self._set_socket_reading(wanted=False)

    def _start_socket(self) -> None:
        if self._reading is not OPEN:
            self._reading = OPEN
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

    # --- outgoing ---------------------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """Note that bytes are left in the user-space buffer (asyncio calls this)."""
        self._full = True
        self._update_writable()

    def resume_writing(self) -> None:
        """Note that the kernel has taken all bytes (asyncio calls this)."""
        self._full = False
        self._update_writable()

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
        if self._phase is not MAY_SEND:
            return
        if self._writable:
            self._write_pong(payload)
        else:
            # Only the newest PING needs an answer (RFC 6455, section 5.5.3), so a flood of them can't fill the buffer.
            self._pending_pong = payload

    def close(self, code: int, reason: str) -> None:
        """Send CLOSE, once; the peer's CLOSE, or the caller's deadline, ends the connection."""
        if self._phase is MAY_SEND:
            self._send_close(code, reason)
            self._unpause()

    def _send_close(self, code: int, reason: str = "") -> None:
        self._phase = StreamPhase.CLOSE_SENT
        self._write_close(code, truncate_close_reason(reason))

    def _close_when_delivered(self, close: Callable[[], None]) -> None:
        if self._socket is not None:
            close_when_delivered(self._socket, lambda: self._writable, close)

    def _deliver_on_close(self) -> None:
        """Let the peer read our CLOSE: no reset, unless the close takes longer than its deadline."""
        if self._socket is not None:
            self._socket.deliver_on_close()

    def release(self) -> None:
        """Drop the references to the ended byte stream, which refers to this object: no cycle is left."""
        if self._drain_handle is not None:
            self._drain_handle.cancel()
        if self._under_tls is not None:
            self._under_tls.on_change = None
            if self._transport is not None:
                # asyncio's TLS keeps the methods of the last buffered protocol. AttributeError: the transport dropped
                # its TLS already, and so has no way back to them.
                with contextlib.suppress(AttributeError):
                    self._transport.set_protocol(asyncio.BufferedProtocol())
        self.on_open = self._transport = self._socket = self._under_tls = None
