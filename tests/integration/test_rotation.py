"""`rotation=` over real sockets, in every scope: the server counts, and a reader misses and doubles nothing."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import onesocket
from onesocket import Client, Gap, Json, Rotation
from onesocket.sharing.host import HostOptions
from onesocket.testing import ConnectionLimit, Fault, FaultyServer

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
