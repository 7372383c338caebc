"""Bursts of many and of large messages: each process that reads gets all, also on a new owner's connection."""

from __future__ import annotations

import asyncio
import random
import signal
from dataclasses import dataclass
from typing import Any, Final

from onesocket.testing import Fault, FaultyConnection
from tests.campaigns.harness.worker_process import WorkerFailure, WorkerProcess

from ..findings import ChaosFindings
from ..harness import ChaosHarness
from ..size import RunSize

_WITHIN: Final = 60.0
_MAX_SIZE: Final = 2**30
_HEARTBEATS: Final[dict[str, float]] = {"heartbeat": 1.0, "stopped_after": 10.0, "attach_timeout": 5.0}


@dataclass(frozen=True, slots=True)
class Burst:
    """So many messages in one write."""

    messages: int
    bytes: int

    def __str__(self) -> str:
        size = f"{self.bytes // 1000} kB" if self.bytes < 10**6 else f"{self.bytes // 10**6} MB"
        return f"{self.messages} x {size}"

    def of(self, size: RunSize) -> Burst:
        """A shorter one for a short run."""
        shorter = size.shorter_bursts
        return Burst(-(-self.messages // shorter), self.bytes // (shorter if self.messages == 1 else 1))


BURSTS: Final = (Burst(20_000, 1_000), Burst(8, 2_000_000), Burst(1, 200_000_000))


class BurstCampaign:
    """One reader of each kind; when the owner is killed, another one of its kind joins."""

    def __init__(self, harness: ChaosHarness) -> None:
        self._harness = harness
        self.members: dict[WorkerProcess, dict[str, Any]] = {}
        self.begun: set[int] = set()
        """The first numbers of the connections."""
        self.greeting: Burst | None = None
        harness.server.faults = self._greet

    async def begin(self) -> None:
        """An owner, a follower on asyncio, one without it, and one whose reader holds back."""
        for setup in ({}, {}, {"kind": "blocking"}, {"overflow": "wait"}):
            await self._come(setup)
        self._harness.feed_once()

    async def send(self, burst: Burst) -> None:
        """To all, on the connection that is up."""
        (connection,) = self._harness.server.connections
        connection.write_raw(self._burst(burst).frames)
        await self._all_received(f"of {burst}")

    async def send_and_kill(self, burst: Burst) -> None:
        """The owner is killed in the midst of it, and the next connection begins with another one."""
        (connection,) = self._harness.server.connections
        owner, _ = await self._harness.owner()
        self.greeting = burst
        connection.write_raw(self._burst(burst).frames)
        owner.signal(signal.SIGKILL)
        setup = self.members.pop(owner)
        await self._harness.server.wait_until(lambda _: self.greeting is None, _WITHIN)
        await self._all_received(f"of {burst} after {owner.name} was killed")
        await owner.ended()
        await self._come(setup)
        self._harness.feed_once()

    async def _come(self, setup: dict[str, Any]) -> None:
        options = {"max_size": _MAX_SIZE}
        (member,) = await self._harness.start(**setup, options=options)
        self.members[member] = setup
        await self._harness.join([member])

    def _greet(self, connection: FaultyConnection) -> Fault | None:
        del connection
        burst, self.greeting = self.greeting, None
        self.begun.add(self._harness.number + 1)
        return None if burst is None else self._burst(burst)

    def _burst(self, burst: Burst) -> Fault:
        first = self._harness.number + 1
        self._harness.number += burst.messages
        return Fault.burst(f"{number} {'.' * burst.bytes}" for number in range(first, first + burst.messages))

    async def _all_received(self, what: str) -> None:
        """All have received the last message."""
        asked = [(member, member.tell("until", number=self._harness.number - 1, epoch=0)) for member in self.members]
        try:
            await asyncio.gather(*(member.result(order, _WITHIN) for member, order in asked))
        except WorkerFailure as error:
            raise WorkerFailure(f"not all {what} arrived: {error}") from None


async def run(findings: ChaosFindings, size: RunSize, chance: random.Random) -> None:
    """Each burst on a connection that is up, and as the first of a new owner's connection."""
    bursts = [burst.of(size) for burst in chance.sample(BURSTS, size.bursts)]
    async with ChaosHarness(findings, **_HEARTBEATS) as harness:
        campaign = BurstCampaign(harness)
        await campaign.begin()
        for burst in bursts:
            await campaign.send(burst)
            await campaign.send_and_kill(burst)
        for member in campaign.members:
            figures = await member.do("figures")
            odd = set(figures["firsts"]) - campaign.begun
            findings.require(not figures["missed"], f"{member.name} read, and missed {figures['missed']}")
            findings.require(not odd, f"{member.name} has a connection from number {sorted(odd)} on only")
            findings.require(figures["gaps"] <= len(bursts), f"{member.name} was told of {figures['gaps']} gaps")
        for member in campaign.members:
            await harness.leave(member)
        sent = ", ".join(f"{burst}" for burst in bursts)
        findings.figure("bursts, each twice, once with a kill of the owner in the midst of it", sent)
        findings.figure("messages missed by four processes that read", 0)
        harness.check_sockets()
