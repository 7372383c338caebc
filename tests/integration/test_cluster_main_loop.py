"""Scope "cluster" on a loop of the program: a host's part needs no hop, and its lease is kept by a thread's watch."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from onesocket import Gap, Raw, ReconnectPolicy, SharedClient, State, blocking, join
from onesocket.sharing import _relocation as relocation
from onesocket.sharing import offer_loop
from onesocket.sharing._connection_key import ConnectionKey
from onesocket.sharing._registry import current_registry
from onesocket.sharing.cluster import ClusterOptions, NatsCoordinator, RedisCoordinator
from onesocket.sharing.cluster._boot_time import boot_time
from onesocket.sharing.cluster._cluster_owner import ClusterOwner
from onesocket.sharing.cluster._coordinator import ClusterEngine, ClusterKey
from onesocket.sharing.cluster._memory_engine import MemoryEngine
from onesocket.testing import FaultyServer, ThreadedServer
from tests.integration.ending_loop import EndingLoop, EndsBy
from tests.support.cluster_hosts import DEADLINE, LEASE, Host
from tests.support.nats_server import nats_server
from tests.support.redis_server import redis_server

pytestmark = pytest.mark.usefixtures("no_threads_left", "private_runtime")
Server = ThreadedServer[FaultyServer]


@pytest.fixture
def server() -> Iterator[Server]:
    with ThreadedServer(FaultyServer()) as server:
        yield server
        until_open(server, 0)
        assert server.server.counts.most_sockets <= 1


@pytest.fixture
def engine() -> MemoryEngine:
    return MemoryEngine()


@pytest.fixture(params=["valkey", "nats"])
def real_engine(request: pytest.FixtureRequest) -> Iterator[ClusterEngine]:
    if request.param == "valkey":
        with redis_server() as valkey:
            yield RedisCoordinator(valkey.url)
    else:
        with nats_server() as nats:
            yield NatsCoordinator(nats.url)


def options(engine: ClusterEngine, lease: float = LEASE) -> dict[str, Any]:
    return {
        "key": "account",
        "scope": "cluster",
        "cluster": ClusterOptions(engine=engine, lease=lease, margin=lease / 5),
        "reconnect": ReconnectPolicy(initial=0.01, cap=0.01),
    }


async def joined(url: str, engine: ClusterEngine, lease: float = LEASE) -> SharedClient[Any]:
    client: SharedClient[Any] = await join(url, **options(engine, lease))
    return client


def joined_elsewhere(url: str, engine: ClusterEngine, lease: float) -> blocking.SharedClient[Any]:
    return blocking.join(url, **options(engine, lease))


def until_open(server: Server, count: int) -> None:
    server.call(lambda faulty: faulty.wait_until(lambda counts: counts.sockets_now == count))


def owner_of(client: SharedClient[Any]) -> ClusterOwner:
    upstream: Any = client.shared.upstream
    role = upstream._membership.role
    assert isinstance(role, ClusterOwner)
    return role


async def until_lease_is_free(engine: ClusterEngine, client: SharedClient[Any]) -> None:
    """Ask as another host would, which is granted the lease once it is released."""
    coordinator = engine.open(ClusterKey.of(client.shared.registry_key[0].digest()), "observer")  # type: ignore[attr-defined]
    await coordinator.check()
    try:
        assert await coordinator.lease() is None
    finally:
        await coordinator.aclose()


async def test_a_host_has_no_hop_and_the_leader_a_watch(
    server: Server, engine: MemoryEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relocation, "LOOK_INTERVAL", 10.0)  # each look of the watch is a post
    async with join(server.server.url, **options(engine)) as client:
        stream = client.subscribe()
        for number in range(100):
            await client.send(str(number))
            assert await anext(stream) == str(number)
        assert client.loop_inbox.posted + client.host_inbox.posted < 100  # the watch asks the loop for a sign of life
        assert client.shared.host_loop.loop is asyncio.get_running_loop()
        assert current_registry().host_thread is not None


@contextlib.contextmanager
def leading_elsewhere(server: Server, engine: ClusterEngine, directory: Path) -> Iterator[None]:
    """Another host that leads, on an event loop in another thread."""
    leads, end = threading.Event(), threading.Event()

    async def lead() -> None:
        url = server.server.url
        cluster = options(engine)["cluster"]
        host = Host(url, directory, cluster, Raw(), ConnectionKey.of(url, key="account"))
        await host.upstream.connect(retry=True)
        leads.set()
        await asyncio.to_thread(end.wait)
        await host.upstream.aclose()

    thread = threading.Thread(target=asyncio.run, args=[lead()])
    thread.start()
    try:
        assert leads.wait(DEADLINE)
        yield
    finally:
        end.set()
        thread.join(DEADLINE)


def late(client: SharedClient[Any]) -> None:
    """Have a leader's lease be about to end, by its clock."""
    owner_of(client)._now = lambda: boot_time() + LEASE


def test_a_blocked_loop_keeps_no_connection_past_its_lease(
    server: Server, engine: MemoryEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relocation, "LOOK_INTERVAL", 0.005)
    with EndingLoop("asyncio.run", monkeypatch) as loop:
        client = loop.run(joined(server.server.url, engine))
        loop.clients.append(client)

        async def block() -> None:
            late(client)
            until_open(server, 0)

        loop.run(block())
        loop.run(client.wait_for(State.CONNECTING))
        loop.run(client.wait_for(State.CONNECTED))
        loop.run(client.send("again"))
        assert client.status.epoch == 2


def test_an_offered_loop_keeps_no_connection_past_its_lease(
    server: Server, engine: MemoryEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relocation, "LOOK_INTERVAL", 0.005)

    async def main() -> None:
        async with offer_loop():
            client = await joined(server.server.url, engine)
            late(client)
            until_open(server, 0)
            await client.wait_for(State.CONNECTING)
            await client.wait_for(State.CONNECTED)

    asyncio.run(main())


def test_a_loop_that_is_closed_or_stands_still_keeps_no_connection_past_its_lease(
    server: Server, engine: MemoryEngine, ending: EndingLoop, caplog: pytest.LogCaptureFixture
) -> None:
    client = ending.run(joined(server.server.url, engine))
    ending.clients.append(client)
    owner = owner_of(client)
    ending.end()
    if ending.is_in_order:
        asyncio.run(until_lease_is_free(engine, client))
    else:
        owner._now = lambda: boot_time() + LEASE
    until_open(server, 0)
    del owner
    ending.close()
    gc.collect()
    assert not [record for record in caplog.records if "pending" in record.message]


def test_a_host_that_follows_sends_what_waits_when_its_loop_ends(
    server: Server, real_engine: ClusterEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with leading_elsewhere(server, real_engine, tmp_path), EndingLoop("asyncio.run", monkeypatch) as loop:
        client = loop.run(joined(server.server.url, real_engine))
        assert current_registry().host_thread is None

        async def send() -> None:
            client.send_nowait("last")

        loop.run(send())
        loop.end()
        assert server.call(lambda faulty: list(faulty.received)) == ["last"]


def test_the_lease_is_released_where_all_tasks_of_the_loop_are_cancelled(
    server: Server, real_engine: ClusterEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EndingLoop("asyncio.run", monkeypatch) as loop:
        client = loop.run(joined(server.server.url, real_engine))
        loop.end()
        asyncio.run(until_lease_is_free(real_engine, client))
    assert server.server.counts.close_codes.keys() <= {1000, 1001}


@pytest.mark.parametrize(("ends_by", "lease"), [("asyncio.run", LEASE), ("standstill", 1.5)])
def test_another_member_of_the_host_has_the_connection_next(
    server: Server, monkeypatch: pytest.MonkeyPatch, ends_by: EndsBy, lease: float
) -> None:
    monkeypatch.setattr(relocation, "LOOK_INTERVAL", 0.005)
    with redis_server() as valkey, EndingLoop(ends_by, monkeypatch) as loop:
        engine = RedisCoordinator(valkey.url)
        client = loop.run(joined(server.server.url, engine, lease))
        loop.clients.append(client)
        other = loop.in_thread(joined_elsewhere, server.server.url, engine, lease)
        loop.end()
        other.send("after", timeout=10, resend=True)
        got: list[Any] = []
        while got[-1:] != ["after"]:
            got.append(other.receive(timeout=10))
        assert any(isinstance(item, Gap) for item in got)
        other.close()
