"""`onesocket status --cluster` and the metrics of hosts, with real engines: Valkey and NATS."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from onesocket import State
from onesocket.cli._app import app
from onesocket.cli._cluster_report import ClusterReport
from onesocket.cli._status import _repeat
from onesocket.errors import TokenMismatch
from onesocket.sharing.cluster import ClusterOptions, NatsCoordinator, RedisCoordinator
from onesocket.sharing.cluster._coordinator import START, ClusterEngine
from onesocket.sharing.cluster._memory_engine import MemoryEngine
from onesocket.testing import run_virtual
from tests.support.cluster_hosts import DEADLINE, Cluster
from tests.support.engine_members import KEY, REDIS_BASE, opened
from tests.support.nats_server import NatsServer, ask, nats_server
from tests.support.redis_server import RedisServer, free_port, redis_server
from tests.unit.onesocket.instruments.exporters import Scrape

pytestmark = pytest.mark.skipif(not hasattr(asyncio, "open_unix_connection"), reason="Unix only")
DIGEST = KEY.digest
HOSTS = "onesocket_client_cluster_hosts"


@pytest.fixture(scope="module")
def valkey() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture(scope="module")
def nats() -> Iterator[NatsServer]:
    users = """
        {user: root, password: hunter2},
        {user: member, password: hunter2, permissions: {publish: ["$JS.API.STREAM.INFO.*", "onesocket.>"]}}
    """
    with nats_server(f"jetstream: {{}}\nauthorization: {{users: [{users}]}}") as running:
        yield running


@pytest.fixture(params=["valkey", "nats"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of an engine."""
    server = request.getfixturevalue(request.param)
    return login(server) if isinstance(server, NatsServer) else str(server.url)


def login(server: NatsServer, user: str = "root") -> str:
    return server.url.replace("nats://", f"nats://{user}:hunter2@")


def engine_at(url: str) -> ClusterEngine:
    return NatsCoordinator(url) if url.startswith("nats") else RedisCoordinator(url)


@pytest.fixture
def cluster_engine(request: pytest.FixtureRequest) -> ClusterEngine | None:
    """A real engine, for tests that ask for its `url`."""
    return engine_at(request.getfixturevalue("url")) if "url" in request.fixturenames else None


async def status(*arguments: str, **environment: str) -> Result:
    """Run the command on its own event loop, as a program does."""
    return await asyncio.to_thread(CliRunner().invoke, app, ["status", *arguments], env=environment)


async def until(look: Callable[[], Awaitable[Any]], is_met: Callable[[Any], object]) -> Any:
    """Look again and again, by requests to the engine, until this holds."""
    async with asyncio.timeout(DEADLINE):
        while not is_met(found := await look()):
            pass
        return found


@pytest.mark.parametrize("lease", [6.0])
async def test_the_hosts_of_a_connection_and_the_next_leader_are_shown(cluster: Cluster, url: str) -> None:
    hosts = await cluster.connected(3)
    here, digest = str(hosts[1].directory), hosts[0].key.digest()
    report = ClusterReport(ClusterOptions(engine=engine_at(url)), digest, here)
    leader = hosts[0].owner._coordinator.member

    def is_announced(rows: list[dict[str, Any]]) -> bool:
        roles = [host["role"] for host in rows[0]["hosts"]]
        return rows[0]["state"] == "connected" and roles == ["leader", "follower", "follower"]

    (row,) = await until(report.rows, is_announced)
    assert row["leader"] == leader
    assert 0 < row["lease_remaining"] <= 6
    assert row["url"] == cluster.server.url
    assert {host["pid"] for host in row["hosts"]} == {os.getpid()}
    for host in row["hosts"]:
        assert host["heard"] == max(0, 6 - host["remaining"])
    shown = await status("--cluster", url, "--json", "--digest", digest[:8], "--directory", here)
    assert shown.exit_code == 0, shown.stderr
    (row,) = json.loads(shown.stdout)
    assert (row["digest"], row["leader"], row["connection_epoch"]) == (digest, leader, 1)
    await hosts[0].upstream.aclose()
    (row,) = await until(report.rows, lambda rows: (rows[0]["state"], rows[0]["connection_epoch"]) == ("connected", 2))
    assert len(row["hosts"]) == 2
    await report.aclose()
    # As text, from another machine, which doesn't know the URL; the engine is that of the environment.
    away = await status("--scope", "cluster", "--directory", str(cluster._directory), ONESOCKET_CLUSTER=url)
    assert away.exit_code == 0, away.stderr
    assert f"CONNECTION  not known on this machine\nDIGEST      {digest}" in away.stdout
    assert "connected, connection 2" in away.stdout
    assert f"commands to {engine_at(url)})" in away.stdout
    assert "hunter2" not in shown.output + away.output


async def test_a_note_that_is_not_repeated_ends_by_itself(url: str) -> None:
    engine = engine_at(url)
    observer = engine.observe(KEY.prefix)
    async with opened(engine) as member:
        await member.announce(b"note", START, 60)
        (view,) = await observer.look(DIGEST)
        assert [each.note for each in view.members] == [b"note"]
        await member.announce(b"note", START, 0.05)  # the last one of a member that is killed
        await until(lambda: observer.look(DIGEST), lambda views: not views)
    await observer.aclose()


async def test_the_commands_are_as_many_as_the_server_counts(valkey: RedisServer) -> None:
    raw = valkey.client()
    raw.flushall()
    engine = RedisCoordinator(valkey.url)
    async with opened(engine) as member:
        await member.acquire(60, 0)
        await member.announce(b"note", START, 60)
        raw.hset("onesocket:index", "f" * 64, "1000")  # of a cluster that is gone, which costs none
        report = ClusterReport(ClusterOptions(engine=engine), None, None)
        await report.rows()  # which loads the scripts
        before = raw.info("commandstats")["cmdstat_evalsha"]["calls"]
        await report.rows()
        assert report.commands == raw.info("commandstats")["cmdstat_evalsha"]["calls"] - before == 2
        await report.aclose()


async def test_members_that_are_gone_are_dropped_from_the_keys(valkey: RedisServer) -> None:
    raw = valkey.client()
    raw.flushall()
    raw.hset("onesocket:index", "f" * 64, "1000")
    raw.hset(REDIS_BASE + "present", "gone", "1000 - - note")
    async with opened(RedisCoordinator(valkey.url)) as member:
        await member.announce(b"note", START, 60)
    assert raw.hkeys("onesocket:index") == [DIGEST.encode()]
    assert raw.hkeys(REDIS_BASE + "present") == [b"a"]
    assert 86_000 < raw.ttl("onesocket:index") <= 86_400


@pytest.mark.parametrize(
    ("arguments", "status_code", "text"),
    [
        (("--cluster", "redis://127.0.0.1:{port}"), 1, "can't be reached"),
        (("--cluster", "nats://127.0.0.1:{port}"), 1, "can't be reached"),
        (("--cluster", "mysql://host"), 2, "must begin with one of"),
        (("--cluster", "--watch"), 2, "not --watch: --scope cluster takes that of ONESOCKET_CLUSTER"),
        (("--cluster", "redis://:hunter2@"), 2, "it has no host"),
        (("--cluster", "redis://host", "--prefix", "a:b"), 2, "prefix of a cluster"),
        (("--cluster", "redis://host", "--digest", "xy"), 2, "hexadecimal"),
        (("--cluster", "redis://host", "--hand-over", "x"), 2, "can't be combined"),
        (("--digest", "abcd"), 2, "--digest is for --scope cluster"),
        (("--scope", "cluster"), 2, "ONESOCKET_CLUSTER"),
        (("--scope", "fleet"), 2, "--scope is host or cluster"),
    ],
)
async def test_what_can_not_be_shown_is_told(arguments: tuple[str, ...], status_code: int, text: str) -> None:
    given = [each.format(port=free_port()) for each in arguments]
    shown = await status(*given, ONESOCKET_CLUSTER="")
    assert (shown.exit_code, shown.stdout) == (status_code, "")
    assert text in shown.stderr
    assert "hunter2" not in shown.stderr


async def test_keys_of_other_programs_in_redis_are_named(valkey: RedisServer) -> None:
    raw = valkey.client()
    raw.flushall()
    raw.hset("onesocket:index", mapping={DIGEST: 2**60, "e" * 64: 2**60, "f" * 64: 2**60, "\x1b[2J": "x"})
    raw.set(REDIS_BASE + "present", "x")
    raw.hset("onesocket:{%s}:present" % ("e" * 64), "member", "no note")
    raw.hset("onesocket:{%s}:state" % ("f" * 64), "format", "9")
    shown = await status("--cluster", valkey.url)
    assert shown.exit_code == 1
    for text in (
        f"EngineKeyTaken: {engine_at(valkey.url)}: the key {REDIS_BASE}present is a string",
        f"EngineUnusable: the key onesocket:{{{'e' * 64}}}:present has a field that onesocket did not write",
        "VersionMismatch:",
        "DIGEST      \\u001b[2J\nERROR       EngineUnusable: the key onesocket:index has a field",
    ):
        assert text in shown.stdout
    raw.set("onesocket:index", "x")
    shown = await status("--cluster", valkey.url)
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert "the key onesocket:index is not onesocket's" in shown.stderr
    raw.flushall()  # other tests use these keys


async def test_streams_of_other_programs_in_nats_and_a_missing_right_are_named(nats: NatsServer) -> None:
    raw = await nats.client(user="root", password="hunter2")
    await ask(raw, "STREAM.CREATE.theirs", name="theirs", subjects=["other.*.lease"])
    await ask(raw, f"STREAM.CREATE.other-{DIGEST}", name=f"other-{DIGEST}", subjects=["other.x.lease.>"])
    shown = await status("--cluster", login(nats), "--prefix", "other")
    assert (shown.exit_code, "the stream theirs takes messages of onesocket's subjects" in shown.stdout) == (1, True)
    shown = await status("--cluster", login(nats, "member"))
    assert shown.exit_code == 2
    assert "may not publish to $JS.API.STREAM.NAMES" in shown.stderr
    await raw.close()


def test_watching_goes_on_when_the_engine_is_away_and_back(capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        engine = MemoryEngine()
        await engine.open(KEY, "a").acquire(600, 0)
        report = ClusterReport(ClusterOptions(engine=engine), None, None)
        watching = asyncio.create_task(_repeat(report, as_json=True, interval=1.0))
        await asyncio.sleep(1.5)
        engine.is_available = False
        await asyncio.sleep(2)
        engine.is_available = True
        await asyncio.sleep(1)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    run_virtual(main)
    shown = capsys.readouterr()
    lines = [json.loads(line) for line in shown.out.splitlines()]
    assert [[row["digest"] for row in rows] for rows in lines] == [[DIGEST]] * 3
    assert [rows[0]["commands"] for rows in lines] == [1] * 3
    assert shown.err.splitlines() == ["onesocket: the engine in memory is not available"] * 2


async def test_metrics_tell_the_roles_of_hosts_and_how_leaders_change(cluster: Cluster) -> None:
    scrapes = [Scrape() for _ in range(2)]
    hosts = [cluster.host(instruments=scrape.instruments) for scrape in scrapes]
    for host in hosts:
        await host.upstream.connect()
    leader, follower = scrapes
    prefix = "onesocket_client_cluster_"
    for scrape, role in ((leader, "leader"), (follower, "follower")):
        assert scrape.value(HOSTS, onesocket_cluster_role=role) == 1
        state = {"onesocket_connection_state": "connected"}
        of_connection = {"leader": "owner", "follower": "follower"}[role]
        assert scrape.value("onesocket_client_connection_state", onesocket_connection_role=of_connection, **state) == 1
        assert scrape.value(prefix + "epoch") == 1
        assert scrape.value(prefix + "leader_changes_total") == 0
    remaining = leader.value(prefix + "lease_remaining_seconds")
    assert remaining is not None
    assert 0 < remaining <= cluster._lease
    assert follower.value(prefix + "lease_remaining_seconds") is None
    await hosts[0].upstream.aclose()
    await hosts[1].connected(2)
    assert follower.value(HOSTS, onesocket_cluster_role="leader") == 1
    assert follower.value(prefix + "leader_changes_total") == 1
    assert leader.value(HOSTS, onesocket_cluster_role="leader") is None  # it takes no part any more


@pytest.mark.parametrize("lease", [3.0])
async def test_a_host_that_is_kept_out_says_so(cluster: Cluster) -> None:
    (leader,) = await cluster.connected(1, token=lambda: "one")
    other = cluster.host(key=leader.key, token="another")
    with pytest.raises(TokenMismatch):
        await other.upstream.connect()

    async def errors() -> list[str]:
        rows = await ClusterReport(ClusterOptions(engine=cluster.engine), None, str(leader.directory)).rows()
        return [host["error"] for host in rows[0]["hosts"] if host["error"]]

    assert other.upstream.status.state is State.FAILED
    assert await until(errors, len) == ["TokenMismatch"]
