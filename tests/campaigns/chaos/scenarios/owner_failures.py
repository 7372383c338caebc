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
"""Seconds from an owner's end (or its going on) until everybody receives again. Usual are tens of milliseconds; a busy
machine may take longer to let a process have its turn."""
_LONGEST_PAUSE: Final = 0.1
_DIRECTORY_REMOVAL_SHARE: Final = 0.2
"""Share of the blows with which the runtime directory is removed in the same moment."""
DIRECTORY_REMOVED: Final = "the runtime directory went in that moment"


class OwnerFailures:
    """Strikes the owner, again and again."""

    def __init__(self, stage: ChaosHarness, chance: random.Random) -> None:
        self._stage = stage
        self._chance = chance
        self.players: list[WorkerProcess] = []
        self.times: dict[str, list[float]] = {}
        self.seen: Counter[str] = Counter()

    async def begin(self) -> None:
        """Everybody is in, and is fed."""
        self.players = await self._stage.start(PROCESSES)
        await self._stage.join(self.players, send_every=SEND_EVERY)
        await self._stage.wait_received(self.players, "at the beginning", within=10.0)

    async def strike(self, what: str) -> None:
        """One blow at a random moment, and a new process for one that is gone."""
        await asyncio.sleep(self._chance.random() * _LONGEST_PAUSE)
        if what in ("stop", "take over"):
            await (self._stop() if what == "stop" else self._take_over())
            return
        (newcomer,) = await self._stage.start()
        owner, epoch = await self._stage.owner()
        rest = [player for player in self.players if player is not owner]
        if self._chance.random() < _DIRECTORY_REMOVAL_SHARE:
            shutil.rmtree(self._stage.directory)
            self.seen[DIRECTORY_REMOVED] += 1
        coming: asyncio.Task[None] | None = None
        if self._chance.random() < 0.5:  # it comes in the very moment
            coming = asyncio.create_task(self._stage.join([newcomer], send_every=SEND_EVERY))
        begun = time.monotonic()
        if what == "kill":
            self._stage.ledger.broken_connections.update(line.number for line in self._stage.server.connections)
            owner.signal(signal.SIGKILL)
            leaving = None
        else:
            leaving = asyncio.create_task(self._stage.leave(owner))
        fed = await self._stage.wait_received(
            rest, f"after {owner.name} was told to {what}", epoch=epoch, within=RECOVERY_DEADLINE
        )
        self._note(what, fed, begun)
        if leaving is not None:
            await leaving
        else:
            await owner.ended()
        await (coming or self._stage.join([newcomer], send_every=SEND_EVERY))
        self.players = [*rest, newcomer]

    async def _stop(self) -> None:
        """SIGSTOP and SIGCONT: in time, or too late, as it comes."""
        owner, epoch = await self._stage.owner()
        owner.signal(signal.SIGSTOP)
        await asyncio.sleep(self._chance.random() * 2.5 * float(self._stage.host["stopped_after"]))
        owner.signal(signal.SIGCONT)
        begun = time.monotonic()
        fed = await self._stage.wait_received(self.players, f"after {owner.name} went on", within=RECOVERY_DEADLINE)
        _, now = await self._stage.owner()
        how = "continued, and it let go" if now > epoch else "continued in time"
        self._note(how, fed, begun)

    async def _take_over(self) -> None:
        """SIGSTOP until the others are fed by somebody else; then it goes on, and finds that out."""
        owner, epoch = await self._stage.owner()
        rest = [player for player in self.players if player is not owner]
        owner.signal(signal.SIGSTOP)
        begun = time.monotonic()
        within = RECOVERY_DEADLINE + float(self._stage.host["stopped_after"]) + float(self._stage.host["heartbeat"])
        fed = await self._stage.wait_received(rest, f"while {owner.name} is stopped", epoch=epoch, within=within)
        self._note("taken over", fed, begun)
        at_once = self._stage.server.counts.sockets_now
        await asyncio.sleep(self._chance.random() * 0.3)
        owner.signal(signal.SIGCONT)
        begun = time.monotonic()
        fed = await self._stage.wait_received([owner], "as a follower", epoch=epoch, within=RECOVERY_DEADLINE)
        self._note("the old owner follows", fed, begun)
        await self._stage.server.wait_until(lambda counts: counts.sockets_now == 1, RECOVERY_DEADLINE)
        self.seen["two sockets at once"] += at_once == 2

    def _note(self, what: str, fed: list[float], begun: float) -> None:
        self.seen[what] += 1
        self.times.setdefault(what, []).extend(max(0.0, at - begun) for at in fed)

    async def close(self) -> None:
        """Nobody sends any more, and the books are closed."""
        await self._stage.settle(self.players)
        await self._stage.wait_received(self.players, "at the end", within=RECOVERY_DEADLINE)


async def _run(
    findings: ChaosFindings, blows: list[str], chance: random.Random, *, most: int, **host: Any
) -> OwnerFailures:
    async with ChaosHarness(findings, **host) as stage:
        campaign = OwnerFailures(stage, chance)
        async with stage.feeding():
            await campaign.begin()
            for blow in blows:
                await campaign.strike(blow)
            await campaign.close()
        for player in campaign.players:
            await stage.leave(player)
        counts = await stage.server.wait_until(lambda counts: counts.sockets_now == 0, 10.0)
        for name, times in campaign.times.items():
            findings.times(f"{name} ({campaign.seen[name]}), everybody received again after", times)
        if campaign.seen[DIRECTORY_REMOVED]:
            findings.figure(DIRECTORY_REMOVED, campaign.seen[DIRECTORY_REMOVED])
        findings.figure("sockets at once, at most", counts.most_sockets)
        findings.figure("handshakes", counts.handshakes)
        findings.figure(f"messages from the server, one each {FEED_EVERY * 1000:g} ms", stage.number)
        stage.check_deliveries()
        stage.check_sockets(most)
        return campaign


async def run(findings: ChaosFindings, size: RunSize, chance: random.Random) -> None:
    """A hundred of each, in any order; never two sockets."""
    blows = ["kill", "stop", "leave"] * size.rounds
    chance.shuffle(blows)
    await _run(findings, blows, chance, most=1)


async def run_take_over(findings: ChaosFindings, size: RunSize, chance: random.Random) -> None:
    """Two sockets are allowed here, until the old owner goes on."""
    blows = ["take over"] * max(2, size.rounds // 5)
    campaign = await _run(findings, blows, chance, most=2, on_stopped="take-over")
    findings.figure("two sockets at once, while the old owner was stopped", campaign.seen["two sockets at once"])
