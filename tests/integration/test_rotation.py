"""`rotation=` over real sockets, in every scope: the server counts, and a reader misses and doubles nothing."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import onesocket
from onesocket import Client, Gap, Json, Outcome, Pace, Rotation, State, blocking
from onesocket.errors import UsageError
from onesocket.sharing.host import HostOptions
from onesocket.testing import ConnectionLimit, Fault, FaultyServer, MessageLimit, ThreadedServer

DEADLINE = 20
ROTATIONS = 3


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    async with FaultyServer(echo=False) as running:
        yield running


def number_of(message: Any) -> Any:
    return message.get("number")


async def feed(server: FaultyServer) -> None:
    number = 0
    while True:
        number += 1
        await server.send(json.dumps({"number": number}))
        await asyncio.sleep(0.002)


@pytest.mark.parametrize("scope", ["loop", "process", "host"])
async def test_a_shared_connection_is_rotated_by_age_without_a_hole(
    server: FaultyServer, tmp_path: Path, scope: Any
) -> None:
    more: dict[str, Any] = {}
    if scope == "host":
        more = {"host_options": HostOptions(directory=str(tmp_path)), "key": "us"}
    rotation = Rotation(identity=number_of, age=0.1, overlap=0.1)
    async with onesocket.join(server.url, scope=scope, protocol=Json(), rotation=rotation, **more) as client:
        feeding = asyncio.create_task(feed(server))
        last, epochs = 0, set[int]()
        async with asyncio.timeout(DEADLINE):
            async for message in client.subscribe():
                assert not isinstance(message, Gap)
                assert last in (0, message["number"] - 1), "missing, doubled or out of order"
                last = message["number"]
                epochs.add(client.epoch)
                if len(epochs) > ROTATIONS:
                    break
        feeding.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await feeding
    assert server.counts.most_open == 2


@pytest.mark.parametrize("scope", ["loop", "process", "host"])
async def test_a_shared_client_rotates_the_connection_for_all(server: FaultyServer, tmp_path: Path, scope: Any) -> None:
    more: dict[str, Any] = {"rotation": Rotation(identity=number_of, overlap=0.05)}
    if scope == "host":
        more |= {"host_options": HostOptions(directory=str(tmp_path)), "key": "us"}
    requests = [onesocket.join(server.url, scope=scope, protocol=Json(), **more) for _ in range(2)]
    async with asyncio.timeout(DEADLINE), requests[0] as first, requests[1] as second:
        changes = second.changes()
        assert await first.rotate() is Outcome.OPENED
        change = await anext(changes)
        assert (change.old, change.new, change.epoch) == (State.CONNECTED, State.CONNECTED, 2)
        assert [client.stats.gaps for client in (first, second)] == [0, 0]
    assert server.counts.most_open == 2


def test_code_without_asyncio_rotates() -> None:
    server = FaultyServer()
    rotation = Rotation(identity=number_of, overlap=0.05)
    with ThreadedServer(server):
        with blocking.join(server.url, protocol=Json(), rotation=rotation) as client:
            assert client.rotate() is Outcome.OPENED
            assert client.epoch == 2
        with blocking.join(server.url) as plain, pytest.raises(UsageError, match="rotation="):
            plain.rotate()


async def test_a_process_that_does_not_hold_the_connection_rotates_it(server: FaultyServer, tmp_path: Path) -> None:
    program = (
        "from onesocket import Json, Rotation, blocking\n"
        "from onesocket.sharing.host import HostOptions\n"
        f"options = HostOptions(directory={str(tmp_path)!r})\n"
        "rotation = Rotation(identity=lambda message: None, overlap=0.05)\n"
        f"with blocking.join({server.url!r}, scope='host', protocol=Json(), key='us', host_options=options,\n"
        "                   rotation=rotation) as client:\n"
        "    print(client.rotate().value, client.epoch)\n"
    )
    rotation, options = Rotation(identity=number_of, overlap=0.05), HostOptions(directory=str(tmp_path))
    request = onesocket.join(
        server.url, scope="host", protocol=Json(), key="us", host_options=options, rotation=rotation
    )
    async with asyncio.timeout(DEADLINE), request as client:
        changes = client.changes()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await process.communicate()
        assert out.decode().split() == [Outcome.OPENED.value, "2"], err.decode()
        assert (await anext(changes)).epoch == 2
    assert server.counts.most_open == 2


@pytest.mark.parametrize("scope", ["loop", "process", "host"])
async def test_a_successor_keeps_the_pace_of_the_protocol(tmp_path: Path, scope: Any) -> None:
    more: dict[str, Any] = {"rotation": Rotation(identity=number_of, overlap=0.02)}
    if scope == "host":
        more |= {"host_options": HostOptions(directory=str(tmp_path)), "key": "us"}
    async with FaultyServer(echo=False, message_limit=MessageLimit(2, per=0.1)) as server:
        protocol = Json(pace=Pace(2, per=0.1))
        async with (
            asyncio.timeout(DEADLINE),
            onesocket.join(server.url, scope=scope, protocol=protocol, **more) as client,
        ):
            await client.rotate()
            await asyncio.gather(*(client.send({"n": number}) for number in range(5)))
            await server.wait_until(lambda counts: counts.messages_received == 5)
            assert [connection.can_send for connection in server.connections] == [True], "the pace was exceeded"


async def test_rotations_over_real_sockets_replace_the_connection_and_close_the_old_one(server: FaultyServer) -> None:
    async with Client(server.url, protocol=Json(), rotation=Rotation(identity=number_of, overlap=0.05)) as client:
        for number in range(ROTATIONS):
            await client.rotate()
            assert client.epoch == number + 2
            assert server.counts.open_now == 1
            await client.send({"from": number})
        assert client.stats.gaps == 0
        assert server.counts.most_open == 2


async def test_where_the_server_allows_one_connection_the_first_is_closed_first(server: FaultyServer) -> None:
    server.limit = ConnectionLimit(surplus=Fault.refuse(429, body="too many connections"))
    async with Client(server.url, protocol=Json(), rotation=Rotation(identity=number_of, overlap=0.05)) as client:
        await client.rotate()
        assert client.epoch == 3
        assert client.stats.gaps == 1
        assert server.counts.open_now == 1
