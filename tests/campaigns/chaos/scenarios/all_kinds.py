"""Processes of every kind share a connection; one after the other is killed, stopped, dismissed, asked to hand over."""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from onesocket.errors import HandOverRefused, OwnerSilent
from onesocket.sharing.host import hand_over
from tests.campaigns.harness.director import FaultChooser
from tests.campaigns.harness.worker_process import ROOT, WorkerProcess

from ..findings import ChaosFindings
from ..harness import ChaosHarness
from ..hub_member import HubMember
from ..size import RunSize

FAULTS: Final = {
    "the owner is killed": 4,
    "the owner is stopped and continued": 4,
    "the owner leaves": 3,
    "the owner gets Ctrl-C": 2,
    "the owner hands over": 3,
    "the owner calls exec": 1,
    "the owner is killed, a follower has no descriptor": 1,
    "a follower is killed": 1,
    "a follower is stopped and continued": 1,
    "a follower leaves": 1,
    "a follower gets Ctrl-C": 1,
}
"""With their weights."""
RECOVERY_DEADLINE: Final = 10.0
"""Seconds. A hub's heartbeats are a second apart; how long it takes is in the table."""
_FEED_EVERY: Final = 0.01
_SEND_EVERY: Final = 0.05
_LONGEST_PAUSE: Final = 0.05
_LONGEST_STOP: Final = 1.0
_DIRECTORY_REMOVAL_SHARE: Final = 0.1
_DIRECTORY_REMOVED: Final = "the runtime directory went in that moment"
_HUB: Final = "hub"
_FEW: Final = 20
"""Faults for which no process is started beforehand."""


class Kinds:
    """The kinds of members: with a Python each, this one unless another is named."""

    def __init__(self) -> None:
        self.of: dict[str, str] = dict.fromkeys(("asyncio", "blocking", "threads", _HUB), sys.executable)
        if importlib.util.find_spec("uvloop") is not None:
            self.of["uvloop"] = sys.executable
        for python in sorted(ROOT.glob(".venv-*/bin/python")):
            if not Path(sys.prefix).samefile(python.parents[1]):
                self.of[f"Python {python.parents[1].name.removeprefix('.venv-')}"] = str(python)


class AllKinds:
    """Deals the faults. For each member that ends, another one of its kind joins."""

    def __init__(self, harness: ChaosHarness, seed: float, *, prepares: bool) -> None:
        self._harness = harness
        self._faults = FaultChooser(f"{seed}", FAULTS)
        self._chance = self._faults.random
        self._prepares = prepares
        self._spares: dict[str, asyncio.Task[WorkerProcess]] = {}
        """Processes that are started beforehand."""
        self.kinds = Kinds()
        self.members: dict[WorkerProcess, str] = {}
        self.times: dict[str, list[float]] = {}
        self.seen: Counter[str] = Counter()
        self.owners: Counter[str] = Counter()
        """How often a member of each kind was the owner when a fault was dealt."""
        self._exhausted: WorkerProcess | None = None
        self._hubs = 0

    async def begin(self) -> None:
        """Start one member of each kind, and wait until each receives."""
        for kind in self.kinds.of:
            await self._come(kind)
        await self._harness.wait_received([*self.members], "at the beginning", within=RECOVERY_DEADLINE)

    async def deal(self) -> None:
        """One fault at a random moment."""
        what = self._faults.choose()
        self.seen[what] += 1
        await asyncio.sleep(self._chance.random() * _LONGEST_PAUSE)
        owner, epoch = await self._harness.owner()
        self.owners[self.members[owner]] += 1
        followers = [member for member in self.members if member is not owner]
        target = owner if "owner" in what else self._chance.choice(followers)
        if "no descriptor" in what:
            await self._exhaust(followers)
        newest = epoch - 1
        finish: Callable[[], Awaitable[object]] | None = None
        begun = time.monotonic()
        if "stopped" in what:
            begun = await self._stop(target)
        elif "hands over" in what:
            await self._hand_over(owner)
        else:
            finish = self._end(what, target, is_owner=target is owner)
            newest += target is owner  # a new connection is due
        if self._exhausted is not None:  # if it is the next owner, it can't let all others in
            await asyncio.sleep(self._chance.random() * _LONGEST_STOP)
            await self._exhausted.do("release")
            self._exhausted, begun = None, time.monotonic()
        fed = await self._harness.wait_received(
            [*self.members], f"after {what}", epoch=newest, within=RECOVERY_DEADLINE
        )
        if finish is not None:
            await finish()
        elif what == "the owner is stopped and continued":
            _, now = await self._harness.owner()
            self._harness.findings.require(now == epoch, f"{owner.name} was stopped, and its connection given up")
        self.times.setdefault(what, []).extend(max(0.0, at - begun) for at in fed)
        for kind in self.kinds.of.keys() - set(self.members.values()):
            await self._come(kind)

    async def close(self) -> None:
        """Wait for the spares, which are ended with the harness."""
        await asyncio.gather(*self._spares.values(), return_exceptions=True)

    async def _stop(self, target: WorkerProcess) -> float:
        target.signal(signal.SIGSTOP)
        await asyncio.sleep(self._chance.random() * _LONGEST_STOP)
        target.signal(signal.SIGCONT)
        return time.monotonic()

    async def _exhaust(self, followers: list[WorkerProcess]) -> None:
        self._exhausted = self._chance.choice([member for member in followers if self.members[member] != _HUB])
        await self._exhausted.do("exhaust")

    async def _hand_over(self, owner: WorkerProcess) -> None:
        try:
            await asyncio.to_thread(hand_over, str(owner.pid), str(self._harness.directory))
        except (HandOverRefused, OwnerSilent) as error:
            self._harness.findings.broken(f"{owner.name} was asked to hand over: {type(error).__name__}: {error}")

    def _end(self, what: str, target: WorkerProcess, *, is_owner: bool) -> Callable[[], Awaitable[object]]:
        """Have a member end; returns what is to be awaited later."""
        del self.members[target]
        if self._chance.random() < _DIRECTORY_REMOVAL_SHARE:
            shutil.rmtree(self._harness.directory)
            self.seen[_DIRECTORY_REMOVED] += 1
        if "leaves" in what or "Ctrl-C" in what:
            end = self._harness.leave if "leaves" in what else self._harness.interrupt
            ending = asyncio.create_task(end(target))
            return lambda: ending
        if is_owner:
            self._harness.ledger.broken_connections.update(one.number for one in self._harness.server.connections)
        if "exec" in what and not isinstance(target, HubMember):
            target.tell("call_exec")
            return functools.partial(self._kill, target)  # the new program has its process number
        target.signal(signal.SIGKILL)
        return target.ended

    async def _kill(self, target: WorkerProcess) -> None:
        target.kill()
        await target.ended()

    async def _come(self, kind: str) -> None:
        spare = self._spares.pop(kind, None)
        member = await (self._new(kind) if spare is None else spare)
        self.members[member] = kind
        await self._harness.join([member], send_every=_SEND_EVERY)
        if kind == "blocking":
            self._harness.ledger.sender(member.name).left = True  # its calls have time-outs
        if kind != _HUB and self._prepares:
            self._spares[kind] = asyncio.create_task(self._new(kind))

    async def _new(self, kind: str) -> WorkerProcess:
        if kind == _HUB:
            self._hubs += 1
            own = "prefer" if self._hubs % 2 else "allow"
            harness = self._harness
            return await harness.add(HubMember.share(harness.server.url, f"hub {self._hubs}", harness.directory, own))
        python = self.kinds.of[kind]
        (member,) = await self._harness.start(python=python, kind=kind if python == sys.executable else "asyncio")
        return member


async def run(findings: ChaosFindings, size: RunSize, chance: random.Random) -> None:
    """As many faults as are asked for; never two sockets."""
    async with ChaosHarness(findings) as harness:
        campaign = AllKinds(harness, chance.random(), prepares=size.kinds > _FEW)
        try:
            async with harness.feeding(_FEED_EVERY):
                await campaign.begin()
                for _ in range(size.kinds):
                    await campaign.deal()
                await harness.settle([*campaign.members])
        finally:
            await campaign.close()
        for member in campaign.members:
            await harness.leave(member)
        counts = await harness.server.wait_until(lambda counts: counts.sockets_now == 0, 10.0)
        findings.figure("kinds of members, and how often one was struck as the owner", _listed(campaign.owners))
        for name, times in sorted(campaign.times.items()):
            findings.times(f"{name} ({campaign.seen[name]}), every process received again after", times)
        findings.figure(_DIRECTORY_REMOVED, campaign.seen[_DIRECTORY_REMOVED])
        findings.figure("processes", len(harness.members))
        findings.figure("handshakes", counts.handshakes)
        findings.figure(f"messages from the server, one each {_FEED_EVERY * 1000:g} ms", harness.number)
        harness.check_deliveries()
        harness.check_sockets()


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in sorted(counts.items()))
