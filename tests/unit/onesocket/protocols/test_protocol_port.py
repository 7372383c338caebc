"""The protocol port, for protocols with rules of their own: pace, deadlines, close codes."""

import asyncio
from collections.abc import Iterable
from typing import Any, ClassVar, get_args

import pytest

from onesocket import State, protocols
from onesocket.errors import OpenTimeout
from onesocket.protocols import Action, Deliver, Extend, Protocol, RateLimiter, Ready, Send, WakeAt
from onesocket.transports._memory import MemoryServer
from onesocket.wire._handshake import Data
from tests.unit.virtual_time import make_client, on_virtual_time, settle


class OncePerSecond(RateLimiter):
    def __init__(self) -> None:
        self.next = 0.0

    def take(self, now: float) -> float:
        if now < self.next:
            return self.next - now
        self.next = now + 1
        return 0.0


class CustomProtocol(Protocol):
    name: ClassVar[str] = "rules"

    def __init__(self, wait: float = 0.0, extend: float = 0.0) -> None:
        self.wait = wait
        self.extend = extend
        self.codes: list[int] = []
        self.heard: list[str] = []

    def opened(self, token: str | None, now: float) -> Iterable[Action]:
        return (Extend(self.extend), WakeAt(now + self.wait)) if self.wait else (Ready(), WakeAt(now + 10))

    def wake(self, now: float) -> Iterable[Action]:
        self.heard.append("wake")
        return (Ready(), Send("late")) if self.wait else (WakeAt(now + 10),)

    def unread(self) -> None:
        self.heard.append("unread")

    def closing(self, code: int) -> None:
        self.codes.append(code)
        raise RuntimeError("a protocol's bug")

    def received(self, data: Data, now: float) -> Iterable[Action]:
        return (Deliver(data),)

    def encode(self, message: Any) -> Data:
        return str(message)


@on_virtual_time
async def test_a_paced_connection_takes_messages_one_by_one_in_order() -> None:
    server = MemoryServer()
    protocol = CustomProtocol()
    protocol.pace = OncePerSecond()
    client = make_client(server, protocol=protocol)
    await client.connect()
    deliveries = [client.send_nowait(str(number)) for number in range(5)]
    assert [delivery.done for delivery in deliveries] == [True, False, False, False, False]
    await asyncio.sleep(1.5)
    assert server.peers[0].received == ["0", "1"]
    client.send_nowait("5")
    await asyncio.sleep(4)
    assert server.peers[0].received == ["0", "1", "2", "3", "4", "5"]
    await client.aclose()


@on_virtual_time
async def test_a_message_that_waits_for_its_turn_can_be_taken_back() -> None:
    server = MemoryServer()
    protocol = CustomProtocol()
    protocol.pace = OncePerSecond()
    client = make_client(server, protocol=protocol)
    await client.connect()
    client.send_nowait("0")
    sending = asyncio.create_task(client.send("1"))
    await settle()
    sending.cancel()
    await asyncio.sleep(5)
    assert server.peers[0].received == ["0"]
    assert client.status.outbox == 0
    await client.aclose()


@on_virtual_time
async def test_a_login_that_waits_its_turn_gets_as_much_more_time() -> None:
    server = MemoryServer()
    client = make_client(server, protocol=CustomProtocol(wait=30, extend=25), open_timeout=10)
    await client.connect()
    await settle()
    assert server.peers[0].received == ["late"]
    await client.aclose()


@on_virtual_time
async def test_and_not_more_than_that() -> None:
    server = MemoryServer()
    client = make_client(server, protocol=CustomProtocol(wait=40, extend=25), open_timeout=10)
    with pytest.raises(OpenTimeout):
        await client.connect()
    assert asyncio.get_running_loop().time() == 35
    await client.aclose()


@on_virtual_time
async def test_a_protocol_knows_how_its_connection_is_closed_and_may_fail_at_it() -> None:
    server = MemoryServer()
    protocol = CustomProtocol()
    client = make_client(server, protocol=protocol)
    await client.connect()
    await client.disconnect()
    assert protocol.codes == [1000]
    await client.aclose()


@on_virtual_time
async def test_a_close_that_the_peer_began_is_none_of_ours_but_a_violation_is() -> None:
    server = MemoryServer()
    protocol = CustomProtocol()
    client = make_client(server, protocol=protocol, max_size=10)
    await client.connect()
    server.peers[0].close(1001)
    await client.wait_for(State.BACKING_OFF, timeout=5)
    assert protocol.codes == []
    await client.connect()
    server.peers[1].send("x" * 11)
    await client.wait_for(State.BACKING_OFF, timeout=5)
    assert protocol.codes == [1009]
    await client.aclose()


@on_virtual_time
async def test_a_protocol_knows_that_nobody_listens() -> None:
    server = MemoryServer()
    protocol = CustomProtocol()
    client = make_client(server, protocol=protocol)
    stream = client.subscribe(limit=1, overflow="wait")
    await client.connect()
    await asyncio.sleep(15)
    server.peers[0].send("a")
    server.peers[0].send("b")
    await asyncio.sleep(10)
    assert await anext(stream) == "a"
    assert await anext(stream) == "b"
    await asyncio.sleep(10)
    assert protocol.heard == ["wake", "unread", "wake", "wake"]
    await client.aclose()


def test_every_action_is_public() -> None:
    assert {action.__name__ for action in get_args(Action)} <= set(protocols.__all__)
