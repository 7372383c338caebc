"""Counts of what a member meets at its engine, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from onesocket.errors import EngineUnavailable, Fenced, MailboxFull
from onesocket.sharing.cluster._coordinator import NO_LAG, START, ClusterKey, Position
from onesocket.sharing.cluster._counted_coordinator import ClusterCounters, CountedCoordinator
from onesocket.sharing.cluster._memory_engine import MemoryEngine
from onesocket.testing import run_virtual
from tests.support.coordinator_checks import CHECKS, EngineUnderTest

KEY = ClusterKey.of("0" * 64)


class CountedEngine(MemoryEngine):
    """An engine whose members count, each apart."""

    def __init__(self, *, mails: int = 10_000) -> None:
        super().__init__(mails=mails)
        self.counters: dict[str, ClusterCounters] = {}

    def open(self, key: ClusterKey, member: str) -> CountedCoordinator:  # type: ignore[override]
        counters = self.counters[member] = ClusterCounters()
        return CountedCoordinator(super().open(key, member), counters)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_one_that_counts_does_what_every_coordinator_does(check: Callable[[EngineUnderTest], object]) -> None:
    async def main() -> None:
        engine = CountedEngine()

        async def expire() -> None:
            engine.model(KEY).expire()

        await check(EngineUnderTest(engine, KEY, expire))  # type: ignore[misc]

    run_virtual(main)


def test_epochs_fences_errors_renewals_and_lags_are_counted() -> None:
    async def main() -> None:
        engine = CountedEngine(mails=1)
        a, b = engine.open(KEY, "a"), engine.open(KEY, "b")
        of_a, of_b = engine.counters["a"], engine.counters["b"]
        await a.acquire(9, 0)
        await b.acquire(9, 0)
        assert (of_a.epoch, of_b.epoch, of_a.leader_changes, of_b.leader_changes) == (1, 1, 0, 0)

        def fail(_member: str, _operation: str) -> None:
            raise EngineUnavailable("away")

        assert await a.renew(1, 9)
        assert of_a.renewal_duration == 0.0
        assert of_b.renewal_duration is None
        engine.before = fail
        for _ in range(3):
            with pytest.raises(EngineUnavailable):
                await a.publish(Position(1, 1), b"x")
        engine.before = None
        await b.submit(Position(1, 1), b"x")
        with pytest.raises(MailboxFull):
            await b.submit(Position(1, 2), b"x")
        assert (of_a.engine_errors, of_b.engine_errors) == ({"EngineUnavailable": 3}, {"MailboxFull": 1})
        engine.model(KEY).expire()
        await b.acquire(9, 1)
        for _ in range(2):
            with pytest.raises(Fenced):
                await a.publish(Position(1, 1), b"x")
        assert (of_a.fenced_writes, of_a.epoch) == (2, 1)
        await a.follow(Position(1, 0), START, 0)
        assert (of_a.epoch, of_a.leader_changes, of_b.leader_changes) == (2, 1, 1)
        await a.announce(b"note", Position(2, 0), 9)
        assert of_a.lag == NO_LAG
        assert asyncio.get_running_loop().time() < 1

    run_virtual(main)
