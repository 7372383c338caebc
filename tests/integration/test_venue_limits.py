"""The limits of a venue that counts control messages, as another library's server enforces them: 1008 beyond them."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

import onesocket
from onesocket import Client, Login, Pace, ReconnectPolicy, State
from onesocket.sharing._options import Scope
from onesocket.sharing.host import HostOptions
from onesocket.testing import FaultyServer, MessageLimit
from tests.support.topics import Topics

DEADLINE = 20
MOST, PER = 5, 0.2
SCOPES: tuple[Scope, ...] = ("loop", "process", "host")


class Venue:
    """Wants the login first, then subscriptions, and closes with 1008 who sends too many control messages."""

    def __init__(self) -> None:
        self.received: list[list[dict[str, Any]]] = []
        self.closed: list[str] = []
        self.connection: ServerConnection
        self.server: Server

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/"

    async def handle(self, connection: ServerConnection) -> None:
        self.connection = connection
        messages: list[dict[str, Any]] = []
        self.received.append(messages)
        times: list[float] = []
        loop = asyncio.get_running_loop()
        try:
            async for data in connection:
                message = json.loads(data)
                if not messages and message.get("op") != "login":
                    self.closed.append("no login")
                    await connection.close(1008, "login first")
                messages.append(message)
                if "op" in message:
                    times = [time for time in times if loop.time() - time < PER] + [loop.time()]
                if len(times) > MOST:
                    self.closed.append("too many")
                    await connection.close(1008, "Too many requests")
        except ConnectionClosed:
            pass

    async def has(self, keys: Iterable[str]) -> None:
        """Wait until the newest connection has these subscriptions."""
        wanted = set(keys)
        async with asyncio.timeout(DEADLINE):
            while self._subscribed() != wanted:  # noqa: ASYNC110 - another library's server tells nobody
                await asyncio.sleep(0.01)

    def _subscribed(self) -> set[str]:
        found: set[str] = set()
        for message in self.received[-1] if self.received else ():
            if message.get("op") == "subscribe":
                found.add(message["arg"])
            elif message.get("op") == "unsubscribe":
                found.discard(message["arg"])
        return found


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    venue = Venue()
    async with serve(venue.handle, "127.0.0.1", 0) as venue.server:
        yield venue


def join(scope: Scope, url: str, directory: Path, **more: Any) -> onesocket.SharedClient:
    if scope == "host":
        more |= {"host_options": HostOptions(directory=str(directory)), "key": "us"}
    return onesocket.join(url, scope=scope, reconnect=ReconnectPolicy(initial=0.01), **more).client()


@pytest.mark.parametrize("scope", SCOPES)
async def test_joins_leaves_and_reconnects_keep_to_the_limit_and_to_the_order(
    venue: Venue, tmp_path: Path, scope: Scope
) -> None:
    chance = random.Random(scope)
    protocol = Topics(
        login=Login(request=lambda _: {"op": "login"}),
        on_ready=lambda: [{"op": "first"}],
        control_pace=Pace(MOST, per=PER),
    )
    client = join(scope, venue.url, tmp_path, protocol=protocol)
    await client.connect()
    streams = {key: client.subscribe(keys=[key]) for key in map(str, range(6))}
    for loss in range(2):
        await venue.has(streams)
        for key in chance.sample(sorted(streams), 2):
            streams.pop(key).close()
        streams |= {key: client.subscribe(keys=[key]) for key in (f"{loss} a", f"{loss} b")}
        await venue.has(streams)
        number = len(venue.received)
        changes = client.changes()
        venue.connection.transport.abort()
        async with asyncio.timeout(DEADLINE):
            async for change in changes:
                if change.old is State.CONNECTED:
                    break
        await client.send({"order": loss})
        assert len(venue.received) == number + 1
        await venue.has(streams)
        async with asyncio.timeout(DEADLINE):
            while {"order": loss} not in venue.received[-1]:  # noqa: ASYNC110 - see above
                await asyncio.sleep(0.01)
        ops = [message.get("op") for message in venue.received[-1]]
        assert ops == ["login", *["subscribe"] * 6, "first", None]
    assert venue.closed == []
    await client.aclose()


async def test_without_the_pace_the_venue_closes(venue: Venue, tmp_path: Path) -> None:
    client = join("loop", venue.url, tmp_path, protocol=Topics(login=Login(request=lambda _: {"op": "login"})))
    changes = client.changes()
    await client.connect()
    stream = client.subscribe(keys=map(str, range(10)))
    async with asyncio.timeout(DEADLINE):
        async for change in changes:
            if change.old is State.CONNECTED:
                break
    assert venue.closed == ["too many"]
    stream.close()
    await client.aclose()


async def test_pings_and_pongs_are_counted_where_the_venue_counts_them() -> None:
    limit = MessageLimit(MOST, per=PER, pings=True)
    async with FaultyServer(echo=False, message_limit=limit) as server:
        client = Client(server.url, pace=Pace(MOST, per=PER, pings=True), ping_interval=0.02)
        async with client:
            for number in range(15):
                client.send_nowait(str(number))
            await server.wait_until(lambda counts: counts.messages_received >= 4, DEADLINE)
            await server.connections[0].ping()
            await server.wait_until(lambda counts: counts.messages_received == 15 and counts.pings > 2, DEADLINE)
            assert len(server.history) == 1
