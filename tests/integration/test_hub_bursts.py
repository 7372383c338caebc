"""Clients of a hub that read more slowly than messages come."""

import asyncio
import contextlib
import sys

import pytest
from websockets.asyncio.client import ClientConnection

from onesocket.hub import Hub, JsonMerge, RawFrontend
from onesocket.testing import FaultyServer
from tests.integration.hub_clients import connected_program, next_message, running_hub, wait_closed
from tests.support.waiting import DEADLINE, until

pytestmark = pytest.mark.usefixtures("private_runtime")

MIB = 1 << 20
LARGE = "é" * (5 * MIB)
"""A message of 10 MiB."""


async def lagging(
    hub: Hub, server: FaultyServer, stack: contextlib.AsyncExitStack
) -> tuple[ClientConnection, list[bytes]]:
    """A client that has begun to read, and goes on with its next call; and what was sent to it."""
    client = await stack.enter_async_context(connected_program(hub, max_queue=1, max_size=None, ping_interval=None))
    sent: list[bytes] = []
    while hub.backlog.size < 2 * MIB:
        sent.append(bytes([len(sent)]) * MIB)
        await server.broadcast(sent[-1])
        await until(lambda: hub.counters.received.total == len(sent))
    return client, sent


async def test_a_burst_reaches_each_client_that_reads_and_is_kept_once() -> None:
    async with (
        FaultyServer(echo=False) as server,
        running_hub(server, client_options={"max_size": None}) as hub,
        contextlib.AsyncExitStack() as stack,
    ):
        first, before = await lagging(hub, server, stack)
        others = [await stack.enter_async_context(connected_program(hub, max_queue=1, max_size=None)) for _ in "123"]
        burst: list[str | bytes] = [*(bytes([number]) * MIB for number in range(6)), LARGE, "last"]
        for message in burst:
            await server.broadcast(message)
        await until(lambda: hub.counters.received.total == len(before) + len(burst))
        assert 0 < hub.backlog.size < 26 * MIB, "each message once, however many clients wait for it"
        pong = await first.ping()  # it is answered between the parts of what waits
        async with asyncio.timeout(DEADLINE):
            for client in (first, *others):
                for message in [*(before if client is first else ()), *burst]:
                    assert await client.recv() == message
            await pong
        await until(lambda: hub.backlog.size == 0)
        assert hub.counters.cut_off == 0


async def test_what_the_hub_keeps_is_bounded_and_the_newest_message_is_always_kept() -> None:
    async with (
        FaultyServer(echo=False) as server,
        running_hub(server, client_buffer=4 * MIB, client_options={"max_size": None}) as hub,
        connected_program(hub, max_queue=1, max_size=None) as one,
        connected_program(hub, max_queue=1, max_size=None) as other,
    ):
        await server.broadcast(LARGE)
        for client in (one, other):
            assert await next_message(client) == LARGE
        while not hub.counters.cut_off:
            await server.broadcast(b"x" * MIB)
            assert len(await next_message(other)) == MIB
        told = f"cut off: more than {4 * MIB} bytes waited, and of those most for this client"
        assert await wait_closed(one) == (1013, told)
        await server.broadcast("on")
        assert await next_message(other) == "on"
        assert (hub.counters.cut_off, hub.backlog.size) == (1, 0)


async def test_a_client_that_reads_nothing_is_cut_off_after_a_while() -> None:
    async with (
        FaultyServer(echo=False) as server,
        running_hub(server, client_timeout=0.05) as hub,
        connected_program(hub, max_queue=1, max_size=None) as client,
        asyncio.timeout(DEADLINE),
    ):
        while not hub.counters.cut_off:
            if hub.backlog.size < 2 * MIB:
                await server.broadcast(b"x" * MIB)
            await asyncio.sleep(0)
        assert hub.backlog.size == 0
        assert await wait_closed(client) == (1013, "cut off: nothing was read for 0.05 seconds")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel doesn't tell")
async def test_what_a_clients_system_has_not_taken_counts_as_unread() -> None:
    async with FaultyServer(echo=False) as server, running_hub(server) as hub, contextlib.AsyncExitStack() as stack:
        client, sent = await lagging(hub, server, stack)
        frontend = hub.frontend
        assert isinstance(frontend, RawFrontend)
        [connection] = [each.connection for each in frontend._clients]
        transport = connection._transport
        assert transport is not None
        assert connection.unsent > transport.get_write_buffer_size() > 0
        for message in sent:
            assert await next_message(client) == message
        await until(lambda: connection.unsent == 0)


async def test_an_end_of_the_hub_stands_behind_what_a_client_has_not_read() -> None:
    async with (
        FaultyServer(echo=False) as server,
        running_hub(server, close_timeout=DEADLINE) as hub,
        contextlib.AsyncExitStack() as stack,
    ):
        client, sent = await lagging(hub, server, stack)
        stopping = asyncio.create_task(hub.stop())
        await client.send("dropped, as the hub is stopping")
        for message in sent:
            assert await next_message(client) == message
        assert await wait_closed(client) == (1001, "the hub is stopping")
        await stopping


async def test_a_hub_that_stops_waits_for_a_client_that_reads_nothing_no_longer_than_it_may() -> None:
    async with (
        FaultyServer(echo=False) as server,
        running_hub(server, close_timeout=0.05) as hub,
        contextlib.AsyncExitStack() as stack,
    ):
        client, _ = await lagging(hub, server, stack)
        async with asyncio.timeout(DEADLINE):
            await hub.stop()
        client.transport.abort()
        assert (hub.frontend.clients, hub.backlog.size) == (0, 0)


async def test_a_lagging_subscriber_gets_its_own_keys_in_order() -> None:
    async with (
        FaultyServer(echo=False) as server,
        running_hub(server, merge=JsonMerge(key="k")) as hub,
        connected_program(hub, max_queue=1, max_size=None) as one,
        connected_program(hub, max_queue=1, max_size=None) as other,
    ):
        await one.send('{"op":"subscribe","args":["a","b"]}')
        await other.send('{"op":"subscribe","args":["b"]}')
        await other.send("behind its request")
        await until(lambda: len(server.received) == 2)
        messages: list[str] = []
        while hub.backlog.size < 4 * MIB:
            number = len(messages)
            messages.append(f'{{"k":"{"ab"[number % 2]}","n":{number},"x":"{"x" * MIB}"}}')
            await server.broadcast(messages[-1])
            await until(lambda: hub.counters.received.total == len(messages))
        for message in messages:
            assert await next_message(one) == message
        for message in messages[1::2]:
            assert await next_message(other) == message
        await until(lambda: hub.backlog.size == 0)
