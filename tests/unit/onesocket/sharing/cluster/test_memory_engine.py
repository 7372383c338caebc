"""The engine in memory: blocking reads, unavailability, lost replies; on virtual time."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from onesocket.errors import EngineUnavailable, InvalidOption
from onesocket.sharing.cluster._coordinator import (
    START,
    ClusterKey,
    Coordinator,
    Lease,
    LeaseInfo,
    Position,
    PreviousEpoch,
    RecordKind,
    check_member_name,
    new_member_name,
)
from onesocket.sharing.cluster._memory_engine import MemoryEngine
from onesocket.testing import run_virtual
from tests.support.coordinator_checks import CHECKS, EngineUnderTest

KEY = ClusterKey.of("0" * 64)


def pair(engine: MemoryEngine) -> tuple[Coordinator, Coordinator]:
    return engine.open(KEY, "a"), engine.open(KEY, "b")


def test_a_reader_is_woken_by_the_record_it_waits_for() -> None:
    async def main() -> None:
        leader, follower = pair(MemoryEngine())
        lease = await leader.acquire(9, 0)
        assert isinstance(lease, Lease)
        reading = asyncio.create_task(follower.follow(lease.position, START, 60))
        await asyncio.sleep(5)
        await leader.publish(Position(1, 1), b"x")
        assert [each.payload for each in await reading] == [b"x"]
        assert asyncio.get_running_loop().time() < 6
        await follower.submit(Position(1, 1), b"mail")
        assert [each.payload for each in await leader.take(lease.position, 60)] == [b"mail"]
        await leader.answer("b", Position(1, 1), b"answer")
        assert [each.kind for each in await follower.follow(Position(1, 1), START, 0)] == [RecordKind.ANSWER]
        await leader.release(Position(1, 2))
        assert await follower.lease() is None

    run_virtual(main)


def test_a_reader_gets_nothing_when_its_time_is_up() -> None:
    async def main() -> None:
        leader, follower = pair(MemoryEngine())
        await leader.acquire(9, 0)
        start = asyncio.get_running_loop().time()
        assert await follower.follow(Position(1, 0), START, 5) == []
        assert asyncio.get_running_loop().time() - start == pytest.approx(5)
        assert await leader.take(Position(1, 0), 0) == []

    run_virtual(main)


def test_a_lease_ends_by_the_clock_of_the_loop() -> None:
    async def main() -> None:
        leader, follower = pair(MemoryEngine())
        await leader.acquire(9, 0)
        await asyncio.sleep(8)
        assert isinstance(await follower.acquire(9, 1), LeaseInfo)
        assert await leader.renew(1, 9)
        await asyncio.sleep(9)
        assert await follower.acquire(9, 1) == Lease(2, PreviousEpoch.EXPIRED)

    run_virtual(main)


def test_requests_and_replies_can_be_lost() -> None:
    async def main() -> None:
        engine = MemoryEngine()
        leader, _ = pair(engine)
        await leader.acquire(9, 0)

        def lose(member: str, operation: str) -> None:
            assert member == "a"
            raise EngineUnavailable(f"the reply to {operation} is lost")

        engine.after = lose
        with pytest.raises(EngineUnavailable, match="publish"):
            await leader.publish(Position(1, 1), b"x")
        assert len(engine.model(KEY).read("b", START, START)) == 2
        engine.after, engine.before = None, lose
        with pytest.raises(EngineUnavailable):
            await leader.publish(Position(1, 2), b"x")
        assert len(engine.model(KEY).read("b", START, START)) == 2

    run_virtual(main)


def test_what_waits_ends_when_the_engine_is_gone() -> None:
    async def main() -> None:
        engine = MemoryEngine()
        leader, follower = pair(engine)
        await leader.acquire(9, 0)
        reading = asyncio.create_task(follower.follow(Position(1, 0), START, 60))
        await asyncio.sleep(1)
        engine.is_available = False
        engine.interrupt_waits()
        with pytest.raises(EngineUnavailable):
            await reading
        with pytest.raises(EngineUnavailable):
            await leader.check()
        engine.is_available = True
        await leader.check()
        await leader.aclose()
        with pytest.raises(EngineUnavailable):
            await leader.lease()

    run_virtual(main)


def test_names_and_sizes_are_checked() -> None:
    assert check_member_name(new_member_name("a host.example")).startswith("a-host-example-")
    assert new_member_name() != new_member_name()
    with pytest.raises(InvalidOption):
        MemoryEngine().open(KEY, "a.b")
    with pytest.raises(InvalidOption):
        ClusterKey.of("0" * 63)
    with pytest.raises(InvalidOption):
        ClusterKey.of("0" * 64, prefix="a:b")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_engine_in_memory_passes_the_checks_of_every_engine(
    check: Callable[[EngineUnderTest], Awaitable[None]],
) -> None:
    async def main() -> None:
        engine = MemoryEngine()

        async def expire() -> None:
            engine.model(KEY).expire()

        await check(EngineUnderTest(engine, KEY, expire))

    run_virtual(main)
