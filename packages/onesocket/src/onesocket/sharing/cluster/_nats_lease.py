"""The lease in NATS: a message with a time to live, on whose sequence every write of its holder depends."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from ...errors import EngineUnavailable, Fenced
from ._boot_time import boot_time
from ._coordinator import START, Lease, LeaseInfo, Position, PreviousEpoch, Record, RecordKind
from ._engine_errors import fenced
from ._nats_client import NatsClient
from ._nats_connection import NatsMessage
from ._nats_errors import NatsRefused
from ._nats_records import (
    EXPECTED,
    KIND,
    MEMBER,
    POSITION,
    PREVIOUS,
    ROLLUP,
    TTL,
    LeaseMark,
    NatsNames,
    encode_mark,
    parse_mark,
    parse_record,
    position_header,
)

_ATTEMPTS: Final = 5
_SOON: Final = 0.01
"""Seconds until a lease is looked at again whose time is up, or nearly so."""
_ON_SUBJECT: Final = "Nats-Expected-Last-Subject-Sequence-Subject"


class HeldLease:
    """The lease of this member, with what it knows of its own writes."""

    __slots__ = ("accepted", "epoch", "is_doubted", "is_leaving", "is_uncertain", "newest", "sequence", "ttl")

    def __init__(self, epoch: int, sequence: int, ttl: float) -> None:
        self.epoch = epoch
        self.sequence = sequence
        """Of the lease's message."""
        self.ttl = ttl
        self.newest = sequence
        """The highest sequence of a message that is known as written."""
        self.accepted = Position(epoch, 0)
        """Of the newest batch that is known as written."""
        self.is_uncertain = False
        """True while a batch may arrive at the server of which no answer came."""
        self.is_doubted = False
        """True if `sequence` has to be looked up: a renewal without an answer has changed it, or, behind a new
        connection, an older state of the stream has given it to the lease of another member."""
        self.is_leaving = False
        """True once it may have been released."""

    def __repr__(self) -> str:
        return f"<HeldLease epoch={self.epoch} sequence={self.sequence} accepted={self.accepted.number}>"


class NatsLease:
    """Takes, renews and releases the lease of one key, and writes what depends on it."""

    def __init__(self, client: NatsClient, names: NatsNames, where: str, member: str) -> None:
        self._client = client
        self._names = names
        self._where = where
        self._member = member
        self._held: HeldLease | None = None
        self._told = START, 0
        self._seen: tuple[LeaseMark | None, float] = None, 0.0
        """The lease of another member, and the time at which this one saw it first. In whole: behind an older state of
        the stream, its sequence may be that of a lease that was lost."""

    def __repr__(self) -> str:
        return f"<NatsLease {self._held or 'not held'}>"

    async def info(self) -> LeaseInfo | None:
        """The lease that is in force."""
        mark = await self._mark()
        return None if mark is None or not mark.member else await self._info(mark)

    async def acquire(self, ttl: float, after: int) -> Lease | LeaseInfo:
        """As `Coordinator.acquire`."""
        for _ in range(_ATTEMPTS):
            mark = await self._mark()
            is_expired = False
            if mark is not None and mark.member not in ("", self._member):
                # The server removes the message of a lease late. Until then its holder may write; none is in between.
                is_expired = self._has_lasted(mark) or await self._left(mark) <= 0
                if not is_expired:
                    return await self._info(mark)
            known = (await self.end())[0].position.epoch if mark is None else mark.epoch
            epoch = max(known + 1, after + 1, int((await self.time()).timestamp() * 10**6))
            message = self._lease_message(epoch, self._member, ttl, 0 if mark is None else mark.sequence)
            try:
                held = HeldLease(epoch, await self._client.write(message), ttl)
            except NatsRefused as refused:
                if refused.is_wrong_sequence:
                    continue  # another member was first
                raise
            end = await self._begin(held)
            if after > known:
                previous = PreviousEpoch.LOST
            elif known == 0:
                previous = PreviousEpoch.NONE
            elif (mark is not None and not is_expired) or end.kind is RecordKind.ENDED:
                previous = PreviousEpoch.RELEASED
            else:
                previous = PreviousEpoch.EXPIRED
            return Lease(epoch, previous)
        raise self._restless()

    async def _begin(self, held: HeldLease) -> Record:
        """Begin the feed under a lease that was just taken, and hold it; returns the end of the feed before that.

        Nobody else can write to the feed by then. (One batch of both messages would take ten times as long, as the
        server makes files for each.)
        """
        end, _ = await self.end()
        began = {
            KIND: RecordKind.BEGAN.value,
            POSITION: position_header(Position(held.epoch, 0)),
            MEMBER: self._member,
            PREVIOUS: position_header(end.position),
        }
        try:
            if end.position.epoch >= held.epoch:
                raise self._fenced(held.epoch, None)
            sequence = await self.write(held, self._names.feed, b"", began)
        except (Fenced, NatsRefused) as error:
            raise EngineUnavailable(f"{self._where} gave the lease, but the feed could not begin: {error}") from error
        self._held, self._told = held, (Position(held.epoch, 0), sequence)
        return end

    async def renew(self, epoch: int, ttl: float) -> bool:
        """As `Coordinator.renew`."""
        try:
            held = await self.held(epoch)
            await self._renew(held, ttl)
        except Fenced:
            return False
        return True

    async def release(self, position: Position) -> None:
        """As `Coordinator.release`, in two steps: first the lease is free, then the feed says so.

        A host that takes it in between is told that it was released, though the feed lacks the record. If the answer
        to the second step is lost, the record is written twice, and read once.
        """
        try:
            held = await self.held(position.epoch, leaves=True)
            if held.is_uncertain and not held.is_leaving:
                await self.settle(held)
            held.is_leaving = True
            await self._replace(held, "", None)
            await self._end(held, position)
        except Fenced:
            return
        self._held = None

    async def _end(self, held: HeldLease, position: Position) -> None:
        """Write the record with which an epoch ends whose lease is free. Raises `Fenced` if another member has it."""
        at = max(position, Position(held.epoch, held.accepted.number + 1))
        ended = {KIND: RecordKind.ENDED.value, POSITION: position_header(at)}
        await self.write(held, self._names.feed, b"", ended)

    async def held(self, epoch: int, *, leaves: bool = False) -> HeldLease:
        """The lease of this member in an epoch; raises `Fenced`, also if it may be released and `leaves` is False."""
        if self._held is not None and self._held.epoch == epoch:
            if self._held.is_leaving and not leaves:
                # Its own last message in the lease's place would let it write.
                raise self._fenced(epoch, await self._mark())
            return self._held
        mark = await self._mark()
        if mark is None or (mark.epoch, mark.member) != (epoch, self._member):
            raise self._fenced(epoch, mark)
        self._held = HeldLease(epoch, mark.sequence, mark.ttl)
        self._held.is_uncertain = True
        return self._held

    async def write(self, held: HeldLease, subject: str, payload: bytes, headers: Mapping[str, str]) -> int:
        """Append a message while the lease is held, in one atomic step; returns its sequence. Raises `Fenced`."""
        for _ in range(_ATTEMPTS):
            lease, newest = await self._sequence(held), held.newest
            conditions = {EXPECTED: str(lease), _ON_SUBJECT: self._names.lease}
            try:
                written = await self._client.write(NatsMessage(subject, payload, {**headers, **conditions}))
            except NatsRefused as refused:
                if not refused.is_wrong_sequence:
                    raise
                held.is_doubted |= held.sequence == lease  # else it was renewed meanwhile
                continue
            self._note_written(held, written, newest)
            return written
        raise self._restless()

    async def settle(self, held: HeldLease) -> None:
        """After a write without an answer: have it refused if it comes later, and see whether it came already."""
        await self._renew(held, held.ttl)
        end, sequence = await self.end()
        held.newest = max(held.newest, sequence)
        if end.position.epoch == held.epoch:
            held.accepted = max(held.accepted, end.position)
        held.is_uncertain = False

    async def end(self) -> tuple[Record, int]:
        """The newest record of the feed, which is always kept, and its sequence; (an ENDED at `START`, 0): none."""
        stored = await self._client.newest(self._names.stream, self._names.feed)
        if stored is None:
            return Record(RecordKind.ENDED, START), 0
        return parse_record(stored), stored.sequence

    def sequence_of(self, position: Position) -> int | None:
        """The sequence of the end that was told last; None for another position."""
        return self._told[1] if self._told[0] == position else None

    async def check_leads(self, epoch: int) -> None:
        """Raise `Fenced` if the epoch doesn't hold the lease now."""
        mark = await self._mark()
        if mark is None or not mark.member or mark.epoch != epoch:
            raise self._fenced(epoch, mark)

    def doubt(self) -> None:
        """Look the lease up before the next write: the connection is a new one."""
        if self._held is not None:
            self._held.is_doubted = True

    async def _renew(self, held: HeldLease, ttl: float) -> None:
        await self._replace(held, self._member, ttl)
        held.ttl = ttl

    async def _replace(self, held: HeldLease, member: str, ttl: float | None) -> None:
        """Write the lease's message anew. Raises `Fenced`."""
        for _ in range(_ATTEMPTS):
            lease, newest = await self._sequence(held), held.newest
            try:
                written = await self._client.write(self._lease_message(held.epoch, member, ttl, lease))
            except NatsRefused as refused:
                if not refused.is_wrong_sequence:
                    raise
                held.is_doubted |= held.sequence == lease
                continue
            held.sequence = max(held.sequence, written)
            self._note_written(held, written, newest)
            return
        raise self._restless()

    async def _sequence(self, held: HeldLease) -> int:
        """The sequence of the lease's message; asked for, if it may have changed. Raises `Fenced`."""
        if held.is_doubted:
            mark = await self._mark()
            holders = ("", self._member) if held.is_leaving else (self._member,)
            if mark is None or mark.epoch != held.epoch or mark.member not in holders:
                raise self._fenced(held.epoch, mark)
            held.sequence, held.is_doubted = mark.sequence, False
        return held.sequence

    async def _mark(self) -> LeaseMark | None:
        stored = await self._client.newest(self._names.stream, self._names.lease)
        return None if stored is None else parse_mark(stored)

    async def _info(self, mark: LeaseMark) -> LeaseInfo:
        end, sequence = await self.end()
        self._told = end.position, sequence
        left = await self._left(mark)
        return LeaseInfo(mark.member, mark.epoch, min(max(left, _SOON), mark.ttl), end.position)

    async def _left(self, mark: LeaseMark) -> float:
        """Seconds until a lease ends, by the server's clock."""
        return mark.ttl - (await self.time() - mark.time).total_seconds()

    def _has_lasted(self, mark: LeaseMark) -> bool:
        """True if this member has seen a lease for the whole of its time: the server's clock may have been set back.

        The holder counts its own from before it wrote the message.
        """
        now = boot_time()
        if self._seen[0] != mark:
            self._seen = mark, now
        return now - self._seen[1] > mark.ttl

    async def time(self) -> datetime:
        """The server's clock."""
        return datetime.fromisoformat((await self._client.ask(f"STREAM.INFO.{self._names.stream}"))["ts"])

    def _lease_message(self, epoch: int, member: str, ttl: float | None, expected: int) -> NatsMessage:
        headers = {**ROLLUP, EXPECTED: str(expected)}
        if ttl is not None:
            headers[TTL] = f"{math.ceil(ttl)}s"  # the server counts whole ones
        return NatsMessage(self._names.lease, encode_mark(epoch, member, ttl or 0.0), headers)

    def _note_written(self, held: HeldLease, written: int, known_before: int) -> None:
        if written <= known_before:
            raise Fenced(
                f"{self._where} has lost records of epoch {held.epoch}, which this host leads", epoch=held.epoch
            )
        held.newest = max(held.newest, written)

    def _fenced(self, epoch: int, mark: LeaseMark | None) -> Fenced:
        return fenced(epoch, mark.epoch if mark is not None and mark.member and mark.epoch != epoch else None)

    def _restless(self) -> EngineUnavailable:
        return EngineUnavailable(f"{self._where}: the lease changed {_ATTEMPTS} times meanwhile")
