"""Callers of one `Client` that rotates its connection, and a feed whose messages come on each open connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Hashable
from typing import Any, ClassVar

from onesocket.client._gap import Gap, GapReason
from onesocket.client._rotation import Rotation
from onesocket.client._status import Change
from onesocket.errors import OnesocketError
from onesocket.lifecycle._states import Side, State
from onesocket.testing._virtual_time import VirtualTimeLoop
from onesocket.transports._memory import MemoryPeer

from .invariants import Invariants
from .network import CONNECTION_LIMIT, CheckedTransport, SimulatedServer
from .workload import MakeClient, Workload

_GREETING = "greeting"
_OVERLAP = 2.0
_LONGEST_LIFE = 50_000.0


class FeedServer(SimulatedServer):
    """Sends the same numbered messages on all connections, on each of them in order and a little later or earlier."""

    has_one_place = False
    """A second connection is refused."""
    number = 0
    ends = False

    def publish(self) -> None:
        """Send the next message on all open connections."""
        self.number += 1
        for peer in self.peers:
            if peer.is_open:
                self._send_later(peer, str(self.number))

    def open_peers(self) -> list[MemoryPeer]:
        """The connections that are open now."""
        return [peer for peer in self.peers if peer.is_open]

    def begin(self) -> None:
        """Send messages all the time."""
        if not self.ends:
            self.publish()
            asyncio.get_running_loop().call_later(self._chance.choice([0.02, 0.3, 1, 3]), self.begin)

    def _send_later(self, peer: MemoryPeer, text: str) -> None:
        loop = asyncio.get_running_loop()
        last = self._last_sends.get(peer, 0.0)
        at = self._last_sends[peer] = max(loop.time() + self._chance.uniform(0, 0.4), last + 1e-6)
        loop.call_at(at, self._send_if_open, peer, text)

    def _send_if_open(self, peer: MemoryPeer, text: str) -> None:
        if peer.is_open and peer not in self._closed:
            peer.send(text)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._last_sends: dict[MemoryPeer, float] = {}
        self._closed: set[MemoryPeer] = set()
        """Peers that have sent a CLOSE: nothing follows it."""

    def _dialled(self, peer: MemoryPeer) -> None:
        close = peer.close

        def close_once(code: int = 1000, reason: str = "") -> None:
            self._closed.add(peer)
            close(code, reason)

        peer.close = close_once  # type: ignore[method-assign] # the simulation notes it
        if self.has_one_place and sum(each.is_open for each in self.peers if each is not peer):
            self.faults["second refused"] += 1
            peer.accept()
            peer.close(1008, CONNECTION_LIMIT)
        else:
            super()._dialled(peer)

    def _say(self, peer: MemoryPeer) -> None:
        del peer
        self.publish()

    def _text(self, peer: MemoryPeer) -> str:
        del peer
        return _GREETING


def identity(message: str) -> Hashable:
    """The number of a message; None for a greeting."""
    return None if message == _GREETING else message


class FeedInvariants:
    """For one reader: no message twice or out of order, and none missing without a gap marker."""

    def __init__(self, promises: Invariants) -> None:
        self._promises = promises
        self._number = 0
        self._gap = True

    def __repr__(self) -> str:
        return f"<FeedInvariants at {self._number}>"

    def see(self, message: Any) -> None:
        """The subscriber got this."""
        if isinstance(message, Gap):
            self._gap = self._gap or message.reason in (GapReason.RECONNECTED, GapReason.OVERFLOW)
        elif message != _GREETING:
            number = int(message)
            if number <= self._number:
                self._promises.fail(f"message {number} doubled or out of order: {self!r}")
            if number != self._number + 1 and not self._gap:
                self._promises.fail(f"no gap marker where messages are missing before {number}: {self!r}")
            self._number, self._gap = number, False


class RotationWorkload(Workload):
    """One client whose callers rotate, connect, disconnect, reconnect, send and read."""

    action_weights: ClassVar = {
        "rotate": 40,
        "connect": 15,
        "reconnect": 4,
        "disconnect": 3,
        "send": 15,
        "wait": 10,
        "read": 6,
        "suspend": 1,
        "aclose": 1,
    }

    def __init__(self, seed: int, make: MakeClient, loop: VirtualTimeLoop, **options: Any) -> None:
        super().__init__(seed, make, loop, **options)
        self._sent = 0
        server = self.server = self.feed = FeedServer(self.chance, self.invariants, self.note)
        server.has_one_place = self.chance.random() < 0.15
        server.ghost_seconds = self.chance.choice([0.0, 0.0, 0.0, 3.0])
        server.expects_dates = True
        self.invariants.keeps_order = False  # what a connection was still writing may be overtaken by its successor
        self.client = self.make_client(
            None,
            rotation=Rotation(
                identity=identity,
                overlap=_OVERLAP,
                age=self.chance.choice([None, None, 7.0]),
                close_first=self.chance.random() < 0.8,
                retry=5.0,
            ),
        )
        machine = self.client.internals.runner.machine
        # A second connection is dialled or open only while a rotation lasts.
        self.invariants.allowed = lambda: 1 if machine.side is Side.NONE else 2
        self.invariants.deadline += 2 * (self.open_timeout + 2 * _OVERLAP + self.close_timeout)

    async def live(self) -> None:
        """As every life, with a feed and a reader from the beginning."""
        self.feed.begin()
        reader = asyncio.create_task(self._read(None))
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(_LONGEST_LIFE):
                await super().live()
        except TimeoutError:  # there is always something to do, so that it would go on for ever
            self.invariants.fail("promise 3: a call hangs")
        self.feed.ends = True
        await asyncio.wait({reader}, timeout=1000)
        if not reader.done():
            self.invariants.fail("a reader hangs after aclose()")
            reader.cancel()

    async def do(self, verb: str, name: str) -> None:
        """Perform one action."""
        client = self.client
        match verb:
            case "rotate" | "connect" | "reconnect" | "disconnect":
                await self.call(name, getattr(client, verb))
            case "aclose":
                if self.chance.random() < 0.2:
                    await self.call(name, client.aclose)
            case "send":
                await self._send(name)
            case "wait":
                await asyncio.sleep(self.chance.uniform(0, 10))
            case "read":
                await self._read(self.chance.uniform(0, 60))
            case _:
                self.suspend()

    async def finish(self) -> None:
        """Rotate in calm: it succeeds, seamlessly; then close."""
        client = self.client
        self.feed.has_one_place = False
        if client.state is not State.CLOSED:
            await self.call("reconnect at the end", client.reconnect)
            await asyncio.sleep(40)
            before, gaps = client.epoch, client.stats.gaps
            is_alone = client.internals.runner.machine.side is Side.NONE  # else the call joins another rotation
            peers = self.feed.open_peers()
            if client.state is State.CONNECTED and peers and not any(map(self.feed.is_unread, peers)):
                await self.call("rotate at the end", client.rotate)
                if client.epoch == before and is_alone:
                    self.invariants.fail("a rotation in calm did not replace the connection")
                if client.epoch != before and client.stats.gaps != gaps:
                    self.invariants.fail("a rotation in calm left a gap")
        await self.call("aclose at the end", client.aclose)

    def _changed(self, change: Change, transport: CheckedTransport) -> None:
        super()._changed(change, transport)
        if change.new is State.CONNECTING and change.old is State.CONNECTED:
            transport.attempt_at = -1e9  # the attempt of a successor began earlier

    async def _send(self, name: str) -> None:
        self._sent += 1
        data = f"message {self._sent}"
        before = self._authoritative_peer()
        try:
            await self.client.send(data)
        except OnesocketError as error:
            self.note(f"call: {name} {data!r} → {error!r}")
            self.invariants.not_delivered(data, error)
        else:
            if before is not None and before is self._authoritative_peer() and before.is_open:
                self.invariants.delivered(data, before)

    def _authoritative_peer(self) -> MemoryPeer | None:
        attempt = self.client.internals.runner.attempt
        return getattr(attempt and attempt.connection, "_peer", None)

    async def _read(self, seconds: float | None) -> None:
        watcher = FeedInvariants(self.invariants)
        overflow = "drop_oldest" if seconds is None else self.chance.choice(["wait", "drop_oldest"])
        limit = 100_000 if seconds is None else self.chance.choice([1, 5, 1000])
        async with self.client.subscribe(overflow=overflow, limit=limit, raise_on_failure=False) as stream:
            with contextlib.suppress(TimeoutError, OnesocketError):
                async with asyncio.timeout(seconds):
                    async for message in stream:
                        watcher.see(message)
                        if seconds is not None and self.chance.random() < 0.1:
                            await asyncio.sleep(self.chance.choice([0, 0.1, 5]))
