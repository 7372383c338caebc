"""Fixtures that several integration tests share."""

import concurrent.futures
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from onesocket.sharing import _relocation as relocation
from onesocket.sharing._registry import current_registry
from onesocket.sharing.cluster._coordinator import ClusterEngine
from onesocket.testing import FaultyServer
from tests.integration.ending_loop import ENDINGS, EndingLoop
from tests.support.cluster_hosts import LEASE, Cluster

if TYPE_CHECKING:
    from tests.support.node_page import NodePage


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    """A server that echoes; at the end of the test its last connection ends."""
    async with FaultyServer() as server:
        yield server
        await server.wait_until(lambda counts: counts.sockets_now == 0)


@pytest.fixture
async def page(server: FaultyServer) -> "AsyncIterator[NodePage]":
    """A page of Node.js with the JavaScript package; it ends before the server."""
    from tests.support.node_page import NodePage  # noqa: PLC0415 - needs Node.js, which tests of wheels are without

    del server
    async with NodePage() as page:
        yield page


@pytest.fixture
def lease() -> float:
    """Seconds; a test in which a lease ends has `short_lease`."""
    return LEASE


@pytest.fixture
def cluster_engine() -> ClusterEngine | None:
    """The engine of `cluster`; None: one in memory."""
    return None


@pytest.fixture(params=["valkey", "nats"])
def engine_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a real engine, of each kind."""
    # Tests of wheels are without these servers.
    from tests.support.nats_server import nats_server  # noqa: PLC0415
    from tests.support.redis_server import redis_server  # noqa: PLC0415

    with redis_server() if request.param == "valkey" else nats_server() as running:
        yield running.url


@pytest.fixture
async def cluster(
    server: FaultyServer, tmp_path: Path, lease: float, cluster_engine: ClusterEngine | None
) -> AsyncIterator[Cluster]:
    """A cluster without hosts; at the end those that the test made leave. The server counts its connections."""
    cluster = Cluster(server, tmp_path, cluster_engine, lease=lease)
    yield cluster
    await cluster.aclose()
    assert server.counts.most_open <= 1


@pytest.fixture
def no_threads_left() -> Iterator[None]:
    """Check that no shared connection and no thread of the library is left after the test."""
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("onesocket"):
            thread.join(5)
    assert len(current_registry()) == 0
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("onesocket")]


@pytest.fixture(params=ENDINGS)
def ending(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[EndingLoop]:
    """An event loop of the main thread, in each of the ways in which it can end."""
    monkeypatch.setattr(relocation, "LOOK_INTERVAL", 0.005)
    with EndingLoop(request.param, monkeypatch) as loop:
        yield loop


@pytest.fixture
def pool() -> Iterator[concurrent.futures.ThreadPoolExecutor]:
    """Threads in which a test blocks."""
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        yield pool


@pytest.fixture
def private_runtime(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runtime directory of the test's own; the path is short, as the paths of sockets have to be."""
    place = tmp_path_factory.mktemp("runtime")
    place.chmod(0o700)
    monkeypatch.setenv("ONESOCKET_RUNTIME_DIR", str(place))
    return place


@pytest.fixture
def quick_logins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten Discord's waits, up to 5 s after op 9 and between two Identifies, which decide nothing in a test."""
    monkeypatch.setattr("onesocket_discord.protocol._gateway.INVALID_SESSION_WAIT", (0.0, 0.1))
    monkeypatch.setattr("onesocket_discord.client._identify_budget.IDENTIFY_PERIOD", 0.1)
    monkeypatch.setattr("onesocket_discord.client._fleet_slots.IDENTIFY_PERIOD", 0.1)
