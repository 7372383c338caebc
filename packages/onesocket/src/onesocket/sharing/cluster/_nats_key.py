"""The operations of one member on one key of a cluster in NATS."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from ...errors import EngineUnavailable
from ._coordinator import ClusterKey, Lag, Lease, LeaseInfo, Position, Record, RecordKind, Submission, check_member_name
from ._engine_errors import check_size
from ._feed_retention import Retention
from ._nats_address import NatsAddress
from ._nats_client import NatsClient
from ._nats_connection import NatsConnection, NatsMessage
from ._nats_errors import NO_RESPONDERS, NO_STREAM, NatsRefused
from ._nats_feed import NatsFeed, NatsFeedTrimmer
from ._nats_lease import NatsLease
from ._nats_mailbox import NatsMailbox
from ._nats_records import KIND, LASTS, POSITION, ROLLUP, TTL, NatsNames, lag_header, position_header
from ._nats_slots import NatsSlots
from ._nats_streams import MAX_PAYLOAD, check_server, ensure_streams, feed_stream, mail_stream, probe

T = TypeVar("T")
_ANSWER_TTL: Final = {TTL: "600s"}


class NatsKeyCoordinator:
    """`Coordinator` of one key, on NATS. Lease, feed and answers are in one stream, the mailbox is in another.

    The first operation on a connection makes the streams, if they are missing, and checks them.
    """

    max_payload = MAX_PAYLOAD

    def __init__(
        self,
        address: NatsAddress,
        key: ClusterKey,
        member: str,
        *,
        timeout: float,
        retention: Retention,
        replicas: int,
    ) -> None:
        self.member = member
        self._where = str(address)
        self._names = names = NatsNames(key, member)
        self._client = client = NatsClient(address, f"onesocket {member}", timeout)
        self._streams = feed_stream(names, retention.records, replicas), mail_stream(names, replicas)
        self._lease = NatsLease(client, names, self._where, member)
        self._feed = NatsFeed(client, names, self._lease)
        self._trimmer = NatsFeedTrimmer(client, names, retention)
        self._mailbox = NatsMailbox(client, names, member)
        self._slots = NatsSlots(client, key.prefix, self._where, replicas)
        self._preparing = asyncio.Lock()
        self._prepared: NatsConnection | None = None
        self._made = ""

    def __repr__(self) -> str:
        return f"<NatsKeyCoordinator {self.member} at {self._where} {self._lease!r}>"

    async def check(self) -> None:
        """As `Coordinator.check`."""
        await self._run(lambda: probe(self._client, self._names))

    async def acquire(self, ttl: float, after: int) -> Lease | LeaseInfo:
        """As `Coordinator.acquire`."""
        return await self._run(lambda: self._lease.acquire(ttl, after))

    async def renew(self, epoch: int, ttl: float) -> bool:
        """As `Coordinator.renew`."""
        return await self._run(lambda: self._lease.renew(epoch, ttl))

    async def release(self, position: Position) -> None:
        """As `Coordinator.release`."""
        await self._run(lambda: self._lease.release(position))

    async def lease(self) -> LeaseInfo | None:
        """As `Coordinator.lease`."""

        async def look() -> LeaseInfo | None:
            return await self._lease.info() if await self._prepare(make=False) else None

        return await self._typed(look)

    async def publish(self, position: Position, payload: bytes) -> None:
        """As `Coordinator.publish`."""
        check_size(payload, self.max_payload)
        await self._run(lambda: self._publish(position, payload))

    async def _publish(self, position: Position, payload: bytes) -> None:
        held = await self._lease.held(position.epoch)
        if held.is_uncertain:
            await self._lease.settle(held)
        if position <= held.accepted:
            await self._lease.check_leads(position.epoch)
            return
        held.is_uncertain = True
        try:
            headers = {KIND: RecordKind.BATCH.value, POSITION: position_header(position)}
            sequence = await self._lease.write(held, self._names.feed, payload, headers)
        except EngineUnavailable:
            raise
        except Exception:
            held.is_uncertain = False
            raise
        held.accepted, held.is_uncertain = position, False
        await self._trimmer.add(position, sequence, len(payload))

    async def follow(self, feed: Position, answers: Position, wait: float) -> list[Record]:
        """As `Coordinator.follow`."""
        return await self._run(lambda: self._feed.follow(feed, answers, wait))

    async def submit(self, position: Position, payload: bytes) -> None:
        """As `Coordinator.submit`; whether the epoch leads is asked before, in a request of its own."""
        check_size(payload, self.max_payload)
        await self._run(lambda: self._submit(position, payload))

    async def _submit(self, position: Position, payload: bytes) -> None:
        await self._lease.check_leads(position.epoch)
        await self._mailbox.submit(position, payload)

    async def take(self, done: Position, wait: float) -> list[Submission]:
        """As `Coordinator.take`."""
        return await self._run(lambda: self._mailbox.take(done, wait))

    async def answer(self, member: str, position: Position, payload: bytes) -> None:
        """As `Coordinator.answer`; one that is written twice is read once."""
        check_size(payload, self.max_payload)
        subject = self._names.answers_to(check_member_name(member))
        await self._run(lambda: self._answer(subject, position, payload))

    async def _answer(self, subject: str, position: Position, payload: bytes) -> None:
        held = await self._lease.held(position.epoch)
        headers = {KIND: RecordKind.ANSWER.value, POSITION: position_header(position), **_ANSWER_TTL}
        await self._lease.write(held, subject, payload, headers)

    def descriptors(self) -> list[int]:
        """As `Coordinator.descriptors`."""
        return self._client.descriptors()

    async def announce(self, note: bytes, feed: Position, ttl: float) -> Lag | None:
        """As `Coordinator.announce`; an empty note is kept for a second."""
        return await self._run(lambda: self._announce(note, feed, ttl))

    async def _announce(self, note: bytes, feed: Position, ttl: float) -> Lag | None:
        lag = await self._feed.lag(feed)
        headers = {**ROLLUP, LASTS: str(ttl), TTL: f"{math.ceil(ttl) if note else 1}s", **lag_header(lag)}
        await self._client.write(NatsMessage(self._names.present, note, headers))
        return lag

    async def reserve_slot(self, name: str, period: float, delay: float) -> float:
        """As `Coordinator.reserve_slot`."""
        check_member_name(name)
        return await self._run(lambda: self._slots.reserve(name, period, delay))

    async def aclose(self) -> None:
        """As `Coordinator.aclose`."""
        await self._client.aclose()

    async def _run(self, step: Callable[[], Awaitable[T]]) -> T:
        """Run a step with the streams in place; once more if they were deleted meanwhile."""

        async def run() -> T:
            await self._prepare()
            try:
                return await step()
            except NatsRefused as refused:
                if refused.code not in (NO_STREAM, NO_RESPONDERS):
                    raise
            self._prepared = None
            await self._prepare()
            try:
                return await step()
            except NatsRefused as refused:
                if refused.code != NO_RESPONDERS:
                    raise
                # The streams are there, and JetStream answers for them.
                raise EngineUnavailable(f"{self._where}: no server leads the stream now") from refused

        return await self._typed(run)

    async def _typed(self, step: Callable[[], Awaitable[T]]) -> T:
        try:
            return await step()
        except NatsRefused as refused:
            raise refused.error(self._where) from refused
        except EngineUnavailable:
            self._prepared = None  # what is lost may come back as another one
            raise

    async def _prepare(self, *, make: bool = True) -> bool:
        """Check the server and the streams, once for each connection; False: one is missing, and was not made."""
        async with self._preparing:
            connection = await self._client.connect()
            if connection is self._prepared:
                return True
            self._lease.doubt()  # at once: other operations go on over this connection
            check_server(connection)
            made = await ensure_streams(self._client, self._where, *self._streams, make=make)
            if made is None:
                return False
            if made != self._made:
                self._made = made
                self._feed.forget()
                self._mailbox.forget()
            self._prepared = connection
            return True
