"""The end of the event loop on which the owner's connection lives, in every way, at random moments, under load."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Final

from onesocket.testing import Fault
from tests.campaigns.harness.worker_process import WorkerProcess

from ..findings import ChaosFindings
from ..harness import FEED_EVERY, SEND_EVERY, ChaosHarness
from ..size import RunSize
from .owner_failures import OwnerFailures

_PROCESSES: Final = 4
_KINDS: Final = ("asyncio", "uvloop")
_RECOVERY_DEADLINE: Final = 2.0
"""Seconds until all receive again, once it is known that the loop takes no turn."""
_BLOCKED_AFTER: Final = 1.0
"""Seconds, in these processes."""
_NOTICED_AFTER: Final = 1.0
"""Seconds until the thread has looked, and the loop that doesn't run counts as ended, at least."""
_STANDS_FOR: Final = 2.5
_LONGEST_PAUSE: Final = 0.1
_IN_UPGRADE: Final = "block in an upgrade"
_FAULTS: Final = ("end", "close", "pause", "block", _IN_UPGRADE)


def count(size: RunSize) -> int:
    """Number of faults in a run of this size."""
    return max(len(_FAULTS), size.rounds // 2)


class MainLoops(OwnerFailures):
    """Strikes the event loop of the owner, again and again."""

    async def _new(self, count: int) -> list[WorkerProcess]:
        kind = self._chance.choice(_KINDS)
        return await self._harness.start(count, kind=kind, blocked_after=_BLOCKED_AFTER)

    async def begin(self) -> None:
        """Start the members, and wait until each receives."""
        self.members = await self._new(_PROCESSES)
        await self._harness.join(self.members, send_every=SEND_EVERY)
        await self._harness.wait_received(self.members, "at the beginning", within=10.0)

    async def strike(self, what: str) -> None:
        """One fault at a random moment, and a new process for one that is gone."""
        await asyncio.sleep(self._chance.random() * _LONGEST_PAUSE)
        owner, epoch = await self._harness.owner()
        rest = [member for member in self.members if member is not owner]
        if what != "end":
            self._harness.ledger.broken_connections.update(line.number for line in self._harness.server.connections)
        begun = time.monotonic()
        if what == _IN_UPGRADE:
            await self._begin_upgrade()
        if what not in ("end", "close"):
            order = owner.tell(what.split(maxsplit=1)[0], seconds=_STANDS_FOR)
            await self._wait_fed(what, rest, epoch, begun)
            await owner.result(order)
            await self._wait_fed(f"it goes on after a {what}", [owner], epoch, begun + _STANDS_FOR)
            return
        leaving = asyncio.create_task(self._harness.leave(owner, by=what))
        await self._wait_fed(what, rest, epoch, begun)
        if what == "close" and owner.process.stdin is not None:
            owner.process.stdin.close()
        await leaving
        new = await self._new(1)
        await self._harness.join(new, send_every=SEND_EVERY)
        self.members = [*rest, *new]

    async def _begin_upgrade(self) -> None:
        """Have the owner lose its connection, and wait in vain for the answer to its next upgrade request."""
        server = self._harness.server
        handshakes = server.counts.handshakes
        server.faults = Fault(upgrade_release=asyncio.Event())
        server.kill_connections()
        await server.wait_until(lambda counts: counts.handshakes > handshakes)
        server.faults = None  # for the next owner

    async def _wait_fed(self, what: str, members: list[WorkerProcess], epoch: int, begun: float) -> None:
        fed = await self._harness.wait_received(
            members, f"after {what}", epoch=epoch, within=_RECOVERY_DEADLINE + _NOTICED_AFTER + _BLOCKED_AFTER
        )
        self._note(what, fed, begun)


async def run(findings: ChaosFindings, size: RunSize, chance: random.Random) -> None:
    """Each of them as often, in any order; never two sockets."""
    faults = [_FAULTS[number % len(_FAULTS)] for number in range(count(size))]
    chance.shuffle(faults)
    async with ChaosHarness(findings) as harness:
        campaign = MainLoops(harness, chance)
        async with harness.feeding():
            await campaign.begin()
            for fault in faults:
                await campaign.strike(fault)
            await harness.settle(campaign.members)
        for member in campaign.members:
            await harness.leave(member)
        counts = await harness.server.wait_until(lambda counts: counts.sockets_now == 0, 10.0)
        for name, times in campaign.times.items():
            findings.times(f"{name} ({campaign.seen[name]}), every process received again after", times)
        findings.figure("handshakes", counts.handshakes)
        findings.figure(f"messages from the server, one each {FEED_EVERY * 1000:g} ms", harness.number)
        harness.check_deliveries()
        harness.check_sockets(half_open=campaign.seen[_IN_UPGRADE])
