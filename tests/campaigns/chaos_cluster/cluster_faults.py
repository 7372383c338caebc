"""The faults of the campaign: each strikes at a random moment, and afterwards every process has to receive again."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from typing import Final

from tests.campaigns.chaos.findings import ChaosFindings
from tests.campaigns.harness.director import FaultTable
from tests.campaigns.harness.worker_process import WorkerFailure, WorkerProcess

from .cluster_harness import LEASE, MARGIN, ClusterHarness, all_done
from .cluster_host import ClusterHost
from .network import Link

HOSTS: Final = 3
PROCESSES: Final = 2
"""On each host."""
SEND_EVERY: Final = 0.05
FEED_EVERY: Final = 0.01
DEADLINE: Final = 3 * LEASE + 5.0
"""Seconds until all receive again, or a promise is broken; the times themselves are in the table."""
TARGET: Final = LEASE + 0.5
"""Seconds to be reached after a leader was killed."""
_LONGEST_PAUSE: Final = 0.1
_LONGEST_CUT: Final = 2.2 * LEASE
_SHORT: Final = 0.4 * LEASE
"""Less than what is left of a lease that is renewed in time."""
_BLOCKED_FOR: Final = 3 * LEASE
_LONGEST_DELAY: Final = 0.08
"""Each way; a command may take 0.5 s."""

LEADER_KILLED: Final = "the leader's process is killed"
LEADER_OFF: Final = "the leader's host is powered off"
PROCESS_LEAVES: Final = "the leader's process leaves"
HOST_LEAVES: Final = "the leader's host leaves"
INTERRUPTED: Final = "the leader's process gets Ctrl-C"
FOLLOWER_INTERRUPTED: Final = "a follower's process gets Ctrl-C"
ENGINE_FULL: Final = "the engine is full"
FROZEN: Final = "the leader stands still past its lease"
BLOCKED: Final = "the leader's event loop is blocked past its lease"
DATA_LOST: Final = "the engine is killed, and its data is lost"
LEADER_CUT: Final = "the leader is cut off from the engine"
UPSTREAM_CUT: Final = "the leader is cut off from the upstream server"
UNREACHABLE: Final = "the leader does not reach the upstream server, until another host does"
_OF_LINKS: Final = (UPSTREAM_CUT, UNREACHABLE)
"""Faults of links that loopback doesn't have."""
QUICK: Final = (LEADER_OFF, HOST_LEAVES, "the engine is killed and started again", FROZEN)
HAND_OVER: Final = "from the end of the connection to the next one's TCP accept"


class ClusterFaults:
    """Deals the faults. For each process and host that ends, another one comes."""

    def __init__(self, harness: ClusterHarness, findings: ChaosFindings, seed: str, *, has_links: bool) -> None:
        self._chooser = self.faults.chooser(seed, without=() if has_links else _OF_LINKS)
        self._chance = self._chooser.random
        self._harness = harness
        self._findings = findings
        self.seen: Counter[str] = Counter()
        self.times: dict[str, list[float]] = {}
        self._host: ClusterHost
        self._leader: WorkerProcess
        self._connection = 0
        """The server's number of the connection when the fault was dealt."""

    async def begin(self) -> None:
        """Boot the hosts, and wait until each process receives."""
        await all_done(self._harness.boot(PROCESSES, send_every=SEND_EVERY) for _ in range(HOSTS))
        await self._all_receive("at the beginning")

    def choose(self) -> str:
        """The name of the next fault."""
        return self._chooser.choose()

    async def deal(self, what: str) -> None:
        """One fault at a random moment."""
        self.seen[what] += 1
        await asyncio.sleep(self._chance.random() * _LONGEST_PAUSE)
        self._host, self._leader, self._connection = await self._harness.leader()
        try:
            await self.faults[what](self, what)
        except WorkerFailure as error:
            seen = await self._harness.describe()
            self._findings.broken(f"{str(error).splitlines()[0]} (leader {self._leader.name}; {seen})")
        await self._all_receive(f"after all of: {what}")

    async def complete(self) -> None:
        """Have as many hosts and processes as before."""
        for host in self._harness.hosts:
            while len(host.members) < PROCESSES:
                await self._harness.add_member(host, send_every=SEND_EVERY)
        while len(self._harness.hosts) < HOSTS:
            await self._harness.boot(PROCESSES, send_every=SEND_EVERY)

    # --- receiving --------------------------------------------------------------------------------------------------

    async def _all_receive(self, what: str, members: Sequence[WorkerProcess] = (), after: int = 0) -> list[float]:
        """Wait until each has a message from now, on a connection after `after`; returns the times."""
        wanted = list(members or self._harness.all_members)
        return await self._harness.wait_received(wanted, what, epoch=after, within=DEADLINE)

    async def _recover(self, what: str, begun: float, members: Sequence[WorkerProcess], *, is_new: bool) -> None:
        """Wait until these receive, and note how long it took from `begun`."""
        fed = await self._all_receive(f"after {what}", members, self._connection if is_new else 0)
        self.times.setdefault(what, []).extend(max(0.0, at - begun) for at in fed)

    def _others(self) -> list[WorkerProcess]:
        """The processes of the hosts that didn't lead."""
        return [each for host in self._harness.hosts if host is not self._host for each in host.members]

    def _follower(self) -> ClusterHost:
        return self._chance.choice([host for host in self._harness.hosts if host is not self._host])

    # --- ends -------------------------------------------------------------------------------------------------------

    async def _kill(self, what: str) -> None:
        self._harness.mark_broken()
        self._host.members.remove(self._leader)
        begun = time.monotonic()
        self._leader.kill()
        await self._recover(what, begun, self._harness.all_members, is_new=True)
        await self._leader.ended()

    async def _power_off(self, what: str) -> None:
        self._harness.mark_broken()
        rest = self._others()
        begun = time.monotonic()
        await self._harness.power_off(self._host)
        self._harness.reset_connections_of([self._connection])
        await self._recover(what, begun, rest, is_new=True)

    async def _leave(self, what: str) -> None:
        if what == HOST_LEAVES:
            rest = self._others()
            leaving = asyncio.create_task(self._harness.shut_down(self._host))
        else:
            self._host.members.remove(self._leader)
            rest = self._harness.all_members
            end = self._harness.interrupt if what == INTERRUPTED else self._harness.leave
            leaving = asyncio.create_task(end(self._leader))
        begun = time.monotonic()
        await self._recover(what, begun, rest, is_new=True)
        await leaving
        server = self._harness.server
        following = min(number for number in server.begun if number > self._connection)
        between = server.begun[following] - server.ended[self._connection]
        self.times.setdefault(f"{what}, {HAND_OVER}", []).append(max(0.0, between))

    async def _kill_follower(self, what: str) -> None:
        host = self._follower()
        if "process" in what:
            member = self._chance.choice(host.members)
            host.members.remove(member)
            member.kill()
            await member.ended()
        else:
            await self._harness.power_off(host)
        await self._recover(what, time.monotonic(), self._harness.all_members, is_new=False)

    async def _interrupt_follower(self, what: str) -> None:
        host = self._follower()
        member = self._chance.choice(host.members)
        host.members.remove(member)
        await self._harness.interrupt(member)
        await self._recover(what, time.monotonic(), self._harness.all_members, is_new=False)

    # --- standing still ---------------------------------------------------------------------------------------------

    async def _stop_leader(self, what: str) -> None:
        self._leader.signal(signal.SIGSTOP)
        await asyncio.sleep(self._chance.random() * _SHORT)
        self._leader.signal(signal.SIGCONT)
        await self._recover(what, time.monotonic(), self._harness.all_members, is_new=False)

    async def _freeze(self, what: str) -> None:
        """Its process, or all of its host, until another host feeds the others; then it goes on, and finds out."""
        frozen = self._host.members if self._chance.random() < 0.5 else [self._leader]
        self._harness.mark_broken()
        with self._counted_apart(what):
            begun = time.monotonic()
            for member in frozen:
                member.signal(signal.SIGSTOP)
            try:
                await self._recover(what, begun, self._others(), is_new=True)
                await asyncio.sleep(self._chance.random() * LEASE)
            finally:
                for member in frozen:
                    member.signal(signal.SIGCONT)
            await self._recover(f"{what}; it goes on", time.monotonic(), self._host.members, is_new=True)
            await self._harness.server.wait_until(lambda counts: counts.sockets_now == 1, DEADLINE)

    async def _block(self, what: str) -> None:
        """A thread of its process resets the connection in time: there is never a second one."""
        self._harness.mark_broken()
        rest = [each for each in self._harness.all_members if each is not self._leader]
        begun = time.monotonic()
        order = self._leader.tell("block", seconds=_BLOCKED_FOR)
        await self._recover(what, begun, rest, is_new=True)
        await self._leader.result(order)
        await self._recover(f"{what}; it goes on", begun + _BLOCKED_FOR, [self._leader], is_new=True)

    def _counted_apart(self, what: str) -> AbstractContextManager[None]:
        census = self._harness.census
        return contextlib.nullcontext() if census is None else census.window(what)

    # --- links ------------------------------------------------------------------------------------------------------

    async def _cut_engine(self, what: str) -> None:
        is_leader = what == LEADER_CUT
        host = self._host if is_leader else self._follower()
        seconds = self._chance.random() * _LONGEST_CUT
        is_long = is_leader and seconds > LEASE + MARGIN
        begun = time.monotonic()
        await host.set_engine_link(up=False)
        try:
            if is_long:
                await self._recover(f"{what}; others", begun, self._others(), is_new=True)
            else:
                await asyncio.sleep(seconds)
        finally:
            await host.set_engine_link(up=True)
        await self._recover(f"{what}; link mended", time.monotonic(), self._harness.all_members, is_new=is_long)

    async def _cut_upstream(self, what: str) -> None:
        self._harness.mark_broken()
        await self._host.network.set_link(Link.UPSTREAM, up=False)
        try:
            await asyncio.sleep(self._chance.random() * _LONGEST_CUT)
        finally:
            await self._host.network.set_link(Link.UPSTREAM, up=True)
        await self._recover(f"{what}; link mended", time.monotonic(), self._harness.all_members, is_new=False)

    async def _keep_from_upstream(self, what: str) -> None:
        """Until another host has the connection; the processes of this one receive from that."""
        self._harness.mark_broken()
        begun = time.monotonic()
        await self._host.network.set_link(Link.UPSTREAM, up=False)
        try:
            self._harness.reset_connections_of([self._connection])
            await self._recover(what, begun, self._harness.all_members, is_new=True)
        finally:
            await self._host.network.set_link(Link.UPSTREAM, up=True)

    async def _drop(self, what: str) -> None:
        self._harness.mark_broken()
        is_orderly = self._chance.random() < 0.5
        begun = time.monotonic()
        for connection in self._harness.server.connections:
            if is_orderly:
                connection.close_nowait(1012, "restart")
            else:
                connection.kill()
        await self._recover(what, begun, self._harness.all_members, is_new=True)

    # --- the engine -------------------------------------------------------------------------------------------------

    async def _restart_engine(self, what: str) -> None:
        loses = what == DATA_LOST
        with self._counted_apart(what) if loses else contextlib.nullcontext():
            await self._harness.engine.kill(lose_data=loses)
            await asyncio.sleep(self._chance.random() * _LONGEST_CUT)
            await self._harness.engine.start()
            await self._recover(f"{what}; it is back", time.monotonic(), self._harness.all_members, is_new=False)
            if loses:
                await asyncio.sleep(LEASE)  # until the leader has tried to renew

    async def _stop_engine(self, what: str) -> None:
        self._harness.engine.signal(signal.SIGSTOP)
        await asyncio.sleep(self._chance.random() * _LONGEST_CUT)
        self._harness.engine.signal(signal.SIGCONT)
        await self._recover(f"{what}; it goes on", time.monotonic(), self._harness.all_members, is_new=False)

    async def _fill_engine(self, what: str) -> None:
        """Have the engine refuse what needs room, for a while in which messages come and go."""
        await self._harness.engine.set_full(full=True)
        try:
            await asyncio.sleep(self._chance.random() * _LONGEST_CUT)
        finally:
            await self._harness.engine.set_full(full=False)
        await self._recover(f"{what}; it has room", time.monotonic(), self._harness.all_members, is_new=False)

    async def _delay_engine(self, what: str) -> None:
        proxies = [host.proxy for host in self._harness.hosts if host.proxy is not None]
        delay = self._chance.random() * _LONGEST_DELAY
        for proxy in proxies:
            proxy.delay = delay
        try:
            await asyncio.sleep(LEASE)
            await self._recover(f"{what}; meanwhile", time.monotonic(), self._harness.all_members, is_new=False)
        finally:
            for proxy in proxies:
                proxy.delay = 0.0

    faults: Final[FaultTable[Callable[[ClusterFaults, str], Awaitable[None]]]] = FaultTable(
        {
            LEADER_KILLED: (4, _kill),
            LEADER_OFF: (4, _power_off),
            PROCESS_LEAVES: (3, _leave),
            HOST_LEAVES: (3, _leave),
            INTERRUPTED: (2, _leave),
            "the leader stands still, and goes on in time": (2, _stop_leader),
            FROZEN: (2, _freeze),
            BLOCKED: (3, _block),
            LEADER_CUT: (4, _cut_engine),
            "a follower is cut off from the engine": (2, _cut_engine),
            UPSTREAM_CUT: (3, _cut_upstream),
            UNREACHABLE: (2, _keep_from_upstream),
            "a follower's process is killed": (1, _kill_follower),
            "a follower's host is powered off": (1, _kill_follower),
            FOLLOWER_INTERRUPTED: (1, _interrupt_follower),
            "the engine is killed and started again": (3, _restart_engine),
            DATA_LOST: (1, _restart_engine),
            "the engine stands still": (3, _stop_engine),
            "the engine is far away": (2, _delay_engine),
            ENGINE_FULL: (2, _fill_engine),
            "the upstream server drops the connection": (2, _drop),
        }
    )
