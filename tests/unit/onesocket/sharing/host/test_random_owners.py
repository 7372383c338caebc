"""Processes whose owner changes at random, on virtual time: what they want and ask is what the server's ledger has.

The owners and the operations of the processes are the real ones; the sockets between them are queues with delays.
"""

from __future__ import annotations

import asyncio
import functools
import json
import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from onesocket import Client, Json, ReconnectPolicy, Requests, State
from onesocket.client._status import ConnectionStats
from onesocket.errors import DeliveryUnknown, OnesocketError, RequestLost, RequestTimeout, SubscriptionRefused
from onesocket.lifecycle import OutboxLimits
from onesocket.protocols._request_template import RequestTemplate
from onesocket.sharing.host import HostOptions
from onesocket.sharing.host._forwarding_protocol import install_forwarding
from onesocket.sharing.host._ipc_frames import (
    Answer,
    Results,
    SubscriptionRefusal,
    ToOwner,
    decode_follower_frame,
    decode_owner_frame,
    encode_ipc_frame,
)
from onesocket.sharing.host._owner import Owner, OwnerPhase
from onesocket.sharing.host._process_operations import ProcessOperations
from onesocket.sharing.host._requesters import ResultBatch
from onesocket.testing import MemoryPeer, run_virtual
from tests.support.ledger_venue import UNKNOWN, LedgerVenue

URL = "ws://venue.test/"
KEYS = "abcdefghxyz"
QUIET = 30.0
TIMEOUT = 10.0
NEVER = HostOptions(heartbeat=1e6, stopped_after=1e7)
DELAYS = (0.0, 0.001, 0.3)


class ProcessReader:
    """A subscriber of one of the processes."""

    def __init__(self) -> None:
        self.keys: set[str] = set()

    def refused(self, error: SubscriptionRefused) -> None:
        self.keys.difference_update(error.keys)


class DelayingQueue:
    """One direction of a socket: what is put in arrives in order, some time later, or never if it was closed."""

    def __init__(self, chance: random.Random) -> None:
        self.is_open = True
        self._chance = chance
        self._at = 0.0

    def put(self, call: Callable[..., object], *arguments: Any) -> None:
        loop = asyncio.get_running_loop()
        self._at = max(self._at + 1e-6, loop.time() + self._chance.choice(DELAYS))
        loop.call_at(self._at, lambda: self.is_open and call(*arguments))


class Socket:
    """A follower's role, and its requester in the owner."""

    def __init__(self, process: Process, owner: Owner, chance: random.Random) -> None:
        self.owner = owner
        self.up, self.down = DelayingQueue(chance), DelayingQueue(chance)
        self._on_event = process.operations.on_event

    def submit(self, frame: ToOwner) -> None:
        requester = cast("Any", self)
        self.up.put(self.owner._operations.perform, requester, decode_follower_frame(encode_ipc_frame(frame)[4:]))

    def refused(self, error: SubscriptionRefused) -> None:
        self._send(SubscriptionRefusal(list(error.keys), error.reason, error.retryable))

    def add_result(self, number: int, outcome: Any, error: OnesocketError | None) -> None:
        results = ResultBatch()
        results.add(number, outcome, error)
        self._send(results.take())

    def add_answer(self, number: int, data: Any) -> bool:
        self._send(Answer(number, data))
        return True

    def release_slot(self) -> None:
        """A slot of a follower that sends too much."""

    def _send(self, frame: Any) -> None:
        self.down.put(self._on_event, decode_owner_frame(encode_ipc_frame(frame)[4:]))


class Process:
    """One process: its operations, and what it wants."""

    def __init__(self, protocol: Json[Any]) -> None:
        self.usable_role: Any = None
        self.readers = ProcessReader(), ProcessReader()
        status = SimpleNamespace(present=SimpleNamespace(state=State.CONNECTED))
        self.operations = ProcessOperations(protocol, OutboxLimits(), cast("Any", self), cast("Any", status))
        self.role = None

    async def acquire_role(self) -> Any:
        """As a `Membership`."""
        while self.usable_role is None:  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(0.01)
        return self.usable_role

    def begin(self, role: Any) -> None:
        self.usable_role = role
        self.operations.on_role_taken()

    def lose(self, *, in_order: bool) -> None:
        if self.usable_role is not None:
            self.usable_role = None
            self.operations.on_role_lost(in_order=in_order)

    def on_event(self, event: object) -> None:
        """Take what an owner of this very process reports."""
        if isinstance(event, Answer | Results | SubscriptionRefusal):
            self.operations.on_event(event)


class OwnerWorld:
    """The venue, the processes, and the one of them that owns the connection."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        chance = self.chance
        limit = chance.choice([None, 5])
        self.venue = LedgerVenue(
            chance,
            names_keys=chance.random() < 0.5,
            batch=chance.choice([None, 2]),
            limit=limit,
            delay=chance.choice([0.0, 0.5]),
        )
        self.subscribes, self.venue.server.on_message = self.venue.server.on_message, self._take
        self.venue.server.latency = chance.choice([0.0, 0.05])
        declared = self.venue.protocol(declares_limit=chance.random() < 0.5).subscriptions
        self.protocol = Json[Any](subscriptions=declared, requests=Requests())
        self.ids: dict[MemoryPeer, list[int]] = {}
        self.asked: list[tuple[int, asyncio.Task[Any]]] = []
        self.sends: list[tuple[Process, bool, asyncio.Task[None]]] = []
        """The sender of each message, by its number; True for one that may be sent twice."""
        self.got: list[int] = []
        """Numbers of the messages that the server has."""
        self.processes = [Process(self.protocol) for _ in range(3)]
        self.owner: Owner | None = None
        self.owning: Process | None = None

    def _take(self, peer: MemoryPeer, data: str | bytes) -> None:
        message = json.loads(data)
        if "n" in message:
            self.got.append(message["n"])
            return
        if "id" not in message:
            assert self.subscribes is not None
            self.subscribes(peer, data)
            return
        self.ids.setdefault(peer, []).append(message["id"])
        if self.chance.random() < 0.9:
            peer.send(json.dumps({"id": message["id"], "q": message["q"]}))

    # --- owners -------------------------------------------------------------------------------------------------------

    async def take_over(self) -> None:
        process = self.owning = self.chance.choice(self.processes)
        policy = ReconnectPolicy(initial=0.05, cap=0.1)
        client = Client(URL, protocol=self.protocol, transport=self.venue.server.transport(), reconnect=policy)
        self.owner = Owner(
            cast("Any", SimpleNamespace(note_newer=lambda _: None, is_surrendered=False)),
            cast("Any", None),
            client=install_forwarding(client),
            protocol=self.protocol,
            options=NEVER,
            credentials=cast("Any", None),
            epoch=0,
            stats=ConnectionStats(),
            emit=process.on_event,
        )
        process.begin(self.owner)
        for other in self.processes:
            if other is not process:
                self.attach(other)
        await client.connect()

    def attach(self, process: Process) -> None:
        """Connect a process to the owner, some time later."""
        owner = self.owner

        def begin() -> None:
            if owner is not None and owner is self.owner and process.usable_role is None:
                process.begin(Socket(process, owner, self.chance))

        asyncio.get_running_loop().call_later(self.chance.choice(DELAYS), begin)

    async def change_owner(self, *, in_order: bool) -> None:
        """End the owner: in order, or as a kill does."""
        owner, owning = self.owner, self.owning
        assert owner is not None
        assert owning is not None
        self.owner = None
        owner._phase = OwnerPhase.HANDING_OVER
        sockets = [(each, each.usable_role) for each in self.processes if isinstance(each.usable_role, Socket)]
        if not in_order:
            for process, socket in sockets:
                socket.up.is_open = socket.down.is_open = False
                lose = functools.partial(process.lose, in_order=False)
                asyncio.get_running_loop().call_later(self.chance.choice(DELAYS), lose)
            self.venue.server.peers[-1].drop()
        await owner.client.aclose()
        await owner._operations.finish()
        if in_order:
            for process, socket in sockets:
                socket.up.is_open = False
                socket.down.put(functools.partial(process.lose, in_order=True))
        owning.lose(in_order=in_order)
        await asyncio.sleep(max(DELAYS) * 2)
        await self.take_over()

    # --- what processes do --------------------------------------------------------------------------------------------

    async def step(self) -> None:
        chance, process = self.chance, self.chance.choice(self.processes)
        reader = chance.choice(process.readers)
        match chance.randrange(25):
            case 0 | 1 | 2 | 3 | 4 | 5:
                new = set(chance.sample(KEYS, chance.randrange(1, 4))) - reader.keys
                reader.keys |= new
                process.operations.add_keys(reader, new)
            case 6 | 7 | 8:
                gone = set(list(reader.keys)[:2])
                reader.keys -= gone
                process.operations.remove_keys(reader, gone)
            case 9:
                reader.keys = set()
                process.operations.remove_keys(reader)
            case 10 | 11 | 12 | 13:
                number = len(self.asked)
                template = RequestTemplate.of(self.protocol, {"q": number})
                ask = process.operations.ask(template, TIMEOUT, resend=chance.random() < 0.5)
                self.asked.append((number, asyncio.get_running_loop().create_task(ask)))
            case 14:
                if self.asked:
                    chance.choice(self.asked)[1].cancel()
            case 15:
                self.venue.server.peers[-1].drop()
            case 16 | 17 | 18 | 19 | 20 | 21:
                await self.send_or_cancel(process)
            case 22:
                await self.change_owner(in_order=chance.random() < 0.5)
            case _:
                await asyncio.sleep(chance.choice([0.0, 0.01, 0.5]))

    async def send_or_cancel(self, process: Process) -> None:
        chance = self.chance
        if self.sends and chance.random() < 0.2:
            await asyncio.sleep(0)  # a task that has not begun can't withdraw its message
            chance.choice(self.sends)[2].cancel()
            return
        resend = chance.random() < 0.3
        for _ in range(chance.choice([1, 1, 5])):
            entry = process.operations.post({"n": len(self.sends)}, resend=resend)
            settle = asyncio.get_running_loop().create_task(process.operations.settle(entry))
            self.sends.append((process, resend, settle))

    async def compare(self) -> None:
        """Compare the server's ledger with what all want together, once it is quiet."""
        await asyncio.sleep(QUIET)
        wanted = set[str]().union(*(reader.keys for process in self.processes for reader in process.readers))
        assert self.venue.view == wanted
        assert not wanted & UNKNOWN, "each reader of a key that was refused was told"
        assert not self.venue.wrong
        assert self.venue.server.most_open == 1
        results = await asyncio.gather(*(task for _, task in self.asked), return_exceptions=True)
        for (number, _), result in zip(self.asked, results, strict=True):
            if isinstance(result, BaseException):
                assert isinstance(result, RequestTimeout | RequestLost | asyncio.CancelledError), result
            else:
                assert json.loads(result)["q"] == number
        fates = await asyncio.gather(*(settle for _, _, settle in self.sends), return_exceptions=True)
        for number, ((_, resend, _), fate) in enumerate(zip(self.sends, fates, strict=True)):
            copies = self.got.count(number)
            assert copies <= 1 or resend, "none is sent twice unless its sender allows it"
            assert copies == 0 or fate is None or isinstance(fate, DeliveryUnknown), "it was said not to be sent"
        for process in self.processes:
            got = [n for n in self.got if self.sends[n][0] is process and not self.sends[n][1]]
            assert got == sorted(got), "the order of each process is kept"
        for ids in self.ids.values():
            assert ids == sorted(set(ids)), "ids increase, and none is used again"

    async def play(self) -> None:
        await self.take_over()
        for _ in range(3):
            for _ in range(self.chance.randrange(30)):
                await self.step()
            await self.compare()
        assert self.owner is not None
        await self.owner.client.aclose()


@pytest.mark.parametrize("seed", range(12))
def test_the_server_has_what_all_processes_want_and_each_gets_its_own_answers(seed: int) -> None:
    async def main() -> None:
        await OwnerWorld(seed).play()  # which compares with the ledger of the server

    run_virtual(main)
