"""`silence_timeout` in every scope, against a server that answers PINGs and sends nothing any more."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import onesocket
from onesocket import Client, Gap, Json, blocking
from onesocket.errors import SilenceTimeout
from onesocket.sharing.host import HostOptions
from onesocket.testing import Fault, FaultyServer
from onesocket.testing._raw_frames import Opcode, encode_frame

DEADLINE = 20


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    async with FaultyServer(echo=False) as running:
        yield running


def is_trade(message: Any) -> bool:
    return bool(message["t"] == "trade")


async def first_gap(stream: Any) -> Gap:
    async with asyncio.timeout(DEADLINE):
        async for message in stream:
            if isinstance(message, Gap):
                return message
    raise AssertionError("the stream ended")


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("scope", ["loop", "process", "host"])
async def test_a_silent_connection_is_replaced_in_every_scope(
    server: FaultyServer, tmp_path: Path, scope: Any, named: bool
) -> None:
    server.faults = Fault.mute(after_messages=1)
    shown: list[Any] = []

    def names(message: Any) -> bool:
        shown.append(message)
        return is_trade(message)

    more: dict[str, Any] = {"silence_of": names} if named else {}
    if scope == "host":
        more |= {"host_options": HostOptions(directory=str(tmp_path)), "key": "us"}
    request = onesocket.join(server.url, scope=scope, protocol=Json(), silence_timeout=0.2, ping_interval=0.05, **more)
    async with request as client:
        stream = client.subscribe()
        await server.send(json.dumps({"t": "trade"}))
        assert await asyncio.wait_for(anext(stream), DEADLINE) == {"t": "trade"}
        assert shown == ([{"t": "trade"}] if named else []), (
            "it is shown messages, in the process that has the connection"
        )
        await client.send({"be": "quiet"})
        await server.wait_until(lambda counts: counts.messages_received == 1, DEADLINE)
        await server.send(json.dumps({"t": "unheard"}))
        gap = await first_gap(stream)
        assert isinstance(gap.error, SilenceTimeout)
        assert server.counts.pings > 0
        await server.wait_until(lambda counts: counts.upgraded >= 2, DEADLINE)
        assert server.counts.most_open == 1


async def test_a_blocking_client_has_it_too(server: FaultyServer) -> None:
    def run() -> Any:
        with blocking.join(server.url, protocol=Json(), silence_timeout=0.1, silence_of=is_trade) as client:
            return next(message for message in client.subscribe() if isinstance(message, Gap))

    gap = await asyncio.wait_for(asyncio.to_thread(run), DEADLINE)
    assert isinstance(gap.error, SilenceTimeout)


async def test_a_big_message_that_is_arriving_is_no_silence_of_all_messages(server: FaultyServer) -> None:
    size = 400_000
    server.faults = [Fault.slow_message("x" * size, rate=size / 0.8, piece=size // 40)]
    async with Client(server.url, silence_timeout=0.25) as client:
        message = await asyncio.wait_for(anext(client.subscribe(gaps=False)), DEADLINE)
        assert len(message) == size
        assert client.epoch == 1


async def test_pings_of_the_peer_are_no_messages(server: FaultyServer) -> None:
    server.faults = [Fault()]
    async with Client(server.url, silence_timeout=0.2, ping_interval=None) as client:
        stream = client.subscribe()
        waiting = asyncio.ensure_future(first_gap(stream))
        while not waiting.done():
            for connection in server.connections:
                connection.write_raw(encode_frame(Opcode.PING, b"alive"))
            await asyncio.sleep(0.01)
        assert isinstance(waiting.result().error, SilenceTimeout)
