"""The feed of a cluster in NATS, with the answers to one member, as that member reads them; and its trimming."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, NamedTuple

from ...errors import EngineUnavailable
from ._boot_time import boot_time
from ._coordinator import NO_LAG, START, Lag, Position, Record, RecordKind
from ._feed_gaps import with_gaps
from ._feed_retention import FeedRetention, Retention
from ._nats_client import NatsClient
from ._nats_lease import NatsLease
from ._nats_reader import NatsReader
from ._nats_records import NatsNames, StreamMessage, parse_record

_MOST: Final = 100
_PART: Final = 8
"""The feed is trimmed when this part of it can go: each time is a request."""


class _Place(NamedTuple):
    """Positions up to which a member has read, and the sequence of the feed's record there (0: not known)."""

    feed: Position
    answers: Position
    sequence: int


class NatsFeed:
    """Reads the records of the feed and the answers to this member through one consumer of their stream."""

    def __init__(self, client: NatsClient, names: NatsNames, lease: NatsLease) -> None:
        self._client = client
        self._names = names
        self._lease = lease
        self._reader = NatsReader(client, names.stream)
        self._place: _Place | None = None

    def __repr__(self) -> str:
        return f"<NatsFeed {self._reader!r}>"

    def forget(self) -> None:
        """Begin anew: the stream is another one, with sequences of its own."""
        self._place = None

    async def follow(self, feed: Position, answers: Position, wait: float) -> list[Record]:
        """As `Coordinator.follow`."""
        place = self._place if self._place is not None and self._place[:2] == (feed, answers) else None
        if not self._reader.is_open or place is None:
            end, sequence = await self._lease.end()
            if feed > end.position:
                return [Record(RecordKind.MISSED, end.position)]
            known = sequence if feed == end.position else await self._find(feed, place)
            start = known
            if place is None and (answer := await self._client.next_after(self._names.stream, self._names.answers, 0)):
                start = min(known, answer.sequence - 1)
            await self._reader.open(start, (self._names.feed, self._names.answers))
            place = self._place = _Place(feed, answers, known)
        until = asyncio.get_running_loop().time() + wait
        while stored := await self._reader.read_until(until, _MOST):
            found = self._records(stored, feed, answers)
            if found:
                self._place = self._place_after(stored, found, place)
                return found
        return []

    async def lag(self, feed: Position) -> Lag | None:
        """Lag of this member, which has read up to a position; None: that can't be told."""
        place, stream = self._place, self._names.stream
        if place is None or place.feed != feed or not place.sequence:
            return None
        unread = await self._client.next_after(stream, self._names.feed, place.sequence)
        if unread is None:
            return NO_LAG
        end, _ = await self._lease.end()
        records = end.position.number - feed.number if end.position.epoch == feed.epoch else None
        seconds = None
        if unread.time is not None:
            seconds = max(0.0, (await self._lease.time() - unread.time).total_seconds())
        return Lag(records, seconds)

    def _place_after(self, stored: list[StreamMessage], found: list[Record], place: _Place) -> _Place:
        feed, answers, sequence = place
        for each in found:
            if each.kind is RecordKind.ANSWER:
                answers = each.position
            else:
                feed = each.position
        if feed != place.feed:
            of_feed = (each for each in reversed(stored) if each.subject == self._names.feed)
            sequence = next(each.sequence for each in of_feed if parse_record(each).position == feed)
        return _Place(feed, answers, sequence)

    def _records(self, stored: list[StreamMessage], feed: Position, answers: Position) -> list[Record]:
        found = with_gaps(feed, (parse_record(each) for each in stored if each.subject == self._names.feed))
        for each in stored:
            if each.subject == self._names.answers and (answer := parse_record(each)).position > answers:
                answers = answer.position
                found.append(answer)
        return found

    async def _find(self, feed: Position, place: _Place | None) -> int:
        """The sequence of the feed's record at a position, or 0: positions tell what is new of all that is held."""
        if known := self._lease.sequence_of(feed) if place is None else place.sequence:
            # An engine that has lost messages gives their sequences to others.
            stored = await self._client.next_after(self._names.stream, self._names.feed, known - 1)
            if stored is not None and stored.sequence == known and parse_record(stored).position == feed:
                return known
        return 0


class NatsFeedTrimmer:
    """Drops the oldest records of the feed by size and age, for its writer; the server itself bounds their number."""

    def __init__(self, client: NatsClient, names: NatsNames, retention: Retention) -> None:
        self._client = client
        self._names = names
        self._retention = retention
        self._counted = FeedRetention(retention, 0, 0.0)
        self._sequences: deque[tuple[int, int]] = deque()
        self._droppable = 0

    def __repr__(self) -> str:
        return f"<NatsFeedTrimmer {self._counted!r}>"

    def begin(self, position: Position, sequence: int) -> None:
        """Count the records of a new epoch, whose first one is at `position`."""
        self._counted = FeedRetention(self._retention, position.epoch, boot_time())
        self._sequences = deque([(position.number, sequence)])
        self._droppable = 0

    async def add(self, position: Position, sequence: int, size: int) -> None:
        """Count a record that was written; drops what is beyond the bounds, now or with a later one."""
        if self._counted.epoch != position.epoch:
            self.begin(position, sequence)
        else:
            self._sequences.append((position.number, sequence))
        oldest = self._counted.add(position.number, size, boot_time())
        while oldest != START and self._sequences[0][0] < oldest.number:
            self._sequences.popleft()
            self._droppable += 1
        if self._droppable * _PART <= len(self._sequences):
            return
        body = {"filter": self._names.feed, "seq": self._sequences[0][1]}
        try:
            await self._client.ask(f"STREAM.PURGE.{self._names.stream}", body)
        except EngineUnavailable:
            return  # the record is written: the next one drops them
        self._droppable = 0
