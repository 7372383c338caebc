"""Checks that the coordinator of every cluster engine has to pass, each with an engine and a key of its own."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import pytest

from onesocket.errors import Fenced, InvalidOption
from onesocket.sharing.cluster._coordinator import (
    NO_LAG,
    START,
    ClusterEngine,
    ClusterKey,
    Coordinator,
    Lease,
    LeaseInfo,
    Position,
    PreviousEpoch,
    Record,
    RecordKind,
    Submission,
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
    lease = await a.acquire(TTL, 0)
    assert isinstance(lease, Lease)
    assert lease.previous is PreviousEpoch.NONE
    e = lease.epoch
    await a.publish(Position(e, 1), b"x")
    for info in (await b.acquire(TTL, 0), await b.lease(), await a.lease()):
        assert isinstance(info, LeaseInfo)
        assert (info.member, info.epoch, info.end) == ("a", e, Position(e, 1))
        assert 0 < info.remaining <= TTL
    assert await a.renew(e, TTL)
    assert not await b.renew(e, TTL)
    assert not await a.renew(e + 1, TTL)
    await close(a, b)


async def an_expired_lease_goes_to_the_next_member_in_a_new_epoch(case: EngineUnderTest) -> None:
    a, b = case.open("a"), case.open("b")
    e = await lead(a)
    await case.expire()
    assert await b.lease() is None
    assert not await a.renew(e, TTL)
    await lead(b, e, PreviousEpoch.EXPIRED)
    await close(a, b)


async def a_released_lease_goes_to_the_next_member_at_once(case: EngineUnderTest) -> None:
    a, b = case.open("a"), case.open("b")
    e = await lead(a)
    reading = asyncio.create_task(b.follow(Position(e, 0), START, LONG))
    await a.release(Position(e, 1))
    (ended,) = await reading
    assert (ended.kind, ended.position) == (RecordKind.ENDED, Position(e, 1))
    f = await lead(b, e, PreviousEpoch.RELEASED)
    await a.release(Position(e, 1))
    assert await b.renew(f, TTL)
    (began,) = await a.follow(Position(e, 1), START, LONG)
    assert (began.kind, began.member, began.previous) == (RecordKind.BEGAN, "b", Position(e, 1))
    await close(a, b)


async def a_member_that_asks_again_gets_a_new_epoch(case: EngineUnderTest) -> None:
    a = case.open("a")
    e = await lead(a)
    await lead(a, e, PreviousEpoch.RELEASED)
    assert not await a.renew(e, TTL)
    await close(a)


async def nothing_of_an_epoch_that_has_ended_is_accepted(case: EngineUnderTest) -> None:
    a, b = case.open("a"), case.open("b")
    e = await lead(a)
    await a.publish(Position(e, 1), b"1")
    await case.expire()
    with pytest.raises(Fenced) as ended:
        await a.publish(Position(e, 2), b"2")
    f = await lead(b, e)
    with pytest.raises(Fenced) as superseded:
        await a.publish(Position(e, 2), b"2")
    assert (ended.value.epoch, ended.value.newer, superseded.value.newer) == (e, None, f)
    with pytest.raises(Fenced):
        await a.publish(Position(f, 1), b"2")
    with pytest.raises(Fenced):
        await a.answer("b", Position(e, 1), b"2")
    records = await follow_all(b, Position(e, 0), 2)
    assert [(each.kind, each.position) for each in records] == [
        (RecordKind.BATCH, Position(e, 1)),
        (RecordKind.BEGAN, Position(f, 0)),
    ]
    await close(a, b)


async def batches_arrive_whole_and_in_order(case: EngineUnderTest) -> None:
    a, b = case.open("a"), case.open("b")
    e = await lead(a)
    payloads = [bytes([n]) * n * 1000 for n in range(200)]

    async def publish() -> None:
        for number, payload in enumerate(payloads, 1):
            await a.publish(Position(e, number), payload)

    publishing = asyncio.create_task(publish())
    position, received = Position(e, 0), list[bytes]()
    while len(received) < len(payloads):
        for each in await b.follow(position, START, LONG):
            assert each.kind is RecordKind.BATCH
            position = each.position
            received.append(each.payload)
    await publishing
    assert received == payloads
    assert position == Position(e, 200)
    await close(a, b)


async def a_read_ends_without_records_when_its_time_is_up(case: EngineUnderTest) -> None:
    a, b = case.open("a"), case.open("b")
    e = await lead(a)
    assert await b.follow(Position(e, 0), START, 0.05) == []
    assert await b.follow(Position(e, 0), START, 0) == []
    assert await a.take(Position(e, 0), 0.05) == []
    assert await a.take(Position(e, 0), 0) == []
    await close(a, b)


async def a_cancelled_read_disturbs_no_later_one(case: EngineUnderTest) -> None:
    a, b = case.open("a"), case.open("b")
    e = await lead(a)
    for number in range(1, 6):
        reading = asyncio.create_task(b.follow(Position(e, number - 1), START, LONG))
        await b.lease()  # so that the read is under way
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await a.publish(Position(e, number), b"%d" % number)
        assert [each.payload for each in await b.follow(Position(e, number - 1), START, LONG)] == [b"%d" % number]
        lease = await b.lease()
        assert isinstance(lease, LeaseInfo)
        assert lease.end == Position(e, number)
    await close(a, b)


async def a_repeated_write_is_accepted_once(case: EngineUnderTest) -> None:
    a, b = case.open("a"), case.open("b")
    e = await lead(a)
    for number in (1, 1, 2, 1, 2):
        await a.publish(Position(e, number), b"batch")
        await b.submit(Position(e, number), b"mail")
        await a.answer("b", Position(e, number), b"answer")
    records = await follow_all(b, Position(e, 0), 4)
    assert [(each.kind, each.position.number) for each in records] == [
        (RecordKind.BATCH, 1),
        (RecordKind.BATCH, 2),
        (RecordKind.ANSWER, 1),
        (RecordKind.ANSWER, 2),
    ]
    assert [each.number for each in await take_all(a, Position(e, 0), 2)] == [1, 2]
    await close(a, b)


async def a_number_that_is_left_out_is_a_gap(case: EngineUnderTest) -> None:
    a, b = case.open("a"), case.open("b")
    e = await lead(a)
    await a.publish(Position(e, 1), b"1")
    await a.publish(Position(e, 5), b"5")
    await a.release(Position(e, 7))
    records = await follow_all(b, Position(e, 0), 5)
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
    e = await lead(a)
    taking = asyncio.create_task(a.take(Position(e, 0), LONG))
    await b.submit(Position(e, 1), b"b1")
    (first,) = await taking
    assert (first.member, first.number, first.payload) == ("b", 1, b"b1")
    await c.submit(Position(e, 1), b"c1")
    await b.submit(Position(e, 2), b"b2")
    mails = await take_all(a, first.position, 2)
    assert [(each.member, each.number, each.payload) for each in mails] == [("c", 1, b"c1"), ("b", 2, b"b2")]
    assert await take_all(a, first.position, 2) == mails
    assert await a.take(mails[-1].position, 0) == []
    await a.answer("b", Position(e, 1), b"to b")
    await a.answer("c", Position(e, 1), b"to c")
    assert [each.payload for each in await b.follow(Position(e, 0), START, LONG)] == [b"to b"]
    assert await b.follow(Position(e, 0), Position(e, 1), 0) == []
    assert [each.payload for each in await c.follow(Position(e, 0), START, LONG)] == [b"to c"]
    await close(a, b, c)


async def submissions_to_an_earlier_epoch_reach_no_later_leader(case: EngineUnderTest) -> None:
    a, b, c = case.open("a"), case.open("b"), case.open("c")
    e = await lead(a)
    await b.submit(Position(e, 1), b"old 1")
    await c.submit(Position(e, 1), b"old 1")
    await c.submit(Position(e, 2), b"old 2")
    await case.expire()
    f = await lead(b, e)
    assert await b.take(Position(f, 0), 0) == []
    await c.submit(Position(f, 1), b"new 1")
    assert [each.payload for each in await b.take(Position(f, 0), LONG)] == [b"new 1"]
    await close(a, b, c)


async def payloads_are_bounded_and_may_hold_any_byte(case: EngineUnderTest) -> None:
    a, b = case.open("a"), case.open("b")
    e = await lead(a)
    largest = bytes(range(256)) * (a.max_payload // 256)
    await a.publish(Position(e, 1), b"")
    await a.publish(Position(e, 2), largest)
    assert [each.payload for each in await follow_all(b, Position(e, 0), 2)] == [b"", largest]
    for write in (a.publish, a.submit):
        with pytest.raises(InvalidOption):
            await write(Position(e, 3), largest + b"x" * 256)
    with pytest.raises(InvalidOption):
        await a.answer("b", Position(e, 1), largest + b"x" * 256)
    await close(a, b)


async def keys_do_not_see_each_other(case: EngineUnderTest) -> None:
    a, b = case.open("a"), case.engine.open(ClusterKey(case.key.prefix, "f" * 64), "a")
    e = await lead(a)
    f = await lead(b, 0, PreviousEpoch.NONE)
    await a.publish(Position(e, 1), b"x")
    assert await b.follow(Position(f, 0), START, 0) == []
    await close(a, b)


async def what_members_announce_is_seen_until_they_withdraw_it(case: EngineUnderTest) -> None:
    a, b = case.open("a"), case.open("b")
    observer = case.engine.observe(case.key.prefix)
    assert await observer.look(case.key.digest) == []
    e = await lead(a)
    assert await a.announce(b"a leads", START, TTL) is None
    assert await b.follow(Position(e, 0), START, 0) == []
    assert await b.announce(b"b is there", Position(e, 0), TTL) == NO_LAG
    for number in (1, 2, 3):
        await a.publish(Position(e, number), b"x")
    lag = await b.announce(b"b \xff 1", Position(e, 0), TTL - 0.5)
    assert lag is not None
    assert lag.records == 3
    assert lag.seconds is not None
    assert 0 <= lag.seconds < TTL
    before = observer.commands
    (view,) = await observer.look(case.key.digest[:6])
    assert observer.commands - before <= 5
    assert view.digest == case.key.digest
    assert view.lease is not None
    assert (view.lease.member, view.lease.epoch) == ("a", e)
    assert 0 < view.lease.remaining <= TTL
    assert [(each.member, each.note) for each in view.members] == [("a", b"a leads"), ("b", b"b \xff 1")]
    assert [each.lag for each in view.members] == [None, lag]
    assert all(0 < each.remaining <= most for each, most in zip(view.members, (TTL, TTL - 0.5), strict=True))
    assert await observer.look("f") == []
    for record in await follow_all(b, Position(e, 0), 3):
        assert record.kind is RecordKind.BATCH
    assert await b.announce(b"", Position(e, 3), TTL) == NO_LAG
    (view,) = await observer.look("")
    assert [each.member for each in view.members] == ["a"]
    await a.release(Position(e, 4))
    await a.announce(b"", START, TTL)
    assert await observer.look("") == []
    await observer.aclose()
    await close(a, b)


async def login_slots_are_those_of_all_keys_of_a_prefix(case: EngineUnderTest) -> None:
    name, period = "5" * 64, 60.0
    members = [case.engine.open(ClusterKey(case.key.prefix, f"{number:064x}"), f"m{number}") for number in range(4)]
    began = time.monotonic()
    waits = sorted(await asyncio.gather(*(each.reserve_slot(name, period, 0.0) for each in members)))
    assert [wait for wait in waits if wait < 0] == []
    ends = [wait + period for wait in waits[:-1]]
    took = time.monotonic() - began
    assert all(end - took <= wait <= end + 0.01 for wait, end in zip(waits[1:], ends, strict=True)), waits
    first, second = members[:2]
    delayed = [await each.reserve_slot("delayed", period, 100.0) for each in (first, second)]
    assert delayed[0] == pytest.approx(100, abs=0.01)
    assert 160.01 >= delayed[1] > 159 - (time.monotonic() - began)
    elsewhere = case.engine.open(ClusterKey("another", case.key.digest), "a")
    assert await elsewhere.reserve_slot(name, period, 0.0) == pytest.approx(0, abs=0.01)
    assert await first.reserve_slot("short", 0.05, 0.0) == pytest.approx(0, abs=0.01)
    with pytest.raises(InvalidOption):
        await first.reserve_slot("two words", period, 0.0)
    await close(*members, elsewhere)


async def lead(coordinator: Coordinator, after: int = 0, previous: PreviousEpoch | None = None) -> int:
    """Have a member take the lease; returns its epoch."""
    lease = await coordinator.acquire(TTL, after)
    assert isinstance(lease, Lease)
    assert lease.epoch > after
    assert previous in (None, lease.previous)
    return lease.epoch


async def follow_all(member: Coordinator, feed: Position, count: int) -> list[Record]:
    """The next `count` records, however many calls return them: first those of the feed, then the answers."""
    records, answered = list[Record](), list[Record]()
    answers = START
    while len(records) + len(answered) < count:
        for each in await member.follow(feed, answers, LONG):
            if each.kind is RecordKind.ANSWER:
                answers = each.position
                answered.append(each)
            else:
                feed = each.position
                records.append(each)
    return records + answered


async def take_all(leader: Coordinator, done: Position, count: int) -> list[Submission]:
    """The submissions after `done`, once there are `count`."""
    while len(found := await leader.take(done, LONG)) < count:
        pass
    return found


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
    login_slots_are_those_of_all_keys_of_a_prefix,
    what_members_announce_is_seen_until_they_withdraw_it,
)
