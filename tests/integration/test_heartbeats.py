"""Heartbeats made of messages in every scope, with servers that demand them."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

import onesocket
from onesocket import Client, Gap, Heartbeat, Json, Pace
from onesocket.errors import PingTimeout
from onesocket.sharing.host import HostOptions
from onesocket.testing import Fault, FaultyServer, HeartbeatDemand, MessageLimit

DEADLINE = 20


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    def answer(_: Any, message: str | bytes) -> str | None:
        return '{"op": "pong"}' if json.loads(message) == {"op": "ping"} else None

    async with FaultyServer(on_message=answer) as running:
        yield running


def is_pong(message: Any) -> bool:
    return bool(message.get("op") == "pong")


def reply(message: Any) -> Any:
    return {"pong": message["ping"]} if "ping" in message else None


def is_beat(message: str | bytes) -> bool:
    return "ping" in str(message)


def is_reply(message: str | bytes) -> bool:
    return "pong" in str(message)


@pytest.mark.parametrize("scope", ["loop", "process", "host"])
async def test_both_sides_beat_in_every_scope_and_readers_see_nothing_of_it(
    server: FaultyServer, tmp_path: Path, scope: Any
) -> None:
    server.heartbeat_demand = HeartbeatDemand(within=2.0, is_heartbeat=is_reply, question='{"ping": 7}', pause=0.02)
    protocol = Json(heartbeat=Heartbeat({"op": "ping"}, 0.03, timeout=2.0, answer=is_pong, reply=reply))
    more: dict[str, Any] = {}
    if scope == "host":
        more = {"host_options": HostOptions(directory=str(tmp_path)), "key": "us"}
    async with onesocket.join(server.url, scope=scope, protocol=protocol, **more) as client:
        stream = client.subscribe()
        await server.wait_until(
            lambda _: server.received.count('{"op":"ping"}') >= 5 and server.received.count('{"pong":7}') >= 3, DEADLINE
        )
        await server.send('{"t": 1}')
        assert await asyncio.wait_for(anext(stream), DEADLINE) == {"t": 1}
        assert len(server.history) == 1


async def test_without_answers_the_connection_is_replaced(server: FaultyServer) -> None:
    server.faults = [Fault.mute()]
    protocol = Json(heartbeat=Heartbeat({"op": "ping"}, 0.05, timeout=0.1, answer=is_pong))
    async with Client(server.url, protocol=protocol, ping_interval=0.02) as client:
        gap = await asyncio.wait_for(anext(client.subscribe()), DEADLINE)
        assert isinstance(gap, Gap)
        assert isinstance(gap.error, PingTimeout)
        await server.wait_until(lambda _: server.received.count('{"op":"ping"}') > 3, DEADLINE)
        assert client.epoch == 2, "the second connection is answered"


async def test_a_server_that_demands_heartbeats_and_limits_control_messages_gets_both(server: FaultyServer) -> None:
    server.heartbeat_demand = HeartbeatDemand(within=1.0, is_heartbeat=is_beat)
    server.message_limit = MessageLimit(3, per=0.2)
    protocol = Json(heartbeat=Heartbeat({"op": "ping"}, 0.1), pace=Pace(3, per=0.2))
    async with Client(server.url, protocol=protocol) as client:
        for number in range(6):
            client.send_nowait({"n": number})
        await server.wait_until(
            lambda _: '{"n":5}' in server.received and server.received.count('{"op":"ping"}') >= 2, DEADLINE
        )
        assert len(server.history) == 1


async def test_plain_text_heartbeats_beside_json_with_another_library_s_server() -> None:
    got: list[str | bytes] = []
    enough = asyncio.Event()

    async def handle(connection: ServerConnection) -> None:
        try:
            async for message in connection:
                got.append(message)
                await connection.send("pong" if message == "ping" else '{"t": 1}')
                if got.count("ping") == 3:
                    enough.set()
        except ConnectionClosed:
            pass

    heartbeat = Heartbeat("ping", 0.03, timeout=2.0, answer=lambda frame: frame == "pong", raw=True)
    async with serve(handle, "127.0.0.1", 0) as venue:
        port = venue.sockets[0].getsockname()[1]
        async with Client(f"ws://127.0.0.1:{port}/", protocol=Json(heartbeat=heartbeat)) as client:
            stream = client.subscribe()
            await asyncio.wait_for(enough.wait(), DEADLINE)
            await client.send({"op": "subscribe"})
            assert await asyncio.wait_for(anext(stream), DEADLINE) == {"t": 1}
            assert client.stats.undecodable == 0
