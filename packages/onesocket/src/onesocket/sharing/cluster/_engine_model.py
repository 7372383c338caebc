"""Model of an engine for one key: the semantics of `Coordinator`, without I/O. Times are an argument.

`MemoryEngine` runs on it, and tests compare the scripts of the real engines with it.
"""

from __future__ import annotations

from collections import defaultdict, deque

from ...errors import Fenced, MailboxFull
from ._cluster_view import AnnouncedMember
from ._coordinator import (
    NO_LAG,
    START,
    Lag,
    Lease,
    LeaseInfo,
    Position,
    PreviousEpoch,
    Record,
    RecordKind,
    Submission,
)
from ._engine_errors import fenced
from ._feed_gaps import with_gaps


class EngineModel:
    """State of an engine for one key, with its atomic steps. Each step takes the time `now` in seconds."""

    def __init__(self, *, records: int = 10_000, mails: int = 10_000) -> None:
        """Keeps the newest `records` of the feed, and of the answers to each member; `mails`: room in the mailbox."""
        self._records = records
        self._mails = mails
        self._epoch = 0
        self._floor = 0
        self._end = START
        self._was_released = True
        self._has_ended = True
        """True if the newest record of the feed is the end of its epoch, or there is none."""
        self._holder = ""
        self._until = 0.0
        self._feed: deque[Record] = deque(maxlen=records)
        self._written: deque[float] = deque(maxlen=records)
        """Times at which the records of the feed were written."""
        self._answers: defaultdict[str, deque[Record]] = defaultdict(lambda: deque(maxlen=records))
        self._mailbox: deque[Submission] = deque()
        self._mailed = 0
        self._submitted: dict[str, int] = {}
        self._announced: dict[str, tuple[bytes, Lag | None, float]] = {}
        """Notes of the members, with the lag of each, and the time at which it is forgotten."""

    def __repr__(self) -> str:
        return f"<EngineModel {self._holder or 'free'} end={tuple(self._end)} records={len(self._feed)}>"

    def lease(self, now: float) -> LeaseInfo | None:
        """The lease that is in force."""
        if not self._is_held(now):
            return None
        return LeaseInfo(self._holder, self._epoch, self._until - now, self._end)

    def acquire(self, member: str, ttl: float, after: int, now: float) -> Lease | LeaseInfo:
        """As `Coordinator.acquire`, in one step."""
        got = self.take_lease(member, ttl, after, now)
        if isinstance(got, Lease):
            self.begin(member, got.epoch, now)
        return got

    def take_lease(self, member: str, ttl: float, after: int, now: float) -> Lease | LeaseInfo:
        """First step of `acquire`, where an engine takes two: from now on, nobody else can write."""
        held = self.lease(now)
        if held is not None and held.member != member:
            return held
        if held is None and not self._was_released and self._end.epoch < self._epoch:
            # The lease ended before the second step: the feed doesn't know its epoch, which isn't granted again.
            self._floor, self._epoch = max(self._floor, self._epoch), self._end.epoch
        if after > self._epoch:
            previous = PreviousEpoch.LOST
        elif self._epoch == 0:
            previous = PreviousEpoch.NONE
        elif held is not None or self._was_released or self._has_ended:
            previous = PreviousEpoch.RELEASED
        else:
            previous = PreviousEpoch.EXPIRED
        self._epoch = max(self._epoch, after, self._floor) + 1
        self._holder, self._until, self._was_released = member, now + ttl, False
        self._mailbox.clear()
        self._mailed = 0
        self._submitted.clear()
        return Lease(self._epoch, previous)

    def begin(self, member: str, epoch: int, now: float) -> None:
        """Second step of `acquire`. Raises `Fenced` if the lease is not that of the first one any more."""
        self._check_leads(member, epoch, now)
        if self._end.epoch >= epoch:
            raise self._fenced(epoch, now)
        self._append(Record(RecordKind.BEGAN, Position(epoch, 0), member=member, previous=self._end), now)

    def renew(self, member: str, epoch: int, ttl: float, now: float) -> bool:
        """As `Coordinator.renew`."""
        if not self._leads(member, epoch, now):
            return False
        self._until = now + ttl
        return True

    def release(self, member: str, position: Position, now: float) -> None:
        """As `Coordinator.release`, in one step."""
        if self.free_lease(member, position.epoch, now):
            self.end(position, now)

    def free_lease(self, member: str, epoch: int, now: float) -> bool:
        """First step of `release`, where an engine takes two; False: this epoch doesn't hold the lease."""
        if not self._leads(member, epoch, now):
            return False
        self._holder, self._was_released = "", True
        return True

    def end(self, position: Position, now: float) -> None:
        """Second step of `release`: without effect once another epoch has the lease."""
        epoch, last = position.epoch, self._end.number if self._end.epoch == position.epoch else 0
        is_free = self._holder == "" and self._was_released and self._epoch == epoch
        if is_free and not (self._has_ended and self._end.epoch == epoch):
            self._append(Record(RecordKind.ENDED, max(position, Position(epoch, last + 1))), now)

    def publish(self, member: str, position: Position, payload: bytes, acknowledged: int, now: float) -> None:
        """As `Coordinator.publish`; `acknowledged`: the highest number of the epoch that the member knows accepted."""
        self._check_leads(member, position.epoch, now)
        if self._end.number < acknowledged:
            raise Fenced("the engine has lost records of this epoch", epoch=position.epoch)
        if position > self._end:
            self._append(Record(RecordKind.BATCH, position, payload), now)

    def read(self, member: str, feed: Position, answers: Position) -> list[Record]:
        """All that `Coordinator.follow` would return at this moment."""
        found: list[Record] = []
        if feed > self._end:
            found.append(Record(RecordKind.MISSED, self._end))
        elif feed < self._end:
            found = with_gaps(feed, self._feed)
        found += [each for each in self._answers.get(member, ()) if each.position > answers]
        return found

    def submit(self, member: str, position: Position, payload: bytes, now: float) -> None:
        """As `Coordinator.submit`."""
        if not self._is_held(now) or position.epoch != self._epoch:
            raise self._fenced(position.epoch, now)
        if position.number <= self._submitted.get(member, 0):
            return
        if len(self._mailbox) >= self._mails:
            raise MailboxFull(f"{self._mails} submissions wait for the leader")
        self._mailed += 1
        self._submitted[member] = position.number
        self._mailbox.append(Submission(Position(self._epoch, self._mailed), member, position.number, payload))

    def take(self, done: Position) -> list[Submission]:
        """As `Coordinator.take`, without waiting."""
        while self._mailbox and self._mailbox[0].position <= done:
            self._mailbox.popleft()
        return [each for each in self._mailbox if each.position.epoch == done.epoch]

    def answer(self, member: str, to: str, position: Position, payload: bytes, now: float) -> None:
        """As `Coordinator.answer`, by `member` and for the member `to`."""
        self._check_leads(member, position.epoch, now)
        answers = self._answers[to]
        if not answers or position > answers[-1].position:
            answers.append(Record(RecordKind.ANSWER, position, payload))

    def announce(self, member: str, note: bytes, feed: Position, ttl: float, now: float) -> Lag | None:
        """As `Coordinator.announce`."""
        lag = self._lag(feed, now)
        if note:
            self._announced[member] = note, lag, now + ttl
        else:
            self._announced.pop(member, None)
        return lag

    def announced(self, now: float) -> tuple[AnnouncedMember, ...]:
        """The members that have announced themselves within their time."""
        return tuple(
            AnnouncedMember(member, note, lag, until - now)
            for member, (note, lag, until) in sorted(self._announced.items())
            if now < until
        )

    def expire(self) -> None:
        """End the lease as if its time had come."""
        self._holder = ""

    def lose_everything(self) -> None:
        """Forget lease, epoch and records, as an engine does that fails over to an empty replica.

        Its next epoch is higher all the same: a real engine takes them from its clock.
        """
        floor = max(self._epoch, self._floor)
        self.__init__(records=self._records, mails=self._mails)  # type: ignore[misc]
        self._floor = floor

    def _append(self, each: Record, now: float) -> None:
        self._feed.append(each)
        self._written.append(now)
        self._end = each.position
        self._has_ended = each.kind is RecordKind.ENDED

    def _lag(self, feed: Position, now: float) -> Lag | None:
        if feed == START or feed > self._end:
            return None
        if feed == self._end:
            return NO_LAG
        unread = zip(self._feed, self._written, strict=True)
        seconds = next((now - at for each, at in unread if each.position > feed), None)
        return Lag(self._end.number - feed.number if feed.epoch == self._end.epoch else None, seconds)

    def _is_held(self, now: float) -> bool:
        return self._holder != "" and now < self._until

    def _leads(self, member: str, epoch: int, now: float) -> bool:
        return self._is_held(now) and self._holder == member and self._epoch == epoch

    def _check_leads(self, member: str, epoch: int, now: float) -> None:
        if not self._leads(member, epoch, now):
            raise self._fenced(epoch, now)

    def _fenced(self, epoch: int, now: float) -> Fenced:
        newer = self._epoch if self._is_held(now) and self._epoch != epoch else None
        return fenced(epoch, newer)
