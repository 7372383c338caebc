"""Hosts that share one connection through real engines: Valkey and NATS."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner
from websockets.asyncio.client import connect

from onesocket import Identity, Provider, ReconnectPolicy, State, join
from onesocket.cli._app import app
from onesocket.client import GapReason
from onesocket.errors import OptionConflict
from onesocket.sharing import HostOptions, JoinRequest
from onesocket.sharing._connection_key import ConnectionKey
from onesocket.sharing.cluster import ClusterOptions, NatsCoordinator, RedisCoordinator
from onesocket.sharing.cluster._coordinator import ClusterEngine
from onesocket.testing import FaultyServer
from tests.support.cluster_hosts import LEASE, Cluster, try_another_host_soon
from tests.support.commands import end_by_signal, read_introduction, start_command
from tests.support.nats_server import nats_server
from tests.support.redis_server import RedisServer, free_port, redis_server

pytestmark = pytest.mark.skipif(not hasattr(asyncio, "open_unix_connection"), reason="Unix only")


class RunningEngine:
    """A server, and what names it."""

    def __init__(self, engine: ClusterEngine, pid: int) -> None:
        self.engine = engine
        self.pid = pid


@pytest.fixture(params=["valkey", "nats"])
def running(request: pytest.FixtureRequest, lease: float) -> Iterator[RunningEngine]:
    timeout = lease / 5
    if request.param == "valkey":
        with redis_server() as valkey:
            yield RunningEngine(RedisCoordinator(valkey.url, timeout=timeout), valkey.process.pid)
    else:
        with nats_server() as nats:
            yield RunningEngine(NatsCoordinator(nats.url, timeout=timeout), nats.process.pid)


@pytest.fixture
def cluster_engine(running: RunningEngine) -> ClusterEngine:
    return running.engine


async def test_hosts_share_one_connection_and_hand_over_in_order(cluster: Cluster) -> None:
    leader, *others = await cluster.connected(3)
    long = "x" * 1_000_000
    await others[0].upstream.send(long)
    for host in cluster.hosts:
        await host.got(long)
    await asyncio.gather(*(host.upstream.send(str(number)) for host in cluster.hosts for number in range(20)))
    await leader.upstream.aclose()
    for host in others:
        await host.connected(2)
    await cluster.server.broadcast("after")
    for host in others:
        await host.got("after")
        assert [item.reason for item in host.received if not isinstance(item, str)] == [GapReason.RECONNECTED]
    assert cluster.server.counts.upgraded == 2
    assert len(cluster.server.received) == 61


async def test_another_host_dials_when_the_leader_does_not_reach_the_server(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    try_another_host_soon(monkeypatch)
    url = server_url = cluster.server.url
    steady = ReconnectPolicy(initial=0.1, factor=1, cap=0.1)
    leader, other = (cluster.host(source=source, reconnect=steady) for source in (lambda: url, lambda: server_url))
    for host in (leader, other):
        await host.upstream.connect()
    url = f"ws://127.0.0.1:{free_port()}/"
    cluster.server.kill_connections()
    for host in (other, leader):
        await host.reconnected()
    assert other.upstream.is_owner
    await leader.upstream.send("through the other one")
    await leader.got("through the other one")
    assert leader.gap_reasons == other.gap_reasons == {GapReason.RECONNECTED}


@pytest.mark.parametrize("lease", [2.0])
async def test_an_engine_that_stands_still_ends_the_connection_and_serves_again(
    cluster: Cluster, running: RunningEngine
) -> None:
    hosts = await cluster.connected(2)
    os.kill(running.pid, signal.SIGSTOP)
    try:
        await cluster.server.wait_until(lambda counts: counts.open_now == 0)
        for host in hosts:
            await host.got(State.CONNECTING)
    finally:
        os.kill(running.pid, signal.SIGCONT)
    for host in hosts:
        await host.reconnected()
    await cluster.server.broadcast("after")
    for host in hosts:
        await host.got("after")


@pytest.fixture(scope="module")
def valkey() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


async def test_components_of_a_program_may_each_make_their_engine(
    server: FaultyServer, valkey: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONESOCKET_CLUSTER", valkey.url)
    options = HostOptions(directory=str(tmp_path))
    engines = RedisCoordinator(valkey.url), ClusterOptions(engine=RedisCoordinator(valkey.url)), valkey.url, None
    async with AsyncExitStack() as stack:
        for engine in engines:
            request = join(server.url, scope="cluster", cluster=engine, host_options=options)
            await stack.enter_async_context(request)
        other = RedisCoordinator(valkey.url, timeout=9)
        with pytest.raises(OptionConflict, match="another cluster="):
            await join(server.url, scope="cluster", cluster=other, host_options=options)
    assert server.counts.upgraded == 1


async def test_users_of_providers_share_the_connection_of_their_account(valkey: RedisServer, tmp_path: Path) -> None:
    tokens: list[Any] = []
    engine = ClusterOptions(engine=RedisCoordinator(valkey.url), lease=LEASE)

    def share(token: Any) -> JoinRequest[Any]:
        tokens.append(token)
        place = HostOptions(directory=str(tmp_path / "provider"))
        return join(server.url, token=token, scope="cluster", cluster=engine, host_options=place)

    async def auth() -> Identity:
        return Identity("alice", "token of alice")

    async with FaultyServer() as server:
        cluster = Cluster(server, tmp_path, engine.engine)
        async with Provider(share, auth=auth) as provider:
            await provider.connect_if_authenticated()
            other = cluster.host(key=ConnectionKey.of(server.url, token=tokens[0]), token=lambda: "token of alice")
            await other.upstream.connect()
            assert provider.client is not None
            await provider.client.send("to both")
            await other.got("to both")
        await other.connected(2)  # alice has signed out on the host that led
        await cluster.aclose()
        assert server.counts.most_open == 1


@asynccontextmanager
async def hub(directory: Path, *arguments: str) -> AsyncIterator[str]:
    """A hub on a host of its own, by its runtime directory; gives its URL."""
    environment = {**os.environ, "ONESOCKET_RUNTIME_DIR": str(directory)}
    process = await start_command("share", "--listen", "127.0.0.1:0", *arguments, env=environment)
    try:
        lines = dict(line.split(" ", 1) for line in await read_introduction(process, "ready"))
        yield lines["ready"].strip()
    finally:
        assert (await end_by_signal(process, signal.SIGTERM))[0] == 0


async def test_hubs_of_several_hosts_share_one_connection_and_status_names_the_leader(
    valkey: RedisServer, tmp_path: Path
) -> None:
    async with (
        FaultyServer() as server,
        hub(tmp_path / "1", "--cluster", valkey.url, server.url),
        hub(tmp_path / "2", "--cluster", valkey.url, server.url) as url,
    ):
        async with connect(url) as websocket:
            await websocket.send("through the leader")
            assert await websocket.recv() == "through the leader"
        for name, part in (("1", "leads"), ("2", "follows")):
            there = ("--directory", str(tmp_path / name))
            result = await asyncio.to_thread(CliRunner().invoke, app, ["status", "--json", *there])
            (row,) = (each for each in json.loads(result.stdout) if each["cluster"] is not None)
            assert (row["kind"], row["cluster"].split()[0]) == ("cluster", part)
            result = await asyncio.to_thread(CliRunner().invoke, app, ["status", *there])
            assert "CLUSTER" in result.stdout
        assert server.counts.most_open == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--scope", "cluster"), "ONESOCKET_CLUSTER"),
        (("--cluster", "mysql://host"), "must begin with"),
        (("--scope", "host", "--cluster", "redis://host"), "--cluster is for --scope cluster"),
        (("--cluster", "--merge"), "not --merge: --scope cluster takes that of ONESOCKET_CLUSTER"),
        (("--cluster", "redis://host", "--linger", "1"), "can't be combined"),
    ],
)
def test_the_command_names_what_is_missing(
    arguments: tuple[str, ...], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ONESOCKET_CLUSTER", raising=False)
    result = CliRunner().invoke(app, ["share", *arguments, "ws://127.0.0.1:9/"])
    assert result.exit_code == 2
    assert text in result.stderr
