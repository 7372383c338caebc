"""Greetings beyond the bound of what waits, behind a login, and of another library's server, in every scope."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from onesocket import Gap, Json, Login
from onesocket.client import GapReason
from onesocket.testing import Fault, FaultyServer
from tests.integration.test_client_parity import KINDS, open_handle
from tests.support.waiting import until

each_kind = pytest.mark.parametrize("kind", KINDS)
LOGIN = Login(
    request=lambda _: {"op": "auth"},
    ready=lambda message: message.get("op") == "ready",
    refused=lambda message: message.get("error"),
)


@pytest.fixture
async def greeter() -> AsyncIterator[str]:
    """The URL of a server of `websockets`, which greets at once, and again right behind the end of a login."""

    async def handler(connection: ServerConnection) -> None:
        await connection.send('{"op": "hello"}')
        async for message in connection:
            if json.loads(message).get("op") == "auth":
                await connection.send('{"op": "ready"}')
                await connection.send('{"op": "welcome"}')

    async with serve(handler, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/"


@each_kind
@pytest.mark.parametrize(("login", "greeting"), [(None, "hello"), (LOGIN, "welcome")], ids=["no login", "login"])
async def test_the_greeting_of_another_library_s_server_reaches_the_first_reader(
    greeter: str, tmp_path: Path, kind: str, login: Login | None, greeting: str
) -> None:
    """Messages during the login belong to it (docs/protocols.md); those behind its end reach the readers."""
    key = {} if kind == "client" else {"key": "us"}  # processes can't compare the functions of a login
    async with open_handle(kind, greeter, tmp_path, protocol=Json(login=login), **key) as handle:
        stream = await handle.call(lambda client: client.subscribe())
        assert await handle.receive(stream) == {"op": greeting}


@each_kind
@pytest.mark.parametrize(
    ("size", "sent", "kept"), [(1, 1_500, 1_024), (1 << 20, 6, 4)], ids=["too many messages", "too many bytes"]
)
async def test_a_greeting_beyond_the_bound_is_told_by_a_gap(
    tmp_path: Path, kind: str, size: int, sent: int, kept: int
) -> None:
    greeting = [f"{number}".ljust(size) for number in range(sent)]
    async with FaultyServer(faults=Fault.greeting(*greeting)) as server:
        async with open_handle(kind, server.url, tmp_path) as handle:
            await until(lambda: handle.client.stats.connection.received >= sent)
            stream = await handle.call(lambda client: client.subscribe())
            first: Any = await handle.receive(stream)
            assert isinstance(first, Gap)
            assert (first.reason, first.missed) == (GapReason.OVERFLOW, sent - kept)
            assert [await handle.receive(stream) for _ in range(kept)] == greeting[-kept:]
            if kind == "blocking":  # its own stream has a queue of its own, which begins with the join
                assert await asyncio.to_thread(handle.client.receive, 10) == greeting[0]
        await server.wait_until(lambda counts: counts.sockets_now == 0)
