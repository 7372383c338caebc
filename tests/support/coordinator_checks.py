"""Checks that the coordinator of every cluster engine has to pass, each with an engine and a key of its own."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import pytest

from onesocket.errors import Fenced, InvalidOption
from onesocket.sharing.cluster._coordinator import (
    START,
    ClusterEngine,
    ClusterKey,
    Coordinator,
    Lease,
    LeaseInfo,
    Position,
    PreviousEpoch,
    RecordKind,
)

TTL: Final = 60.0
LONG: Final = 30.0
"""Seconds that a read may block: it is woken long before."""


@dataclass(frozen=True)
class EngineUnderTest:
    """An engine, a key that no other test uses, and what only the test of that engine can do."""

    engine: ClusterEngine
    key: ClusterKey
    expire: Callable[[], Awaitable[None]]
    """Has the lease end as if its time had come."""

    def open(self, member: str) -> Coordinator:
        return self.engine.open(self.key, member)


async def one_member_leads_and_others_hear_which(case: EngineUnderTest) -> None:
    a, b = case.open("a"), case.open("b")
    assert await a.lease() is None
    assert await a.acquire(TTL, 0) == Lease(1, PreviousEpoch.NONE)
    await a.publish(Position(1, 1), b"x")
    for info in (await b.acquire(TTL, 0), await b.lease(), await a.lease()):
        assert isinstance(info, LeaseInfo)
        assert (info.member, info.epoch, info.end) == ("a", 1, Position(1, 1))
        assert 0 < info.remaining <= TTL
    assert await a.renew(1, TTL)
    assert not await b.renew(1, TTL)
    assert not await a.renew(2, TTL)
    await close(a, b)


async def an_expired_lease_goes_to_the_next_member_in_a_new_epoch(case: EngineUnderTest) -> None:
    a, b = case.open("a"), case.open("b")
    await a.acquire(TTL, 0)
    await case.expire()
    assert await b.lease() is None
    assert not await a.renew(1, TTL)
    assert await b.acquire(TTL, 1) == Lease(2, PreviousEpoch.EXPIRED)
    await close(a, b)


async def a_released_lease_goes_to_the_next_member_at_once(case: EngineUnderTest) -> None:
    a, b = case.open("a"), case.open("b")
    await a.acquire(TTL, 0)
    reading = asyncio.create_task(b.follow(Position(1, 0), START, LONG))
    await a.release(Position(1, 1))
    (ended,) = await reading
    assert (ended.kind, ended.position) == (RecordKind.ENDED, Position(1, 1))
    assert await b.acquire(TTL, 1) == Lease(2, PreviousEpoch.RELEASED)
    await a.release(Position(1, 1))
    assert await b.renew(2, TTL)
    (began,) = await a.follow(Position(1, 1), START, LONG)
    assert (began.kind, began.member, began.previous) == (RecordKind.BEGAN, "b", Position(1, 1))
    await close(a, b)


async def a_member_that_asks_again_gets_a_new_epoch(case: EngineUnderTest) -> None:
    a = case.open("a")
    await a.acquire(TTL, 0)
    assert await a.acquire(TTL, 1) == Lease(2, PreviousEpoch.RELEASED)
    assert not await a.renew(1, TTL)
    await close(a)


async def nothing_of_an_epoch_that_has_ended_is_accepted(case: EngineUnderTest) -> None:
    a, b = case.open("a"), case.open("b")
    await a.acquire(TTL, 0)
    await a.publish(Position(1, 1), b"1")
    await case.expire()
    with pytest.raises(Fenced) as ended:
        await a.publish(Position(1, 2), b"2")
    await b.acquire(TTL, 1)
    with pytest.raises(Fenced) as superseded:
        await a.publish(Position(1, 2), b"2")
    assert (ended.value.epoch, ended.value.newer, superseded.value.newer) == (1, None, 2)
    with pytest.raises(Fenced):
        await a.publish(Position(2, 1), b"2")
    with pytest.raises(Fenced):
        await a.answer("b", Position(1, 1), b"2")
    records = await b.follow(Position(1, 0), START, LONG)
    assert [(each.kind, each.position) for each in records] == [
        (RecordKind.BATCH, Position(1, 1)),
        (RecordKind.BEGAN, Position(2, 0)),
    ]
    await close(a, b)


async def batches_arrive_whole_and_in_order(case: EngineUnderTest) -> None:
    a, b = case.open("a"), case.open("b")
    await a.acquire(TTL, 0)
    payloads = [bytes([n]) * n * 1000 for n in range(200)]

    async def publish() -> None:
        for number, payload in enumerate(payloads, 1):
            await a.publish(Position(1, number), payload)

    publishing = asyncio.create_task(publish())
    position, received = Position(1, 0), list[bytes]()
    while len(received) < len(payloads):
        for each in await b.follow(position, START, LONG):
            assert each.kind is RecordKind.BATCH
            position = each.position
            received.append(each.payload)
    await publishing
    assert received == payloads
    assert position == Position(1, 200)
    await close(a, b)


async def a_read_ends_without_records_when_its_time_is_up(case: EngineUnderTest) -> None:
    a, b = case.open("a"), case.open("b")
    await a.acquire(TTL, 0)
    assert await b.follow(Position(1, 0), START, 0.05) == []
    assert await b.follow(Position(1, 0), START, 0) == []
    assert await a.take(Position(1, 0), 0.05) == []
    assert await a.take(Position(1, 0), 0) == []
    await close(a, b)


async def a_cancelled_read_disturbs_no_later_one(case: EngineUnderTest) -> None:
    a, b = case.open("a"), case.open("b")
    await a.acquire(TTL, 0)
    for number in range(1, 6):
        reading = asyncio.create_task(b.follow(Position(1, number - 1), START, LONG))
        await b.lease()  # so that the read is under way
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await a.publish(Position(1, number), b"%d" % number)
        assert [each.payload for each in await b.follow(Position(1, number - 1), START, LONG)] == [b"%d" % number]
        lease = await b.lease()
        assert isinstance(lease, LeaseInfo)
        assert lease.end == Position(1, number)
    await close(a, b)


async def a_repeated_write_is_accepted_once(case: EngineUnderTest) -> None:
    a, b = case.open("a"), case.open("b")
    await a.acquire(TTL, 0)
    for number in (1, 1, 2, 1, 2):
        await a.publish(Position(1, number), b"batch")
        await b.submit(Position(1, number), b"mail")
        await a.answer("b", Position(1, number), b"answer")
    records = await b.follow(Position(1, 0), START, LONG)
    assert [(each.kind, each.position.number) for each in records] == [
        (RecordKind.BATCH, 1),
        (RecordKind.BATCH, 2),
        (RecordKind.ANSWER, 1),
        (RecordKind.ANSWER, 2),
    ]
    assert [each.number for each in await a.take(Position(1, 0), LONG)] == [1, 2]
    await close(a, b)


async def a_number_that_is_left_out_is_a_gap(case: EngineUnderTest) -> None:
    a, b = case.open("a"), case.open("b")
    await a.acquire(TTL, 0)
    await a.publish(Position(1, 1), b"1")
    await a.publish(Position(1, 5), b"5")
    await a.release(Position(1, 7))
    records = await b.follow(Position(1, 0), START, LONG)
    assert [(each.kind, each.missed) for each in records] == [
        (RecordKind.BATCH, None),
        (RecordKind.MISSED, 3),
        (RecordKind.BATCH, None),
        (RecordKind.MISSED, 1),
        (RecordKind.ENDED, None),
    ]
    await close(a, b)


async def submissions_reach_the_leader_of_their_epoch_and_answers_their_member(case: EngineUnderTest) -> None:
    a, b, c = case.open("a"), case.open("b"), case.open("c")
    with pytest.raises(Fenced):
        await b.submit(Position(1, 1), b"too early")
    await a.acquire(TTL, 0)
    taking = asyncio.create_task(a.take(Position(1, 0), LONG))
    await b.submit(Position(1, 1), b"b1")
    (first,) = await taking
    assert (first.member, first.number, first.payload) == ("b", 1, b"b1")
    await c.submit(Position(1, 1), b"c1")
    await b.submit(Position(1, 2), b"b2")
    mails = await a.take(first.position, LONG)
    assert [(each.member, each.number, each.payload) for each in mails] == [("c", 1, b"c1"), ("b", 2, b"b2")]
    assert await a.take(first.position, LONG) == mails
    assert await a.take(mails[-1].position, 0) == []
    await a.answer("b", Position(1, 1), b"to b")
    await a.answer("c", Position(1, 1), b"to c")
    assert [each.payload for each in await b.follow(Position(1, 0), START, LONG)] == [b"to b"]
    assert await b.follow(Position(1, 0), Position(1, 1), 0) == []
    assert [each.payload for each in await c.follow(Position(1, 0), START, LONG)] == [b"to c"]
    await close(a, b, c)


async def submissions_to_an_earlier_epoch_reach_no_later_leader(case: EngineUnderTest) -> None:
    a, b = case.open("a"), case.open("b")
    await a.acquire(TTL, 0)
    await b.submit(Position(1, 1), b"old")
    await case.expire()
    await b.acquire(TTL, 1)
    assert await b.take(Position(2, 0), 0) == []
    await a.submit(Position(2, 1), b"new")
    assert [each.payload for each in await b.take(Position(2, 0), LONG)] == [b"new"]
    await close(a, b)


async def payloads_are_bounded_and_may_hold_any_byte(case: EngineUnderTest) -> None:
    a, b = case.open("a"), case.open("b")
    await a.acquire(TTL, 0)
    largest = bytes(range(256)) * (a.max_payload // 256)
    await a.publish(Position(1, 1), b"")
    await a.publish(Position(1, 2), largest)
    assert [each.payload for each in await b.follow(Position(1, 0), START, LONG)] == [b"", largest]
    for write in (a.publish, a.submit):
        with pytest.raises(InvalidOption):
            await write(Position(1, 3), largest + b"x" * 256)
    with pytest.raises(InvalidOption):
        await a.answer("b", Position(1, 1), largest + b"x" * 256)
    await close(a, b)


async def keys_do_not_see_each_other(case: EngineUnderTest) -> None:
    a, b = case.open("a"), case.engine.open(ClusterKey(case.key.prefix, "f" * 64), "a")
    await a.acquire(TTL, 0)
    assert await b.acquire(TTL, 0) == Lease(1, PreviousEpoch.NONE)
    await a.publish(Position(1, 1), b"x")
    assert await b.follow(Position(1, 0), START, 0) == []
    await close(a, b)


async def close(*coordinators: Coordinator) -> None:
    for each in coordinators:
        await each.aclose()


CHECKS: Final = (
    one_member_leads_and_others_hear_which,
    an_expired_lease_goes_to_the_next_member_in_a_new_epoch,
    a_released_lease_goes_to_the_next_member_at_once,
    a_member_that_asks_again_gets_a_new_epoch,
    nothing_of_an_epoch_that_has_ended_is_accepted,
    batches_arrive_whole_and_in_order,
    a_read_ends_without_records_when_its_time_is_up,
    a_cancelled_read_disturbs_no_later_one,
    a_repeated_write_is_accepted_once,
    a_number_that_is_left_out_is_a_gap,
    submissions_reach_the_leader_of_their_epoch_and_answers_their_member,
    submissions_to_an_earlier_epoch_reach_no_later_leader,
    payloads_are_bounded_and_may_hold_any_byte,
    keys_do_not_see_each_other,
)
