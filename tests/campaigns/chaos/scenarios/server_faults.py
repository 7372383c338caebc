"""A server that greets with a backlog, limits messages, answers late, reads slowly or nothing, and drops connections.

It keeps its own view of what it has received and of what it is subscribed to; both are compared with what the processes
were told and with what they want.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter, deque
from typing import Any, Final

from onesocket.testing import Fault, FaultyConnection, MessageLimit
from tests.campaigns.harness.ledger import FULL
from tests.campaigns.harness.sockets import read_in_pieces
from tests.campaigns.harness.worker_process import WorkerProcess

from ..findings import ChaosFindings
from ..harness import ChaosHarness
from ..size import RunSize

PROCESSES: Final = 3
WITHIN: Final = 10.0
"""Seconds from a fault until all members receive again and the server has the wanted subscriptions: all topics anew, at
the server's pace, after every lost connection."""
_LIMIT: Final = 150
_CONTROL_LIMIT: Final = 40
_PER: Final = 0.5
_BACKLOG: Final = 200
"""Messages of 1 kB that wait for each connection."""
_OUTBOX: Final = (40, 0.4)
"""Messages that may wait in every other process, and for how long: while the server reads nothing, some expire."""
_TOPICS: Final = 60
_SEND_EVERY: Final = 0.1
_PADDING: Final = " " + "." * 20_000
"""Of each message: while the server reads nothing, buffers fill."""
_MAX_READ_PAUSE: Final = 0.6
_ANSWERS_WITHIN: Final = 0.1
_SHORT_LIVED_CLIENTS: Final = 4
_BURST: Final = 10
_FLOOD: Final = 2_500
"""Messages at once: more than the outbox of a process takes."""
_CLOSE_TIMEOUT: Final = 0.4
_MUCH: Final = 40
"""Messages of each process that are more than the kernel of a server that reads nothing takes."""
_NOTHING_READ: Final = 0.3
_PIECES: Final = (1, 16, 256)


class ControlLimit:
    """The server's limit on messages about subscriptions."""

    def __init__(self, findings: ChaosFindings) -> None:
        self.excused: set[int] = set()
        """Connections that were not read for a while: what arrives then was sent earlier."""
        self.most = 0
        self._findings = findings
        self._arrivals: dict[int, deque[float]] = {}

    def note(self, connection: FaultyConnection) -> None:
        """Note such a message."""
        if connection.number in self.excused:
            return
        now = asyncio.get_running_loop().time()
        arrivals = self._arrivals.setdefault(connection.number, deque())
        arrivals.append(now)
        while arrivals[0] <= now - _PER:
            arrivals.popleft()
        self.most = max(self.most, len(arrivals))
        if len(arrivals) == _CONTROL_LIMIT + 1:
            self._findings.broken(f"more than {_CONTROL_LIMIT} messages about subscriptions in {_PER:g} s")


class ServerFaultInjector:
    """Injects the faults."""

    def __init__(self, harness: ChaosHarness, chance: random.Random) -> None:
        self._harness = harness
        self._chance = chance
        self.members: list[WorkerProcess] = []
        self.wanted: dict[WorkerProcess, set[str]] = {}
        self.seen: Counter[str] = Counter()
        self.control = ControlLimit(harness.findings)
        self.flooders: set[str] = set()
        """Processes that filled their outbox."""
        self.begun: set[int] = set()
        """The number of the first message of each connection."""
        self._flown = self._come_so_far = 0
        harness.on_control = self.control.note

    def fault(self, connection: FaultyConnection) -> Fault:
        """Each connection is answered late, and gets the backlog in one write with the answer."""
        del connection
        number = self._harness.number + 1
        self._harness.number += _BACKLOG
        self.begun.add(number)
        late = Fault.slow_upgrade(self._chance.random() * _ANSWERS_WITHIN)
        return late | Fault.greeting(*(f"{number + more} {'.' * 1000}" for more in range(_BACKLOG)))

    async def begin(self) -> None:
        """Start the first processes, and wait until all of them receive."""
        await self._come(PROCESSES)
        await self._harness.wait_received(self.members, "at the beginning", within=WITHIN)

    async def _come(self, count: int) -> None:
        setup: dict[str, Any] = {"topics": [_LIMIT, _CONTROL_LIMIT, _PER], "options": {"close_timeout": _CLOSE_TIMEOUT}}
        new: list[WorkerProcess] = []
        for _ in range(count):
            self._come_so_far += 1
            if self._come_so_far % 2:
                new += await self._harness.start(**setup)
            else:
                (member,) = await self._harness.start(**setup, outbox=_OUTBOX)
                self._harness.ledger.sender(member.name).left = True  # what expires at an owner is unknown
                new.append(member)
        await self._harness.join(new, send_every=_SEND_EVERY, padding=_PADDING)
        self.members += new
        for member in new:
            await self._choose(member)

    async def _choose(self, member: WorkerProcess) -> None:
        topics = self._chance.sample([f"topic {number}" for number in range(_TOPICS)], self._chance.randrange(_TOPICS))
        self.wanted[member] = set(topics)
        await member.do("topics", keys=topics)

    async def inject(self, what: str) -> None:
        """One of them, at a random moment."""
        self.seen[what] += 1
        await asyncio.sleep(self._chance.random() * 0.1)
        connections = self._harness.server.connections
        if what.startswith("reads"):
            await self._read_badly(what, connections)
        else:
            await self._disturb(what, connections)
        await self._harness.wait_received(self.members, f"after the server {what}", within=WITHIN)
        for connection in connections:
            if connection.number in self._harness.unfed:
                connection.kill()  # of whose end it has learned nothing

    async def _disturb(self, what: str, connections: list[FaultyConnection]) -> None:
        match what:
            case "drops the connection":
                self._cut_off(connections)
            case "senders give up":
                await self._give_up()
            case "somebody disconnects":
                await self._chance.choice(self.members).do("disconnect")
            case "subscriptions change":
                for member in self.members:
                    await self._choose(member)
            case "clients come, send and go":
                await self._send_and_leave(_SHORT_LIVED_CLIENTS, _BURST)
            case "a process floods":
                await asyncio.sleep(_PER)  # what the server has read late, after a pause, counts in its limit as well
                self.flooders.add((await self._send_and_leave(1, _FLOOD)).name)
            case _:
                await self._owner_ends(what)

    async def _read_badly(self, what: str, connections: list[FaultyConnection]) -> None:
        match what:
            case "reads in small pieces":
                await self._read_in_pieces(connections)
            case "reads nothing for a while":
                await self._read_nothing(connections, self._chance.random() * _MAX_READ_PAUSE)
                for connection in connections:
                    connection.resume()
            case "reads nothing, and drops the connection":
                await self._read_nothing(connections, self._chance.random() * _MAX_READ_PAUSE)
                self._cut_off(connections)
            case _:
                await self._read_nothing(connections, _NOTHING_READ, burst=_MUCH)
                numbers = {connection.number for connection in connections}
                self._harness.unfed |= numbers
                self._harness.ledger.broken_connections |= numbers
                await self._owner_ends(what)

    async def _read_nothing(self, connections: list[FaultyConnection], seconds: float, *, burst: int = 0) -> None:
        for connection in connections:
            self.control.excused.add(connection.number)
            connection.stop_reading()
        for member in self.members:
            await member.do("burst", messages=burst)
        await self._choose(self._chance.choice(self.members))  # waits behind what isn't read
        await asyncio.sleep(seconds)

    async def _read_in_pieces(self, connections: list[FaultyConnection]) -> None:
        for connection in connections:
            self.control.excused.add(connection.number)
            read_in_pieces(connection, self._chance.choice(_PIECES))
        await self._choose(self._chance.choice(self.members))
        await asyncio.sleep(self._chance.random() * _MAX_READ_PAUSE)
        for connection in connections:
            read_in_pieces(connection, 1 << 18)

    async def _give_up(self) -> None:
        member = self._chance.choice(self.members)
        self._flown += 1
        name = f"{member.name}g{self._flown}"
        self._harness.ledger.sender(name).left = True
        after = [10 ** self._chance.uniform(-5, -1) for _ in range(_BURST * _SHORT_LIVED_CLIENTS)]
        for sender, accepted in (await member.do("give_up", name=name, after=after)).items():
            self._harness.ledger.sender(sender).accepted = accepted

    def _cut_off(self, connections: list[FaultyConnection]) -> None:
        for connection in connections:
            self._harness.ledger.broken_connections.add(connection.number)
            connection.kill()

    async def _owner_ends(self, what: str) -> None:
        owner, _ = await self._harness.owner()
        self.members.remove(owner)
        del self.wanted[owner]
        if what.endswith("the owner is killed"):
            self._harness.ledger.broken_connections.update(line.number for line in self._harness.server.connections)
            owner.signal(signal.SIGKILL)
            await owner.ended()
        else:
            await self._harness.leave(owner)
        await self._come(1)

    async def _send_and_leave(self, times: int, messages: int) -> WorkerProcess:
        member = self._chance.choice(self.members)
        self._flown += 1
        name = f"{member.name}f{self._flown}"
        for number in range(times):
            self._harness.ledger.sender(f"{name}.{number}").left = True
        turns = [self._chance.randrange(60) for _ in range(times)]
        answer = await member.do("send_and_leave", name=name, times=times, messages=messages, turns=turns)
        for sender, accepted in answer.items():
            self._harness.ledger.sender(sender).accepted = accepted
        return member

    async def agree(self, findings: ChaosFindings, when: str) -> None:
        """The server is subscribed to what the processes want together, to each topic once."""
        wanted = frozenset().union(*self.wanted.values())

        def is_so() -> bool:
            ledgers = [connection.subscriptions for connection in self._harness.server.connections]
            return len(ledgers) == 1 and ledgers[0].keys == wanted and not ledgers[0].odd

        try:
            await self._harness.server.wait_until(lambda _: is_so(), WITHIN)
        except TimeoutError:
            for connection in self._harness.server.connections:
                found = connection.subscriptions
                findings.broken(
                    f"{when} the server is subscribed to {sorted(found.keys - wanted)[:5]}, which no member wants, "
                    f"not to {sorted(wanted - found.keys)[:5]}, which a member does, and {found.odd} times to others"
                )


FAULTS: Final = (
    "drops the connection",
    "reads nothing for a while",
    "reads nothing, and drops the connection",
    "reads nothing, and the owner is killed",
    "reads nothing, and the owner leaves",
    "reads in small pieces",
    "senders give up",
    "somebody disconnects",
    "subscriptions change",
    "clients come, send and go",
    "a process floods",
    "the owner is killed",
    "the owner leaves",
)


async def run(findings: ChaosFindings, size: RunSize, chance: random.Random) -> None:
    """Injects faults; after each, every process is fed and the server's view is the wanted one."""
    async with ChaosHarness(findings) as harness:
        injector = ServerFaultInjector(harness, chance)
        harness.server.faults = injector.fault
        harness.server.message_limit = MessageLimit(_LIMIT, per=_PER)
        async with harness.feeding():
            await injector.begin()
            faults = chance.sample(FAULTS, len(FAULTS))  # each once, if there are that many
            for what in (*faults, *chance.choices(FAULTS, k=size.faults))[: size.faults]:
                await injector.inject(what)
                await injector.agree(findings, f"after {what!r}")
            for figures in await harness.settle(injector.members):
                odd = set(figures["firsts"]) - injector.begun
                findings.require(not odd, f"a process got a connection from number {sorted(odd)} on, not its backlog")
        for member in injector.members:
            await harness.leave(member)
        counts = await harness.server.wait_until(lambda counts: counts.sockets_now == 0, 10.0)
        findings.figure("faults", ", ".join(f"{what}: {count}" for what, count in injector.seen.items()))
        findings.figure(f"connections, each answered late and with a backlog of {_BACKLOG} kB", counts.handshakes)
        findings.figure(f"messages about subscriptions in {_PER:g} s, at most", injector.control.most)
        limited = counts.close_codes.get(1008, 0)
        for member in harness.members:
            sender = harness.ledger.sender(member.name)
            full = sender.had(FULL) and member.name not in injector.flooders and not sender.left
            findings.require(not full, f"{member.name} sends little, and was told that the outbox is full")
        findings.require(not limited, f"{limited} connections sent more than {_LIMIT} messages in {_PER:g} s")
        harness.check_deliveries()
        harness.check_sockets(server_notices=False)
