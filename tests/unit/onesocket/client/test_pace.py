"""The pace of a connection, as a venue on virtual time counts it: messages, control messages, PINGs."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import Iterable
from typing import Any, ClassVar

import pytest

import onesocket
from onesocket import Client, Login, Pace, Raw
from onesocket.errors import InvalidOption
from onesocket.protocols import Protocol, RateLimiter
from onesocket.protocols._protocol import Action, Deliver, Ready, Send, WakeAt
from onesocket.testing import MemoryServer, run_virtual
from onesocket.transports._memory import MemoryPeer
from onesocket.wire._handshake import Data
from tests.support.topics import Topics

from ...virtual_time import make_client, on_virtual_time


class VenueInMemory:
    """Notes the time of each message of each connection."""

    def __init__(self) -> None:
        self.arrivals: dict[MemoryPeer, list[tuple[float, str]]] = {}
        self.server = MemoryServer(on_message=self._note)

    def _note(self, peer: MemoryPeer, data: Data) -> None:
        self.arrivals.setdefault(peer, []).append((asyncio.get_running_loop().time(), str(data)))

    def is_exceeded(self, most: int, per: float, *, op: str = "") -> bool:
        for arrivals in self.arrivals.values():
            times = [time for time, data in arrivals if op in data]
            if any(later - first < per for first, later in zip(times, times[most:], strict=False)):
                return True
        return False


@pytest.mark.parametrize("of_client", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_no_second_ever_has_more_over_reconnects_joins_and_leaves(seed: int, *, of_client: bool) -> None:
    chance = random.Random(seed)

    async def main() -> None:
        venue = VenueInMemory()
        paces: dict[str, Any] = {"pace": Pace(12, per=1.0), "control_pace": Pace(5, per=1.0)}
        options: dict[str, Any] = paces if of_client else {}
        login = Login(request=lambda _: {"op": "login"})
        more: dict[str, Any] = {} if of_client else paces
        protocol = Topics(login=login, on_ready=lambda: [{"op": "first", "arg": 1}, {"op": "first", "arg": 2}], **more)
        link = onesocket.join(
            "ws://memory.test/", scope="loop", protocol=protocol, transport=venue.server.transport(), **options
        ).client()
        await link.connect()
        streams: list[Any] = []
        for number in range(150):
            match chance.randrange(10):
                case 0 | 1:
                    streams.append(link.subscribe(keys=[f"k{chance.randrange(40)}" for _ in range(6)]))
                case 2:
                    if streams:
                        streams.pop(chance.randrange(len(streams))).close()
                case 3:
                    venue.server.peers[-1].drop()
                case 4:
                    for _ in range(chance.randrange(30)):
                        link.send_nowait({"order": number})
                case _:
                    await asyncio.sleep(chance.choice([0, 0.01, 0.3, 1.0]))
        await asyncio.sleep(120)
        assert len(venue.arrivals) > 5
        assert not venue.is_exceeded(12, 1.0)
        assert not venue.is_exceeded(5, 1.0, op='"op"')
        assert venue.is_exceeded(5, 1.0), "messages have a pace of their own"
        last = [json.loads(data) for _, data in venue.arrivals[venue.server.peers[-1]]]
        assert last[0] == {"op": "login"}
        orders = [place for place, each in enumerate(last) if "order" in each]
        firsts = [place for place, each in enumerate(last) if each.get("op") == "first"]
        assert len(firsts) == 2
        assert not orders or firsts[-1] < orders[0], "the outbox waits for the control messages"
        await link.aclose()

    run_virtual(main)


class Beating(Protocol):
    """A protocol of its own: a greeting, and beats that wait for a place."""

    name: ClassVar[str] = "beating"

    def opened(self, token: str | None, now: float) -> Iterable[Action]:
        return (Send("hello"), Ready(), WakeAt(now + 1, sends=True))

    def wake(self, now: float) -> Iterable[Action]:
        return (Send("beat"), WakeAt(now + 1, sends=True))

    def received(self, data: Data, now: float) -> Iterable[Action]:
        return (Deliver(data),)

    def encode(self, message: Any) -> Data:
        return str(message)


@on_virtual_time
async def test_a_protocol_of_ones_own_gets_the_clients_pace_and_its_beats_are_not_starved() -> None:
    venue = VenueInMemory()
    client = make_client(venue.server, protocol=Beating(), pace=Pace(4, per=1.0))
    async with client:
        for number in range(100):
            client.send_nowait(number)
        await asyncio.sleep(20)
    (arrivals,) = venue.arrivals.values()
    assert not venue.is_exceeded(4, 1.0)
    beats = [time for time, data in arrivals if data == "beat"]
    assert len(beats) > 8
    assert all(later - first <= 1 + 1.25 + 1e-6 for first, later in itertools.pairwise(beats))


@pytest.mark.parametrize("limiter", [None, 3])
def test_pings_wait_their_turn_where_the_peer_counts_them(limiter: int | None) -> None:
    async def main() -> None:
        venue = VenueInMemory()
        times: list[float] = []
        loop = asyncio.get_running_loop()

        def on_dial(peer: MemoryPeer) -> None:
            peer.accept()
            answer = peer.take_ping

            def take_ping(payload: bytes) -> None:
                times.append(loop.time())
                answer(payload)

            peer.take_ping = take_ping  # type: ignore[method-assign]

        venue.server.on_dial = on_dial
        protocol = Raw(pace=None if limiter is None else Pace(limiter, per=1.0, pings=True))
        async with make_client(venue.server, protocol=protocol, ping_interval=0.1, ping_timeout=5) as client:
            for number in range(20):
                client.send_nowait(str(number))
            await asyncio.sleep(30)
            assert client.status.rtt is not None
        (arrivals,) = venue.arrivals.values()
        assert len(arrivals) == 20
        both = sorted([*times, *(time for time, _ in arrivals)])
        if limiter is None:
            assert len(times) > 200
        else:
            assert len(times) > 10, "PINGs aren't starved by messages"
            assert all(later - first >= 1.0 for first, later in zip(both, both[limiter - 1 :], strict=False))

    run_virtual(main)


@on_virtual_time
async def test_a_new_connection_begins_with_an_empty_window() -> None:
    venue = VenueInMemory()
    async with make_client(venue.server, pace=Pace(3, per=100.0)) as client:
        for number in range(3):
            await client.send(str(number))
        venue.server.peers[0].drop()
        await asyncio.sleep(1)
        before = asyncio.get_running_loop().time()
        for number in range(3):
            await client.send(str(number))
        assert asyncio.get_running_loop().time() - before < 1


class OwnLimiter(RateLimiter):
    def take(self, now: float) -> float:
        return 0.0


NO_PACE: Any = 5
BAD: dict[str, tuple[Any, str]] = {
    "both": (lambda: Client("ws://h/", protocol=Raw(pace=Pace(5)), control_pace=Pace(2)), "has a pace of its own"),
    "no pace": (lambda: Client("ws://h/", pace=NO_PACE), "pace must be a Pace"),
    "no control pace": (lambda: Raw(control_pace=NO_PACE), "control_pace must be a Pace"),
    "own limiter": (lambda: Client("ws://h/", protocol=with_limiter()), "define its take_control"),
}


def with_limiter() -> Protocol:
    protocol = Beating()
    protocol.pace, protocol.control_pace = OwnLimiter(), Pace(1)
    return protocol


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_pace_is_refused(case: str) -> None:
    make, text = BAD[case]
    with pytest.raises(InvalidOption, match=text):
        make()
