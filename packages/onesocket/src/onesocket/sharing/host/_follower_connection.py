"""One follower's connection to its owner, with bounds on both directions."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable
from typing import Final

from ...client._gap import Gap, GapReason, merge_gaps
from ...errors import ForeignUser, IpcError, OnesocketError, SubscriptionRefused
from ...lifecycle._effects import Outcome
from ...wire._handshake import Data
from .._host_options import HostOptions, Own
from ._frame_stream import FrameStream
from ._ipc_frames import (
    Answer,
    Ask,
    GapNotice,
    Hello,
    Rejection,
    Request,
    Result,
    Results,
    SendMessages,
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

_MAX_UNANSWERED: Final = 4096
"""Messages and requests of one follower without a result; its socket isn't read until half of them have one."""


class FollowerConnection(FrameStream):
    """Owner's end of one follower's socket."""

    def __init__(
        self,
        credentials: JoinCredentials,
        options: HostOptions,
        receive: Callable[[FollowerConnection, ToOwner | None], object],
        sock: socket.socket | None = None,
    ) -> None:
        super().__init__()
        self._socket = sock
        self._credentials = credentials
        self._options = options
        self._receive = receive
        """Called with each valid frame, beginning with `Hello`, `StatusRequest` or `StepDown`; with None at the end."""
        self._nonce = secrets.token_bytes(16)
        self._timer: asyncio.TimerHandle | None = None
        self._results: list[Result] = []
        self._unanswered = 0
        self.is_attached = False
        self.own = Own.ALLOW
        """As the process has told."""
        self.is_write_paused = False
        self._gap: Gap | None = None
        """Marker for the batches and markers that were dropped since the follower stopped reading."""
        self.dropped = 0

    def __repr__(self) -> str:
        state = "full" if self.is_write_paused else "attached" if self.is_attached else "new"
        return f"<FollowerConnection pid={self.peer_pid} {state} dropped={self.dropped} unanswered={self._unanswered}>"

    # --- to the follower --------------------------------------------------------------------------------------------

    def welcome(self, frame: Welcome) -> None:
        """Accept the follower."""
        self.is_attached = True
        self.send_frame(frame)

    def reject(self, error: OnesocketError) -> None:
        """Refuse the follower, and close."""
        self.send_frame(Rejection(error))
        self.close()

    def send_batch(self, data: bytes, messages: int, epoch: int) -> None:
        """Write an encoded batch, which is all of this turn of the loop; drop it while the follower doesn't read."""
        if self.is_write_paused:
            self.dropped += messages
            self._keep_gap(Gap(GapReason.OVERFLOW, epoch, messages))
        else:
            self.write_now(data)

    def send_gap(self, gap: Gap, data: bytes) -> None:
        """Write a gap marker (encoded: `data`); keep it while the follower doesn't read."""
        if self.is_write_paused:
            self._keep_gap(gap)
        else:
            self.write_now(data)

    def refused(self, error: SubscriptionRefused) -> None:
        """Report keys that were refused, which this follower doesn't have any more."""
        self.send_frame(SubscriptionRefusal(list(error.keys), error.reason, error.retryable))

    def send_snapshot(self, number: int, frames: list[Data]) -> None:
        """Write the answer to a request for a snapshot, in portions."""
        portions = list(split_by_size(frames, len)) or [[]]
        for portion in portions:
            self.write_now(encode_ipc_frame(SnapshotAnswer(number, portion, portion is not portions[-1])))

    def _keep_gap(self, gap: Gap) -> None:
        self._gap = gap if self._gap is None else merge_gaps(self._gap, gap)

    def add_result(self, number: int, outcome: Outcome | None, error: OnesocketError | None) -> None:
        """Report the result of message or request `number`, at the end of this turn of the loop."""
        if not self._results:
            self._loop.call_soon(self.flush_results)
        self._results.append((number, outcome, error))
        self.release_slot()

    def add_answer(self, number: int, data: Data) -> bool:
        """Write an answer to request `number`; returns False if the follower doesn't read. Raises `IpcError`."""
        self.send_frame(Answer(number, data))
        return not self.is_write_paused

    def release_slot(self) -> None:
        """Count one unanswered message or request less."""
        self._unanswered -= 1
        if self._unanswered == _MAX_UNANSWERED // 2:
            self._update_reading()

    def flush_results(self) -> None:
        """Write the results of this turn."""
        results, self._results = self._results, []
        if results:
            self.send_frame(Results(results))

    # --- from the follower ------------------------------------------------------------------------------------------

    def on_open(self, transport: asyncio.Transport) -> None:
        """Bound the bytes that wait for the follower, and send the challenge."""
        transport.set_write_buffer_limits(self._options.buffer, self._options.buffer // 4)
        self._timer = self._loop.call_later(self._options.attach_timeout, self.abort)
        self.send_frame(self._credentials.challenge(self._nonce))

    def on_foreign_user(self, error: ForeignUser) -> None:
        """Report the reason, and nothing else."""
        self.send_frame(Rejection(error))

    def on_frame(self, body: bytes) -> None:
        """Check the order and the number of frames, and pass each on."""
        frame = decode_follower_frame(body)
        is_introduction = isinstance(frame, Hello | StatusRequest | StepDown)
        if is_introduction and self.is_attached:
            raise IpcError("a follower introduced itself twice")
        if not is_introduction and not self.is_attached:
            raise IpcError("a follower did not introduce itself")
        match frame:
            case SendMessages(messages):
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
        if self.is_attached:
            self.is_attached = False
            self._receive(self, None)

    def pause_writing(self) -> None:
        """The follower does not read: from here on batches are dropped and counted."""
        self.is_write_paused = True
        self._update_reading()
        self._stop_timer()
        self._timer = self._loop.call_later(self._options.cut_off_after, self._cut_off)

    def resume_writing(self) -> None:
        """The follower reads again: send the marker for the dropped batches."""
        self.is_write_paused = False
        self._update_reading()
        self._stop_timer()
        gap, self._gap = self._gap, None
        if gap is not None:
            self.send_frame(GapNotice(gap))

    def _take_slots(self, count: int) -> None:
        self._unanswered += count
        if self._unanswered >= _MAX_UNANSWERED:
            self._update_reading()

    def _update_reading(self) -> None:
        self.set_reading(on=not self.is_write_paused and self._unanswered < _MAX_UNANSWERED)

    def _cut_off(self) -> None:
        self._end(None)
        self.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
