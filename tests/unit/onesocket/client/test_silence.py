"""`silence_timeout`: a connection that is open and answers PINGs, but brings no message any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from onesocket import Client, Gap, Json, Raw, State
from onesocket.errors import InvalidOption, SilenceTimeout
from onesocket.protocols import Protocol
from onesocket.testing import MemoryServer, run_virtual
from onesocket.transports._memory import MemoryPeer

from ...virtual_time import make_client, on_virtual_time, settle


async def keep_up(peer: MemoryPeer, send: Callable[[MemoryPeer], object], *, times: int, pause: float) -> None:
    for _ in range(times):
        send(peer)
        await asyncio.sleep(pause)


def say(peer: MemoryPeer, *messages: str, part: bool = False) -> None:
    for message in messages:
        peer.send(message)
    if part:
        peer.send_part()


@on_virtual_time
async def test_a_silent_connection_that_answers_pings_is_replaced_with_a_gap() -> None:
    server = MemoryServer()
    loop = asyncio.get_running_loop()
    async with make_client(server, silence_timeout=10, ping_interval=1, ping_timeout=1) as client:
        messages = client.subscribe()
        await keep_up(server.peers[0], lambda peer: peer.send("tick"), times=5, pause=9)
        last = loop.time() - 9
        assert len(server.peers) == 1
        message: Any = None
        async for message in messages:
            if isinstance(message, Gap):
                break
        assert 10 <= loop.time() - last <= 12.5
        assert isinstance(message, Gap)
        assert isinstance(message.error, SilenceTimeout)
        assert message.error.retryable
        assert "no message came for 10 s (silence_timeout)" in str(message.error)
        assert isinstance(client.status.last_loss, SilenceTimeout)
        assert server.peers[0].close_code == 4000
        assert server.peers[0].ended_in_order, "the peer answers, so the close is a normal one"
        assert client.epoch == 2


@on_virtual_time
async def test_parts_of_a_message_are_life_and_so_is_one_that_cannot_be_decoded() -> None:
    server = MemoryServer()
    async with make_client(server, silence_timeout=10, protocol=Json()):
        (peer,) = server.peers
        await keep_up(peer, lambda peer: peer.send_part(), times=5, pause=9)
        await keep_up(peer, lambda peer: peer.send("no json"), times=5, pause=9)
        assert len(server.peers) == 1
        await asyncio.sleep(13)
        assert len(server.peers) > 1


@pytest.mark.parametrize("protocol", [Raw(), Json()])
def test_only_named_messages_count(protocol: Protocol) -> None:
    async def main() -> None:
        server = MemoryServer()
        named = {"1"} if isinstance(protocol, Raw) else {1}
        async with make_client(
            server, silence_timeout=10, silence_of=lambda message: message in named, protocol=protocol
        ) as client:
            got: list[Any] = []
            client.on(got.append)
            (peer,) = server.peers
            await keep_up(peer, lambda peer: say(peer, "0", "1", "2"), times=3, pause=9)
            assert len(server.peers) == 1
            await keep_up(peer, lambda peer: say(peer, "0", part=True), times=13, pause=1)
            assert len(server.peers) == 2
            assert "that silence_of names" in str(client.status.last_loss)
            assert len(got) > 9, "every message is delivered, named or not"

    run_virtual(main)


@on_virtual_time
async def test_not_while_a_reader_holds_the_socket() -> None:
    server = MemoryServer()
    async with make_client(server, silence_timeout=10) as client:
        messages = client.subscribe(limit=1, overflow="wait")
        for number in range(4):
            server.peers[0].send(str(number))
        await asyncio.sleep(100)
        assert client.status.is_held
        assert client.epoch == 1
        for _ in range(4):
            await anext(messages)
        await asyncio.sleep(13)
        assert client.epoch == 2, "the silence begins with the reading"


@on_virtual_time
async def test_what_the_predicate_raises_is_reported_once_and_names_nothing() -> None:
    server = MemoryServer()
    errors: list[BaseException] = []

    def names(message: Any) -> bool:
        raise KeyError(message)

    async with make_client(server, silence_timeout=10, silence_of=names, on_error=errors.append) as client:
        got: list[Any] = []
        client.on(got.append)
        for _ in range(3):
            for _ in range(20):
                server.peers[-1].send("x")
                await asyncio.sleep(0.7)
        assert len(server.peers) >= 3
        assert len(got) > 50
    assert [type(error) for error in errors] == [KeyError]


@on_virtual_time
async def test_a_named_message_is_asked_for_once_between_two_looks() -> None:
    server = MemoryServer()
    asked: list[Any] = []

    def names(message: Any) -> bool:
        asked.append(message)
        return True

    async with make_client(server, silence_timeout=10, silence_of=names):
        for _ in range(100):
            server.peers[0].send("x")
        await settle()
    assert len(asked) == 1


@on_virtual_time
async def test_off_by_default_and_ended_with_the_client() -> None:
    server = MemoryServer()
    async with make_client(server) as client:
        await asyncio.sleep(1e6)
        assert client.epoch == 1
    async with make_client(server, silence_timeout=10):
        pass
    assert server.open_now == 0


@on_virtual_time
async def test_without_reconnect_the_client_fails_with_it() -> None:
    server = MemoryServer()
    client = make_client(server, silence_timeout=10, reconnect=None)
    await client.connect()
    await client.wait_for(State.FAILED, timeout=20)
    assert isinstance(client.status.last_error, SilenceTimeout)
    await client.aclose()


async def is_late(_message: Any) -> bool:
    return True


class LateNames:
    async def __call__(self, _message: Any) -> bool:
        return True


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"silence_timeout": 0}, "silence_timeout must be a finite number of seconds"),
        ({"silence_timeout": "10"}, "silence_timeout must be a finite number of seconds"),
        ({"silence_of": bool}, "silence_of has no effect without silence_timeout"),
        ({"silence_of": "trade", "silence_timeout": 1}, "silence_of must be a plain function"),
        ({"silence_of": is_late, "silence_timeout": 1}, "silence_of must be a plain function"),
        ({"silence_of": LateNames(), "silence_timeout": 1}, "silence_of must be a plain function"),
    ],
)
def test_what_is_no_option_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidOption, match=text):
        Client("ws://h/", **options)
