"""Hosts that share one connection through an engine. Several in one process; the *server* counts the connections."""

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from onesocket import Client, Json, OnesocketError, Raw, Rotation, State, join
from onesocket.client import GapReason
from onesocket.errors import (
    EngineLoginRefused,
    EngineUnavailable,
    EngineUnusable,
    HandshakeRejected,
    InvalidOption,
    ManuallyDisconnected,
    OptionConflict,
    OwnerLost,
    TokenMismatch,
)
from onesocket.lifecycle._effects import Outcome
from onesocket.protocols import LastValues
from onesocket.sharing._connection_key import ConnectionKey
from onesocket.sharing._upstream import ConnectionSpec
from onesocket.sharing.cluster._boot_time import boot_time
from onesocket.sharing.cluster._cluster_follower import ClusterFollower
from onesocket.sharing.cluster._coordinator import ClusterEngine, Lease, LeaseInfo, Position
from onesocket.sharing.cluster._memory_engine import MemoryCoordinator, MemoryEngine
from onesocket.sharing.host import HostOptions, HostUpstream
from onesocket.sharing.host._ipc_frames import MessageBatch
from onesocket.testing import Fault, FaultyServer
from tests.support.cluster_hosts import Cluster, short_lease

pytestmark = pytest.mark.skipif(not hasattr(asyncio, "open_unix_connection"), reason="Unix only")


async def test_all_hosts_receive_from_one_connection(cluster: Cluster) -> None:
    hosts = await cluster.connected(3)
    assert [host.upstream.is_owner for host in hosts] == [True, False, False]
    for message in ("one", "two"):
        await cluster.server.broadcast(message)
    for host in hosts:
        await host.got("two")
        assert host.received == ["one", "two"]
    assert cluster.server.counts.upgraded == 1


async def test_the_next_host_dials_at_once_after_an_orderly_leave(cluster: Cluster) -> None:
    leader, *others = await cluster.connected(3)
    await leader.upstream.aclose()
    for host in others:
        await host.connected(2)
    await cluster.server.broadcast("after")
    for host in others:
        await host.got("after")
        (gap,) = host.received[:-1]
        assert (gap.reason, gap.epoch) == (GapReason.RECONNECTED, 2)
    assert cluster.server.counts.upgraded == 2


async def test_a_host_that_leaves_while_it_is_given_the_lease_releases_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader, *others = await cluster.connected(3)
    leaving: list[asyncio.Task[None]] = []
    has_left_the_feed = asyncio.Event()
    acquire, leave = MemoryCoordinator.acquire, ClusterFollower.leave

    async def acquire_slowly(coordinator: MemoryCoordinator, ttl: float, after: int) -> Lease | LeaseInfo:
        got = await acquire(coordinator, ttl, after)
        if isinstance(got, Lease) and not leaving:
            (host,) = (host for host in others if host.owner._coordinator.member == coordinator.member)
            others.remove(host)
            leaving.append(asyncio.create_task(host.upstream.aclose()))
            await has_left_the_feed.wait()  # the reply is under way
        return got

    async def leave_the_feed(follower: ClusterFollower, running: asyncio.Task[Any]) -> None:
        await leave(follower, running)
        if leaving:
            has_left_the_feed.set()

    monkeypatch.setattr(MemoryCoordinator, "acquire", acquire_slowly)
    monkeypatch.setattr(ClusterFollower, "leave", leave_the_feed)
    await leader.upstream.aclose()
    await has_left_the_feed.wait()
    (last,) = others
    await last.connected(2)
    assert last.owner.leadership is not None
    assert cluster.server.counts.upgraded == 2
    await asyncio.gather(*leaving)


async def test_the_rest_of_a_host_whose_member_leaves_asks_for_the_lease_at_once(cluster: Cluster) -> None:
    leader, other = await cluster.connected(2)
    process = cluster.host(beside=leader)
    await process.upstream.connect()
    await process.got(State.CONNECTED)
    asked: list[str] = []
    known = {host.owner._coordinator.member for host in (leader, other)}
    cluster.engine.before = lambda member, operation: None if member in known else asked.append(operation)
    await leader.upstream.aclose()
    await process.connected(2)
    assert asked[0] == "acquire"
    assert "check" not in asked


async def test_a_leader_that_leaves_cancels_no_request_that_publishes(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader, other = await cluster.connected(2)
    publish, ends = MemoryCoordinator.publish, list[str]()
    begun = asyncio.Event()

    async def publish_slowly(coordinator: MemoryCoordinator, position: Position, payload: bytes) -> None:
        begun.set()
        try:
            for _ in range(20):
                await asyncio.sleep(0)
            await publish(coordinator, position, payload)
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise
        ends.append("published")

    monkeypatch.setattr(MemoryCoordinator, "publish", publish_slowly)
    await cluster.server.broadcast("last")
    await begun.wait()
    await leader.upstream.aclose()
    await other.connected(2)
    assert "last" in other.items
    assert set(ends) == {"published"}


@short_lease
async def test_a_leader_without_the_engine_closes_before_another_dials(cluster: Cluster) -> None:
    leader, other = await cluster.connected(2)
    cluster.partition(leader)
    await other.reconnected()
    assert cluster.server.counts.most_open == 1
    cluster.heal_all()
    await leader.reconnected()
    await cluster.server.broadcast("after")
    for host in (leader, other):
        await host.got("after")
        assert host.gap_reasons == {GapReason.RECONNECTED}


@short_lease
async def test_a_leader_that_was_suspended_delivers_nothing_and_closes(cluster: Cluster) -> None:
    leader, other = await cluster.connected(2)
    leadership = leader.owner.leadership
    assert leadership is not None
    leadership._now = lambda: boot_time() + 3600  # timers don't count suspended time
    await cluster.server.broadcast("too late")
    for host in (leader, other):
        await host.reconnected()
        assert "too late" not in host.items
        assert host.gap_reasons == {GapReason.RECONNECTED}


@short_lease
async def test_a_leader_may_keep_its_connection_for_its_own_host_while_the_engine_is_away(cluster: Cluster) -> None:
    leader = cluster.host(rule="keep")
    other = cluster.host()
    for host in (leader, other):
        await host.upstream.connect()
    for host in (leader, other):
        cluster.partition(host)
    await other.until(lambda host: host.upstream.status.state is State.CONNECTING)
    await cluster.server.broadcast("alone")
    await leader.got("alone")
    cluster.engine.after = lambda *_: leader.look()
    cluster.heal(leader)
    await leader.until(lambda host: host.owner.leadership is not None)
    cluster.heal(other)
    await other.connected(1)
    await cluster.server.broadcast("together")
    for host in (leader, other):
        await host.got("together")
    assert leader.received == ["alone", "together"]
    assert [item.reason for item in other.received[:-1]] == [GapReason.RECONNECTED]
    assert cluster.server.counts.upgraded == 1


@short_lease
async def test_a_host_that_was_away_for_less_than_the_feed_holds_misses_nothing(cluster: Cluster) -> None:
    leader, other = await cluster.connected(2)
    cluster.partition(other)
    for number in range(5):
        await cluster.server.broadcast(str(number))
        await leader.got(str(number))
    await other.until(lambda host: host.upstream.status.state is State.CONNECTING)
    cluster.heal(other)
    await other.connected(1)
    await other.got("4")
    assert other.received == ["0", "1", "2", "3", "4"]


async def test_a_host_that_was_away_for_longer_is_told_how_many_messages_it_missed(
    server: FaultyServer, tmp_path: Path
) -> None:
    cluster = Cluster(server, tmp_path, MemoryEngine(records=3))
    leader, other = await cluster.connected(2)
    cluster.partition(other)
    for number in range(20):
        await server.broadcast(str(number))
        await leader.got(str(number))
    cluster.heal(other)
    await other.got("19")
    gap, *rest = other.received
    assert gap.reason is GapReason.OVERFLOW
    assert gap.missed == int(rest[0])
    assert rest == [str(number) for number in range(gap.missed, 20)]
    await cluster.aclose()


async def test_connecting_fails_with_the_error_of_the_engine(cluster: Cluster) -> None:
    cluster.engine.is_available = False
    host = cluster.host()
    with pytest.raises(EngineUnavailable):
        await host.upstream.connect(retry=False)
    assert host.upstream.status.state is State.FAILED
    assert isinstance(host.upstream.status.last_error, EngineUnavailable)
    connecting = asyncio.create_task(host.upstream.connect(retry=True))
    await host.got(State.CONNECTING)
    cluster.engine.is_available = True
    assert await connecting is Outcome.OPENED


async def test_a_connection_that_failed_is_not_restored_by_the_next_leader(cluster: Cluster) -> None:
    cluster.server.faults = Fault.refuse(503)
    leader, other = cluster.host(), cluster.host()
    for host in (leader, other):
        with pytest.raises(HandshakeRejected):
            await host.upstream.connect(retry=False)
    await leader.upstream.aclose()
    cluster.server.faults = None
    assert await other.upstream.connect(retry=False) is Outcome.OPENED
    assert State.CONNECTED not in leader.items
    assert cluster.server.counts.upgraded == 1


async def test_disconnect_holds_for_all_hosts_until_one_reconnects(cluster: Cluster) -> None:
    leader, other = await cluster.connected(2)
    await other.upstream.disconnect()
    for host in (leader, other):
        await host.got(State.STOPPED)
        with pytest.raises(ManuallyDisconnected):
            await host.upstream.connect()
    assert cluster.server.counts.open_now == 0
    await leader.upstream.aclose()
    with pytest.raises(ManuallyDisconnected):
        await other.upstream.send("no")
    assert await other.upstream.reconnect() is Outcome.OPENED
    assert cluster.server.counts.most_open == 1


async def test_a_rotation_is_for_all_hosts(cluster: Cluster) -> None:
    leader, other = await cluster.connected(2, rotation=Rotation(identity=hash, overlap=0.01))
    assert await other.upstream.rotate() is Outcome.OPENED
    assert cluster.server.counts.upgraded == 2
    cluster.server.reset_counts()  # a successor is opened beside the connection
    for host in (leader, other):
        await host.connected(2)


async def test_a_host_that_joins_late_begins_with_the_state_of_the_leader(cluster: Cluster) -> None:
    hosts = [cluster.host(Json(snapshot=LastValues("key"))) for _ in range(2)]
    await hosts[0].upstream.connect()
    for key, value in (("a", 1), ("b", 2), ("a", 3)):
        await cluster.server.broadcast(json.dumps({"key": key, "value": value}))
    await hosts[0].got({"key": "a", "value": 3})
    asked: list[Any] = []
    hosts[1].upstream.ask_snapshot(asked.append)
    await hosts[1].upstream.connect()
    await cluster.server.broadcast(json.dumps({"key": "b", "value": 4}))
    await hosts[1].got({"key": "b", "value": 4})
    assert asked == [[{"key": "b", "value": 2}, {"key": "a", "value": 3}]]
    hosts[1].upstream.ask_snapshot(asked.append)
    assert asked[1] == [{"key": "a", "value": 3}, {"key": "b", "value": 4}]


async def test_another_token_under_the_same_key_is_refused(cluster: Cluster) -> None:
    first, second = cluster.host(token="one"), cluster.host(token="two")
    await first.upstream.connect()
    with pytest.raises(TokenMismatch):
        await second.upstream.connect()
    assert second.upstream.status.state is State.FAILED


async def test_no_token_and_no_value_of_the_query_goes_through_the_engine(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bytes] = []

    def keep(operation: str) -> None:
        original = getattr(MemoryCoordinator, operation)

        async def kept(self: MemoryCoordinator, *arguments: Any) -> None:
            written.append(arguments[-1])
            await original(self, *arguments)

        monkeypatch.setattr(MemoryCoordinator, operation, kept)

    for operation in ("publish", "submit", "answer"):
        keep(operation)
    url = f"{cluster.server.url}feed?sign=s3cret-signature"
    key = ConnectionKey.of(url, token="s3cret-token")
    hosts = [cluster.host(key=key, source=lambda: url, token="s3cret-token") for _ in range(2)]
    for host in hosts:
        await host.upstream.connect()
        await host.upstream.send("a message does")
    stored = b"".join(written) + repr(vars(cluster.engine.model(hosts[0].owner_key))).encode()
    assert b"a message does" in stored
    assert b"s3cret" not in stored
    assert "s3cret" not in repr(hosts[0].owner_key)


async def test_another_protocol_under_the_same_key_is_refused(cluster: Cluster) -> None:
    first, second = cluster.host(), cluster.host(Json())
    await first.upstream.connect()
    with pytest.raises(OptionConflict):
        await second.upstream.connect()


@short_lease
async def test_the_processes_of_a_host_use_its_member(cluster: Cluster) -> None:
    leader, other = await cluster.connected(2)
    processes = [cluster.host(beside=host) for host in (leader, other)]
    for process in processes:
        await process.upstream.connect()
    await cluster.server.broadcast("one")
    for host in cluster.hosts:
        await host.got("one")
        await host.upstream.send(f"from {cluster.hosts.index(host)}")
    assert cluster.server.received == [f"from {number}" for number in range(4)]
    cluster.partition(leader)
    for host in (other, processes[1]):
        await host.reconnected()
    cluster.heal_all()
    for host in (leader, processes[0]):
        await host.reconnected()
    await cluster.server.broadcast("two")
    for host in cluster.hosts:
        await host.got("two")
        assert host.gap_reasons == {GapReason.RECONNECTED}
        assert [item for item in host.received if item in ("one", "two")] == ["one", "two"]


async def test_a_host_that_shares_alone_is_no_part_of_a_cluster(cluster: Cluster) -> None:
    (leader,) = await cluster.connected(1)
    url = cluster.server.url
    alone = HostUpstream(
        ConnectionSpec(
            key=leader.key,
            options={},
            protocol=Raw(),
            make_client=lambda: Client(url),
            host_options=HostOptions(directory=str(leader.directory)),
        )
    )
    alone.attach(leader)
    with pytest.raises(OptionConflict, match="scope"):
        await alone.connect()
    await alone.aclose()


class OtherAddress:
    """An engine under another address, as through a proxy."""

    def __init__(self, engine: ClusterEngine) -> None:
        self.open, self.observe = engine.open, engine.observe

    def __str__(self) -> str:
        return "proxy:"


async def test_a_process_that_names_another_engine_is_refused_on_its_host_alone(cluster: Cluster) -> None:
    (leader,) = await cluster.connected(1)
    first, cluster.engine = cluster.engine, OtherAddress(cluster.engine)
    other = cluster.host(beside=leader)
    with pytest.raises(OptionConflict, match="through another engine, or under another prefix") as caught:
        await other.upstream.connect()
    assert caught.value.option == "cluster"
    await cluster.host().upstream.connect()  # another host may reach the same engine by another address
    cluster.engine = first
    await cluster.host(beside=leader).upstream.connect()
    assert cluster.server.counts.upgraded == 1


async def test_join_and_the_environment_name_the_engine(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = HostOptions(directory=str(tmp_path))
    async with join(server.url, scope="cluster", cluster=MemoryEngine(), host_options=options) as client:
        await client.send("echo")
        assert await anext(aiter(client)) == "echo"
    monkeypatch.delenv("ONESOCKET_CLUSTER", raising=False)
    with pytest.raises(InvalidOption, match="ONESOCKET_CLUSTER"):
        join(server.url, scope="cluster")
    monkeypatch.setenv("ONESOCKET_CLUSTER", "mysql://host")
    with pytest.raises(InvalidOption, match="must begin with"):
        join(server.url, scope="cluster")
    with pytest.raises(InvalidOption, match="scope='cluster'"):
        join(server.url, cluster=MemoryEngine())


async def test_a_leader_whose_engine_serves_no_more_closes(cluster: Cluster) -> None:
    (leader,) = await cluster.connected(1)

    def refuse(member: str, operation: str) -> None:
        raise EngineLoginRefused(f"{operation} of {member}")

    cluster.engine.before = refuse
    cluster.engine.interrupt_waits()
    await leader.got(State.FAILED)
    assert isinstance(leader.upstream.status.last_error, EngineLoginRefused)
    await cluster.server.wait_until(lambda counts: counts.open_now == 0)
    cluster.engine.before = None
    await leader.upstream.connect()
    assert leader.upstream.status.is_connected


async def test_a_bug_of_an_engine_fails_the_calls_that_wait(cluster: Cluster) -> None:
    def fail(member: str, operation: str) -> None:
        raise ZeroDivisionError(f"{operation} of {member}")

    cluster.engine.before = fail
    host = cluster.host()
    with pytest.raises(OnesocketError, match="the engine memory: failed: ZeroDivisionError"):
        await host.upstream.connect()


async def test_an_engine_for_short_payloads_alone_is_refused(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryCoordinator, "max_payload", 65_536)
    with pytest.raises(EngineUnusable, match="payloads of 65536 bytes"):
        await cluster.host().upstream.connect()


async def test_a_lease_whose_grant_was_not_heard_does_not_let_its_holder_dial_early(
    server: FaultyServer, tmp_path: Path
) -> None:
    cluster = Cluster(server, tmp_path, lease=0.8)
    first, second = await cluster.connected(2)
    loop = asyncio.get_running_loop()
    grants: list[float] = []

    def lose_first_grant(member: str, operation: str) -> None:
        if operation == "acquire" and member == second.owner._coordinator.member:
            grants.append(loop.time())
            if len(grants) == 1:
                raise EngineUnavailable("the reply is lost")

    cluster.engine.after = lose_first_grant
    cluster.partition(first)  # its lease ends unrenewed
    await second.connected(2)
    assert loop.time() - grants[0] > 0.8
    cluster.heal_all()
    await cluster.aclose()


async def test_a_host_that_leaves_before_it_may_dial_leaves_the_wait_to_the_next_one(
    server: FaultyServer, tmp_path: Path
) -> None:
    cluster = Cluster(server, tmp_path, lease=0.8)
    first, second, third = await cluster.connected(3)
    loop = asyncio.get_running_loop()
    granted: dict[str, float] = {}
    lost = asyncio.Event()

    def look(member: str, operation: str) -> None:
        if operation == "acquire" and cluster.engine.model(first.owner_key).lease(loop.time()).member == member:
            granted.setdefault(member, loop.time())
            lost.set()

    cluster.engine.after = look
    cluster.partition(first)
    await lost.wait()
    (early,) = (host for host in (second, third) if host.owner._coordinator.member in granted)
    (late,) = (host for host in (second, third) if host is not early)
    member = late.owner._coordinator.member
    leaving = asyncio.create_task(early.upstream.aclose())
    await late.connected(2)
    assert loop.time() - granted[member] >= 0.8 / 5
    await leaving
    cluster.heal_all()
    await cluster.aclose()


async def test_a_change_of_leaders_is_marked_though_the_status_of_the_first_one_was_missed(cluster: Cluster) -> None:
    (host,) = await cluster.connected(1)
    owner = host.owner
    lost = OwnerLost("the leader is gone")
    owner.follower.heard.present = None  # as if this host had followed, and had missed the status
    owner.follower.on_frame(MessageBatch(["of the first"]))
    owner.follower.on_leader_gone(lost)
    owner.deliver_status(dataclasses.replace(owner.status, state=State.CONNECTED, epoch=2))
    owner.follower.on_frame(MessageBatch(["of the second"]))
    await host.got("of the second")
    assert [item if isinstance(item, str) else item.reason for item in host.received] == [
        "of the first",
        GapReason.RECONNECTED,
        "of the second",
    ]
