"""A connection that a client has lost leaves nothing to the garbage collector: no cycle holds it."""

import asyncio
import contextlib
import gc
import inspect
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import trustme

from onesocket import Client, OnesocketError, State, join
from onesocket.errors import ManuallyDisconnected
from onesocket.testing import Fault, FaultyServer
from onesocket.transports._transport import Transport
from onesocket.transports._websocket import WebSocketTransport

OF_ASYNCIO = {
    "_SelectorSocketTransport",
    "TransportSocket",
    "TcpSocket",
    "socket",
    "Event",
    "deque",
    "dict",
    "method",
}
"""asyncio's socket transport refers to itself, and to its socket. Only TLS needs it."""


@contextlib.contextmanager
def garbage() -> Iterator[Counter[str]]:
    """The types of the objects that the block leaves to the collector, counted at its end."""
    left: Counter[str] = Counter()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield left
        gc.collect()
        left.update(type(item).__qualname__ for item in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.enable()
        gc.garbage.clear()


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
@pytest.mark.parametrize("transport", [WebSocketTransport, partial(WebSocketTransport, compression="deflate")])
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
        await _change(client, server, change)  # fills caches
        with garbage() as left:
            await _change(client, server, change)
        assert set(left) <= (OF_ASYNCIO if secure else set())


async def refused(server: FaultyServer) -> None:
    server.faults = Fault.refuse(503)


async def no_server(server: FaultyServer) -> None:
    await server.stop_listening()


async def no_answer(server: FaultyServer) -> None:
    server.faults = Fault.never_answer()


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("failure", [refused, no_server, no_answer])
@pytest.mark.parametrize("transport", [WebSocketTransport, partial(WebSocketTransport, compression="deflate")])
async def test_a_failed_attempt_leaves_no_cycle(
    transport: Callable[[], Transport], failure: Callable[[FaultyServer], Any], *, secure: bool
) -> None:
    authority = trustme.CA()
    context = client_context = None
    if secure:
        context, client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
        authority.issue_cert("127.0.0.1").configure_cert(context)
        authority.configure_trust(client_context)
    async with FaultyServer(ssl=context) as server:
        await failure(server)
        client = Client(server.url, ssl=client_context, transport=transport(), open_timeout=0.5)
        for collecting in (False, True):  # the first time fills caches
            gc.collect()
            gc.disable()
            gc.set_debug(gc.DEBUG_SAVEALL if collecting else 0)
            try:
                await _fail_to_connect(client)
                await server.wait_until(lambda counts: counts.sockets_now == 0)
                await asyncio.sleep(0)
                gc.collect()
                left = Counter(
                    type(thing).__qualname__
                    for thing in gc.garbage
                    if type(thing).__module__.startswith(("onesocket.",))
                    and not type(thing).__module__.startswith("onesocket.testing")
                )
            finally:
                gc.set_debug(0)
                gc.enable()
                gc.garbage.clear()
        await client.aclose()
    assert set(left) <= (OF_ASYNCIO if secure else set())


async def _fail_to_connect(client: Client) -> None:
    with pytest.raises(OnesocketError):
        await client.connect()


async def _change(client: Client, server: FaultyServer, change: Any) -> None:
    epoch, callers = client.epoch, client.changes()
    await change(client, server)
    async for now in callers:
        if now.new is State.CONNECTED and now.epoch > epoch:
            break
    await server.wait_until(lambda counts: counts.sockets_now == 1)
    await asyncio.sleep(0)


@pytest.mark.parametrize("scope", ["loop", "process"])
async def test_a_shared_client_that_leaves_others_behind_leaves_no_cycle(scope: Any) -> None:
    async def join_and_leave(server: FaultyServer) -> None:
        async with join(server.url, scope=scope) as client:
            client.on(str)
            async with client.subscribe() as stream:
                assert not len(stream)

    async with FaultyServer() as server, join(server.url, scope=scope):
        await join_and_leave(server)  # fills caches
        with garbage() as left:
            await join_and_leave(server)
        assert not left
        assert server.counts.sockets_now == 1


async def test_a_refused_call_leaves_no_cycle() -> None:
    client = Client("ws://127.0.0.1:1/")
    await client.disconnect()
    with garbage() as left:
        for call in (client.connect, client.connect_nowait):
            with pytest.raises(ManuallyDisconnected):
                await _result_of(call)
    assert not left
    await client.aclose()


async def _result_of(call: Callable[[], Any]) -> None:
    result = call()
    if inspect.isawaitable(result):
        await result
