"""A server that greets at once, limits messages, answers late, reads nothing for a while, and drops connections.

It keeps its own view of what it has received and of what it is subscribed to; both are compared with what the processes
were told and with what they want.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from typing import Final

from onesocket.testing import Fault, FaultyConnection, MessageLimit
from tests.campaigns.harness.worker_process import WorkerProcess

from ..findings import ChaosFindings
from ..harness import ChaosHarness
from ..size import RunSize

PROCESSES: Final = 3
WITHIN: Final = 10.0
"""Seconds from a blow until everybody receives again, and the server is subscribed to what is wanted: all topics again,
at the server's pace, after every lost connection."""
_LIMIT: Final = 150
_PER: Final = 0.5
_TOPICS: Final = 60
_SEND_EVERY: Final = 0.1
_PADDING: Final = " " + "." * 20_000
"""Of each message: while the server reads nothing, buffers fill."""
_MAX_READ_PAUSE: Final = 0.6
_ANSWERS_WITHIN: Final = 0.1
_SHORT_LIVED_CLIENTS: Final = 4
_BURST: Final = 10


class ServerFaultInjector:
    """Deals the blows."""

    def __init__(self, stage: ChaosHarness, chance: random.Random) -> None:
        self._stage = stage
        self._chance = chance
        self.players: list[WorkerProcess] = []
        self.wanted: dict[WorkerProcess, set[str]] = {}
        self.seen: Counter[str] = Counter()
        self._flown = 0

    def fault(self, connection: FaultyConnection) -> Fault:
        """Each connection is answered late, and greeted with the next number in one write with the answer."""
        del connection
        self._stage.number += 1
        late = Fault.slow_upgrade(self._chance.random() * _ANSWERS_WITHIN)
        return late | Fault.greeting(f"{self._stage.number} ")

    async def begin(self) -> None:
        """Start the first processes, and wait until all of them receive."""
        await self._come(PROCESSES)
        await self._stage.wait_received(self.players, "at the beginning", within=WITHIN)

    async def _come(self, count: int) -> None:
        new = await self._stage.start(count, topics=[_LIMIT, _PER])
        await self._stage.join(new, send_every=_SEND_EVERY, padding=_PADDING)
        self.players += new
        for player in new:
            await self._choose(player)

    async def _choose(self, player: WorkerProcess) -> None:
        topics = self._chance.sample([f"topic {number}" for number in range(_TOPICS)], self._chance.randrange(_TOPICS))
        self.wanted[player] = set(topics)
        await player.do("topics", keys=topics)

    async def inject(self, what: str) -> None:
        """One of them, at a random moment."""
        self.seen[what] += 1
        await asyncio.sleep(self._chance.random() * 0.1)
        connections = self._stage.server.connections
        match what:
            case "drops the connection":
                self._cut_off(connections)
            case "reads nothing for a while":
                for connection in connections:
                    connection.stop_reading()
                await self._choose(self._chance.choice(self.players))  # waits behind what isn't read
                await asyncio.sleep(self._chance.random() * _MAX_READ_PAUSE)
                for connection in connections:
                    connection.resume()
            case "reads nothing, and drops the connection":
                for connection in connections:
                    connection.stop_reading()
                await self._choose(self._chance.choice(self.players))
                await asyncio.sleep(self._chance.random() * _MAX_READ_PAUSE)
                self._cut_off(connections)
            case "subscriptions change":
                for player in self.players:
                    await self._choose(player)
            case "links come, send and go":
                await self._flit()
            case _:
                await self._owner_ends(what)
        await self._stage.wait_received(self.players, f"after the server {what}", within=WITHIN)

    def _cut_off(self, connections: list[FaultyConnection]) -> None:
        for connection in connections:
            self._stage.ledger.broken_connections.add(connection.number)
            connection.kill()

    async def _owner_ends(self, what: str) -> None:
        owner, _ = await self._stage.owner()
        self.players.remove(owner)
        del self.wanted[owner]
        if what == "the owner is killed":
            self._stage.ledger.broken_connections.update(line.number for line in self._stage.server.connections)
            owner.signal(signal.SIGKILL)
            await owner.ended()
        else:
            await self._stage.leave(owner)
        await self._come(1)

    async def _flit(self) -> None:
        player = self._chance.choice(self.players)
        self._flown += 1
        name = f"{player.name}f{self._flown}"
        for number in range(_SHORT_LIVED_CLIENTS):
            self._stage.ledger.sender(f"{name}.{number}").left = True
        turns = [self._chance.randrange(60) for _ in range(_SHORT_LIVED_CLIENTS)]
        answer = await player.do("flit", name=name, times=_SHORT_LIVED_CLIENTS, messages=_BURST, turns=turns)
        for sender, accepted in answer.items():
            self._stage.ledger.sender(sender).accepted = accepted

    async def agree(self, findings: ChaosFindings, when: str) -> None:
        """The server is subscribed to what the processes want together, to each topic once."""
        wanted = frozenset().union(*self.wanted.values())

        def is_so() -> bool:
            ledgers = [connection.subscriptions for connection in self._stage.server.connections]
            return len(ledgers) == 1 and ledgers[0].keys == wanted and not ledgers[0].odd

        try:
            await self._stage.server.wait_until(lambda _: is_so(), WITHIN)
        except TimeoutError:
            for connection in self._stage.server.connections:
                found = connection.subscriptions
                findings.broken(
                    f"{when} the server is subscribed to {sorted(found.keys - wanted)[:5]}, which nobody wants, not to "
                    f"{sorted(wanted - found.keys)[:5]}, which somebody does, and {found.odd} times to others"
                )


FAULTS: Final = (
    "drops the connection",
    "reads nothing for a while",
    "reads nothing, and drops the connection",
    "subscriptions change",
    "links come, send and go",
    "the owner is killed",
    "the owner leaves",
)


async def run(findings: ChaosFindings, size: RunSize, chance: random.Random) -> None:
    """So many blows; after each, everybody is fed and the server's view is the wanted one."""
    async with ChaosHarness(findings) as stage:
        unkind = ServerFaultInjector(stage, chance)
        stage.server.faults = unkind.fault
        stage.server.message_limit = MessageLimit(_LIMIT, per=_PER)
        async with stage.feeding():
            await unkind.begin()
            for number in range(size.blows):
                what = FAULTS[number % len(FAULTS)] if number < len(FAULTS) else chance.choice(FAULTS)
                await unkind.inject(what)
                await unkind.agree(findings, f"after {what!r}")
            await stage.settle(unkind.players)
        for player in unkind.players:
            await stage.leave(player)
        counts = await stage.server.wait_until(lambda counts: counts.sockets_now == 0, 10.0)
        findings.figure("blows", ", ".join(f"{what}: {count}" for what, count in unkind.seen.items()))
        findings.figure("connections, each greeted and answered late", counts.handshakes)
        limited = counts.close_codes.get(1008, 0)
        findings.require(not limited, f"{limited} connections sent more than {_LIMIT} messages in {_PER:g} s")
        stage.check_deliveries()
        stage.check_sockets()
