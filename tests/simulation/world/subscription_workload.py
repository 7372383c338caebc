"""Shared clients of one connection and their upstream subscriptions, at a server that limits messages."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from onesocket.errors import OnesocketError
from onesocket.lifecycle._states import State
from onesocket.protocols._pace import Pace
from onesocket.protocols._raw import Raw
from onesocket.protocols._subscriptions import Subscriptions
from onesocket.sharing._join import join
from onesocket.sharing._registry import current_registry
from onesocket.sharing._shared_client import SharedClient
from onesocket.testing._virtual_time import VirtualTimeLoop

from .invariants import StreamInvariants
from .workload import URL, MakeClient, Workload

_LIMIT = 5
_TOPICS = tuple("abcdefghijkl")
_LINGER = 2.0
_QUIESCENCE = 60.0
"""Virtual seconds in which everything that is due happens, at the server's pace."""


class TopicSubscriptions(Raw):
    """Subscriptions, each a message of its own."""

    def subscribe_frames(self, keys: frozenset[str]) -> list[str]:
        """One for each key."""
        return [f'{{"subscribe": ["{key}"]}}' for key in sorted(keys)]

    def unsubscribe_frames(self, keys: frozenset[str]) -> list[str]:
        """One for each key."""
        return [f'{{"unsubscribe": ["{key}"]}}' for key in sorted(keys)]

    def key_of(self, message: Any) -> Hashable:
        """Key of the message: its last word."""
        return _last_word(message)


def _last_word(message: Any) -> Hashable:
    return str(message).split()[-1]


_DECLARED = Subscriptions(
    subscribe=lambda keys: json.dumps({"subscribe": keys}),
    unsubscribe=lambda keys: json.dumps({"unsubscribe": keys}),
    key=_last_word,
    batch=3,
)


@dataclass(eq=False)
class SimulatedMember:
    """One shared client and its subscriptions."""

    client: SharedClient
    opens: bool
    """True if no connection was up when the client joined; then it gets every connection from its beginning."""
    has_reader: bool = False
    streams: dict[Any, frozenset[str]] = field(default_factory=dict[Any, frozenset[str]])


class SubscriptionWorkload(Workload):
    """Links come and go, want keys and don't want them any more; the server has what is wanted, once and no more."""

    action_weights: ClassVar = {
        "join": 20,
        "leave": 6,
        "want": 25,
        "want no more": 12,
        "read": 12,
        "send": 15,
        "reconnect": 3,
        "disconnect": 1,
        "suspend": 1,
    }

    def __init__(self, seed: int, make: MakeClient, loop: VirtualTimeLoop, **options: Any) -> None:
        super().__init__(seed, make, loop, **options)
        self.server.limit = _LIMIT
        self.server.is_limit_known = self.chance.random() < 0.7
        self.server.topics = _TOPICS
        self.invariants.keeps_order = False  # of messages of several shared clients, whose tasks this loop shuffles
        self._members: list[SimulatedMember] = []
        self._sent = 0
        self._has_methods = seed % 2 == 0
        """True if the protocol has methods that make the frames, and not a declaration."""
        self._may_be_held_back = False
        """True if a reader with the rule `wait` was there at any time."""
        self._deadline = 4 * self.invariants.deadline + 2 * (self.close_timeout + _LINGER)

    def _build(self) -> Any:
        pace = Pace(_LIMIT, 1.0) if self.server.is_limit_known else None
        protocol = TopicSubscriptions(pace=pace) if self._has_methods else Raw(subscriptions=_DECLARED, pace=pace)
        return self.make_client(None, protocol=protocol)

    async def do(self, verb: str, name: str) -> None:
        """Perform one action."""
        if verb == "suspend":
            self.suspend()
            return
        member = self.chance.choice(self._members) if self._members else None
        if verb == "join" or member is None:
            await self._join(name)
            return
        client = member.client
        match verb:
            case "leave":
                self._members.remove(member)
                await self.call(name, client.aclose, deadline=self._deadline)
            case "want":
                keys = frozenset(self.chance.sample(_TOPICS, self.chance.randint(1, 8)))
                stream = client.subscribe(keys=keys, overflow="drop_oldest", raise_on_failure=False)
                member.streams[stream] = keys
            case "want no more":
                if member.streams:
                    stream = self.chance.choice(list(member.streams))
                    del member.streams[stream]
                    stream.close()
            case "read":
                await self._read(member)
            case "send":
                await self._send(name, client)
            case _:
                await self.call(name, getattr(client, verb), deadline=self._deadline)

    async def _join(self, name: str) -> None:
        # What a reader held back of an earlier connection comes to later members as well, from its middle on.
        opens = self.server.open_now == 0 and not self._may_be_held_back
        client = join(URL, scope="loop", client_factory=self._build).client()
        self._members.append(SimulatedMember(client, opens))
        await self.call(name, client.connect, deadline=self._deadline)

    async def _send(self, name: str, client: SharedClient) -> None:
        self._sent += 1
        data = f"message {self._sent}"
        try:
            with self.check_delivery(name, data):
                await client.send(data)
        except OnesocketError:
            return

    async def _read(self, member: SimulatedMember) -> None:
        if member.streams and self.chance.random() < 0.5:
            stream, watcher = self.chance.choice(list(member.streams)), StreamInvariants(self.invariants, part=True)
            with contextlib.suppress(TimeoutError, StopAsyncIteration, OnesocketError):
                async with asyncio.timeout(self.chance.choice([0, 1, 20])):
                    while True:
                        watcher.see(await anext(stream))
            return
        watcher = StreamInvariants(self.invariants, first=member.opens and not member.has_reader)
        member.has_reader = True
        limit = self.chance.choice([1, 5, 1000])
        overflow = self.chance.choice(["wait", "drop_oldest"])
        self._may_be_held_back |= overflow == "wait"
        async with member.client.subscribe(overflow=overflow, limit=limit) as stream:
            try:
                async with asyncio.timeout(self.chance.uniform(0, 60)):
                    async for message in stream:
                        watcher.see(message)
                        if self.chance.random() < 0.1:
                            await asyncio.sleep(self.chance.choice([0, 0.1, 5]))
            except (TimeoutError, OnesocketError):
                return

    async def finish(self) -> None:
        """Check that the server has what is wanted when all is quiet, and that nothing is left when all have left."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._deadline)
        self.server.limit = None
        await self._join("join at the end")
        client = self._members[-1].client
        await self.call("reconnect at the end", client.reconnect, deadline=self._deadline)
        await self._compare(client)
        for member in self._members[:-1:2]:
            for stream in member.streams:
                stream.close()
            member.streams.clear()
        await self._compare(client)
        leaving = (
            self.call("aclose at the end", each.client.aclose, deadline=self._deadline) for each in self._members
        )
        await asyncio.gather(*leaving)
        left = [shared for shared in current_registry().all() if shared.host_loop.loop is self.loop]
        if left:
            self.invariants.fail(f"connections left in the registry: {left}")

    async def _compare(self, client: SharedClient) -> None:
        await asyncio.sleep(_QUIESCENCE)
        peer = self.server.peers[-1]
        if client.state is not State.CONNECTED or not peer.is_open or self.server.is_unread(peer):
            return
        ledger = self.server.ledger(peer)
        wanted = frozenset[str]().union(*(keys for member in self._members for keys in member.streams.values()))
        self.invariants.subscribed_to(ledger.keys, wanted, ledger.odd)
