"""The owner's end, in every way, at random moments, under load."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import time
from collections import Counter
from typing import Any, Final

from tests.campaigns.harness.worker_process import WorkerProcess

from ..findings import ChaosFindings
from ..harness import FEED_EVERY, SEND_EVERY, ChaosHarness
from ..size import RunSize

PROCESSES: Final = 4
RECOVERY_DEADLINE: Final = 2.0
"""Seconds from an owner's end (or its going on) until all receive again. Usual are tens of milliseconds; a busy
machine may take longer to let a process have its turn."""
_LONGEST_PAUSE: Final = 0.1
_DIRECTORY_REMOVAL_SHARE: Final = 0.2
"""Share of the faults with which the runtime directory is removed in the same moment."""
DIRECTORY_REMOVED: Final = "the runtime directory went in that moment"


class OwnerFailures:
    """Strikes the owner, again and again."""

    def __init__(self, harness: ChaosHarness, chance: random.Random) -> None:
        self._harness = harness
        self._chance = chance
        self.members: list[WorkerProcess] = []
        self.times: dict[str, list[float]] = {}
        self.seen: Counter[str] = Counter()

    async def begin(self) -> None:
        """Start the members, and wait until each receives."""
        self.members = await self._harness.start(PROCESSES)
        await self._harness.join(self.members, send_every=SEND_EVERY)
        await self._harness.wait_received(self.members, "at the beginning", within=10.0)

    async def strike(self, what: str) -> None:
        """One fault at a random moment, and a new process for one that is gone."""
        await asyncio.sleep(self._chance.random() * _LONGEST_PAUSE)
        if what in ("stop", "take over"):
            await (self._stop() if what == "stop" else self._take_over())
            return
        (new_member,) = await self._harness.start()
        owner, epoch = await self._harness.owner()
        rest = [member for member in self.members if member is not owner]
        self._remove_directory()
        coming: asyncio.Task[None] | None = None
        if self._chance.random() < 0.5:  # it comes in the very moment
            coming = asyncio.create_task(self._harness.join([new_member], send_every=SEND_EVERY))
        begun = time.monotonic()
        if what == "kill":
            self._harness.ledger.broken_connections.update(line.number for line in self._harness.server.connections)
            owner.signal(signal.SIGKILL)
            leaving = None
        else:
            leaving = asyncio.create_task(self._harness.leave(owner))
        fed = await self._harness.wait_received(
            rest, f"after {owner.name} was told to {what}", epoch=epoch, within=RECOVERY_DEADLINE
        )
        self._note(what, fed, begun)
        if leaving is not None:
            await leaving
        else:
            await owner.ended()
        await (coming or self._harness.join([new_member], send_every=SEND_EVERY))
        self.members = [*rest, new_member]

    async def _stop(self) -> None:
        """SIGSTOP and SIGCONT, also after it counted as silent: it keeps its connection."""
        owner, epoch = await self._harness.owner()
        owner.signal(signal.SIGSTOP)
        await asyncio.sleep(self._chance.random() * 2.5 * float(self._harness.host["stopped_after"]))
        owner.signal(signal.SIGCONT)
        begun = time.monotonic()
        fed = await self._harness.wait_received(self.members, f"after {owner.name} went on", within=RECOVERY_DEADLINE)
        _, now = await self._harness.owner()
        self._harness.findings.require(now == epoch, f"{owner.name} was stopped, and did not keep its connection")
        self._note("continued", fed, begun)

    async def _take_over(self) -> None:
        """SIGSTOP until another process feeds the rest; then it goes on, and finds that out."""
        owner, epoch = await self._harness.owner()
        rest = [member for member in self.members if member is not owner]
        owner.signal(signal.SIGSTOP)
        self._remove_directory()
        begun = time.monotonic()
        within = RECOVERY_DEADLINE + float(self._harness.host["stopped_after"]) + float(self._harness.host["heartbeat"])
        fed = await self._harness.wait_received(rest, f"while {owner.name} is stopped", epoch=epoch, within=within)
        self._note("taken over", fed, begun)
        at_once = self._harness.server.counts.sockets_now
        await asyncio.sleep(self._chance.random() * 0.3)
        owner.signal(signal.SIGCONT)
        begun = time.monotonic()
        fed = await self._harness.wait_received([owner], "as a follower", epoch=epoch, within=RECOVERY_DEADLINE)
        self._note("the old owner follows", fed, begun)
        await self._harness.server.wait_until(lambda counts: counts.sockets_now == 1, RECOVERY_DEADLINE)
        self.seen["two sockets at once"] += at_once == 2

    def _remove_directory(self) -> None:
        """Remove the runtime directory, some of the times."""
        if self._chance.random() < _DIRECTORY_REMOVAL_SHARE:
            shutil.rmtree(self._harness.directory)
            self.seen[DIRECTORY_REMOVED] += 1

    def _note(self, what: str, fed: list[float], begun: float) -> None:
        self.seen[what] += 1
        self.times.setdefault(what, []).extend(max(0.0, at - begun) for at in fed)

    async def close(self) -> None:
        """Stop sending, and wait for the fate of each message."""
        await self._harness.settle(self.members)
        await self._harness.wait_received(self.members, "at the end", within=RECOVERY_DEADLINE)


async def _run(
    findings: ChaosFindings, faults: list[str], chance: random.Random, *, most: int, **host: Any
) -> OwnerFailures:
    async with ChaosHarness(findings, **host) as harness:
        campaign = OwnerFailures(harness, chance)
        async with harness.feeding():
            await campaign.begin()
            for fault in faults:
                await campaign.strike(fault)
            await campaign.close()
        for member in campaign.members:
            await harness.leave(member)
        counts = await harness.server.wait_until(lambda counts: counts.sockets_now == 0, 10.0)
        for name, times in campaign.times.items():
            findings.times(f"{name} ({campaign.seen[name]}), every process received again after", times)
        if campaign.seen[DIRECTORY_REMOVED]:
            findings.figure(DIRECTORY_REMOVED, campaign.seen[DIRECTORY_REMOVED])
        findings.figure("sockets at once, at most", counts.most_sockets)
        findings.figure("handshakes", counts.handshakes)
        findings.figure(f"messages from the server, one each {FEED_EVERY * 1000:g} ms", harness.number)
        harness.check_deliveries()
        harness.check_sockets(most)
        return campaign


async def run(findings: ChaosFindings, size: RunSize, chance: random.Random) -> None:
    """A hundred of each, in any order; never two sockets."""
    faults = ["kill", "stop", "leave"] * size.rounds
    chance.shuffle(faults)
    await _run(findings, faults, chance, most=1)


async def run_take_over(findings: ChaosFindings, size: RunSize, chance: random.Random) -> None:
    """Two sockets are allowed here, until the old owner goes on."""
    faults = ["take over"] * max(2, size.rounds // 5)
    campaign = await _run(findings, faults, chance, most=2, on_stopped="take-over")
    findings.figure("two sockets at once, while the old owner was stopped", campaign.seen["two sockets at once"])
