"""A connection that a client has lost leaves nothing to the garbage collector: no cycle holds it."""

import asyncio
import gc
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import trustme

from onesocket import Client, State
from onesocket.testing import Fault, FaultyServer
from onesocket.transports._picows import PicowsTransport
from onesocket.transports._transport import Transport
from onesocket.transports._websockets import WebsocketsTransport

OF_ASYNCIO = {
    "_SelectorSocketTransport",
    "TransportSocket",
    "_PicowsSocket",
    "TcpSocket",
    "socket",
    "Event",
    "deque",
    "dict",
    "method",
}
"""asyncio's socket transport refers to itself, and to its socket. picows has its own, unless there is TLS."""


async def lose(client: Client, server: FaultyServer) -> None:
    server.kill_connections()


async def lose_after_a_refusal(client: Client, server: FaultyServer) -> None:
    server.faults = Fault.refuse(503)
    server.kill_connections()
    await client.wait_for(State.BACKING_OFF, timeout=20)
    server.faults = None


async def reconnect(client: Client, server: FaultyServer) -> None:
    await client.reconnect()


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("change", [lose, lose_after_a_refusal, reconnect])
@pytest.mark.parametrize("transport", [PicowsTransport, WebsocketsTransport])
async def test_a_new_connection_leaves_no_cycle_of_the_old_one(
    transport: Callable[[], Transport], change: Any, *, secure: bool
) -> None:
    authority = trustme.CA()
    context = client_context = None
    if secure:
        context, client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
        authority.issue_cert("127.0.0.1").configure_cert(context)
        authority.configure_trust(client_context)
    async with (
        FaultyServer(ssl=context) as server,
        Client(server.url, ssl=client_context, transport=transport()) as client,
    ):
        for collecting in (False, True):  # the first time fills caches
            gc.collect()
            gc.disable()
            gc.set_debug(gc.DEBUG_SAVEALL if collecting else 0)
            try:
                await _change(client, server, change)
                gc.collect()
                left = Counter(type(thing).__qualname__ for thing in gc.garbage)
            finally:
                gc.set_debug(0)
                gc.enable()
                gc.garbage.clear()
        assert set(left) <= (OF_ASYNCIO if secure or transport is WebsocketsTransport else set())


async def _change(client: Client, server: FaultyServer, change: Any) -> None:
    epoch, callers = client.epoch, client.changes()
    await change(client, server)
    async for now in callers:
        if now.new is State.CONNECTED and now.epoch > epoch:
            break
    await server.wait_until(lambda counts: counts.sockets_now == 1)
    await asyncio.sleep(0)
