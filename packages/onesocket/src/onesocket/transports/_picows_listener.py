"""What picows calls for each frame of one line: the rules of RFC 6455 that its core leaves to its user."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from ..errors import InvalidText, ProtocolViolation
from ..wire._handshake import Data, Handshake, size_of
from ._close_codes import is_sendable
from ._close_reason import truncate_close_reason
from ._fragments import Fragments
from ._tcp import TcpSocket, close_when_delivered
from ._tls_write_monitor import TlsWriteMonitor
from ._transport import TransportEvents

# So many messages of one burst are handed over in one turn of the loop; the rest waits for the next turns.
SLICE: Final = 512
# So many of them at once, between two looks at whether a reader wants a pause.
_BATCH: Final = 64
_NO_CODE: Final = 1005

_TEXT: Final = WSMsgType.TEXT
_BINARY: Final = WSMsgType.BINARY
_CONTINUATION: Final = WSMsgType.CONTINUATION
_PING: Final = WSMsgType.PING
_PONG: Final = WSMsgType.PONG


class PicowsListener(WSListener):
    """Frames of one line, made into whole messages, held to the rules, and handed over in fair slices."""

    def __init__(self, events: TransportEvents, received: Callable[[Data], object], max_size: int | None) -> None:
        self._received = received
        self._received_many: Callable[[list[Data]], object] | None = None
        self.transport: WSTransport | None = None
        self.handshake = Handshake()
        self.on_open: Callable[[], None] | None = None
        self.activity = 0
        """Grows when the socket is read again; what is read is counted below (`BoundedReads`)."""
        self.violation: ProtocolViolation | None = None
        self._events = events
        self._max_size = max_size
        self._slow = False
        """Anything but the fast road: a fragmented message, something held back, a close under way."""
        self._batch: list[Data] = []
        """Whole messages of the present read, until its last frame."""
        self._fragments = Fragments(max_size)
        self._held: deque[list[Data] | Callable[[], None]] = deque()
        """What came, in order: a few messages at a time, and what else must not overtake them."""
        self._this_turn = 0
        """Messages handed over in this turn of the loop."""
        self._paused = False
        self._stopped = False
        """Whether the socket isn't read."""
        self._drain_handle: asyncio.Handle | None = None
        self._drained: asyncio.Future[None] | None = None
        self._close_sent = False
        self._close_received = False
        self._answered_early = False
        self._refused = False
        """picows' parser refused a frame; the message before it was still good."""
        self._full = False
        """Something is left in the user-space buffer."""
        self._writable = True
        self._under_tls: TlsWriteMonitor | None = None
        self._socket: TcpSocket | None = None
        self._owed_pong: bytes | None = None

    def __repr__(self) -> str:
        words = [word for word, so in (("paused", self._paused), ("closing", self._close_sent)) if so]
        return f"<Listener held={len(self._held)} {' '.join(words)}>"

    # --- what picows calls ------------------------------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The upgrade went through."""
        self.transport = transport
        # Any byte that the kernel doesn't take at once is told: "accepted" shall mean "the kernel has it". asyncio's
        # TLS compares with >= where its TCP compares with >, so there 0 would mean an empty buffer.
        transport.underlying_transport.set_write_buffer_limits(high=1 if transport.is_secure else 0, low=0)
        if self.on_open is not None:
            self.on_open()
        self._update_writable()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """One frame. The fast road is a whole message while nothing else is going on: kept until the read is over."""
        if self._slow or not frame.fin or frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._take_slowly(transport, frame.msg_type, frame)
        else:
            kind = frame.msg_type
            if kind is _TEXT:
                try:
                    self._batch.append(frame.get_payload_as_utf8_text())
                except UnicodeDecodeError:
                    self._violate(InvalidText("the server sent text that is not UTF-8"))
            elif kind is _BINARY:
                self._batch.append(frame.get_payload_as_bytes())
            else:
                self._take_slowly(transport, kind, frame)
        if frame.last_in_buffer and self._batch:
            if transport.is_close_frame_sent and not self._close_sent:
                self._drop_what_was_refused()
            self._end_batch()

    def set_receiver(self, received: Callable[[Data], object], many: Callable[[list[Data]], object] | None) -> None:
        """Hand every message to `received` from now on, or several at once to `many`."""
        self._received = received
        self._received_many = many

    def _end_batch(self) -> None:
        """Hand over the messages of this read; what is more than a slice waits for the next turns."""
        batch = self._batch
        if not batch:
            return
        self._batch = []
        if self._held or self._paused or self._this_turn + len(batch) > SLICE:
            self._held.extend(batch[start : start + _BATCH] for start in range(0, len(batch), _BATCH))
            self._slow = True
            self._stop_socket()
            if not self._paused:
                self._drain_soon()
        else:
            self._count(len(batch))
            self._hand_over(batch)

    def _count(self, messages: int) -> None:
        """A turn of the loop may see several reads; together they get one slice."""
        if self._this_turn == 0:
            asyncio.get_running_loop().call_soon(self._turn_over)
        self._this_turn += messages

    def _turn_over(self) -> None:
        self._this_turn = 0

    def _hand_over(self, batch: list[Data]) -> None:
        if self._received_many is not None:
            self._received_many(batch)
            return
        for place, data in enumerate(batch):
            if self._paused:
                self._held.appendleft(batch[place:])
                return
            self._received(data)

    def _drop_what_was_refused(self) -> None:
        """Picows' parser refused a frame, and closes: what was parsed before it is still good, once.

        A frame that is too big is the one that is handed over all the same, in a later read.
        """
        first, self._refused = not self._refused, True
        self._slow = True
        good: list[Data] = []
        for data in self._batch if first else ():
            if self._max_size is not None and size_of(data) > self._max_size:
                break
            good.append(data)
        self._batch = good

    def watch(self, sock: TcpSocket, under_tls: TlsWriteMonitor | None) -> None:
        """Ask this, too, whether the kernel has all of it."""
        self._socket = sock
        self._under_tls = under_tls
        if under_tls is not None:
            under_tls.on_change = self._update_writable

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
        if writable is self._writable or self.transport is None:
            return
        self._writable = writable
        if writable and self._owed_pong is not None:
            payload, self._owed_pong = self._owed_pong, None
            self._pong(payload)
        if self._writable is writable:
            self._events.writable(writable)

    def parser_refuses(self) -> None:
        """Picows' parser, which is one frame ahead, is about to send CLOSE because of the frame that it reads now."""
        self.deliver_on_close()
        handshake = self.transport.close_handshake if self.transport is not None else None
        if handshake is None or handshake.recv is None or self._close_sent:
            return
        # The frame that it hands over next is the peer's CLOSE. What follows a CLOSE doesn't count (section 5.5.1), so
        # the answer is that to the CLOSE; picows sends no second one.
        received: Any = handshake.recv.code  # an int, or a WSCloseCode if it is a registered one
        code = int(getattr(received, "value", received))
        self._answered_early = True
        self._send_close(code if is_sendable(code) else WSCloseCode.OK.value, "")

    @property
    def was_closed(self) -> bool:
        """Whether the peer's CLOSE came, and was a valid one: whatever followed it doesn't count."""
        return self._close_received and self.violation is None

    # --- frames off the fast road -----------------------------------------------------------------------------------

    def _take_slowly(self, transport: WSTransport, kind: WSMsgType, frame: WSFrame) -> None:
        if self._batch and transport.is_close_frame_sent and not self._close_sent:
            self._drop_what_was_refused()
        if self.violation is not None or self._close_received:
            return  # what comes after the end doesn't count (RFC 6455, section 5.5.1)
        if transport.is_close_frame_sent and not self._close_sent and not self._last_good(frame):
            return
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._violate(ProtocolViolation("the server set a reserved bit, but no extension was agreed on"))
        elif kind is _PING:
            self._pong(frame.get_payload_as_bytes())
        elif kind is _PONG:
            self._events.pong(frame.get_payload_as_bytes())
        elif kind is WSMsgType.CLOSE:
            self._take_close(frame)
        elif kind is _CONTINUATION:
            self._continue(frame)
        elif self._fragments.under_way:
            self._violate(ProtocolViolation("the server began a message before the fragmented one was complete"))
        else:
            self._fragments.begin(is_text=kind is _TEXT)
            self._collect(frame)

    def _last_good(self, frame: WSFrame) -> bool:
        """Whether this frame, which comes after picows' parser refused one, was parsed before that.

        The parser looks one frame ahead, so there is at most one; one that is too big is handed over all the same.
        """
        first, self._refused = not self._refused, True
        return first and (self._max_size is None or frame.payload_size <= self._max_size)

    def _continue(self, frame: WSFrame) -> None:
        if self._fragments.under_way:
            self._collect(frame)
        else:
            self._violate(ProtocolViolation("the server continued a message that it never began"))

    def _collect(self, frame: WSFrame) -> None:
        self._slow = True
        try:
            message = self._fragments.add(frame.get_payload_as_bytes(), last=frame.fin)
        except ProtocolViolation as error:
            self._violate(error)
            return
        if message is not None:
            self._batch.append(message)
            self._slow = self._is_slow()

    def _pong(self, payload: bytes) -> None:
        if self.transport is None or self._close_sent:
            return
        if self._writable:
            self.transport.send_pong(payload)
        else:
            # Only the newest PING needs an answer (RFC 6455, section 5.5.3), so a flood of them can't fill our buffer.
            self._owed_pong = payload

    # --- slices and back-pressure -----------------------------------------------------------------------------------

    @property
    def is_reading(self) -> bool:
        """Whether the socket is being read."""
        return not self._stopped

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

    async def drained(self) -> None:
        """Wait until all that came has been handed over."""
        if self._held:
            self._paused = False
            self._drain_soon()
            self._drained = asyncio.get_running_loop().create_future()
            await self._drained

    def _hold_back(self, item: Callable[[], None]) -> None:
        self._slow = True
        self._held.append(item)
        self._stop_socket()
        if not self._paused:
            self._drain_soon()

    def _drain_soon(self) -> None:
        if self._drain_handle is None:
            self._drain_handle = asyncio.get_running_loop().call_soon(self._drain)

    def _drain(self) -> None:
        self._drain_handle = None
        self._count(SLICE)
        for _ in range(SLICE // _BATCH):
            if not self._held or self._paused:
                break
            self._hand_over_some()
        if self._paused:
            return
        if self._held:
            self._drain_soon()
            return
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._slow = self._is_slow()
        self._start_socket()

    def _hand_over_some(self) -> None:
        """A few messages, or the one other thing that is next. Few: a reader that is full by then stops the rest."""
        item = self._held.popleft()
        if callable(item):
            item()
        else:
            self._hand_over(item)

    def _in_order(self, call: Callable[[], None]) -> None:
        """Do this after all that came before has been handed over."""
        self._end_batch()
        if self._held or self._paused:
            self._hold_back(call)
        else:
            call()

    def _is_slow(self) -> bool:
        busy = bool(self._held) or self._paused or self._fragments.under_way
        return busy or self._close_sent or self.violation is not None

    def _stop_socket(self) -> None:
        if not self._stopped and self.transport is not None:
            self._stopped = True
            if not self.transport.underlying_transport.is_closing():
                self.transport.underlying_transport.pause_reading()

    def _start_socket(self) -> None:
        if self._stopped and self.transport is not None:
            self._stopped = False
            self.activity += 1  # silence counts from now on: we didn't listen
            if not self.transport.underlying_transport.is_closing():
                self.transport.underlying_transport.resume_reading()

    # --- sending and the close handshake ----------------------------------------------------------------------------

    def send(self, data: Data) -> bool:
        """Write one message; False when none is taken any more."""
        transport = self.transport
        if transport is None or self._close_sent or transport.is_close_frame_sent or transport.is_disconnected:
            return False
        transport.send(_TEXT if isinstance(data, str) else _BINARY, data)
        if transport.underlying_transport.is_closing() and self._writable:
            self.pause_writing()  # the write itself met the end of the line: its fate is unknown
        return True

    def ping(self, payload: bytes) -> None:
        """Write a PING."""
        if self.transport is not None and not self._close_sent:
            self.transport.send_ping(payload)

    def close(self, code: int, reason: str) -> None:
        """Send CLOSE, once; the peer's answer, or the deadline, ends the line."""
        if self.transport is None or self._close_sent:
            return
        self._send_close(code, reason)
        # The peer's CLOSE is behind whatever it sent before: nobody may hold the socket back any more.
        self._paused = False
        self._drain_soon()

    def abort(self, code: int | None) -> None:
        """End it now. What wasn't handed over by then is let go: the deadline is the deadline."""
        if self.transport is None:
            return
        if code is not None and self._writable and not self._close_sent:
            self._send_close(code, "")
        self._held.clear()
        self._paused = False
        self._drain_soon()
        self.transport.disconnect(graceful=False)

    def _send_close(self, code: int, reason: str) -> None:
        self._close_sent = self._slow = True
        if self.transport is not None:
            self.transport.send_close(code, truncate_close_reason(reason))  # type: ignore[arg-type] # its stub knows only the registered codes

    def _take_close(self, frame: WSFrame) -> None:
        self._close_received = self._slow = True
        payload = frame.get_payload_as_bytes()
        code = int.from_bytes(payload[:2], "big")
        if payload and not is_sendable(code):
            self._violate(ProtocolViolation(f"the server closed with {code}, which is no code to be sent"))
            self._in_order(self._disconnect)
            return
        self._in_order(partial(self._closed_by_peer, code, frame.get_close_reason() or ""))

    def _closed_by_peer(self, code: int, reason: str) -> None:
        if not self._close_sent and self.transport is not None and not self.transport.is_close_frame_sent:
            self._send_close(code or WSCloseCode.OK.value, "")
            self._events.peer_closed(code or _NO_CODE, reason)
        elif self._answered_early:
            self._events.peer_closed(code or _NO_CODE, reason)
        self._disconnect()

    def _disconnect(self) -> None:
        if self.transport is not None and self._socket is not None:
            close_when_delivered(self._socket, lambda: self._writable, self.transport.disconnect)

    def deliver_on_close(self) -> None:
        """The peer has to hear why: it isn't reset, unless it takes longer than it may."""
        if self._socket is not None:
            self._socket.deliver_on_close()

    def _violate(self, error: ProtocolViolation) -> None:
        """Fail the line (RFC 6455, section 7.1.7): say why, hand over nothing more, and let it end."""
        if self.violation is not None:
            return
        self.violation = error
        self._slow = True
        self._fragments.clear()
        self._in_order(partial(self._fail, error))

    def _fail(self, error: ProtocolViolation) -> None:
        if not self._close_sent:
            self._send_close(error.code, "")
        self.deliver_on_close()
        self._events.violated(error)
