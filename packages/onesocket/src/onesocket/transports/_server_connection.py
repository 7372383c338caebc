"""One WebSocket of a server: the rules of RFC 6455 that picows' core leaves to its user."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from picows import WSFrame, WSListener, WSMsgType, WSTransport

from ..errors import InvalidText, MessageTooBig, ProtocolViolation
from ..wire._handshake import Data
from ._close_frame import ABNORMAL_CLOSURE, NO_STATUS, NORMAL_CLOSURE, close_code, truncate_close_reason
from ._fragments import Fragments
from ._tcp import RESET_ON_CLOSE

_log = logging.getLogger("onesocket")

_TEXT: Final = WSMsgType.TEXT
_BINARY: Final = WSMsgType.BINARY
# After a frame that couldn't be parsed the client's CLOSE can't be seen: its end of TCP is waited for, shortly.
_LINGER: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConnectionLimits:
    """Limits of a connection in bytes and seconds, and the close codes and reasons for clients that exceed them."""

    max_size: int
    """Bytes of one message, all its fragments together."""
    write_buffer: int
    """Bytes that may wait in the user-space buffer; beyond it `overflowed` is called."""
    close_timeout: float
    """Seconds that the client has to answer CLOSE."""
    too_large: tuple[int, str] = (MessageTooBig.code, "")
    failed: tuple[int, str] = (1011, "")
    """For an error of the server."""


class ServerConnectionOwner(Protocol):
    """Port of the owner of a connection."""

    def opened(self, connection: ServerConnection) -> None:
        """Note that the upgrade has succeeded."""

    def received(self, data: Data) -> None:
        """Take one whole message within the size limit."""

    def overflowed(self) -> None:
        """Drop the connection: the client doesn't read, and the write buffer is over its limit."""

    def ended(self, code: int) -> None:
        """Note that the socket is closed; `code`: the client's close code, 1005 for none, 1006 for no CLOSE frame."""


class ServerConnection(WSListener):
    """Delivers messages and writes frames. No message is delivered after CLOSE was sent or received."""

    def __init__(
        self, owner: ServerConnectionOwner, limits: ServerConnectionLimits, *, subprotocol: str | None = None
    ) -> None:
        self.subprotocol = subprotocol
        """The sub-protocol in the response to the upgrade."""
        self._owner = owner
        self._limits = limits
        self._transport: WSTransport | None = None
        self._fragments = Fragments(limits.max_size)
        self._closing = False
        self._peer_code = ABNORMAL_CLOSURE
        self._deadline: asyncio.TimerHandle | None = None
        self._gone = asyncio.get_running_loop().create_future()

    def __repr__(self) -> str:
        return f"<ServerConnection {'closing' if self._closing else 'open'}>"

    # --- called by picows -------------------------------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Note that the upgrade has succeeded."""
        self._transport = transport
        transport.underlying_transport.set_write_buffer_limits(high=self._limits.write_buffer, low=0)
        self._owner.opened(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:  # noqa: ARG002 - picows' signature
        """Take one frame."""
        try:
            self._take(frame)
        except Exception:  # noqa: BLE001 - logged; the server outlives one bad message
            _log.exception("handling a message of a client failed")
            self.close(*self._limits.failed)

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002 - picows' signature
        """Note that the socket is closed."""
        self._closing = True
        if self._deadline is not None:
            self._deadline.cancel()
        self._gone.set_result(None)
        owner = self._owner
        # No event follows; both refer to this connection: no cycle is left.
        del self._owner
        self._transport = None
        owner.ended(self._peer_code)

    def pause_writing(self) -> None:
        """Note that the write buffer is over its limit: the client doesn't read."""
        self._owner.overflowed()

    def resume_writing(self) -> None:
        """Note that the write buffer is empty."""

    def parser_refused(self, code: int) -> None:
        """Close after a frame that can't be parsed, as no frame after it can."""
        handshake = self._transport.close_handshake if self._transport is not None else None
        if handshake is not None and handshake.recv is not None:
            # Frames after a CLOSE don't count (section 5.5.1).
            self._answer_close(close_code(handshake.recv.code) or NO_STATUS)
            return
        close = self._limits.too_large if code == MessageTooBig.code else (code, "")
        self.close(*close, timeout=_LINGER)

    # --- frames -----------------------------------------------------------------------------------------------------

    def _take(self, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind is WSMsgType.CLOSE:
            payload = frame.get_payload_as_bytes()
            self._answer_close(int.from_bytes(payload[:2], "big") if payload else NO_STATUS)
        elif self._closing:
            return
        elif frame.rsv1 or frame.rsv2 or frame.rsv3:
            self.close(ProtocolViolation.code)
        elif kind is WSMsgType.PING:
            if self._transport is not None:
                self._transport.send_pong(frame.get_payload_as_bytes())
        elif kind is not WSMsgType.PONG:
            self._take_data(kind, frame)

    def _take_data(self, kind: WSMsgType, frame: WSFrame) -> None:
        if (kind is WSMsgType.CONTINUATION) != self._fragments.under_way:
            self.close(ProtocolViolation.code)
        elif frame.payload_size > self._limits.max_size:
            self.close(*self._limits.too_large)
        elif frame.fin and kind is _TEXT:
            try:
                text = frame.get_payload_as_utf8_text()
            except UnicodeDecodeError:
                self.close(InvalidText.code)
            else:
                self._owner.received(text)
        elif frame.fin and kind is _BINARY:
            self._owner.received(frame.get_payload_as_bytes())
        else:
            self._take_piece(kind, frame)

    def _take_piece(self, kind: WSMsgType, frame: WSFrame) -> None:
        if kind is not WSMsgType.CONTINUATION:
            self._fragments.begin(is_text=kind is _TEXT)
        try:
            message = self._fragments.add(frame.get_payload_as_bytes(), last=frame.fin)
        except InvalidText:
            self.close(InvalidText.code)
        except ProtocolViolation:
            self.close(*self._limits.too_large)
        else:
            if message is not None:
                self._owner.received(message)

    def _answer_close(self, code: int) -> None:
        self._peer_code = code
        if self._transport is None:
            return
        if not self._closing:
            self._closing = True
            self._send_close(NORMAL_CLOSURE if code == NO_STATUS else code, "")
        self._transport.disconnect()
        self._end_within(_LINGER)  # bytes that the client has not read by then are dropped

    # --- called by the owner ----------------------------------------------------------------------------------------

    @property
    def closing(self) -> bool:
        """True if CLOSE was sent or the connection was aborted: no message is written any more."""
        return self._closing

    def writer(self, kind: WSMsgType = _TEXT) -> Callable[[bytes], object]:
        """Return a function that writes one message; it is picows' own, since it is called so often."""
        if self._transport is None:
            raise RuntimeError("the connection is not open")
        return partial(self._transport.send, kind)

    def write_frames(self, frames: bytes) -> None:
        """Write frames of `encode_frame`, several at once."""
        if self._transport is not None and not self._closing:
            self._transport.underlying_transport.write(frames)

    def pause_reading(self) -> None:
        """Stop reading; messages read before may still be delivered."""
        if self._transport is not None:
            self._transport.underlying_transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if self._transport is not None and not self._transport.underlying_transport.is_closing():
            self._transport.underlying_transport.resume_reading()

    def close(self, code: int, reason: str = "", *, timeout: float | None = None) -> None:
        """Send CLOSE, once; the client's answer, or the deadline, ends the connection."""
        if self._closing or self._transport is None:
            return
        self._closing = True
        self._fragments.clear()
        self._send_close(code, reason)
        self._end_within(self._limits.close_timeout if timeout is None else timeout)

    def abort(self) -> None:
        """End the connection now, and drop unsent bytes."""
        self._closing = True
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    def reset(self) -> None:
        """End the connection with a reset (RST) instead of a FIN."""
        if self._transport is not None:
            raw = self._transport.underlying_transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.abort()

    async def wait_closed(self) -> None:
        """Wait until the socket is closed: at once after `abort()`, within the close timeout after `close()`."""
        await asyncio.shield(self._gone)

    def _send_close(self, code: int, reason: str) -> None:
        if self._transport is not None:
            self._transport.send_close(code, truncate_close_reason(reason))  # type: ignore[arg-type] # its stub knows only the registered codes

    def _end_within(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = asyncio.get_running_loop().call_later(seconds, self.abort)


def encode_frame(data: Data, kind: WSMsgType | None = None) -> bytes:
    """Encode one message as a server's frame (RFC 6455, section 5.2): unmasked, so equal for every client."""
    payload = data.encode() if isinstance(data, str) else data
    if kind is None:
        kind = _TEXT if isinstance(data, str) else _BINARY
    size = len(payload)
    first: int = 0x80 | kind.value
    if size < 126:
        return b"%c%c%b" % (first, size, payload)
    if size < 65536:
        return struct.pack("!BBH", first, 126, size) + payload
    return struct.pack("!BBQ", first, 127, size) + payload
