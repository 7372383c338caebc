"""The server's side of one WebSocket: what RFC 6455 asks for and picows' core leaves to its user."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from picows import WSFrame, WSListener, WSMsgType, WSTransport

from ..errors import InvalidText, ProtocolViolation
from ..wire._handshake import Data
from ._close_frame import truncate_close_reason
from ._fragments import Fragments

_log = logging.getLogger("onesocket")

_TEXT: Final = WSMsgType.TEXT
_BINARY: Final = WSMsgType.BINARY
_PROTOCOL_ERROR: Final = 1002
_NO_CODE: Final = 1005
_ABNORMAL: Final = 1006
_INVALID_TEXT: Final = 1007
_TOO_BIG: Final = 1009
# After a frame that couldn't be parsed the client's CLOSE can't be seen: its end of TCP is waited for, shortly.
_LINGER: Final = 1.0
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConnectionLimits:
    """Bytes and seconds, and what a client is told that makes us end its line: a close code and a reason."""

    max_size: int
    """Bytes of one message, all its fragments together."""
    write_buffer: int
    """Bytes that may wait beyond what the kernel takes; then `overflowed` is called."""
    close_timeout: float
    """Seconds that the client has to answer CLOSE."""
    too_large: tuple[int, str] = (_TOO_BIG, "")
    failed: tuple[int, str] = (1011, "")
    """For an error of ours."""


class ServerConnectionOwner(Protocol):
    """Whoever speaks over the line."""

    def opened(self, line: ServerConnection) -> None:
        """The upgrade went through."""

    def received(self, data: Data) -> None:
        """One whole message, no larger than it may be."""

    def overflowed(self) -> None:
        """The client doesn't read, and more waits for it than may; the line is to be dropped."""

    def ended(self, code: int) -> None:
        """The socket is closed; `code` is the client's close code, 1005 for none, 1006 for no CLOSE frame."""


class ServerConnection(WSListener):
    """Messages in, frames out. Nothing is handed over after CLOSE was sent or received."""

    def __init__(
        self, owner: ServerConnectionOwner, limits: ServerConnectionLimits, *, subprotocol: str | None = None
    ) -> None:
        self.subprotocol = subprotocol
        """The one that the upgrade is answered with."""
        self._owner = owner
        self._limits = limits
        self._transport: WSTransport | None = None
        self._fragments = Fragments(limits.max_size)
        self._closing = False
        self._peer_code = _ABNORMAL
        self._deadline: asyncio.TimerHandle | None = None
        self._gone = asyncio.get_running_loop().create_future()

    def __repr__(self) -> str:
        return f"<ServerConnection {'closing' if self._closing else 'open'}>"

    # --- what picows calls ------------------------------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The upgrade went through."""
        self._transport = transport
        transport.underlying_transport.set_write_buffer_limits(high=self._limits.write_buffer, low=0)
        self._owner.opened(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:  # noqa: ARG002 - picows' signature
        """One frame."""
        try:
            self._take(frame)
        except Exception:  # noqa: BLE001 - logged; the server outlives one bad message
            _log.exception("a message from a client made us fail")
            self.close(*self._limits.failed)

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002 - picows' signature
        """The socket is closed."""
        self._closing = True
        if self._deadline is not None:
            self._deadline.cancel()
        self._gone.set_result(None)
        self._owner.ended(self._peer_code)

    def pause_writing(self) -> None:
        """More waits than may: the client doesn't read."""
        self._owner.overflowed()

    def resume_writing(self) -> None:
        """Nothing waits any more."""

    def parser_refused(self, code: int) -> None:
        """The next frame can't be parsed, nor can anything after it."""
        handshake = self._transport.close_handshake if self._transport is not None else None
        if handshake is not None and handshake.recv is not None:
            received: Any = handshake.recv.code  # an int, or a WSCloseCode if it is a registered one
            # What follows a CLOSE doesn't count (section 5.5.1).
            self._answer_close(int(getattr(received, "value", received)) or _NO_CODE)
            return
        close = self._limits.too_large if code == _TOO_BIG else (code, "")
        self.close(*close, timeout=_LINGER)

    # --- frames -----------------------------------------------------------------------------------------------------

    def _take(self, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind is WSMsgType.CLOSE:
            payload = frame.get_payload_as_bytes()
            self._answer_close(int.from_bytes(payload[:2], "big") if payload else _NO_CODE)
        elif self._closing:
            return
        elif frame.rsv1 or frame.rsv2 or frame.rsv3:
            self.close(_PROTOCOL_ERROR)
        elif kind is WSMsgType.PING:
            if self._transport is not None:
                self._transport.send_pong(frame.get_payload_as_bytes())
        elif kind is not WSMsgType.PONG:
            self._take_data(kind, frame)

    def _take_data(self, kind: WSMsgType, frame: WSFrame) -> None:
        if (kind is WSMsgType.CONTINUATION) != self._fragments.under_way:
            self.close(_PROTOCOL_ERROR)
        elif frame.payload_size > self._limits.max_size:
            self.close(*self._limits.too_large)
        elif frame.fin and kind is _TEXT:
            try:
                text = frame.get_payload_as_utf8_text()
            except UnicodeDecodeError:
                self.close(_INVALID_TEXT)
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
            self.close(_INVALID_TEXT)
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
            self._send_close(1000 if code == _NO_CODE else code, "")
        self._transport.disconnect()
        self._end_within(_LINGER)  # what it didn't read by then is let go

    # --- what the owner calls ---------------------------------------------------------------------------------------

    @property
    def closing(self) -> bool:
        """Whether CLOSE was sent or the line was aborted: nothing more is taken."""
        return self._closing

    def writer(self, kind: WSMsgType = _TEXT) -> Callable[[bytes], object]:
        """A function that writes one message: without a call of ours in between, since it is called so often."""
        if self._transport is None:
            raise RuntimeError("the line is not open")
        return partial(self._transport.send, kind)

    def write_frames(self, frames: bytes) -> None:
        """Write frames that `encode_frame` made, several at once."""
        if self._transport is not None and not self._closing:
            self._transport.underlying_transport.write(frames)

    def pause_reading(self) -> None:
        """Let the client wait; what was read before may still be handed over."""
        if self._transport is not None:
            self._transport.underlying_transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on."""
        if self._transport is not None and not self._transport.underlying_transport.is_closing():
            self._transport.underlying_transport.resume_reading()

    def close(self, code: int, reason: str = "", *, timeout: float | None = None) -> None:
        """Send CLOSE, once; the client's answer, or the deadline, ends the line."""
        if self._closing or self._transport is None:
            return
        self._closing = True
        self._fragments.clear()
        self._send_close(code, reason)
        self._end_within(self._limits.close_timeout if timeout is None else timeout)

    def abort(self) -> None:
        """End it now, whatever is still to be written."""
        self._closing = True
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    def reset(self) -> None:
        """End it now, so that the client sees a reset (RST) and no end of stream."""
        if self._transport is not None:
            raw = self._transport.underlying_transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.abort()

    async def wait_closed(self) -> None:
        """Wait until the socket is closed: at once after `abort()`, within the close timeout after `close()`."""
        await asyncio.shield(self._gone)

    def _send_close(self, code: int, reason: str) -> None:
        if self._transport is not None:
            self._transport.send_close(code, truncate_close_reason(reason))  # type: ignore[arg-type] # any code, its stub knows but a few

    def _end_within(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = asyncio.get_running_loop().call_later(seconds, self.abort)


def encode_frame(data: Data, kind: WSMsgType | None = None) -> bytes:
    """One message as a server's frame (RFC 6455, section 5.2): not masked, so it's the same for every client."""
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
