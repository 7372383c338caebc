"""One follower, as its owner sees it: bounded, whatever it does."""

from __future__ import annotations

import asyncio
import hmac
import os
import socket
from collections.abc import Mapping
from typing import Any, Final, Protocol

from ...client._gap import Gap, GapReason
from ...errors import OnesocketError
from .._option_digests import dial_conflict, first_differing_option, option_proofs
from ._errors import ForeignUser, TokenMismatch, VersionMismatch, WireError
from ._frame_stream import FrameStream
from ._inbound_buffer import merge_gaps
from ._ipc_frames import (
    PROTOCOL_VERSION,
    Cancellation,
    Challenge,
    ControlRequest,
    Hello,
    OutgoingMessages,
    Rejection,
    Results,
    StatusRequest,
    StepDown,
    SubscriptionUpdate,
    decode_follower_frame,
    encode_ipc_frame,
)
from ._serialization import serialize_error, serialize_gap

_MAX_UNANSWERED: Final = 4096
"""Messages and questions of one follower that may be without a result; then it's not read until half have one."""


class FollowerConnectionEvents(Protocol):
    """Callbacks of a follower's connection to the owner."""

    secret: bytes
    digests: Mapping[str, str]
    release: str
    buffer: int
    cut_off_after: float
    attach_timeout: float

    def attached(self, peer: FollowerConnection) -> bool:
        """A follower is authenticated. Returns False if there is no place for it."""
        ...

    def detached(self, peer: FollowerConnection) -> None:
        """A follower is gone."""

    def on_status_request(self, peer: FollowerConnection) -> None:
        """A process asks for the status."""

    def on_outgoing_messages(self, peer: FollowerConnection, messages: list[tuple[int, Any]]) -> None:
        """A follower hands over messages to send."""

    def on_control_request(self, peer: FollowerConnection, number: int, verb: str) -> None:
        """A follower requests connect, reconnect or disconnect."""

    def on_cancellation(self, peer: FollowerConnection, number: int) -> None:
        """A follower cancels its request."""

    def on_subscription_update(self, peer: FollowerConnection, add: list[Any], remove: list[Any]) -> None:
        """Its subscriptions changed."""

    def on_step_down_request(self) -> None:
        """We were silent for too long."""

    @property
    def epoch(self) -> int:
        """Of the present line."""
        ...


class FollowerConnection(FrameStream):
    """Owner's end of one follower's socket."""

    def __init__(self, owner: FollowerConnectionEvents, nonce: bytes, sock: socket.socket | None = None) -> None:
        super().__init__()
        self._socket = sock
        self._owner = owner
        self._nonce = nonce
        self._timer: asyncio.TimerHandle | None = None
        self._results: list[tuple[int, Any]] = []
        self._open = 0
        self.is_attached = False
        self.is_write_paused = False
        self._missed = 0
        """Messages dropped since it stopped reading."""
        self._gap: Gap | None = None
        """All the markers that it would have got since then."""
        self.dropped = 0

    def __repr__(self) -> str:
        state = "full" if self.is_write_paused else "attached" if self.is_attached else "new"
        return f"<Peer pid={self.peer_pid} {state} dropped={self.dropped} open={self._open}>"

    # --- to it ------------------------------------------------------------------------------------------------------

    def send_batch(self, data: bytes, messages: int) -> None:
        """Write it a packed batch, which is all of this turn of the loop, or drop that while it doesn't read."""
        if self.is_write_paused:
            self._missed += messages
            self.dropped += messages
        else:
            self.write(data)

    def send_gap(self, gap: Gap, data: bytes) -> None:
        """Write it a gap marker (packed: `data`), or keep that for it while it doesn't read."""
        if self.is_write_paused:
            self._gap = gap if self._gap is None else merge_gaps(self._gap, gap)
        else:
            self.write(data)

    def result(self, number: int, what: str | OnesocketError) -> None:
        """Report the result of message or request `number`."""
        if not self._results:
            self._loop.call_soon(self.flush_results)
        self._results.append((number, what if isinstance(what, str) else serialize_error(what)))
        self.release_slot()

    def release_slot(self) -> None:
        """One message or question less that has no result yet."""
        self._open -= 1
        if self._open == _MAX_UNANSWERED // 2:
            self._update_reading()

    def flush_results(self) -> None:
        """Write the results of this turn."""
        results, self._results = self._results, []
        if results:
            self.tell(Results(results))

    # --- from it ----------------------------------------------------------------------------------------------------

    def opened(self) -> None:
        """Ask who it is."""
        self.set_write_limits(self._owner.buffer)
        self._timer = self._loop.call_later(self._owner.attach_timeout, self.abort)
        self.tell(Challenge(PROTOCOL_VERSION, self._owner.release, self._nonce))

    def refused(self, error: ForeignUser) -> None:
        """Another user's: it learns that, and nothing else."""
        self.tell(Rejection(serialize_error(error)))

    def on_frame(self, body: bytes) -> None:
        """One frame."""
        frame = decode_follower_frame(body)
        if not self.is_attached:
            self._introduced(frame)
            return
        match frame:
            case OutgoingMessages(messages):
                self._take_slots(len(messages))
                self._owner.on_outgoing_messages(self, messages)
            case ControlRequest(number, verb):
                self._take_slots(1)
                self._owner.on_control_request(self, number, verb)
            case Cancellation(number):
                self._owner.on_cancellation(self, number)
            case SubscriptionUpdate(add, remove):
                self._owner.on_subscription_update(self, add, remove)
            case StepDown():
                self._owner.on_step_down_request()
            case Hello() | StatusRequest():
                raise WireError("a follower introduced itself twice")

    def on_end(self, error: WireError | None) -> None:
        """The connection of the follower has ended."""
        del error
        self._stop_timer()
        if self.is_attached:
            self.is_attached = False
            self._owner.detached(self)

    def pause_writing(self) -> None:
        """The follower does not read: from here on batches are dropped and counted."""
        self.is_write_paused = True
        self._update_reading()
        self._stop_timer()
        self._timer = self._loop.call_later(self._owner.cut_off_after, self._cut_off)

    def resume_writing(self) -> None:
        """The follower reads again, and is told the number of messages that it missed."""
        self.is_write_paused = False
        self._update_reading()
        self._stop_timer()
        gap, self._gap = self._gap, None
        missed, self._missed = self._missed, 0
        if missed:
            dropped = Gap(GapReason.OVERFLOW, self._owner.epoch, missed)
            gap = dropped if gap is None else merge_gaps(gap, dropped)
        if gap is not None:
            self.tell(serialize_gap(gap, gap.epoch))

    # --- inside -----------------------------------------------------------------------------------------------------

    def _introduced(self, frame: object) -> None:
        match frame:
            case Hello():
                self._stop_timer()
                error = self._objection(frame)
                if error is not None:
                    self.tell(Rejection(serialize_error(error)))
                    self.close()
                    return
                self.is_attached = True
                if not self._owner.attached(self):
                    self.is_attached = False
                    self.close()
            case StatusRequest():
                self._owner.on_status_request(self)
                self.close()
            case _:
                raise WireError("a follower did not introduce itself")

    def _objection(self, hello: Hello) -> OnesocketError | None:
        if hello.protocol != PROTOCOL_VERSION:
            return VersionMismatch(
                f"the process that holds the connection (pid {os.getpid()}) runs onesocket {self._owner.release} with "
                f"sharing protocol {PROTOCOL_VERSION}, this one runs {hello.release[:40]} with {hello.protocol}: "
                "use one release for both",
                ours=hello.protocol,
                theirs=PROTOCOL_VERSION,
            )
        secret = self._owner.secret
        if not hmac.compare_digest(hello.proof, secret_proof(secret, self._nonce)):
            return TokenMismatch(
                f"another process (pid {os.getpid()}) shares this key with another token, or another user "
                "name or password in the URL; use the same, or another key="
            )
        option = first_differing_option(option_proofs(self._owner.digests, secret, self._nonce), hello.options)
        if option is None:
            return None
        return dial_conflict(f"another process (pid {os.getpid()}) shares this connection", option)

    def _take_slots(self, count: int) -> None:
        self._open += count
        if self._open >= _MAX_UNANSWERED:
            self._update_reading()

    def _update_reading(self) -> None:
        self.set_reading(on=not self.is_write_paused and self._open < _MAX_UNANSWERED)

    def _cut_off(self) -> None:
        self._end(None)
        self.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def secret_proof(secret: bytes, nonce: bytes) -> bytes:
    """HMAC proof that this process holds the shared secret."""
    return hmac.digest(secret, b"onesocket " + nonce, "sha256")


def try_encode_ipc_frame(frame: Any) -> bytes | None:
    """The frame for many; None: it's too long for anybody."""
    try:
        return encode_ipc_frame(frame)
    except WireError:
        return None
