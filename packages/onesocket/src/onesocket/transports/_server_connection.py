"""The server's side of one WebSocket over a byte stream: messages, back-pressure, close handshake."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from ..errors import MessageTooBig
from ..wire._deflate_parameters import DeflateParameters
from ..wire._frames import CLOSED, CONTROLS, PENDING, VIOLATED, FrameReader, encode_frame
from ..wire._handshake import Data
from ._close_frame import ABNORMAL_CLOSURE, NO_STATUS, NORMAL_CLOSURE, close_payload
from ._tcp import RESET_ON_CLOSE, queued_bytes

log = logging.getLogger("onesocket")

_FIN: Final = 0x80
_CONTINUATION: Final = 0x00
_TEXT: Final = 0x81
_BINARY: Final = 0x82
_CLOSE: Final = 0x88
_PONG: Final = 0x8A
_COMPRESSED: Final = 0x40
_OPCODE_PING: Final = 9
LINGER: Final = 1.0
"""Seconds that a client has to read the last bytes and to end TCP, before the connection is aborted."""


class _ServerPhase(enum.Enum):
    OPENING = enum.auto()
    OPEN = enum.auto()
    CLOSING = enum.auto()
    """CLOSE was sent, or the connection is being aborted."""
    FAILED = enum.auto()
    """CLOSE was sent for a violation: what comes after it is dropped."""
    LOST = enum.auto()
    """The socket is closed."""


# Constants: in Python 3.11 each access to a member of an enum is a call.
_OPEN: Final = _ServerPhase.OPEN
_OPENING: Final = _ServerPhase.OPENING
_CLOSING: Final = _ServerPhase.CLOSING


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConnectionLimits:
    """Limits of a connection in bytes and seconds, and the close codes and reasons for clients that exceed them."""

    max_size: int
    """Bytes of one message, all its fragments together."""
    write_buffer: int
    """Bytes that may wait in the user-space buffer; beyond it `overflowed` is called."""
    close_timeout: float
    """Seconds that the client has to answer CLOSE."""
    too_large: tuple[int, str] | None = None
    """None: 1009, and the limit."""
    failed: tuple[int, str] = (1011, "")
    """For an error of the server."""


class ServerConnectionOwner(Protocol):
    """Port of the owner of a connection."""

    def opened(self, connection: ServerConnection) -> None:
        """Note that the upgrade has succeeded."""

    def received(self, data: Data) -> None:
        """Take one whole message within the size limit."""

    def overflowed(self) -> None:
        """Note that the write buffer is over its limit: the client doesn't read."""

    def drained(self) -> None:
        """Note that a write buffer that was over its limit is empty."""

    def ended(self, code: int) -> None:
        """Note that the socket is closed; `code`: the client's close code, 1005 for none, 1006 for no CLOSE frame."""


class ServerConnection(asyncio.BufferedProtocol):
    """Delivers messages and writes frames. No message is delivered after CLOSE was sent or received."""

    def __init__(
        self,
        owner: ServerConnectionOwner,
        limits: ServerConnectionLimits,
        *,
        subprotocol: str | None = None,
        deflate: DeflateParameters | None = None,
    ) -> None:
        """`deflate`: agree to permessage-deflate (see `choose_offer`)."""
        self.subprotocol = subprotocol
        """The sub-protocol in the response to the upgrade."""
        self.extensions = None if deflate is None else str(deflate)
        """The extension in the response to the upgrade."""
        self._owner = owner
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        inflate = None if deflate is None else deflate.inflater(is_client=False, max_size=limits.max_size).inflate
        self._deflater = None if deflate is None else deflate.deflater(is_client=False)
        self._reader = FrameReader(masked=True, max_size=limits.max_size, inflate=inflate)
        self._transport: asyncio.Transport | None = None
        self._on_lost: Callable[[], object]
        self._phase = _OPENING
        self._is_paused = False
        """The owner asked for a pause: the socket is not read, and no message is delivered."""
        self._held: list[Data] = []
        """Messages that were received before a pause, and not delivered."""
        self._drain_handle: asyncio.Handle | None = None
        self._is_lost = False
        """The socket is closed; what was received before is delivered first."""
        self._peer_code = ABNORMAL_CLOSURE
        self._deadline: asyncio.TimerHandle | None = None
        self._gone: asyncio.Future[None] = self._loop.create_future()

    def __repr__(self) -> str:
        return f"<ServerConnection {self._phase.name.lower()}>"

    def open(self, transport: asyncio.Transport, early: bytes, on_lost: Callable[[], object]) -> None:
        """Take the byte stream over: the upgrade has succeeded.

        `early`: bytes that came behind the request. `on_lost` is called after `ended` of the owner.
        """
        self._transport = transport
        self._on_lost = on_lost
        self.get_buffer = self._reader.get_buffer  # type: ignore[method-assign] # one call less for each read
        transport.set_protocol(self)
        transport.set_write_buffer_limits(high=self._limits.write_buffer, low=0)
        self._phase = _OPEN
        try:
            self._owner.opened(self)
        except Exception:
            log.exception("greeting a client failed")
            self.close(*self._limits.failed)
        if early:
            self._take(self._reader.feed(early))

    # --- called by the transport --------------------------------------------------------------------------------------

    def buffer_updated(self, nbytes: int) -> None:
        """Take the bytes of one read."""
        self._take(self._reader.received(nbytes))

    def eof_received(self) -> None:
        """Write nothing more. The transport closes itself; unsent bytes that the client doesn't read are dropped."""
        if self._transport is not None and self._transport.get_write_buffer_size():
            if self._phase is _OPEN:
                self._phase = _CLOSING
            self._abort_after(LINGER)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the socket is closed. What was received before is still delivered, in slices."""
        del exc
        self._is_lost = True
        self._is_paused = False
        if self._phase is not _OPEN:
            self._end()
        elif self._drain_handle is None:
            self._drain()

    def _end(self) -> None:
        self._phase = _ServerPhase.LOST
        for handle in (self._deadline, self._drain_handle):
            if handle is not None:
                handle.cancel()
        self._held = []
        self._gone.set_result(None)
        owner, on_lost = self._owner, self._on_lost
        # No event follows; these refer to this connection: no cycle is left.
        del self._owner, self._on_lost
        self._transport = None
        owner.ended(self._peer_code)
        on_lost()

    def pause_writing(self) -> None:
        """Note that the write buffer is over its limit: the client doesn't read. Or a write met the end of TCP."""
        if self._transport is not None and not self._transport.is_closing():
            self._owner.overflowed()

    def resume_writing(self) -> None:
        """Note that the write buffer is empty."""
        if self._transport is not None:
            self._owner.drained()

    # --- messages -----------------------------------------------------------------------------------------------------

    def _take(self, messages: list[Data]) -> None:
        """Take what the reader has parsed."""
        if self._reader.state & CONTROLS:
            self._answer_pings()
        if self._is_paused or self._held:
            self._held += messages  # this read was under way as the pause came
        else:
            self._deliver(messages)

    def _deliver(self, messages: list[Data]) -> None:
        for place, message in enumerate(messages, 1):
            if self._phase is not _OPEN:
                break
            try:
                self._owner.received(message)
            except Exception:
                log.exception("handling a message of a client failed")
                self.close(*self._limits.failed)
            if self._is_paused:
                self._held = messages[place:]
                return
        state = self._reader.state
        if state & PENDING:
            self._drain_soon()
        elif state & (CLOSED | VIOLATED):
            self._end_of_input()

    def _drain_soon(self) -> None:
        """Go on in the next turn of the loop: a client that sends much is no reason for others to wait."""
        if self._transport is not None and self._drain_handle is None:
            self._transport.pause_reading()
            self._drain_handle = self._loop.call_soon(self._drain)

    def _drain(self) -> None:
        """Deliver one slice of what was received before; the socket is read again when nothing is left."""
        self._drain_handle = None
        if self._is_paused:
            return
        held, self._held = self._held, []
        if held:
            self._deliver(held)
        elif self._reader.state & PENDING:
            self._take(self._reader.more())
        else:
            self._deliver([])
            self._read_unless_busy()
            return
        if not self._is_paused:
            self._drain_soon()  # reads in the next turn: uvloop would read the socket in this one, for another slice

    def _read_unless_busy(self) -> None:
        # A call, so that type checkers know that delivered messages may have changed all of this.
        if self._transport is None or self._drain_handle is not None or self._is_paused:
            return
        if self._is_lost:
            self._end()
        else:
            self._transport.resume_reading()

    def _answer_pings(self) -> None:
        pings = [payload for opcode, payload in self._reader.take_controls() if opcode == _OPCODE_PING]
        if not pings or self._transport is None or self._phase is not _OPEN:
            return
        if self._transport.get_write_buffer_size():
            # Only the newest PING needs an answer (RFC 6455, section 5.5.3), so a flood of them can't fill the buffer.
            del pings[:-1]
        self._transport.write(b"".join(encode_frame(_PONG, payload) for payload in pings))

    def _end_of_input(self) -> None:
        """Handle the client's CLOSE or violation, once everything before it is delivered."""
        if self._reader.close is not None:
            self._answer_close(self._reader.close[0])
        elif self._phase is _CLOSING:
            self._end_tcp()  # the answer to our CLOSE can't be found in this any more
        elif self._phase is _OPEN and self._reader.violation is not None:
            code, text = self._reader.violation
            if code == MessageTooBig.code and self._limits.too_large is not None:
                code, text = self._limits.too_large
            self.close(code, text, timeout=LINGER)
            self._phase = _ServerPhase.FAILED
            if self._transport is not None:
                half_close(self._transport)  # what the client still sends is read, and dropped, until it ends, too

    def _answer_close(self, code: int) -> None:
        self._peer_code = code
        if self._phase is _OPEN:
            self._send_close(NORMAL_CLOSURE if code == NO_STATUS else code, "")
        self._end_tcp()

    def _end_tcp(self) -> None:
        """Close the socket behind the bytes that were written; those that the client doesn't read are dropped."""
        if self._transport is not None:
            self._transport.close()
            self._abort_after(LINGER)

    # --- called by the owner ------------------------------------------------------------------------------------------

    @property
    def closing(self) -> bool:
        """True if CLOSE was sent or the connection was aborted: no message is written any more."""
        return self._phase not in (_OPEN, _OPENING)

    @property
    def unsent(self) -> int:
        """Bytes that were written, and that the client's system has not taken (on Linux), or this one."""
        if self._transport is None:
            return 0
        descriptor = self._transport.get_extra_info("socket").fileno()
        return self._transport.get_write_buffer_size() + queued_bytes(descriptor)

    @property
    def close_timeout(self) -> float:
        """Seconds that the client has to answer CLOSE."""
        return self._limits.close_timeout

    def writer(self, *, binary: bool = False) -> Callable[[bytes], object]:
        """Return a function that writes one message; it checks nothing, since it is called so often."""
        if self._transport is None:
            raise RuntimeError("the connection is not open")
        write, deflater = self._transport.write, self._deflater
        first = _BINARY if binary else _TEXT
        if deflater is None:
            return lambda payload: write(encode_frame(first, payload))
        deflate = deflater.deflate
        return lambda payload: write(encode_frame(first | _COMPRESSED, deflate(payload)))

    def frame_writer(self) -> Callable[[bytes], object]:
        """Return a function that writes frames of `encode_message`; it checks nothing, as that of `writer`."""
        if self._transport is None:
            raise RuntimeError("the connection is not open")
        return self._transport.write

    def write_frames(self, frames: bytes) -> None:
        """Write frames of `encode_message`, several at once."""
        if self._transport is not None and self._phase is _OPEN:
            self._transport.write(frames)

    def pause_reading(self) -> None:
        """Deliver no message until `resume_reading`, and stop reading."""
        if self._phase is _OPEN and self._transport is not None and not self._is_lost:
            self._is_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Deliver the messages received before the pause, then read again."""
        if self._is_paused:
            self._is_paused = False
            self._drain_soon()

    def close(self, code: int, reason: str = "", *, timeout: float | None = None) -> None:
        """Send CLOSE, once, and deliver nothing more; the client's answer, or the deadline, ends the connection."""
        if self._phase is not _OPEN:
            return
        self._send_close(code, reason)
        self._held = []
        self.resume_reading()  # the client's CLOSE is behind all that it sent before
        self._abort_after(self._limits.close_timeout if timeout is None else timeout)

    def abort(self) -> None:
        """End the connection now, and drop unsent bytes."""
        if self._transport is not None:
            self._phase = _CLOSING
            self._transport.abort()

    def reset(self) -> None:
        """End the connection with a reset (RST) instead of a FIN."""
        if self._transport is not None:
            raw = self._transport.get_extra_info("socket")
            with contextlib.suppress(OSError):  # closed
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.abort()

    async def wait_closed(self) -> None:
        """Wait until the socket is closed: at once after `abort()`, within the close timeout after `close()`."""
        await asyncio.shield(self._gone)

    def _send_close(self, code: int, reason: str) -> None:
        self._phase = _CLOSING
        if self._transport is not None:
            self._transport.write(encode_frame(_CLOSE, close_payload(code, reason)))

    def _abort_after(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._loop.call_later(seconds, self.abort)


def encode_message(data: Data) -> bytes:
    """Encode one message as a server's frame: unmasked and uncompressed, so equal for every client."""
    return encode_frame(_TEXT if isinstance(data, str) else _BINARY, data)


def encode_fragments(data: Data, size: int) -> list[bytes]:
    """Encode one message as frames with at most `size` bytes of payload, between which control frames may stand."""
    payload = memoryview(data.encode() if isinstance(data, str) else data)
    first = _TEXT if isinstance(data, str) else _BINARY
    starts = range(0, len(payload) or 1, size)
    bits = [_CONTINUATION] * len(starts)
    bits[0] = first & ~_FIN
    bits[-1] |= _FIN
    return [encode_frame(bit, payload[start : start + size]) for bit, start in zip(bits, starts, strict=True)]


def half_close(transport: asyncio.Transport) -> None:
    """End the outgoing direction (FIN), so that the client ends its own, while its bytes are still read."""
    if not transport.get_write_buffer_size():
        with contextlib.suppress(OSError):  # the client has gone
            transport.get_extra_info("socket").shutdown(socket.SHUT_WR)
