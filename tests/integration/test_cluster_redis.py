"""Coordination of a cluster by a real Valkey server."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from onesocket.errors import Fenced, MailboxFull
from onesocket.sharing.cluster._coordinator import (
    START,
    Coordinator,
    Lease,
    LeaseInfo,
    Position,
    PreviousEpoch,
    Record,
    RecordKind,
)
from onesocket.sharing.cluster._feed_retention import Retention
from onesocket.sharing.cluster._redis_coordinator import RedisCoordinator
from tests.support.coordinator_checks import CHECKS, EngineUnderTest, close, lead
from tests.support.engine_members import KEY, open_pair
from tests.support.engine_members import REDIS_BASE as BASE
from tests.support.redis_server import RedisServer, redis_server


@pytest.fixture(scope="module")
def shared_server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture
def server(shared_server: RedisServer) -> RedisServer:
    shared_server.client().flushall()
    return shared_server


@pytest.fixture
def raw(server: RedisServer) -> Iterator[Any]:
    """A client that is not ours."""
    with server.client() as client:
        yield client


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_redis_passes_the_checks_of_every_engine(
    check: Callable[[EngineUnderTest], Awaitable[None]], server: RedisServer, raw: Any
) -> None:
    async def expire() -> None:
        assert raw.pexpire(BASE + "lease", 0)

    await check(EngineUnderTest(RedisCoordinator(server.url), KEY, expire))


async def test_a_lease_ends_when_its_time_is_up(server: RedisServer) -> None:
    a, b = pair(server)
    lease = await a.acquire(0.05, 0)
    assert isinstance(lease, Lease)
    e = lease.epoch
    while isinstance(answer := await b.acquire(9, e), LeaseInfo):
        await b.follow(Position(e, 0), START, answer.remaining)
    assert isinstance(answer, Lease)
    assert answer.previous is PreviousEpoch.EXPIRED
    with pytest.raises(Fenced):
        await a.publish(Position(e, 1), b"late")
    await close(a, b)


async def test_a_renewed_lease_ends_later(server: RedisServer, raw: Any) -> None:
    a, b = pair(server)
    e = await lead(a)
    await a.renew(e, 500)
    assert 400_000 < raw.pttl(BASE + "lease") <= 500_000
    info = await b.lease()
    assert isinstance(info, LeaseInfo)
    assert 400 < info.remaining <= 500
    await close(a, b)


async def test_scripts_that_the_server_has_forgotten_are_sent_again(server: RedisServer, raw: Any) -> None:
    a, _ = pair(server)
    e = await lead(a)
    await a.publish(Position(e, 1), b"x")
    raw.script_flush()
    await a.publish(Position(e, 2), b"x")
    assert raw.xlen(BASE + "feed") == 3
    await close(a)


async def test_members_hear_that_the_engine_has_lost_everything(server: RedisServer, raw: Any) -> None:
    a, b = pair(server)
    e = await lead(a)
    await a.publish(Position(e, 1), b"x")
    raw.flushall()
    assert not await a.renew(e, 9)
    with pytest.raises(Fenced):
        await a.publish(Position(e, 2), b"x")
    assert await b.follow(Position(e, 1), START, 0) == [Record(RecordKind.MISSED, START)]
    await lead(b, e, PreviousEpoch.LOST)
    kinds = [(each.kind, each.missed) for each in await b.follow(Position(e, 1), START, 0)]
    assert kinds == [(RecordKind.MISSED, None), (RecordKind.BEGAN, None)]
    await close(a, b)


async def test_an_engine_that_has_lost_everything_grants_no_epoch_twice(server: RedisServer, raw: Any) -> None:
    a, b = pair(server)
    e = await lead(a)
    raw.flushall()
    assert await lead(b) > e  # though it has heard of no epoch
    await close(a, b)


async def test_the_leader_hears_that_the_engine_has_lost_its_newest_records(server: RedisServer, raw: Any) -> None:
    a, b = pair(server)
    e = await lead(a)
    await a.publish(Position(e, 1), b"1")
    older = raw.dump(BASE + "state"), raw.dump(BASE + "feed")
    await a.publish(Position(e, 2), b"2")
    raw.restore(BASE + "state", 0, older[0], replace=True)
    raw.restore(BASE + "feed", 0, older[1], replace=True)
    with pytest.raises(Fenced, match="lost records"):
        await a.publish(Position(e, 3), b"3")
    assert await b.follow(Position(e, 2), START, 0) == [Record(RecordKind.MISSED, Position(e, 1))]
    await lead(a, e, PreviousEpoch.RELEASED)
    kinds = [(each.kind, each.missed) for each in await b.follow(Position(e, 2), START, 0)]
    assert kinds == [(RecordKind.MISSED, None), (RecordKind.BEGAN, None)]
    await close(a, b)


async def test_an_epoch_is_above_those_of_a_feed_whose_state_is_lost(server: RedisServer, raw: Any) -> None:
    a, b = pair(server)
    e = await lead(a)
    await a.publish(Position(e, 1), b"x")
    raw.delete(BASE + "state", BASE + "lease")
    await lead(b, 0, PreviousEpoch.LOST)
    (began,) = await a.follow(Position(e, 1), START, 0)
    assert (began.kind, began.previous) == (RecordKind.BEGAN, Position(e, 1))
    await close(a, b)


async def test_numbers_go_on_when_the_feed_is_gone(server: RedisServer, raw: Any) -> None:
    a, b = pair(server)
    e = await lead(a)
    await a.publish(Position(e, 1), b"1")
    await a.publish(Position(e, 2), b"2")
    raw.delete(BASE + "feed")
    await a.publish(Position(e, 3), b"3")
    records = await b.follow(Position(e, 1), START, 0)
    assert [(each.kind, each.missed) for each in records] == [(RecordKind.MISSED, 1), (RecordKind.BATCH, None)]
    await close(a, b)


async def test_the_feed_is_bounded_by_its_retention(server: RedisServer, raw: Any) -> None:
    engine = RedisCoordinator(server.url, retention=Retention(size=100_000))
    a, b = engine.open(KEY, "a"), engine.open(KEY, "b")
    e = await lead(a)
    for number in range(1, 101):
        await a.publish(Position(e, number), b"x" * 5000)
    held = raw.xlen(BASE + "feed")
    assert 20 <= held <= 21  # Redis drops whole nodes of its tree; a record of this size has its own
    missed, *rest = await b.follow(Position(e, 1), START, 0)
    assert missed == Record(RecordKind.MISSED, Position(e, 100 - held), missed=99 - held)
    assert [each.position.number for each in rest] == list(range(101 - held, 101))
    await close(a, b)


async def test_the_mailbox_is_bounded(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onesocket.sharing.cluster._redis_coordinator._MOST_MAILS", 2)
    a, b = pair(server)
    e = await lead(a)
    await b.submit(Position(e, 1), b"1")
    await b.submit(Position(e, 2), b"2")
    with pytest.raises(MailboxFull):
        await b.submit(Position(e, 3), b"3")
    first, _ = await a.take(Position(e, 0), 0)
    await a.take(first.position, 0)
    await b.submit(Position(e, 3), b"3")
    assert [each.number for each in await a.take(first.position, 0)] == [2, 3]
    await close(a, b)


async def test_a_key_that_no_member_uses_is_forgotten_in_time(server: RedisServer, raw: Any) -> None:
    a, b = pair(server)
    e = await lead(a)
    await a.publish(Position(e, 1), b"x")
    await b.submit(Position(e, 1), b"x")
    await a.answer("b", Position(e, 1), b"x")
    await a.renew(e, 9)
    keys = {key.decode().removeprefix(BASE): raw.ttl(key) for key in raw.scan_iter()}
    assert keys.keys() == {"lease", "state", "feed", "mailbox", "members", "answers:b"}
    assert all(seconds > 0 for seconds in keys.values()), keys
    assert keys["feed"] <= 70
    await close(a, b)


def pair(server: RedisServer) -> tuple[Coordinator, Coordinator]:
    return open_pair(RedisCoordinator(server.url))
