"""The check-then-connect client, by the server's count: what its checks prevent, and what not."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from examples.demo.check_then_connect import (
    CLEANUP_PAUSE,
    CONNECT_PAUSE,
    CheckThenConnectClient,
    CheckThenConnectProvider,
    ReadyState,
)
from onesocket.testing._faults import Fault
from onesocket.testing._faulty_server import FaultyServer


class ControlledSleep:
    """Stands in for `asyncio.sleep`: says that somebody sleeps, and wakes all sleepers on command."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.begun = asyncio.Event()
        self.over = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        self.begun.set()
        await self.over.wait()


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    async with FaultyServer() as server:
        yield server
    assert server.counts.open_now == 0


@pytest.fixture
async def pause() -> ControlledSleep:
    return ControlledSleep()


@pytest.fixture
async def client(server: FaultyServer, pause: ControlledSleep) -> AsyncIterator[CheckThenConnectClient]:
    client = CheckThenConnectClient(server.url, sleep=pause)
    yield client
    await client.force_cleanup()
    await server.wait_until(lambda counts: counts.open_now == 0)


async def fail_once(client: CheckThenConnectClient, server: FaultyServer) -> None:
    """Bring the client into its error state, and open a fresh window on the server."""
    server.faults = [Fault.refuse(503)]
    with pytest.raises(ConnectionError, match="before it was established"):
        await client.connect()
    assert client.ws is not None
    assert client.ws.ready_state is ReadyState.CLOSED
    await server.wait_until(lambda counts: counts.sockets_now == 0)
    server.reset_counts()


@pytest.mark.parametrize("callers", [1, 2, 10, 100])
async def test_before_the_first_connection_the_checks_suffice(
    client: CheckThenConnectClient, server: FaultyServer, callers: int
) -> None:
    await asyncio.gather(*(client.connect() for _ in range(callers)))
    assert (server.counts.handshakes, server.counts.open_now) == (1, 1)
    await client.connect()
    assert server.counts.handshakes == 1


async def test_blocked_callers_return_at_once_unconnected(client: CheckThenConnectClient, server: FaultyServer) -> None:
    gate = asyncio.Event()
    server.faults = [Fault.hold_upgrade(gate)]
    first = asyncio.create_task(client.connect())
    await server.wait_until(lambda counts: counts.handshakes == 1)
    await client.connect()
    assert not client.is_connected()
    gate.set()
    await first
    assert client.is_connected()


@pytest.mark.parametrize("callers", [2, 10, 100])
async def test_from_error_concurrent_callers_open_two_and_keep_both(
    client: CheckThenConnectClient, server: FaultyServer, pause: ControlledSleep, callers: int
) -> None:
    await fail_once(client, server)
    connecting = asyncio.gather(*(client.connect() for _ in range(callers)))
    await server.wait_until(lambda counts: counts.upgraded == 1)
    pause.over.set()
    await connecting
    assert pause.asked == [CLEANUP_PAUSE]
    counts = server.counts
    assert (counts.handshakes, counts.open_now, counts.most_open) == (2, 2, 2)


async def test_from_error_with_the_real_pauses() -> None:
    async with FaultyServer() as server:
        client = CheckThenConnectClient(server.url)
        await fail_once(client, server)
        await asyncio.gather(*(client.connect() for _ in range(10)))
        assert (server.counts.handshakes, server.counts.open_now) == (2, 2)
        await client.force_cleanup()
        await server.wait_until(lambda counts: counts.close_codes == {1000: 2} and counts.open_now == 0)


async def test_from_error_one_caller_opens_one(
    client: CheckThenConnectClient, server: FaultyServer, pause: ControlledSleep
) -> None:
    await fail_once(client, server)
    pause.over.set()
    await client.connect()
    assert (server.counts.handshakes, server.counts.open_now) == (1, 1)


async def test_disconnect_during_the_pause_leaves_an_orphan(
    client: CheckThenConnectClient, server: FaultyServer, pause: ControlledSleep
) -> None:
    await fail_once(client, server)
    connecting = asyncio.create_task(client.connect())
    await pause.begun.wait()
    client.disconnect()
    pause.over.set()
    await connecting
    assert client.is_manually_disconnected
    assert client.is_connected()
    assert server.counts.open_now == 1
    await client.connect()  # blocked: nobody can make it right any more
    assert server.counts.open_now == 1


async def test_disconnect_during_the_handshake_closes_before_it_is_established(
    client: CheckThenConnectClient, server: FaultyServer
) -> None:
    server.faults = Fault.never_answer()
    connecting = asyncio.create_task(client.connect())
    await server.wait_until(lambda counts: counts.handshakes == 1)
    client.disconnect()
    with pytest.raises(ConnectionError, match="before it was established"):
        await connecting
    counts = await server.wait_until(lambda counts: counts.sockets_now == 0)
    assert (counts.premature_closes, counts.upgraded) == (1, 0)


async def test_disconnect_when_connected_closes_with_1000(client: CheckThenConnectClient, server: FaultyServer) -> None:
    await client.connect()
    client.disconnect()
    await server.wait_until(lambda counts: counts.close_codes == {1000: 1} and counts.open_now == 0)
    await client.connect()
    assert server.counts.handshakes == 1


async def test_a_lost_connection_is_noticed(client: CheckThenConnectClient, server: FaultyServer) -> None:
    await client.connect()
    ws = client.ws
    assert ws is not None
    server.kill_connections()
    await ws.wait_closed()
    assert not client.is_connected()
    assert "ws=CLOSED" in repr(client)


async def test_the_provider_guards_its_own_callers_but_not_the_client(
    client: CheckThenConnectClient, server: FaultyServer, pause: ControlledSleep
) -> None:
    await fail_once(client, server)
    delay = ControlledSleep()
    provider = CheckThenConnectProvider(lambda: client, sleep=delay)
    connecting = asyncio.gather(*(provider.connect_if_authenticated() for _ in range(10)))
    await delay.begun.wait()
    delay.over.set()
    await pause.begun.wait()
    await client.connect()  # a component that holds the client itself
    pause.over.set()
    await connecting
    assert (delay.asked, pause.asked) == ([CONNECT_PAUSE], [CLEANUP_PAUSE])
    assert (server.counts.handshakes, server.counts.open_now) == (2, 2)
    await provider.connect_if_authenticated()
    assert server.counts.handshakes == 2
    provider.disconnect()
    assert client.is_manually_disconnected


async def test_two_providers_share_a_client_and_open_two(
    client: CheckThenConnectClient, server: FaultyServer, pause: ControlledSleep
) -> None:
    await fail_once(client, server)
    delay = ControlledSleep()
    delay.over.set()
    providers = [CheckThenConnectProvider(lambda: client, sleep=delay) for _ in range(2)]
    connecting = asyncio.gather(*(provider.connect_if_authenticated() for provider in providers))
    await server.wait_until(lambda counts: counts.upgraded == 1)
    pause.over.set()
    await connecting
    assert server.counts.open_now == 2


async def test_the_provider_keeps_quiet_about_failures(server: FaultyServer) -> None:
    server.faults = Fault.refuse(401)
    signed_in = False
    client = CheckThenConnectClient(server.url)
    delay = ControlledSleep()
    delay.over.set()
    provider = CheckThenConnectProvider(lambda: client, is_authenticated=lambda: signed_in, sleep=delay)
    provider.disconnect()
    await provider.connect_if_authenticated()
    assert (provider.client, server.counts.handshakes) == (None, 0)
    signed_in = True
    await provider.connect_if_authenticated()
    assert isinstance(provider.last_error, ConnectionError)
    assert not provider.is_connecting
    await client.force_cleanup()
