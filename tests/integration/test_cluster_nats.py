"""Coordination of a cluster by a real NATS server."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from onesocket import Raw
from onesocket.errors import EngineUnavailable, Fenced, MailboxFull
from onesocket.sharing.cluster import _nats_reader
from onesocket.sharing.cluster._cluster_options import ClusterOptions
from onesocket.sharing.cluster._coordinator import (
    START,
    Lease,
    LeaseInfo,
    Position,
    PreviousEpoch,
    Record,
    RecordKind,
)
from onesocket.sharing.cluster._feed_retention import Retention
from onesocket.sharing.cluster._nats_coordinator import NatsCoordinator
from onesocket.sharing.cluster._nats_key import NatsKeyCoordinator
from onesocket.sharing.cluster._nats_lease import HeldLease, NatsLease
from onesocket.testing import FaultyServer
from tests.support.cluster_hosts import Host
from tests.support.coordinator_checks import CHECKS, LONG, EngineUnderTest, close, follow_all, lead, take_all
from tests.support.engine_members import KEY
from tests.support.engine_members import NATS_BASE as BASE
from tests.support.engine_members import NATS_STREAM as STREAM
from tests.support.holding_relay import HoldingRelay
from tests.support.nats_members import WRITTEN, lose_answer, pair, payloads, through_relay
from tests.support.nats_server import NatsServer, ask, delete_streams, nats_server


@pytest.fixture(scope="module")
def shared_server() -> Iterator[NatsServer]:
    with nats_server() as running:
        yield running


@pytest.fixture
async def raw(shared_server: NatsServer) -> AsyncIterator[Client]:
    """A client that is not ours, on a server without streams."""
    client = await shared_server.client()
    await delete_streams(client)
    yield client
    await client.close()


@pytest.fixture
def server(shared_server: NatsServer, raw: Client) -> NatsServer:
    return shared_server


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_nats_passes_the_checks_of_every_engine(
    check: Callable[[EngineUnderTest], Awaitable[None]], server: NatsServer, raw: Client
) -> None:
    async def expire() -> None:
        assert (await ask(raw, f"STREAM.PURGE.{STREAM}", filter=BASE + "lease"))["purged"] == 1

    await check(EngineUnderTest(NatsCoordinator(server.url), KEY, expire))


async def test_a_lease_ends_when_its_time_is_up(server: NatsServer) -> None:
    a, b = pair(server)
    lease = await a.acquire(0.05, 0)
    assert isinstance(lease, Lease)
    while isinstance(answer := await b.acquire(9, lease.epoch), LeaseInfo):
        await b.follow(Position(lease.epoch, 0), START, answer.remaining)
    assert answer.previous is PreviousEpoch.EXPIRED
    with pytest.raises(Fenced):
        await a.publish(Position(lease.epoch, 1), b"late")
    await close(a, b)


@pytest.mark.parametrize(("seconds", "is_up"), [(59, False), (61, True)])
async def test_a_lease_goes_to_who_asks_once_its_time_is_up_before_the_server_removes_it(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch, seconds: int, is_up: bool
) -> None:
    a, b = pair(server)
    e = await lead(a)
    time_there = NatsLease.time

    async def later(self: NatsLease) -> datetime:
        return await time_there(self) + timedelta(seconds=seconds)

    with monkeypatch.context() as patch:
        patch.setattr(NatsLease, "time", later)
        answer = await b.acquire(60, e)
    if is_up:
        assert isinstance(answer, Lease)
        assert answer.previous is PreviousEpoch.EXPIRED
        assert not await a.renew(e, 60)
        with pytest.raises(Fenced):
            await a.publish(Position(e, 1), b"late")
        assert await b.renew(answer.epoch, 60)
    else:
        assert isinstance(answer, LeaseInfo)
        assert answer.remaining <= 1
        await a.publish(Position(e, 1), b"in time")
    await close(a, b)


async def test_a_renewed_lease_ends_later(server: NatsServer, raw: Client) -> None:
    a, b = pair(server)
    lease = await a.acquire(1, 0)
    assert isinstance(lease, Lease)
    await a.renew(lease.epoch, 499.5)
    stored = await ask(raw, f"STREAM.INFO.{STREAM}", subjects_filter=BASE + "lease")
    assert stored["state"]["subjects"] == {BASE + "lease": 1}
    info = await b.lease()
    assert isinstance(info, LeaseInfo)
    assert 400 < info.remaining <= 499.5
    await close(a, b)


async def test_to_look_at_the_lease_makes_no_streams(server: NatsServer, raw: Client) -> None:
    a, b = pair(server)
    assert await a.lease() is None
    assert (await ask(raw, "STREAM.NAMES"))["total"] == 0
    await close(a, b)


async def test_a_batch_whose_answer_was_lost_is_written_once(server: NatsServer, raw: Client) -> None:
    async with through_relay(server) as (relay, a):
        e = await lead(a)
        await a.publish(Position(e, 1), b"1")
        await lose_answer(relay, a.publish(Position(e, 2), b"2"), WRITTEN)
        await a.publish(Position(e, 2), b"2")
        await a.publish(Position(e, 3), b"3")
        assert await payloads(raw) == [b"", b"1", b"2", b"3"]


async def test_a_batch_that_arrives_after_later_ones_is_refused(server: NatsServer, raw: Client) -> None:
    async with through_relay(server) as (relay, a):
        e = await lead(a)
        late = relay.connections[-1]
        late.passes_up.clear()
        publishing = asyncio.create_task(a.publish(Position(e, 1), b"given up"))
        await late.wait_for_request(b"given up")
        late.cut_from_client()
        with pytest.raises(EngineUnavailable):
            await publishing
        await a.publish(Position(e, 2), b"2")
        late.passes_up.set()
        await late.wait_for_answer(b"wrong last sequence")
        assert await payloads(raw) == [b"", b"2"]


async def test_a_renewal_whose_answer_was_lost_changes_nothing_for_later_writes(server: NatsServer) -> None:
    async with through_relay(server) as (relay, a):
        e = await lead(a)
        await lose_answer(relay, a.renew(e, 60), WRITTEN)
        await a.answer("b", Position(e, 1), b"answer")
        await lose_answer(relay, a.renew(e, 60), WRITTEN)
        assert await a.renew(e, 60)
        await a.release(Position(e, 1))
        assert await a.lease() is None


async def test_a_release_whose_answer_was_lost_may_be_repeated(server: NatsServer, raw: Client) -> None:
    async with through_relay(server) as (relay, a):
        e = await lead(a)
        await lose_answer(relay, a.release(Position(e, 1)), WRITTEN)
        await a.release(Position(e, 1))
        assert len(await payloads(raw)) == 2
        await lead(a, e, PreviousEpoch.RELEASED)


async def kinds(client: Client) -> list[str]:
    """The kinds of the records that the feed holds, by a client that is not ours."""
    found: list[str] = []
    sequence = 0
    while True:
        try:
            message = await client.jetstream().get_msg(STREAM, sequence + 1, next=True, subject=BASE + "feed")
        except NotFoundError:
            return found
        assert message.headers is not None
        assert message.seq is not None
        found.append(message.headers["Onesocket-Kind"])
        sequence = message.seq


def asked(relay: HoldingRelay, since: int) -> list[str]:
    """The subjects that a member has written to over its one connection, from a byte of it on."""
    (connection,) = relay.connections
    assert b"Nats-Batch-Id" not in connection.asked
    subjects = re.findall(rb"^H?PUB (\S+)", connection.asked[since:], re.MULTILINE)
    return [each.decode().removesuffix(STREAM).removeprefix(BASE) for each in subjects]


async def test_a_hand_over_takes_two_writes_to_release_and_two_to_acquire(server: NatsServer) -> None:
    async with through_relay(server) as (before, a), through_relay(server, "b") as (after, b):
        e = await lead(a)
        await b.lease()
        ((led,), (looked,)) = ([len(each.asked) for each in relay.connections] for relay in (before, after))
        await a.release(Position(e, 1))
        await lead(b, e, PreviousEpoch.RELEASED)
        assert asked(before, led) == ["lease", "feed"]
        get = "$JS.API.STREAM.MSG.GET."
        assert asked(after, looked) == [get, "$JS.API.STREAM.INFO.", "lease", get, "feed"]


class LateError(Exception):
    """Stands for the end of a process."""


@pytest.mark.parametrize("is_released", [True, False])
async def test_a_member_that_ends_between_the_two_steps_of_its_grant_changes_nothing_for_the_next_one(
    server: NatsServer, raw: Client, monkeypatch: pytest.MonkeyPatch, *, is_released: bool
) -> None:
    a, b = pair(server)
    e = await lead(a)
    await a.publish(Position(e, 1), b"1")
    if is_released:
        await a.release(Position(e, 2))
    else:
        assert (await ask(raw, f"STREAM.PURGE.{STREAM}", filter=BASE + "lease"))["purged"] == 1

    async def end(*_: object) -> None:
        raise LateError

    with monkeypatch.context() as patch:
        patch.setattr(NatsLease, "_begin", end)
        with pytest.raises(LateError):
            await b.acquire(60, e)
    info = await a.acquire(60, e)
    assert isinstance(info, LeaseInfo)
    assert (info.member, info.end) == ("b", Position(e, 2 if is_released else 1))
    assert info.epoch > e
    with pytest.raises(Fenced):
        await a.publish(Position(e, 2), b"late")
    assert (await ask(raw, f"STREAM.PURGE.{STREAM}", filter=BASE + "lease"))["purged"] == 1
    f = await lead(a, e, PreviousEpoch.RELEASED if is_released else PreviousEpoch.EXPIRED)
    assert f > info.epoch
    records = await follow_all(b, Position(e, 0), 3 if is_released else 2)
    assert (records[-1].kind, records[-1].previous) == (RecordKind.BEGAN, info.end)
    await close(a, b)


async def test_a_grant_that_ends_before_its_epoch_begins_is_none(
    server: NatsServer, raw: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = pair(server)
    begin = NatsLease._begin

    async def late(self: NatsLease, held: HeldLease) -> Record:
        monkeypatch.setattr(NatsLease, "_begin", begin)
        assert (await ask(raw, f"STREAM.PURGE.{STREAM}", filter=BASE + "lease"))["purged"] == 1
        await lead(b)
        return await begin(self, held)

    monkeypatch.setattr(NatsLease, "_begin", late)
    with pytest.raises(EngineUnavailable, match="gave the lease"):
        await a.acquire(60, 0)
    assert await kinds(raw) == ["began"]
    info = await a.acquire(60, 0)
    assert isinstance(info, LeaseInfo)
    assert info.member == "b"
    await close(a, b)


async def test_a_member_that_takes_the_lease_between_the_two_steps_of_a_release_may_dial_at_once(
    server: NatsServer, raw: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = pair(server)
    e = await lead(a)
    write = NatsLease.write

    async def late(self: NatsLease, *given: Any) -> int:
        monkeypatch.setattr(NatsLease, "write", write)
        await lead(b, e, PreviousEpoch.RELEASED)
        return await write(self, *given)

    monkeypatch.setattr(NatsLease, "write", late)
    await a.release(Position(e, 1))
    assert await kinds(raw) == ["began", "began"]
    await close(a, b)


async def test_the_second_step_of_a_release_may_be_repeated(
    server: NatsServer, raw: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with through_relay(server) as (relay, a):
        e = await lead(a)
        write = NatsLease.write

        async def cut(self: NatsLease, *given: Any) -> int:
            monkeypatch.setattr(NatsLease, "write", write)
            relay.connections[-1].cut_at = WRITTEN
            return await write(self, *given)

        monkeypatch.setattr(NatsLease, "write", cut)
        with pytest.raises(EngineUnavailable):
            await a.release(Position(e, 1))
        assert await a.lease() is None
        await a.release(Position(e, 1))
        assert await kinds(raw) == ["began", "ended", "ended"]
        reader = NatsCoordinator(server.url).open(KEY, "b")
        await lead(reader, e, PreviousEpoch.RELEASED)
        records = await follow_all(reader, Position(e, 0), 2)
        assert [each.kind for each in records] == [RecordKind.ENDED, RecordKind.BEGAN]
        await reader.aclose()


async def test_a_cancelled_batch_may_be_repeated(server: NatsServer, raw: Client) -> None:
    async with through_relay(server) as (relay, a):
        e = await lead(a)
        newest = (await ask(raw, f"STREAM.INFO.{STREAM}"))["state"]["last_seq"]
        relay.connections[0].passes_down.clear()
        publishing = asyncio.create_task(a.publish(Position(e, 1), b"1"))
        await relay.connections[0].wait_for_answer(b'"seq":%d}' % (newest + 1))
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
        relay.connections[0].passes_down.set()
        await a.publish(Position(e, 1), b"1")
        assert await payloads(raw) == [b"", b"1"]


async def test_a_reader_goes_on_where_it_was_when_its_connection_was_lost(server: NatsServer) -> None:
    a, _ = pair(server)
    async with through_relay(server, "b") as (relay, b):
        e = await lead(a)
        await a.publish(Position(e, 1), b"1")
        await a.answer("b", Position(e, 1), b"answer")
        assert len(await follow_all(b, Position(e, 0), 2)) == 2
        reading = asyncio.create_task(b.follow(Position(e, 1), Position(e, 1), LONG))
        await b.lease()  # the read is under way
        relay.connections[0].cut()
        with pytest.raises(EngineUnavailable):
            await reading
        await a.publish(Position(e, 2), b"2")
        assert [each.payload for each in await b.follow(Position(e, 1), Position(e, 1), LONG)] == [b"2"]
        assert len(relay.connections) == 2
    await close(a)


async def test_a_reader_whose_consumer_is_gone_hears_of_it_and_goes_on(
    server: NatsServer, raw: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_nats_reader, "_HEARTBEAT", 0.1)
    monkeypatch.setattr(_nats_reader, "_MOST_SILENCE", 0.3)
    a, b = pair(server)
    e = await lead(a)
    assert await b.follow(Position(e, 0), START, 0) == []
    (consumer,) = (await ask(raw, f"CONSUMER.NAMES.{STREAM}"))["consumers"]
    await ask(raw, f"CONSUMER.DELETE.{STREAM}.{consumer}")
    await a.publish(Position(e, 1), b"1")
    with pytest.raises(EngineUnavailable, match="consumer"):
        await b.follow(Position(e, 0), START, LONG)
    assert [each.payload for each in await b.follow(Position(e, 0), START, LONG)] == [b"1"]
    await close(a, b)


async def test_a_reader_that_does_not_read_is_pushed_a_few_megabytes_and_misses_nothing(server: NatsServer) -> None:
    a, b = pair(server)
    e = await lead(a)
    assert await b.follow(Position(e, 0), START, 0) == []
    for number in range(1, 31):
        await a.publish(Position(e, number), b"x" * 1_000_000)
    assert isinstance(b, NatsKeyCoordinator)
    assert sum(len(each.data) for each in b._feed._reader._queue) < 10_000_000
    assert [each.position.number for each in await follow_all(b, Position(e, 0), 30)] == list(range(1, 31))
    await close(a, b)


async def test_the_feed_is_bounded_by_size(server: NatsServer, raw: Client) -> None:
    engine = NatsCoordinator(server.url, retention=Retention(size=100_000))
    a, b = engine.open(KEY, "a"), engine.open(KEY, "b")
    e = await lead(a)
    for number in range(1, 101):
        await a.publish(Position(e, number), b"x" * 5000)
    held = len(await payloads(raw))
    assert 20 <= held <= 23  # it is trimmed when an eighth of it can go
    missed, *rest = await follow_all(b, Position(e, 1), held + 1)
    assert missed == Record(RecordKind.MISSED, Position(e, 100 - held), missed=99 - held)
    assert [each.position.number for each in rest] == list(range(101 - held, 101))
    await close(a, b)


async def test_the_feed_is_bounded_by_number_and_keeps_the_lease(server: NatsServer, raw: Client) -> None:
    engine = NatsCoordinator(server.url, retention=Retention(records=5))
    a = engine.open(KEY, "a")
    e = await lead(a)
    for number in range(1, 20):
        await a.publish(Position(e, number), b"%d" % number)
    assert await payloads(raw) == [b"15", b"16", b"17", b"18", b"19"]
    assert await a.renew(e, 9)
    await close(a)


async def test_the_mailbox_is_bounded(server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onesocket.sharing.cluster._nats_streams.MOST_MAILS", 2)
    a, b = pair(server)
    e = await lead(a)
    await b.submit(Position(e, 1), b"1")
    await b.submit(Position(e, 2), b"2")
    with pytest.raises(MailboxFull):
        await b.submit(Position(e, 3), b"3")
    first, _ = await take_all(a, Position(e, 0), 2)
    await a.take(first.position, 0)
    await b.submit(Position(e, 3), b"3")
    assert [each.number for each in await take_all(a, first.position, 2)] == [2, 3]
    await close(a, b)


async def test_what_was_submitted_to_earlier_epochs_takes_no_room(server: NatsServer, raw: Client) -> None:
    a, b = pair(server)
    e = await lead(a)
    await b.submit(Position(e, 1), b"old")
    await a.release(Position(e, 1))
    f = await lead(a, e)
    assert await a.take(Position(f, 0), 0) == []
    assert (await ask(raw, f"STREAM.INFO.{STREAM}-mailbox"))["state"]["messages"] == 0
    await close(a, b)


async def test_members_that_take_the_lease_at_once_are_told_apart(server: NatsServer) -> None:
    members = [NatsCoordinator(server.url).open(KEY, f"m{number}") for number in range(8)]
    answers = await asyncio.gather(*(each.acquire(60, 0) for each in members))
    (lease,) = (each for each in answers if isinstance(each, Lease))
    assert {each.epoch for each in answers} == {lease.epoch}
    await close(*members)


async def test_hosts_share_a_connection_and_hand_it_over(server: NatsServer, tmp_path: Path) -> None:
    options = ClusterOptions(engine=NatsCoordinator(server.url), lease=9, margin=1)
    async with FaultyServer() as upstream:
        hosts = [Host(upstream.url, tmp_path / str(number), options, Raw()) for number in range(3)]
        for host in hosts:
            await host.upstream.connect()
            await host.connected(1)
        await upstream.broadcast("one")
        for host in hosts:
            await host.got("one")
        leader, *others = hosts
        assert leader.upstream.is_owner
        await leader.upstream.aclose()
        for host in others:
            await host.connected(2)
        await upstream.broadcast("two")
        for host in others:
            await host.got("two")
        # Before they leave: if the one that leads is the first, the other dials.
        assert (upstream.counts.upgraded, upstream.counts.most_open) == (2, 1)
        for host in others:
            await host.upstream.aclose()
        assert upstream.counts.most_open == 1
