"""What picows calls for each frame of one line: the rules of RFC 6455 that its core leaves to its user."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from ..errors import InvalidText, MessageTooBig, ProtocolViolation
from ..wire import Data, Handshake
from .base import LineEvents

# So many messages of one burst are handed over in one turn of the loop; the rest waits for the next turns.
SLICE: Final = 128
_NO_CODE: Final = 1005

_TEXT: Final = WSMsgType.TEXT
_BINARY: Final = WSMsgType.BINARY
_CONTINUATION: Final = WSMsgType.CONTINUATION
_PING: Final = WSMsgType.PING
_PONG: Final = WSMsgType.PONG


class Listener(WSListener):
    """Frames of one line, made into whole messages, held to the rules, and handed over in fair slices."""

    def __init__(self, events: LineEvents, received: Callable[[Data], object], max_size: int | None) -> None:
        self.received = received
        self.transport: WSTransport | None = None
        self.handshake = Handshake()
        self.on_open: Callable[[], None] | None = None
        self.frames = 0
        self.violation: ProtocolViolation | None = None
        self.acknowledged = False
        """The peer acknowledged a CLOSE that we sent first."""
        self._events = events
        self._max_size = max_size
        self._slow = False
        """Anything but the fast road: a fragmented message, messages held back, a close under way."""
        self._burst = 0
        self._fragments: list[bytes] = []
        self._fragments_size = 0
        self._fragments_kind: WSMsgType | None = None
        self._held: deque[Data] = deque()
        self._paused = False
        self._drain_handle: asyncio.Handle | None = None
        self._close_sent = False
        self._close_received = False
        self._writable = True
        self._owed_pong: bytes | None = None

    # --- what picows calls ------------------------------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The upgrade went through."""
        self.transport = transport
        # Any byte that the kernel doesn't take at once is told: "accepted" shall mean "the kernel has it".
        transport.underlying_transport.set_write_buffer_limits(high=0)
        if self.on_open is not None:
            self.on_open()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """One frame. The fast road is a whole message while nothing else is going on."""
        if transport.is_close_frame_sent and not self._close_sent:
            return  # picows' parser refused a frame, and hands it over all the same
        self.frames += 1
        kind = frame.msg_type
        if (kind is _TEXT or kind is _BINARY) and frame.fin and not self._slow:
            if frame.rsv1 or frame.rsv2 or frame.rsv3:
                self._violate(ProtocolViolation("the server set a reserved bit, but no extension was agreed on"))
                return
            if kind is _TEXT:
                try:
                    data: Data = frame.get_payload_as_utf8_text()
                except UnicodeDecodeError:
                    self._violate(InvalidText("the server sent text that is not UTF-8"))
                    return
            else:
                data = frame.get_payload_as_bytes()
            self._burst = 0 if frame.last_in_buffer else self._burst + 1
            if self._burst > SLICE:
                self._hold_back(data)
                return
            self.received(data)
            return
        if frame.last_in_buffer:
            self._burst = 0
        self._take_slowly(kind, frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The socket is about to go: what was held back came before that."""
        del transport
        self._paused = False
        self._hand_over_all()

    def pause_writing(self) -> None:
        """Something is left in the user-space buffer."""
        self._writable = False
        self._events.writable(self._writable)

    def resume_writing(self) -> None:
        """The kernel has all of it."""
        self._writable = True
        if self._owed_pong is not None:
            payload, self._owed_pong = self._owed_pong, None
            self._pong(payload)
        self._events.writable(self._writable)

    # --- frames off the fast road -----------------------------------------------------------------------------------

    def _take_slowly(self, kind: WSMsgType, frame: WSFrame) -> None:
        if self.violation is not None or self._close_received:
            return  # what comes after the end doesn't count (RFC 6455, section 5.5.1)
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._violate(ProtocolViolation("the server set a reserved bit, but no extension was agreed on"))
        elif kind is _PING:
            self._pong(frame.get_payload_as_bytes())
        elif kind is _PONG:
            self._events.pong(frame.get_payload_as_bytes())
        elif kind is WSMsgType.CLOSE:
            self._closed_by_peer(frame)
        elif kind is _CONTINUATION:
            self._continue(frame)
        elif self._fragments_kind is not None:
            self._violate(ProtocolViolation("the server began a message before the fragmented one was complete"))
        elif frame.fin:
            self._complete(kind, frame.get_payload_as_bytes())
        else:
            self._slow = True
            self._fragments_kind = kind
            self._collect(frame)

    def _continue(self, frame: WSFrame) -> None:
        kind = self._fragments_kind
        if kind is None:
            self._violate(ProtocolViolation("the server continued a message that it never began"))
            return
        if not self._collect(frame) or not frame.fin:
            return
        payload = b"".join(self._fragments)
        self._fragments = []
        self._fragments_size = 0
        self._fragments_kind = None
        self._slow = bool(self._held) or self._paused or self._close_sent
        self._complete(kind, payload)

    def _collect(self, frame: WSFrame) -> bool:
        self._fragments_size += frame.payload_size
        if self._max_size is not None and self._fragments_size > self._max_size:
            self._violate(
                MessageTooBig(
                    f"the server's message is larger than max_size ({self._max_size} bytes), its fragments together; "
                    "raise max_size= if it is meant to"
                )
            )
            return False
        self._fragments.append(frame.get_payload_as_bytes())
        return True

    def _complete(self, kind: WSMsgType, payload: bytes) -> None:
        data: Data = payload
        if kind is _TEXT:
            try:
                data = payload.decode()
            except UnicodeDecodeError:
                self._violate(InvalidText("the server sent text that is not UTF-8"))
                return
        if self._held or self._paused:
            self._hold_back(data)
        else:
            self.received(data)

    def _pong(self, payload: bytes) -> None:
        if self.transport is None or self._close_sent:
            return
        if self._writable:
            self.transport.send_pong(payload)
        else:
            # Only the newest PING needs an answer (RFC 6455, section 5.5.3), so a flood of them can't fill our buffer.
            self._owed_pong = payload

    # --- slices and back-pressure -----------------------------------------------------------------------------------

    def pause(self) -> None:
        """Hand over nothing more."""
        if not self._paused and not self._close_sent:
            self._paused = self._slow = True
            self._stop_socket()

    def resume(self) -> None:
        """Go on, with what was held back first."""
        if self._paused:
            self._paused = False
            self._drain_soon()

    def _hold_back(self, data: Data) -> None:
        self._slow = True
        if not self._held and not self._paused:
            self._stop_socket()
        self._held.append(data)
        if not self._paused:
            self._drain_soon()

    def _drain_soon(self) -> None:
        if self._drain_handle is None:
            self._drain_handle = asyncio.get_running_loop().call_soon(self._drain)

    def _drain(self) -> None:
        self._drain_handle = None
        for _ in range(SLICE):
            if not self._held or self._paused:
                break
            self.received(self._held.popleft())
        if self._paused:
            return
        if self._held:
            self._drain_soon()
            return
        self._slow = self._fragments_kind is not None or self._close_sent or self.violation is not None
        self._start_socket()

    def _hand_over_all(self) -> None:
        while self._held:
            self.received(self._held.popleft())

    def _stop_socket(self) -> None:
        if self.transport is not None and not self.transport.underlying_transport.is_closing():
            self.transport.underlying_transport.pause_reading()

    def _start_socket(self) -> None:
        if self.transport is not None and not self.transport.underlying_transport.is_closing():
            self.transport.underlying_transport.resume_reading()

    # --- sending and the close handshake ----------------------------------------------------------------------------

    def send(self, data: Data) -> None:
        """Write one message."""
        if self.transport is not None and not self._close_sent:
            self.transport.send(_TEXT if isinstance(data, str) else _BINARY, data)

    def ping(self, payload: bytes) -> None:
        """Write a PING."""
        if self.transport is not None and not self._close_sent:
            self.transport.send_ping(payload)

    def close(self, code: int, reason: str) -> None:
        """Send CLOSE, once; the peer's answer, or the deadline, ends the line."""
        if self.transport is None or self._close_sent:
            return
        self._send_close(code, reason)
        self._listen_to_the_end()

    def abort(self, code: int | None) -> None:
        """End it now."""
        if self.transport is None:
            return
        if code is not None and self._writable and not self._close_sent:
            self._send_close(code, "")
        self.transport.disconnect(graceful=False)

    def _send_close(self, code: int, reason: str) -> None:
        self._close_sent = self._slow = True
        if self.transport is not None:
            # A control frame holds 125 bytes: two of code, the rest of reason, cut between characters.
            text = reason.encode()[:123].decode("utf-8", "ignore")
            self.transport.send_close(code, text)  # type: ignore[arg-type] # its stub knows only the registered codes

    def _listen_to_the_end(self) -> None:
        """The peer's CLOSE is behind whatever it sent before: nobody may hold the socket back any more."""
        self._paused = False
        self._hand_over_all()
        self._start_socket()

    def _closed_by_peer(self, frame: WSFrame) -> None:
        self._close_received = self._slow = True
        # Whatever picows gives for a code that isn't a registered one, the two bytes say it.
        code = int.from_bytes(frame.get_payload_as_bytes()[:2], "big")
        reason = frame.get_close_reason() or ""
        if self._close_sent:
            self.acknowledged = self.violation is None
        else:
            self._send_close(code or WSCloseCode.OK.value, "")
            self._hand_over_all()
            self._events.peer_closed(code or _NO_CODE, reason)
        if self.transport is not None:
            self.transport.disconnect()

    def _violate(self, error: ProtocolViolation) -> None:
        """Fail the line (RFC 6455, section 7.1.7): say why, hand over nothing more, and let it end."""
        if self.violation is not None:
            return
        self.violation = error
        self._fragments = []
        if not self._close_sent:
            self._hand_over_all()
            self._send_close(error.code, "")
        self._events.violated(error)
