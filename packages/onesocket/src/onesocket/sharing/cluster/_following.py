"""This member while another one leads: it reads the feed and its answers, and submits what its processes ask for."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from ..._task_end import leave_alone
from ...errors import EngineFull, EngineUnavailable, IpcError, OnesocketError, OwnerLost
from .._host_options import Own
from ..host._ipc_frames import (
    Answer,
    FrameSplitter,
    Rejection,
    Results,
    Shutdown,
    SubscriptionRefusal,
    ToFollower,
    decode_owner_frame,
    encode_ipc_frame,
)
from ..host._join_credentials import JoinCredentials
from ._coordinator import START, Coordinator, LeaseInfo, Position, Record, RecordKind
from ._feed_payload import FeedReader
from ._relay import Relay
from ._retrying import Adopt, Backoff, end_tasks, start_task, until_done
from ._submitter import Submitter

_WAIT: Final = 5.0
"""Seconds for which the engine is asked to wait for records, at most."""
_ENDS: Final = frozenset({RecordKind.BEGAN, RecordKind.ENDED})
_IS_KNOWN: Final = 1
"""Bit of `Hello.ownership_id` of a member that reads the epoch from its beginning: it needs no state."""
_WAS_SUBSCRIBED: Final = 2
"""Bit of a member of which the leader has had subscriptions: they have ended, and begin anew with this introduction."""


def nonce_for(member: str, epoch: int) -> bytes:
    """The nonce of a member's proofs to the leader of an epoch."""
    return f"cluster {epoch} {member}".encode()


def needs_state(ownership_id: int) -> bool:
    """True if a member with this `Hello` begins to read within the epoch."""
    return not ownership_id & _IS_KNOWN


def has_lost_subscriptions(ownership_id: int) -> bool:
    """True if a member with this `Hello` has submitted subscriptions in this epoch; the leader may not know them."""
    return bool(ownership_id & _WAS_SUBSCRIBED)


class FollowingEvents(Protocol):
    """Receives what a member hears of the leader. None of these raises."""

    def on_frame(self, frame: ToFollower) -> None:
        """Take a frame of the feed."""

    def on_leader_gone(self, error: OnesocketError) -> None:
        """Note that the epoch ended: the next frame is of another leader."""

    def on_missed(self) -> None:
        """Note that messages may be missing before the next frame, and that nothing of the feed will tell it."""

    def on_silence(self, error: OnesocketError) -> None:
        """Note that the engine has been away for a while."""

    def on_heard(self) -> None:
        """Note that the engine is back; nothing is known to be missing."""

    def on_rejected(self, error: OnesocketError) -> None:
        """Note that the leader keeps this member out, for good."""


class Following:
    """Follows one epoch after another, for as long as this member does not lead."""

    def __init__(
        self,
        coordinator: Coordinator,
        relay: Relay,
        credentials: JoinCredentials,
        events: FollowingEvents,
        ttl: float,
        *,
        adopt: Adopt = leave_alone,
    ) -> None:
        """`ttl`: of leases, seconds."""
        self._coordinator = coordinator
        self._relay = relay
        self._credentials = credentials
        self._events = events
        self._ttl = ttl
        self._submitter = Submitter(coordinator, relay, ttl)
        self._adopt = adopt
        self._loop = asyncio.get_running_loop()
        self.epoch = 0
        """The newest epoch that this member has heard of."""
        self._leader = ""
        self.connection_epoch = 0
        """Of the connection, as the leader counts, for gap markers; told by the owner of this."""
        self._feed = START
        self._answers = START
        self._reader = FeedReader(coordinator.member)
        self._answer_splitter = FrameSplitter()
        self._is_led = False
        """True while the epoch has not ended, as far as is known."""
        self._has_missed = False
        """True if records are missing behind which no frame of their epoch was read, so no count has told of them."""
        self._expires = 0.0
        """Time of the loop at which the lease may have ended, if nothing is heard."""
        self._is_silent = False
        self._is_rejected = False
        """True if the leader keeps this member out."""
        self._due: bool | None = None
        """`is_known` of an introduction that an exception kept from being made; None: there is none."""

    def __repr__(self) -> str:
        return f"<Following epoch={self.epoch}{' led' if self._is_led else ''} feed={tuple(self._feed)}>"

    @property
    def position(self) -> Position:
        """Position of the feed up to which this member has read."""
        return self._feed

    @property
    def leader(self) -> str | None:
        """The member that leads, as far as is known."""
        return self._leader if self._is_led else None

    @property
    def is_led(self) -> bool:
        """True while another member leads, as far as is known."""
        return self._is_led

    def wake(self) -> None:
        """Submit what the relay has."""
        self._submitter.wake()

    def idle(self) -> asyncio.Future[None]:
        """Done once the engine has everything that was to be submitted."""
        return self._submitter.idle()

    async def run(self, lease: LeaseInfo) -> None:
        """Follow the member with this lease, until the lease is free, or may be.

        After an unexpected exception (no memory, a bug) the next call goes on where this one was: what it may not have
        passed on is marked as missing, and submissions without a result are of unknown fate.
        """
        self._begin(lease)
        reading, submitting = (start_task(each, self._adopt) for each in (self._read_all(), self._submitter.run()))
        try:
            done, _ = await asyncio.wait((reading, submitting), return_when=asyncio.FIRST_COMPLETED)
            if submitting in done:  # unexpectedly: what it has taken from the relay has no other way to a result
                self._attach_again()
            for task in done:
                task.result()
        finally:
            await end_tasks(reading, submitting)

    def leads_itself(self, epoch: int) -> None:
        """Note that this member has the lease: the epoch before is over."""
        self._has_missed = False  # it goes on where it stands, or begins anew
        self._end_epoch(OwnerLost("another host held the connection, and let go of it, or is gone"), in_order=False)
        self.epoch = epoch

    def note_silence(self, error: OnesocketError) -> None:
        """Note that the engine has been away for the time of a lease."""
        if not self._is_silent:
            self._is_silent = True
            self._events.on_silence(error)

    def _note_heard(self) -> None:
        if self._is_silent:
            self._is_silent = False
            self._events.on_heard()

    # --- epochs -----------------------------------------------------------------------------------------------------

    def _begin(self, lease: LeaseInfo) -> None:
        self._expires = self._loop.time() + lease.remaining
        self._leader = lease.member
        if self._feed == START:  # new: what was before is not for this member
            self._feed = lease.end
            self._answers = Position(lease.epoch, 0)
            self._begin_epoch(lease.epoch, from_start=False)
        elif self._is_rejected or (self._has_to_begin(lease.epoch) and self._feed.epoch >= lease.epoch):
            self._begin_epoch(lease.epoch, from_start=False)
        elif lease.epoch == self.epoch:
            self._note_heard()
            if self._due is not None:
                self._attach_again(is_known=self._due)

    def _has_to_begin(self, epoch: int) -> bool:
        """True if this epoch is new, or an exception came while it began."""
        return epoch > self.epoch or (epoch == self.epoch and not self._is_led)

    def _begin_epoch(self, epoch: int, *, from_start: bool) -> None:
        self._end_epoch(OwnerLost("the host that held the connection let go of it, or is gone"), in_order=False)
        is_whole = not self._has_missed
        if not is_whole:
            self._events.on_missed()
            self._has_missed = False
        self.epoch, self._is_rejected = epoch, False
        self._submitter.begin_epoch(epoch)
        self._reader.begin(from_start=from_start)
        self._introduce(is_known=from_start and is_whole)
        self._is_led = True

    def _introduce(self, *, is_known: bool) -> None:
        """Have the leader take this member as a new one."""
        self._answer_splitter = FrameSplitter()
        nonce = nonce_for(self._coordinator.member, self.epoch)
        had = (_IS_KNOWN if is_known else 0) | (_WAS_SUBSCRIBED if self._relay.is_subscribed else 0)
        hello = self._credentials.hello(nonce, Own.ALLOW, had)
        self._submitter.introduce(encode_ipc_frame(hello))
        self._due = None

    def _end_epoch(self, error: OnesocketError, *, in_order: bool) -> None:
        if not self._is_led:
            return
        self._is_led = False
        try:
            self._submitter.end_epoch()
            self._relay.leader_gone(in_order=in_order)
            self._events.on_leader_gone(error)
        except BaseException:
            self._is_led = True  # it is done again
            raise
        self._submitter.note_end()

    # --- reading ----------------------------------------------------------------------------------------------------

    async def _read_all(self) -> None:
        """Read until the epoch ends, or its lease may have."""
        backoff = Backoff()
        failure: OnesocketError | None = None
        while True:
            left = self._expires - self._loop.time()
            if left <= 0:
                if failure is not None:
                    self.note_silence(failure)
                return  # `acquire` finds out
            try:
                records = await self._coordinator.follow(self._feed, self._answers, min(left, _WAIT))
            except (EngineUnavailable, EngineFull) as error:
                failure = error
                await backoff.wait()
                continue
            failure = None
            backoff.reset()
            if records:
                self._expires = self._loop.time() + self._ttl
                self._note_heard()
            await self._take(records)
            if records and not self._is_led:
                return

    async def read_rest(self, epoch: int) -> None:
        """Take what the feed holds before `epoch`, which this member leads. Raises as `Coordinator.follow`."""
        began = Position(epoch, 0)
        while self._feed != START:  # else it is new
            records = await self._coordinator.follow(self._feed, self._answers, _WAIT)
            await self._take([each for each in records if each.kind is RecordKind.ANSWER or each.position < began])
            if not records or any(each.kind is not RecordKind.ANSWER and each.position >= began for each in records):
                return

    async def _take(self, records: list[Record]) -> None:
        if any(each.kind in _ENDS for each in records):
            await self._take_answers(records)
        for record in records:
            before = self._feed
            try:
                self._on_record(record)
            except BaseException:
                if record.kind in _ENDS:
                    self._feed = before  # it is read once more
                raise

    async def _take_answers(self, records: list[Record]) -> None:
        """Take the answers of an epoch that ends, before its end decides about what has none."""
        while answers := [each for each in records if each.kind is RecordKind.ANSWER]:
            for each in answers:
                self._on_answer(each)
            records = await until_done(lambda: self._coordinator.follow(self._feed, self._answers, 0))

    def _on_record(self, record: Record) -> None:
        if record.kind is RecordKind.ANSWER:
            self._on_answer(record)
            return
        self._feed = record.position
        epoch = record.position.epoch
        if record.kind is RecordKind.MISSED:
            self._has_missed = True
            if epoch == self.epoch:
                self._reader.miss()
                if self._reader.is_waiting:  # the leader's state may be among what is gone
                    self._attach_again(is_known=False)
            return
        if epoch != self.epoch or record.kind is RecordKind.BEGAN:
            self._begin_epoch(epoch, from_start=record.kind is RecordKind.BEGAN)
            self._leader = record.member
        if record.kind is RecordKind.ENDED:
            self._end_epoch(OwnerLost("the host that held the connection let go of it"), in_order=True)
        elif record.kind is RecordKind.BATCH:
            self._on_batch(record.payload)

    def _on_batch(self, payload: bytes) -> None:
        frames: list[ToFollower] = []
        passed = 0
        try:
            frames = self._reader.read(payload, self.connection_epoch)
            if frames:
                self._has_missed = False
            for frame in frames:
                self._events.on_frame(frame)
                passed += 1
        except BaseException as error:
            self._reader.lose(frames[passed:])
            self._has_missed = True
            if self._reader.has_lost_state:
                self._reader.has_lost_state = False
                self._attach_again(is_known=False)
            if not isinstance(error, IpcError):
                raise

    def _on_answer(self, record: Record) -> None:
        last = self._answers
        if record.position <= last:
            return
        self._answers = record.position
        if record.position.epoch != self.epoch:
            return  # of an epoch that is over
        expected = last.number + 1 if last.epoch == self.epoch else 1
        try:
            if record.position.number != expected:
                raise IpcError("answers of the leader are missing")
            bodies = self._answer_splitter.feed(record.payload)
            for frame in [decode_owner_frame(body) for body in bodies]:
                self._on_answer_frame(frame)
        except BaseException as error:
            self._attach_again()
            if not isinstance(error, IpcError):
                raise

    def _on_answer_frame(self, frame: ToFollower) -> None:
        match frame:
            case Results():
                self._relay.on_results(frame)
                if self._relay.has_frames:
                    self._submitter.wake()
            case Answer():
                self._relay.on_answer(frame)
            case SubscriptionRefusal():
                self._relay.on_refusal(frame)
                self._submitter.wake()
            case Rejection(error):
                self._is_rejected = True
                self._relay.leader_gone(in_order=True)
                self._events.on_rejected(error)
            case Shutdown():
                self._attach_again()
            case _:
                pass

    def _attach_again(self, *, is_known: bool = True) -> None:
        """Introduce this member anew: the leader doesn't know it any more, or its answers are lost."""
        is_known = is_known and self._due is not False
        self._due = is_known
        self._relay.leader_gone(in_order=False)
        self._introduce(is_known=is_known)
