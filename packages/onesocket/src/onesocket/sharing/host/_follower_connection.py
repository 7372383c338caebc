"""One follower's connection to its owner: fed from the ring, with bounds on both directions."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections import deque
from collections.abc import Callable
from typing import Final

from ...errors import ForeignUser, IpcError, OnesocketError, SubscriptionRefused
from ...lifecycle._effects import Outcome
from ...wire._handshake import Data
from .._host_options import HostOptions, Own
from ._frame_stream import FrameStream
from ._ipc_frames import (
    PART_STRIDE,
    Answer,
    Ask,
    Hello,
    Rejection,
    Request,
    SendMessages,
    Shutdown,
    SnapshotAnswer,
    StatusRequest,
    StepDown,
    SubscriptionRefusal,
    ToOwner,
    Welcome,
    decode_follower_frame,
    encode_ipc_frame,
    split_by_size,
)
from ._join_credentials import JoinCredentials
from ._message_ring import RingReader
from ._process_outbox import MAX_IN_FLIGHT
from ._requesters import ResultBatch

_READ_BYTES: Final = 2**16
_MAX_UNANSWERED: Final = 2 * MAX_IN_FLIGHT
"""Messages and requests of one follower without a result; its socket isn't read until half of them have one."""
_WRITE_BUFFER: Final = 2**18
"""Bytes that wait for the socket before the rest waits in the ring: heartbeats, results and answers pass it there."""
_MAX_REPLIES: Final = 2**20
"""Bytes that wait for the socket, mostly of results and answers, before nothing more is read from the follower."""


class FollowerConnection(FrameStream):
    """Owner's end of one follower's socket."""

    def __init__(
        self,
        credentials: JoinCredentials,
        options: HostOptions,
        receive: Callable[[FollowerConnection, ToOwner | None], object],
        sock: socket.socket | None = None,
    ) -> None:
        super().__init__(_READ_BYTES)
        self._socket = sock
        self._credentials = credentials
        self._options = options
        self._receive = receive
        """Called with each valid frame, beginning with `Hello`, `StatusRequest` or `StepDown`; with None at the end."""
        self._nonce = secrets.token_bytes(16)
        self._timer: asyncio.TimerHandle | None = None
        self._results = ResultBatch()
        self._is_reading = False
        self._unanswered = 0
        self.is_attached = False
        self.own = Own.ALLOW
        """As the process has told."""
        self.is_write_paused = False
        self._reader: RingReader | None = None
        """Its place in the ring; None: it is not attached."""
        self._rest: memoryview | None = None
        """Further parts of a frame of the ring."""
        self._snapshots: deque[tuple[int, int, list[Data]]] = deque()
        """Answers to requests for a snapshot: the number of the ring's entry before which each stands, the number of
        its request, and its messages."""
        self._shutdown: Shutdown | None = None
        """The last frame, once the owner leaves."""
        self._finished: asyncio.Future[None] = self._loop.create_future()
        self.read_at = self._loop.time()
        """Time at which the socket last had room, as the follower had read."""
        self._taken = 0
        """Bytes that the socket had taken when the timer was set."""

    def __repr__(self) -> str:
        state = "full" if self.is_write_paused else "attached" if self.is_attached else "new"
        return f"<FollowerConnection pid={self.peer_pid} {state} {self._reader} unanswered={self._unanswered}>"

    @property
    def dropped(self) -> int:
        """Messages that the ring had not any more when this follower came to them."""
        return 0 if self._reader is None else self._reader.missed

    @property
    def next_number(self) -> int:
        """Number of the next entry of the ring for this follower."""
        return 0 if self._reader is None else self._reader.number

    @property
    def is_caught_up(self) -> bool:
        """True if everything in the ring is written."""
        return self._rest is None and (self._reader is None or self._reader.is_at_end)

    @property
    def is_backed_up(self) -> bool:
        """True if the follower doesn't read its results and answers."""
        return self._transport is not None and self._transport.get_write_buffer_size() > _MAX_REPLIES

    # --- to the follower --------------------------------------------------------------------------------------------

    def welcome(self, frame: Welcome, reader: RingReader) -> None:
        """Accept the follower, and feed it from its place in the ring."""
        self.is_attached = True
        self._reader = reader
        self.send_frame(frame)
        self.feed()

    def reject(self, error: OnesocketError) -> None:
        """Refuse the follower, and close."""
        self.send_frame(Rejection(error))
        self.close()

    def feed(self) -> None:
        """Write what the ring has for this follower, until the socket is full."""
        reader = self._reader
        if reader is None:
            return
        while not self.is_write_paused and self.is_writable:
            if self._rest is None and self._snapshots and reader.reaches(self._snapshots[0][0]):
                self._write_snapshot(*self._snapshots.popleft()[1:])
                continue
            frame = self._rest or reader.read()
            if frame is None:
                break
            if len(frame) <= PART_STRIDE:
                self._rest = None
                self.write_now(frame)
            else:
                parts = memoryview(frame)
                self._rest = parts[PART_STRIDE:]
                self.write_now(parts[:PART_STRIDE])
        if self._shutdown is not None and self.is_caught_up:
            self._loop.call_soon(self._on_caught_up)  # what is being added to the ring is added first

    def _on_caught_up(self) -> None:
        if self._shutdown is not None and self.is_caught_up:
            self.finish()

    def shut_down(self, frame: Shutdown) -> asyncio.Future[None]:
        """Tell of the orderly end behind everything in the ring, and close.

        The returned future is done then, or with the connection.
        """
        self._shutdown = frame
        if self.is_over or self.is_caught_up:
            self.finish()
        return self._finished

    def finish(self) -> None:
        """Write the last results, tell of the orderly end, and close, whatever is left in the ring."""
        if self._shutdown is not None and not self.is_over:
            self.flush_results()
            self.send_frame(self._shutdown)
            self.close()
        if not self._finished.done():
            self._finished.set_result(None)

    def refused(self, error: SubscriptionRefused) -> None:
        """Report keys that were refused, which this follower doesn't have any more."""
        self.send_frame(SubscriptionRefusal(list(error.keys), error.reason, error.retryable))

    def send_snapshot(self, number: int, frames: list[Data]) -> None:
        """Write the answer to a request for a snapshot behind everything that is in the ring now.

        It waits for that, and not for the end of the ring: a follower that lags all the time never gets there.
        """
        if self._reader is not None:
            self._snapshots.append((self._reader.end_number, number, frames))
            self.feed()

    def _write_snapshot(self, number: int, frames: list[Data]) -> None:
        """Write it in portions."""
        portions = list(split_by_size(frames, len)) or [[]]
        for portion in portions:
            self.write_now(encode_ipc_frame(SnapshotAnswer(number, portion, portion is not portions[-1])))

    def add_result(self, number: int, outcome: Outcome | None, error: OnesocketError | None) -> None:
        """Report the result of message or request `number`, with those of one read or one turn of the loop."""
        if not self._is_reading and not self._results:
            self._loop.call_soon(self.flush_results)
        self._results.add(number, outcome, error)
        self.release_slot()

    def add_answer(self, number: int, data: Data) -> bool:
        """Write an answer to request `number`; returns False if the follower has not read what it got before.

        Raises `IpcError` or `EncodeError`.
        """
        waiting = 0 if self._transport is None else self._transport.get_write_buffer_size()
        self.send_frame(Answer(number, data))
        return waiting <= max(self._options.buffer, _MAX_REPLIES)  # messages of the connection wait there, too

    def release_slot(self) -> None:
        """Count one unanswered message or request less."""
        self._unanswered -= 1
        if self._unanswered == _MAX_UNANSWERED // 2:
            self._update_reading()

    def flush_results(self) -> None:
        """Write the results so far."""
        if self._results:
            self.write_now(encode_ipc_frame(self._results.take()))
            if self.is_backed_up:
                self._update_reading()

    # --- from the follower ------------------------------------------------------------------------------------------

    def on_open(self, transport: asyncio.Transport) -> None:
        """Bound the bytes that wait for the follower, and send the challenge."""
        transport.set_write_buffer_limits(_WRITE_BUFFER, _WRITE_BUFFER // 4)
        self._timer = self._loop.call_later(self._options.attach_timeout, self.abort)
        self.send_frame(self._credentials.challenge(self._nonce))

    def on_foreign_user(self, error: ForeignUser) -> None:
        """Report the reason, and nothing else."""
        self.send_frame(Rejection(error))

    def buffer_updated(self, nbytes: int) -> None:
        """Handle the bytes of one read, and write the results together."""
        self._is_reading = True
        try:
            super().buffer_updated(nbytes)
        finally:
            self._is_reading = False
            self.flush_results()

    def on_frame(self, body: bytes | bytearray) -> None:
        """Check the order and the number of frames, and pass each on."""
        frame = decode_follower_frame(body)
        is_introduction = isinstance(frame, Hello | StatusRequest | StepDown)
        if is_introduction and self.is_attached:
            raise IpcError("a follower introduced itself twice")
        if not is_introduction and not self.is_attached:
            raise IpcError("a follower did not introduce itself")
        match frame:
            case SendMessages(messages=messages):
                self._take_slots(len(messages))
            case Request() | Ask():
                self._take_slots(1)
            case Hello(own=own):
                self._stop_timer()
                self.own = own
                try:
                    self._credentials.check_hello(frame, self._nonce)
                except OnesocketError as error:
                    self.reject(error)
                    return
            case _:
                pass
        self._receive(self, frame)

    def on_end(self, error: IpcError | None) -> None:
        """Report the end of an accepted follower."""
        del error
        self._stop_timer()
        if not self._finished.done():
            self._finished.set_result(None)
        if self.is_attached:
            self.is_attached = False
            self._receive(self, None)

    def pause_writing(self) -> None:
        """The socket is full: from here on messages wait in the ring."""
        self.is_write_paused = True
        self.read_at = self._loop.time()
        self._await_progress()

    def resume_writing(self) -> None:
        """The socket has room again: go on with the messages in the ring."""
        self.is_write_paused = False
        self._stop_timer()
        self._update_reading()
        self.feed()

    def _await_progress(self) -> None:
        """Cut the follower off if it reads nothing for too long."""
        self._stop_timer()
        if self._transport is not None:
            self._taken = self.written - self._transport.get_write_buffer_size()
            self._timer = self._loop.call_later(self._options.cut_off_after, self._check_progress)

    def _check_progress(self) -> None:
        if self._transport is not None and self.written - self._transport.get_write_buffer_size() > self._taken:
            self._await_progress()
        else:
            self._cut_off()

    def _take_slots(self, count: int) -> None:
        self._unanswered += count
        if self._unanswered >= _MAX_UNANSWERED:
            self._update_reading()

    def _update_reading(self) -> None:
        self.set_reading(on=not self.is_backed_up and self._unanswered < _MAX_UNANSWERED)

    def _cut_off(self) -> None:
        self._end(None)
        self.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
