"""The frames of one connection, as picows parses them, and the rules of RFC 6455 that its core leaves to its user."""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from picows import WSFrame, WSListener, WSMsgType, WSTransport

from ..errors import InvalidText, ProtocolViolation
from ..wire._handshake import Data, DialRequest, Handshake, size_of
from ._close_frame import NO_STATUS, NORMAL_CLOSURE, close_code, is_sendable
from ._stream_flow import MAY_SEND, OPEN, PAUSED, StreamFlow, StreamPhase
from ._tls_write_monitor import disable_write_buffer
from ._transport import TransportEvents

# Messages of one burst that are delivered in one turn of the loop; the rest waits for the next turns.
SLICE: Final = 512
# Messages delivered at once, between two checks whether a reader has paused.
_BATCH: Final = 64

_TEXT: Final = WSMsgType.TEXT
_BINARY: Final = WSMsgType.BINARY
_CONTINUATION: Final = WSMsgType.CONTINUATION
_PING: Final = WSMsgType.PING
_PONG: Final = WSMsgType.PONG


class _PeerClose(enum.Enum):
    """How far the peer's CLOSE frame has come."""

    NONE = "none"
    ANSWERED = "answered as the parser saw it; its frame is handed over next"
    TAKEN = "its frame was handed over"


class PicowsListener(StreamFlow, WSListener):
    """Makes frames into whole messages, enforces RFC 6455, and delivers messages in fair slices."""

    def __init__(self, request: DialRequest, events: TransportEvents, received: Callable[[Data], object]) -> None:
        super().__init__(request, events, received)
        self.handshake = Handshake()
        self.violation: ProtocolViolation | None = None
        self._ws: WSTransport | None = None
        self._fast = True
        """Only whole messages come: no fragments, nothing held back, no close under way."""
        self._batch: list[Data] = []
        """Whole messages of the current read, until its last frame."""
        self._held: deque[list[Data] | Callable[[], None]] = deque()
        """Received and not delivered, in order: batches of messages, and events that must not overtake them."""
        self._this_turn = 0
        """Messages delivered in this turn of the loop."""
        self._drained: asyncio.Future[None] | None = None
        self._peer_close = _PeerClose.NONE
        self._refused = False
        """picows' parser has refused a frame; the message before it was still valid."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._phase.value} reading={self._reading.value} held={len(self._held)}>"

    # --- called by picows -------------------------------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Note that the upgrade has succeeded."""
        self._ws = transport
        disable_write_buffer(transport.underlying_transport)
        self._opened(self.handshake)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take one frame. On the fast path it is a whole message, which is kept until the read is over."""
        if not self._fast or not frame.fin or frame.rsv1 or frame.rsv2 or frame.rsv3:
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
            if transport.is_close_frame_sent and self._phase is MAY_SEND:
                self._drop_refused()
            self._end_batch()

    def parser_refuses(self) -> None:
        """Note that picows' parser, which is one frame ahead, will send CLOSE because of the frame that it reads."""
        self._deliver_on_close()
        handshake = self._ws.close_handshake if self._ws is not None else None
        if handshake is None or handshake.recv is None or self._phase is not MAY_SEND:
            return
        # The frame that it hands over next is the peer's CLOSE. Frames after a CLOSE don't count (section 5.5.1), so
        # the answer is that to the CLOSE; picows sends no second one.
        code = close_code(handshake.recv.code)
        self._peer_close = _PeerClose.ANSWERED
        self._send_close(code if is_sendable(code) else NORMAL_CLOSURE)

    @property
    def _was_closed(self) -> bool:
        """True once a valid CLOSE of the peer has come: frames after it don't count."""
        return self._peer_close is _PeerClose.TAKEN and self.violation is None

    # --- messages ---------------------------------------------------------------------------------------------------

    def _end_batch(self) -> None:
        """Deliver the messages of this read; more than a slice waits for the next turns."""
        batch = self._batch
        if not batch:
            return
        self._batch = []
        if self._reading is not OPEN or self._this_turn + len(batch) > SLICE:
            self._hold(*(batch[start : start + _BATCH] for start in range(0, len(batch), _BATCH)))
        else:
            self._count(len(batch))
            self._deliver(batch)

    def _count(self, messages: int) -> None:
        """Count towards the slice of this turn, which may see several reads."""
        if self._this_turn == 0:
            self._loop.call_soon(self._end_turn)
        self._this_turn += messages

    def _end_turn(self) -> None:
        self._this_turn = 0

    def _deliver(self, batch: list[Data]) -> None:
        if self._received_many is not None:
            self._received_many(batch)
            return
        for place, data in enumerate(batch):
            if self._reading is PAUSED:
                self._held.appendleft(batch[place:])
                return
            self._received(data)

    def _drop_refused(self) -> None:
        """Keep, once, the messages that were parsed before the frame that picows' parser refused.

        A frame that is too big is refused, and handed over all the same, in a later read.
        """
        first, self._refused = not self._refused, True
        self._fast = False
        limit = self._request.max_size
        valid: list[Data] = []
        for data in self._batch if first else ():
            if limit is not None and size_of(data) > limit:
                break
            valid.append(data)
        self._batch = valid

    # --- frames off the fast path -----------------------------------------------------------------------------------

    def _take_slowly(self, transport: WSTransport, kind: WSMsgType, frame: WSFrame) -> None:
        refused = transport.is_close_frame_sent and self._phase is MAY_SEND
        if self._batch and refused:
            self._drop_refused()
        if self.violation is not None or self._peer_close is _PeerClose.TAKEN:
            return  # frames after the end don't count (RFC 6455, section 5.5.1)
        if refused and not self._is_last_valid(frame):
            return
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._violate(ProtocolViolation("the server set a reserved bit, but no extension was agreed on"))
        elif kind is _PING:
            self._answer_ping(frame.get_payload_as_bytes())
        elif kind is _PONG:
            self._events.pong(frame.get_payload_as_bytes())
        elif kind is WSMsgType.CLOSE:
            self._take_close(frame)
        elif kind is _CONTINUATION:
            if self._fragments.under_way:
                self._collect(frame)
            else:
                self._violate(ProtocolViolation("the server continued a message that it never began"))
        elif self._fragments.under_way:
            self._violate(ProtocolViolation("the server began a message before the fragmented one was complete"))
        else:
            self._fragments.begin(is_text=kind is _TEXT)
            self._collect(frame)

    def _is_last_valid(self, frame: WSFrame) -> bool:
        """Return whether this frame, which comes after picows' parser refused one, was parsed before that.

        The parser looks one frame ahead, so there is at most one; one that is too big is handed over all the same.
        """
        first, self._refused = not self._refused, True
        limit = self._request.max_size
        return first and (limit is None or frame.payload_size <= limit)

    def _collect(self, frame: WSFrame) -> None:
        self._fast = False
        try:
            message = self._fragments.add(frame.get_payload_as_bytes(), last=frame.fin)
        except ProtocolViolation as error:
            self._violate(error)
            return
        if message is not None:
            self._batch.append(message)
            self._update_fast()

    # --- slices -----------------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Deliver no message until `resume`, and stop reading."""
        super().pause()
        self._update_fast()

    async def drained(self) -> None:
        """Wait until everything that was received has been delivered."""
        if self._held:
            self._unpause()
            self._drained = self._loop.create_future()
            await self._drained

    def _hold(self, *items: list[Data] | Callable[[], None]) -> None:
        self._fast = False
        self._held.extend(items)
        self._stop_socket()
        if self._reading is not PAUSED:
            self._drain_soon()

    def _drain(self) -> None:
        self._drain_handle = None
        self._count(SLICE)
        for _ in range(SLICE // _BATCH):
            if not self._held or self._reading is PAUSED:
                break
            item = self._held.popleft()
            if callable(item):
                item()
            else:
                self._deliver(item)
        if self._reading is PAUSED:
            return
        if self._held:
            self._drain_soon()
            return
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._start_socket()
        self._update_fast()

    def _in_order(self, call: Callable[[], None]) -> None:
        """Call this after everything that was received before has been delivered."""
        self._end_batch()
        if self._held or self._reading is PAUSED:
            self._hold(call)
        else:
            call()

    def _update_fast(self) -> None:
        is_flowing = self._reading is OPEN and not self._fragments.under_way and self.violation is None
        self._fast = is_flowing and self._phase is not StreamPhase.CLOSE_SENT

    # --- sending and the close handshake ----------------------------------------------------------------------------

    def send(self, data: Data) -> bool:
        """Write one message; False if the connection takes none any more."""
        ws = self._ws
        if ws is None or self._phase is not MAY_SEND or ws.is_close_frame_sent or ws.is_disconnected:
            return False
        ws.send(_TEXT if isinstance(data, str) else _BINARY, data)
        if ws.underlying_transport.is_closing() and self._writable:
            self.pause_writing()  # this write met the end of the connection: delivery is unknown
        return True

    def ping(self, payload: bytes) -> None:
        """Write a PING."""
        if self._ws is not None and self._phase is MAY_SEND:
            self._ws.send_ping(payload)

    def abort(self, code: int | None) -> None:
        """End the connection now, and drop what was not delivered: a deadline has passed."""
        if self._ws is None:
            return
        if code is not None and self._writable and self._phase is MAY_SEND:
            self._send_close(code)
        self._held.clear()
        self._unpause()
        self._ws.disconnect(graceful=False)

    def _write_pong(self, payload: bytes) -> None:
        if self._ws is not None:
            self._ws.send_pong(payload)

    def _write_close(self, code: int, reason: str) -> None:
        self._fast = False
        if self._ws is not None:
            self._ws.send_close(code, reason)  # type: ignore[arg-type] # its stub knows only the registered codes

    def _take_close(self, frame: WSFrame) -> None:
        was_answered = self._peer_close is _PeerClose.ANSWERED
        self._peer_close = _PeerClose.TAKEN
        self._fast = False
        payload = frame.get_payload_as_bytes()
        code = int.from_bytes(payload[:2], "big")
        if payload and not is_sendable(code):
            self._violate(ProtocolViolation(f"the server closed with {code}, which is no code to be sent"))
            self._in_order(self._disconnect)
            return
        reason = frame.get_close_reason() or ""
        self._in_order(partial(self._closed_by_peer, code, reason, was_answered=was_answered))

    def _closed_by_peer(self, code: int, reason: str, *, was_answered: bool) -> None:
        if self._phase is MAY_SEND and self._ws is not None and not self._ws.is_close_frame_sent:
            self._send_close(code or NORMAL_CLOSURE)
            was_answered = True
        if was_answered:
            self._events.peer_closed(code or NO_STATUS, reason)
        self._disconnect()

    def _disconnect(self) -> None:
        if self._ws is not None:
            self._close_when_delivered(self._ws.disconnect)

    def _violate(self, error: ProtocolViolation) -> None:
        """Fail the connection (RFC 6455, section 7.1.7): send the reason, deliver no message after it, and close."""
        if self.violation is not None:
            return
        self.violation = error
        self._fast = False
        self._fragments.clear()
        self._in_order(partial(self._fail, error))

    def _fail(self, error: ProtocolViolation) -> None:
        if self._phase is MAY_SEND:
            self._send_close(error.code)
        self._deliver_on_close()
        self._events.violated(error)
