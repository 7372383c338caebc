"""A hub in this process, and local clients of another library."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from onesocket import Client, ReconnectPolicy
from onesocket.hub import Endpoint, Hub, HubOptions, Merge, MergedRaw, RawFrontend
from onesocket.protocols import LastValues, Raw, Requests
from onesocket.sharing._client_upstream import ClientUpstream
from onesocket.testing import FaultyServer
from tests.support.waiting import DEADLINE, until

FAST = ReconnectPolicy(initial=0.01, cap=0.05, stable_after=0.05)
LOCAL = Endpoint("127.0.0.1", 0)


@asynccontextmanager
async def running_hub(
    server: FaultyServer,
    *,
    merge: Merge | None = None,
    listen: Endpoint = LOCAL,
    client_options: dict[str, Any] | None = None,
    key: str = "",
    snapshot: LastValues | None = None,
    requests: Requests | None = None,
    **options: Any,
) -> AsyncIterator[Hub]:
    extra: dict[str, Any] = {"reconnect": FAST, "close_timeout": 1.0, **(client_options or {})}
    if merge is not None:
        extra["protocol"] = MergedRaw(merge, snapshot=snapshot)
    elif snapshot is not None or requests is not None:
        extra["protocol"] = Raw(snapshot=snapshot, requests=requests)
    upstream = ClientUpstream(Client(server.url, **extra))
    given = HubOptions(**{"listen": listen, "close_timeout": 2.0, **options})
    frontend = RawFrontend(upstream, given, merge, snapshots=snapshot is not None, requests=requests)
    hub = Hub(upstream, frontend, given, key=key or server.url)
    await hub.start()
    try:
        yield hub
    finally:
        await hub.stop()


@asynccontextmanager
async def connected_program(hub: Hub, path: str = "", **options: Any) -> AsyncIterator[ClientConnection]:
    extra = {"open_timeout": DEADLINE, "close_timeout": DEADLINE, **options}
    async with connect(hub.url + path, **extra) as connection:
        yield connection


async def next_message(connection: ClientConnection) -> str | bytes:
    async with asyncio.timeout(DEADLINE):
        return await connection.recv()


async def send_through_a_loss(server: FaultyServer, hub: Hub, messages: Sequence[str | bytes]) -> None:
    """Send messages from upstream, lose that connection, and send "back" on the next one."""
    for message in messages:
        await server.broadcast(message)
    await until(lambda: hub.counters.received.total == len(messages))
    server.kill_connections()
    await until(lambda: hub.status.epoch == 2 and bool(server.connections))
    await server.broadcast("back")


async def wait_closed(connection: ClientConnection) -> tuple[int, str]:
    """The close code and reason, after whatever came before."""
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(DEADLINE):
            while True:
                await connection.recv()
    assert connection.close_code is not None
    return connection.close_code, connection.close_reason or ""
