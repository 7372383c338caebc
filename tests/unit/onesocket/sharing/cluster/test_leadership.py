"""One epoch of a leader, on virtual time: renewals, publishing, answers, and the end."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from onesocket.errors import EngineFull, EngineUnavailable
from onesocket.sharing.cluster._coordinator import (
    START,
    ClusterKey,
    Coordinator,
    Lease,
    LeaseInfo,
    Position,
    RecordKind,
    Submission,
)
from onesocket.sharing.cluster._feed_payload import FeedReader
from onesocket.sharing.cluster._leadership import Leadership, LeadershipEnd
from onesocket.sharing.cluster._lease_clock import LeaseClock
from onesocket.sharing.cluster._memory_engine import MemoryEngine
from onesocket.sharing.host._ipc_frames import MessageBatch, Shutdown, encode_ipc_frame
from onesocket.testing import run_virtual
from tests.unit.onesocket.sharing.cluster.test_following import stopped

KEY = ClusterKey.of("0" * 64)
TTL, MARGIN = 9.0, 2.0


class Leader:
    """A member "a" that leads, and one "b" that reads."""

    def __init__(self, engine: MemoryEngine, lease: Lease, own: Coordinator) -> None:
        self.engine = engine
        self.own = own
        self.other = engine.open(KEY, "b")
        self.now = asyncio.get_running_loop().time
        self.clock = LeaseClock(TTL, MARGIN)
        self.clock.granted(self.now())
        self.leadership = Leadership(own, lease, self.clock, self.now, 2**20)
        self.submitted: list[Submission] = []
        self.renewals: list[float] = []

    @classmethod
    async def of(cls, engine: MemoryEngine) -> "Leader":
        own = engine.open(KEY, "a")
        lease = await own.acquire(TTL, 0)
        assert isinstance(lease, Lease)
        return cls(engine, lease, own)

    async def run(self) -> LeadershipEnd:
        return await self.leadership.run(self.submitted.append, lambda: self.renewals.append(self.now()))

    async def lost(self) -> Lease | LeaseInfo:
        """Have the other member get the lease."""
        self.engine.model(KEY).expire()
        return await self.other.acquire(TTL, 0)

    async def messages(self) -> list[object]:
        reader = FeedReader("b")
        reader.begin(from_start=True)
        records = await self.other.follow(Position(1, 0), START, 0)
        frames = [frame for each in records for frame in reader.read(each.payload, 1)]
        return [message for frame in frames if isinstance(frame, MessageBatch) for message in frame.messages]


def run_leader(main: Callable[[Leader], Awaitable[None]]) -> None:
    async def run() -> None:
        await main(await Leader.of(MemoryEngine()))

    run_virtual(run)


def test_the_lease_is_renewed_at_a_third_and_the_end_comes_before_that_of_the_lease() -> None:
    async def main(leader: Leader) -> None:
        running = asyncio.ensure_future(leader.run())
        await asyncio.sleep(10)
        assert leader.renewals == [pytest.approx(3), pytest.approx(6), pytest.approx(9)]
        leader.engine.is_available = False
        assert await running is LeadershipEnd.ENGINE_LOST
        assert leader.now() == pytest.approx(9 + TTL - MARGIN)
        assert not leader.leadership.may_send

    run_leader(main)


def test_a_renewal_that_hangs_does_not_outlast_the_lease() -> None:
    async def main(leader: Leader) -> None:
        async def hang(epoch: int, ttl: float) -> bool:
            del epoch, ttl
            await asyncio.sleep(3600)
            return True

        leader.own.renew = hang  # type: ignore[method-assign]
        assert await leader.run() is LeadershipEnd.ENGINE_LOST
        assert leader.now() == pytest.approx(TTL - MARGIN)

    run_leader(main)


def test_a_client_of_the_engine_that_loses_a_cancellation_does_not_outlast_the_lease() -> None:
    async def main(leader: Leader) -> None:
        async def publish(position: Position, payload: bytes) -> None:
            del position, payload
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                raise EngineUnavailable("away") from None

        leader.own.publish = publish  # type: ignore[method-assign]
        leader.engine.is_available = False
        leader.leadership.feed.add_batch(["waits"])
        leader.leadership.wake()
        async with asyncio.timeout(TTL):
            assert await leader.run() is LeadershipEnd.ENGINE_LOST

    run_leader(main)


def test_an_engine_that_is_full_for_a_while_costs_nothing() -> None:
    async def main(leader: Leader) -> None:
        def refuse(member: str, operation: str) -> None:
            if member == "a" and operation in ("take", "renew") and 2 < leader.now() < 5:
                raise EngineFull(operation)

        leader.engine.before = refuse
        running = asyncio.ensure_future(leader.run())
        await asyncio.sleep(2.5)
        await leader.other.submit(Position(leader.leadership.epoch, 1), b"mail")
        await asyncio.sleep(5)
        assert not running.done()
        assert [each.payload for each in leader.submitted] == [b"mail"]
        await stopped(running)

    run_leader(main)


def test_a_lost_reply_to_a_renewal_costs_nothing() -> None:
    async def main(leader: Leader) -> None:
        def lose(member: str, operation: str) -> None:
            if operation == "renew" and 2 < leader.now() < 5:
                raise EngineUnavailable(member)

        leader.engine.after = lose
        running = asyncio.ensure_future(leader.run())
        await asyncio.sleep(60)
        assert not running.done()
        await stopped(running)

    run_leader(main)


def test_a_lease_that_another_member_has_ends_it_at_once() -> None:
    async def main(leader: Leader) -> None:
        running = asyncio.ensure_future(leader.run())
        await asyncio.sleep(1)
        await leader.lost()
        leader.leadership.feed.add_batch(["late"])
        leader.leadership.wake()
        assert await running is LeadershipEnd.LEASE_LOST
        assert leader.now() == pytest.approx(1)
        assert RecordKind.BATCH not in [each.kind for each in await leader.other.follow(START, START, 0)]

    run_leader(main)


def test_a_renewal_shows_that_another_member_has_the_lease() -> None:
    async def main(leader: Leader) -> None:
        running = asyncio.ensure_future(leader.run())
        await asyncio.sleep(1)
        await leader.lost()
        assert await running is LeadershipEnd.LEASE_LOST
        assert leader.now() == pytest.approx(3)

    run_leader(main)


def test_batches_are_published_once_and_in_order_whatever_replies_are_lost() -> None:
    async def main(leader: Leader) -> None:
        chance = random.Random(1)

        def lose(member: str, operation: str) -> None:
            if operation == "publish" and chance.random() < 0.4:
                raise EngineUnavailable(f"{member} {operation}")

        leader.engine.before = leader.engine.after = lose
        running = asyncio.ensure_future(leader.run())
        for number in range(20):
            leader.leadership.feed.add_batch([str(number)])
            leader.leadership.wake()
            await asyncio.sleep(0.05)
        await asyncio.sleep(2)
        leader.engine.before = leader.engine.after = None
        assert await leader.messages() == [str(number) for number in range(20)]
        await stopped(running)

    run_leader(main)


def test_it_takes_submissions_and_answers_each_member() -> None:
    async def main(leader: Leader) -> None:
        running = asyncio.ensure_future(leader.run())
        await leader.other.submit(Position(1, 1), b"one")
        await asyncio.sleep(0.1)
        assert [(each.member, each.payload) for each in leader.submitted] == [("b", b"one")]
        frame = encode_ipc_frame(Shutdown())
        for _ in range(2):
            leader.leadership.answer("b", frame)
        leader.leadership.answer("c", frame)
        await asyncio.sleep(0.1)
        answers = await leader.other.follow(Position(1, 9), START, 0)
        assert b"".join(each.payload for each in answers if each.kind is RecordKind.ANSWER) == 2 * frame
        await stopped(running)

    run_leader(main)


def test_an_orderly_end_publishes_what_waits_and_frees_the_lease() -> None:
    async def main(leader: Leader) -> None:
        running = asyncio.ensure_future(leader.run())
        await asyncio.sleep(0)
        await stopped(running)
        leader.leadership.feed.add_batch(["last"])
        leader.leadership.answer("b", encode_ipc_frame(Shutdown()))
        await leader.leadership.finish(1.0)
        records = await leader.other.follow(Position(1, 0), START, 0)
        assert [each.kind for each in records] == [RecordKind.BATCH, RecordKind.ENDED, RecordKind.ANSWER]
        assert isinstance(await leader.other.acquire(TTL, 0), Lease)

    run_leader(main)


def test_an_orderly_end_is_bounded_while_the_engine_is_away() -> None:
    async def main(leader: Leader) -> None:
        leader.engine.is_available = False
        await leader.leadership.finish(1.0)
        assert leader.now() == pytest.approx(1)

    run_leader(main)


def test_before_it_may_dial_it_only_renews() -> None:
    async def main(leader: Leader) -> None:
        leader.leadership.feed.add_batch(["early"])
        assert await leader.leadership.hold(4) is None
        assert await leader.messages() == []
        assert leader.clock.may_send(leader.now() + 5)
        await leader.lost()
        assert await leader.leadership.hold(60) is LeadershipEnd.LEASE_LOST

    run_leader(main)
