"""A server and a network that break in every way the seed thinks of, and count what they see."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable

from onesocket.errors import ConnectionRefused, InvalidHandshake, OnesocketError, ServerBusy
from onesocket.lifecycle._peer_errors import handshake_rejected
from onesocket.testing._subscription_ledger import SubscriptionLedger
from onesocket.transports._memory import MemoryConnection, MemoryPeer, MemoryServer, MemoryTransport
from onesocket.transports._transport import TransportEvents
from onesocket.wire._handshake import Data, DialRequest

from .invariants import Invariants

# What becomes of a dial, and how often: most work, or nothing else would be tested.
_DIAL_OUTCOMES = {
    "accept": 60,
    "greet": 15,
    "accept slowly": 10,
    "never answer": 3,
    "refuse port": 8,
    "refuse 503": 3,
    "refuse 401": 1,
    "refuse oddly": 2,
    "invalid upgrade": 2,
    "busy": 3,
    "accept then close": 5,
    "accept then drop": 5,
}
# What happens to a connection that is open.
_CONNECTION_FAULTS = {
    "none": 40,
    "drop": 15,
    "close 1001": 8,
    "close 1011": 5,
    "close 1008": 2,
    "go silent": 8,
    "stop reading": 8,
    "never read again": 4,
    "never acknowledge close": 8,
    "flood": 6,
}


LATE_EVENT = "said by a connection of the past"
LIMIT_EXCEEDED = "too many requests"
CONNECTION_LIMIT = "connection limit exceeded"


class SimulatedServer(MemoryServer):
    """A `MemoryServer` whose behaviour is drawn from the seed. `faults` counts what it did."""

    def __init__(self, chance: random.Random, promises: Invariants, note: Callable[[str], None]) -> None:
        super().__init__(latency=chance.choice([0.0, 0.001, 0.05, 0.4]))
        self.faults: Counter[str] = Counter()
        self.faults_disabled = False
        """True once the faults are over: everything works from then on."""
        self.apart = False
        """Each token has a connection of its own."""
        self._dials: list[tuple[tuple[tuple[str, str], ...], MemoryConnection]] = []
        self._chance = chance
        self._promises = promises
        self._note = note
        self._numbers = 0
        self.ghost_seconds = 0.0
        """Seconds for which a connection that its client has closed in order is still counted."""
        self.expects_dates = False
        """All connections are those of one client: none comes before a time that was named to it."""
        self._not_before = 0.0
        self._ghost_until = 0.0
        self.limit: int | None = None
        """Messages per second that a client may send; beyond that the connection is closed with 1008."""
        self.is_limit_known = True
        """The client keeps to the limit by itself."""
        self.topics: tuple[str, ...] = ()
        """Topics of the server's messages; empty if they have none."""
        self._ledgers: dict[MemoryPeer, SubscriptionLedger] = {}
        self._unread: set[MemoryPeer] = set()
        self._times: dict[MemoryPeer, deque[float]] = {}
        self.on_dial = self._dialled
        self.on_message = self._take

    def ledger(self, peer: MemoryPeer) -> SubscriptionLedger:
        """Ledger of the subscriptions of this connection."""
        return self._ledgers.setdefault(peer, SubscriptionLedger())

    def is_unread(self, peer: MemoryPeer) -> bool:
        """True while the server has stopped reading from this peer."""
        return peer in self._unread

    def transport(self) -> CheckedTransport:
        """A transport whose connections lead to this server, and which checks how they are treated."""
        return CheckedTransport(self, self._promises)

    def _connections_beside(self, request: DialRequest) -> int:
        """Number of connections open or opening where one is allowed: altogether, or for the token of `request`."""
        if not self.apart:
            return self.open_now
        self._dials = [connection for connection in self._dials if not connection[1].is_over]
        return sum(headers == request.headers for headers, _ in self._dials)

    def note_connection(self, request: DialRequest, connection: MemoryConnection) -> None:
        """A connection was dialled."""
        self._dials.append((request.headers, connection))
        self._promises.dialled(self._connections_beside(request))

    def note_end(self, peer: MemoryPeer) -> None:
        """A connection is over."""
        if peer.ended_in_order and self.ghost_seconds:
            self._ghost_until = asyncio.get_running_loop().time() + self.ghost_seconds

    def draw_late(self) -> float | None:
        """Seconds after its end at which a connection reports an event; None: never, as is correct."""
        if self._chance.random() < 0.8:
            return None
        self.faults["late event"] += 1
        return self._chance.choice([0.0, 0.5, 5.0])

    def _draw(self, what: dict[str, int], calm: str) -> str:
        drawn = calm if self.faults_disabled else self._chance.choices(list(what), weights=list(what.values()))[0]
        if drawn != calm:
            self.faults[drawn] += 1
        return drawn

    def _dialled(self, peer: MemoryPeer) -> None:
        loop = asyncio.get_running_loop()
        early = self._not_before - loop.time()
        if self.expects_dates and early > 0:
            self._promises.dialled_early(early)
        answer = self._draw(_DIAL_OUTCOMES, "accept")
        if loop.time() < self._ghost_until and not self.faults_disabled:
            answer = "ghost"
            self.faults[answer] += 1
        self._note(f"server: dial {len(self.peers)} → {answer}")
        match answer:
            case "accept":
                self._accept(peer)
            case "greet":
                self._accept(peer, greets=True)
            case "accept slowly":
                loop.call_later(self._chance.uniform(0, 12), self._accept, peer)
            case "never answer":
                pass
            case "ghost":
                peer.accept()
                peer.close(1008, CONNECTION_LIMIT)
            case "accept then close":
                peer.accept()
                peer.close(self._chance.choice([1000, 1001, 1011]))
            case "accept then drop":
                peer.accept()
                peer.drop()
            case _:
                refusal = self._refusal(answer)
                # Just after a suspension the deadline of the attempt may pass in the same moment: then it isn't read.
                if not self._promises.was_suspended(loop.time()):
                    self._not_before = loop.time() + (refusal.retry_after or 0.0)
                peer.refuse(refusal)

    def _refusal(self, answer: str) -> OnesocketError:
        match answer:
            case "refuse 503":
                return handshake_rejected(503, {"retry-after": "2"})
            case "refuse 401":
                return handshake_rejected(401, {})
            case "refuse oddly":
                return handshake_rejected(self._chance.choice([307, 429, 500, 520, 530]), {})
            case "invalid upgrade":
                return InvalidHandshake("garbage")
            case "busy":
                return ServerBusy("limit exceeded", retry_after=self._chance.choice([None, 1.0, 20.0]))
            case _:
                return ConnectionRefused("nobody home")

    def _accept(self, peer: MemoryPeer, *, greets: bool = False) -> None:
        if not peer.is_open:  # it may have been given up meanwhile
            greeting = [self._text(peer) for _ in range(self._chance.randint(1, 3))] if greets else []
            peer.accept(greeting=greeting)
        for _ in range(self._chance.randrange(4)):
            self._say(peer)
        fate = self._draw(_CONNECTION_FAULTS, "none")
        asyncio.get_running_loop().call_later(self._chance.expovariate(1 / 5), self._strike, peer, fate)

    def _strike(self, peer: MemoryPeer, fate: str) -> None:
        if not peer.is_open:
            return
        self._note(f"server: {fate} on {peer!r}")
        match fate:
            case "drop":
                peer.drop()
            case "go silent":
                peer.go_silent()
            case "stop reading":
                self._unread.add(peer)  # what waited comes all at once
                peer.stop_reading()
                asyncio.get_running_loop().call_later(self._chance.uniform(0, 10), peer.resume_reading)
            case "never read again":
                self._unread.add(peer)
                peer.stop_reading()
                # Without PINGs only the server's own deadline ends that.
                asyncio.get_running_loop().call_later(self._chance.uniform(30, 300), peer.drop)
            case "never acknowledge close":
                peer.answers_close = False
            case "flood":
                for _ in range(self._chance.randrange(300)):
                    self._say(peer)
            case "none":
                self._say(peer)
            case _:
                peer.close(int(fate.removeprefix("close ")))

    def _say(self, peer: MemoryPeer) -> None:
        if peer.is_open:
            peer.send(self._text(peer))

    def _text(self, peer: MemoryPeer) -> str:
        self._numbers += 1
        epoch = self.peers.index(peer) + 1
        self._promises.said.setdefault(epoch, []).append(self._numbers)
        topic = f" {self._chance.choice(self.topics)}" if self.topics else ""
        return f"{epoch} {self._numbers}{topic}"

    def _take(self, peer: MemoryPeer, data: Data) -> None:
        if self.limit is not None:
            self._count(peer, self.limit)
        if not self.ledger(peer).note(data):
            self._promises.arrived(peer, data)

    def _count(self, peer: MemoryPeer, limit: int) -> None:
        """Close the connection if more than `limit` messages came within a second."""
        now = asyncio.get_running_loop().time()
        times = self._times.setdefault(peer, deque(maxlen=limit + 1))
        times.append(now)
        if len(times) <= limit or now - times[0] >= 1 or peer in self._unread or self._promises.was_suspended(now):
            return
        self._note(f"server: {len(times)} messages within {now - times[0]:g} s on {peer!r}")
        self.faults["limit"] += 1
        if self.is_limit_known:
            self._promises.pace_exceeded(len(times))
        times.clear()
        peer.close(1008, LIMIT_EXCEEDED)


class CheckedTransport(MemoryTransport):
    """The transport of one client."""

    attempt_at = 0.0
    """When the newest attempt of the client began."""

    def __init__(self, server: SimulatedServer, promises: Invariants) -> None:
        super().__init__(server)
        self._sim = server
        self._promises = promises

    def dial(
        self, request: DialRequest, events: TransportEvents, received: Callable[[Data], object]
    ) -> MemoryConnection:
        """Dial a connection that checks the invariants."""
        connection = _CheckedMemoryConnection(self._sim, request, events, received)
        connection.invariants = self._promises
        connection.transport = self
        connection.late = self._sim.draw_late()
        self._sim.note_connection(request, connection)
        return connection


class _CheckedMemoryConnection(MemoryConnection):
    _server: SimulatedServer
    invariants: Invariants
    transport: CheckedTransport
    late: float | None = None
    """Seconds after the end of the connection at which it still reports an event, as a faulty stack below would."""

    def end(self, error: OnesocketError) -> None:
        if not self.is_over:
            self._server.note_end(self._peer)
        if not self.is_over and self.late is not None:
            asyncio.get_running_loop().call_later(self.late, self._events.peer_closed, 1011, LATE_EVENT)
        super().end(error)

    def abort(self, code: int | None = None) -> None:
        if self.phase not in ("open", "closing"):
            self.invariants.aborted_upgrade(asyncio.get_running_loop().time(), self.transport.attempt_at)
        super().abort(code)
