"""A run with sessions: leaders end in one way or another, and the Discord server says whether the next one resumed."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

from tests.campaigns.chaos.findings import ChaosFindings
from tests.campaigns.harness.director import FaultTable
from tests.campaigns.harness.worker_process import WorkerFailure

from .bot_fleet import BotFleet, BotHost
from .cluster_harness import LEASE

HOSTS: Final = 3
SESSION_HOSTS: Final = "each host a process of this machine with a runtime directory of its own"
_DEADLINE: Final = 3 * LEASE + 5.0
_LONGEST_PAUSE: Final = 0.3
_BLOCKED_FOR: Final = 2.5 * LEASE

KILLED: Final = "the leader is killed"
LEAVES: Final = "the leader leaves"
INTERRUPTED: Final = "the leader gets Ctrl-C"
BLOCKED: Final = "the leader's event loop is blocked past its lease"
DROPPED: Final = "the server drops the connection"
RECONNECT: Final = "the server asks for a reconnect"
SESSION_ENDED: Final = "the server ends the session"
ENGINE_RESTARTED: Final = "the engine is killed and started again"
QUICK: Final = (KILLED, LEAVES, SESSION_ENDED)
_NEXT_LEADER: Final = frozenset({KILLED, LEAVES, INTERRUPTED, BLOCKED})
"""Faults after which another host leads, and resumes."""


async def play_sessions(findings: ChaosFindings, engine: str, seed: int, faults: int, *, quick: bool) -> None:
    """Deal the faults, and check what was promised."""
    async with BotFleet(findings, engine) as fleet:
        campaign = SessionFaults(fleet, findings, f"{seed} {engine} sessions")
        await asyncio.gather(*(fleet.boot() for _ in range(HOSTS)))
        async with fleet.posting():
            await fleet.all_hear(fleet.hosts, 0, _DEADLINE)
            for number in range(len(QUICK) if quick else faults):
                while len(fleet.hosts) < HOSTS:
                    await fleet.boot()
                what = QUICK[number] if quick else campaign.choose()
                known = len(findings.wrong)
                try:
                    await campaign.deal(what)
                except WorkerFailure as error:
                    findings.broken(f"{str(error).splitlines()[0]} ({await fleet.describe()})")
                findings.wrong[known:] = [f"fault {number + 1}, {what}: {text}" for text in findings.wrong[known:]]
        for host in list(fleet.hosts):
            await fleet.leave(host)
        campaign.report()


class SessionFaults:
    """Deals the faults. What the server has seen is compared with what had to happen after each."""

    def __init__(self, fleet: BotFleet, findings: ChaosFindings, seed: str) -> None:
        self._chooser = self.faults.chooser(seed)
        self._fleet = fleet
        self._findings = findings
        self._seen: Counter[str] = Counter()
        self._times: dict[str, list[float]] = {}
        self._expected = 1
        """Number of Identifies that had to be."""

    def choose(self) -> str:
        """The name of the next fault."""
        return self._chooser.choose()

    async def deal(self, what: str) -> None:
        """One fault at a random moment; afterwards every host hears again, and the server says how that came."""
        fleet = self._fleet
        await asyncio.sleep(self._chooser.random.random() * _LONGEST_PAUSE)
        leader = await fleet.leader()
        gaps, resumes = await fleet.gaps(), fleet.server.stats.resumes
        others = [host for host in fleet.hosts if host is not leader]
        begun = time.monotonic()
        finish = await self.faults[what](self, leader)
        number = fleet.posted
        heard = await fleet.all_hear(others, number, _DEADLINE)
        if finish is not None:
            await finish
        # Of now: a leader that was blocked has read a few of the time before, and misses others with a marker.
        await fleet.all_hear(fleet.hosts, fleet.posted, _DEADLINE)
        self._seen[what] += 1
        self._times.setdefault(what, []).extend(max(0.0, at - begun) for at in heard)
        if what == SESSION_ENDED:
            self._expected += 1
        await self._ask_server(what, resumes)
        await self._compare_gaps(what, leader, gaps)

    async def _ask_server(self, what: str, resumes: int) -> None:
        stats = self._fleet.server.stats
        wrong = f"{stats.identifies} Identifies by the server's count, {self._expected} expected"
        self._findings.require(stats.identifies == self._expected, wrong)
        self._expected = stats.identifies
        if what in _NEXT_LEADER or what in (DROPPED, RECONNECT):
            self._findings.require(stats.resumes > resumes, "the server has seen no Resume")

    async def _compare_gaps(self, what: str, leader: BotHost, before: dict[BotHost, int]) -> None:
        """A session that goes on costs no host a marker, but one that led and lost its lease."""
        for host, gaps in (await self._fleet.gaps()).items():
            more = gaps - before.get(host, gaps)
            if what == SESSION_ENDED:
                self._findings.require(more >= 1, f"host {host.number} was not told that the session ended")
            elif what != ENGINE_RESTARTED and host is not leader:
                self._findings.require(more == 0, f"host {host.number} got {more} markers, though the session went on")

    def report(self) -> None:
        """The figures of the run."""
        findings, stats = self._findings, self._fleet.server.stats
        for what, times in sorted(self._times.items()):
            findings.times(f"{what} ({self._seen[what]}), every other host hears after", times)
        findings.figure("faults", self._seen.total())
        findings.figure("messages", self._fleet.posted)
        for name in ("heard", "repeated", "gaps"):
            total = sum(each[name] for each in self._fleet.figures)
            findings.figure(f"of the hosts that left in order: {name}", total)
        findings.figure("Identifies, Resumes by the server's count", f"{stats.identifies}, {stats.resumes}")
        findings.figure("connections at once by the server's count", self._fleet.most_open)
        findings.require(self._fleet.most_open <= 1, f"{self._fleet.most_open} connections at once")

    # --- faults -----------------------------------------------------------------------------------------------------

    async def _kill(self, leader: BotHost) -> None:
        leader.worker.kill()
        await self._fleet.end(leader)

    async def _leave(self, leader: BotHost) -> Awaitable[None]:
        return asyncio.ensure_future(self._fleet.leave(leader))

    async def _interrupt(self, leader: BotHost) -> Awaitable[None]:
        return asyncio.ensure_future(self._fleet.interrupt(leader))

    async def _block(self, leader: BotHost) -> Awaitable[None]:
        return asyncio.ensure_future(leader.worker.do("block", seconds=_BLOCKED_FOR))

    async def _drop(self, _: BotHost) -> None:
        await self._fleet.server.faults.drop_connection()

    async def _reconnect(self, _: BotHost) -> None:
        await self._fleet.server.faults.reconnect()

    async def _end_session(self, _: BotHost) -> None:
        await self._fleet.server.faults.invalid_session(resumable=False)

    async def _restart_engine(self, _: BotHost) -> None:
        await self._fleet.engine.kill()
        await self._fleet.engine.start()

    faults: Final[FaultTable[Callable[[SessionFaults, BotHost], Awaitable[Awaitable[None] | None]]]] = FaultTable(
        {
            KILLED: (4, _kill),
            LEAVES: (4, _leave),
            INTERRUPTED: (2, _interrupt),
            BLOCKED: (3, _block),
            DROPPED: (1, _drop),
            RECONNECT: (1, _reconnect),
            SESSION_ENDED: (2, _end_session),
            ENGINE_RESTARTED: (1, _restart_engine),
        }
    )
