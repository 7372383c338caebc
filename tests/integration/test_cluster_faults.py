"""Unexpected exceptions in the tasks of hosts and processes: they go on by themselves, and mark what may be missing."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from onesocket import OnesocketError, ReconnectPolicy, State
from onesocket.client import GapReason
from onesocket.sharing.cluster._cluster_follower import ClusterFollower
from onesocket.sharing.cluster._cluster_leader import ClusterLeader
from onesocket.sharing.cluster._cluster_owner import ClusterOwner
from onesocket.sharing.host._follower import Follower
from onesocket.sharing.host._host_upstream import HostUpstream
from onesocket.sharing.host._ipc_frames import MessageBatch, ToFollower
from onesocket.sharing.host._membership import Membership
from onesocket.sharing.host._owner import Owner
from onesocket.sharing.host._owner_operations import OwnerOperations
from onesocket.testing import FaultyServer
from tests.support.cluster_hosts import Cluster, short_lease
from tests.support.host_processes import make_upstream
from tests.unit.onesocket.sharing.cluster.test_faults import Failing, each_fault, some_faults

pytestmark = pytest.mark.skipif(not hasattr(asyncio, "open_unix_connection"), reason="Unix only")


@each_fault
async def test_a_host_that_follows_goes_on_and_marks_what_it_missed(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    leader, other = await cluster.connected(2)
    on_frame, has_failed = ClusterFollower.on_frame, asyncio.Event()

    def fail(follower: ClusterFollower, frame: ToFollower) -> None:
        if isinstance(frame, MessageBatch) and frame.messages == ["lost"]:
            has_failed.set()
            raise fault
        on_frame(follower, frame)

    monkeypatch.setattr(ClusterFollower, "on_frame", fail)
    await cluster.server.broadcast("lost")
    await has_failed.wait()
    await cluster.server.broadcast("after")
    await other.got("after")
    gap, *rest = other.received
    assert (gap.reason, gap.missed, rest) == (GapReason.OVERFLOW, 1, ["after"])
    assert [item for item in other.items if isinstance(item, State)].count(State.CONNECTED) == 1
    assert State.FAILED not in other.items
    assert other.owner.cluster_status.engine_errors == {type(fault).__name__: 1}
    await other.upstream.send("still works")
    assert leader.received[:2] == ["lost", "after"]


@each_fault
async def test_each_operation_may_fail_once_for_each_host(cluster: Cluster, fault: Exception) -> None:
    calls = Counter[tuple[str, str]]()

    def fail(member: str, operation: str) -> None:
        calls[member, operation] += 1
        if calls[member, operation] == 1:
            raise fault

    cluster.engine.before = fail
    hosts = [cluster.host(), cluster.host()]
    for host in hosts:
        await host.upstream.connect(retry=True)
        await host.got(State.CONNECTED)
    await hosts[1].upstream.send("from the other")
    await cluster.server.broadcast("to all")
    for host in hosts:
        await host.got("to all")
        assert State.FAILED not in host.items
        assert host.received == ["from the other", "to all"]
    failed = {operation for (_, operation), count in calls.items() if count > 1}
    assert failed >= {"check", "acquire", "publish", "take", "answer", "follow", "submit"}
    assert cluster.server.counts.upgraded == 1


@some_faults
async def test_a_host_that_can_not_begin_to_lead_tries_again(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    begin = Failing(fault, ClusterOwner._begin_leading)
    monkeypatch.setattr(ClusterOwner, "_begin_leading", begin)
    (host,) = await cluster.connected(1)
    await cluster.server.broadcast("one")
    await host.got("one")
    assert not begin.left
    assert State.FAILED not in host.items


@short_lease
@pytest.mark.parametrize(
    ("kind", "part"),
    [
        (OwnerOperations, "post_own"),
        (Owner, "_end_connection"),
        (ClusterLeader, "settle"),
        (ClusterLeader, "finish"),
    ],
)
@some_faults
async def test_a_leader_that_fails_to_hand_over_leaves_the_lease_to_another_host(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, kind: type, part: str, fault: Exception
) -> None:
    leader, other = await cluster.connected(2)
    monkeypatch.setattr(kind, part, Failing(fault, getattr(kind, part)))
    await leader.upstream.aclose()
    await other.reconnected()
    assert other.owner.leadership is not None
    assert cluster.server.counts.most_open == 1


@pytest.mark.parametrize("part", ["_post_own", "_end_connection", "_before_release"])
@some_faults
async def test_an_owner_that_fails_to_hand_over_releases_the_lock(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, fault: Exception
) -> None:
    owner, _ = make_upstream(server.url, tmp_path / "run")
    follower, sink = make_upstream(server.url, tmp_path / "run")
    await owner.connect()
    await follower.connect()
    sink.states.clear()
    failing = Failing(fault, getattr(Owner, part))
    monkeypatch.setattr(Owner, part, failing)
    end_owner, ends = Membership._end_owner, list[bool]()

    async def end(membership: Membership, role: Owner) -> bool:
        ends.append(await end_owner(membership, role))
        return ends[-1]

    monkeypatch.setattr(Membership, "_end_owner", end)
    await owner.aclose()
    assert ends == [False]  # what has no result may have been sent
    await sink.until_state(State.CONNECTED)
    assert follower.is_owner
    await follower.aclose()
    assert server.counts.handshakes == 2
    assert server.counts.most_open == 1


@some_faults
async def test_a_process_that_fails_to_attach_says_so_and_can_try_again(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    owner, _ = make_upstream(server.url, tmp_path / "run")
    await owner.connect()
    other, _ = make_upstream(server.url, tmp_path / "run")
    challenge = Failing(fault, Follower.attach)
    monkeypatch.setattr(Follower, "attach", challenge)
    if isinstance(fault, OSError):
        await other.connect()  # nobody listens, as far as it knows: it tries again
    else:
        with pytest.raises(OnesocketError, match="can't be shared"):
            await other.connect()
        await other.connect()
    await other.aclose()
    await owner.aclose()
    assert server.counts.handshakes == 1


@pytest.mark.parametrize("owns", [True, False])
@some_faults
async def test_a_process_that_fails_to_take_its_role_gets_one_later(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception, *, owns: bool
) -> None:
    others: list[Any] = []
    policy = ReconnectPolicy(initial=0.001)
    if not owns:
        others.append(make_upstream(server.url, tmp_path / "run")[0])
        await others[0].connect()
    process, sink = make_upstream(server.url, tmp_path / "run", policy)
    taking = Failing(fault, HostUpstream._on_role_taken)
    monkeypatch.setattr(HostUpstream, "_on_role_taken", taking)
    with pytest.raises(OnesocketError, match="can't be shared"):
        await process.connect()
    assert sink.states[-1] is (State.FAILED if owns else State.BACKING_OFF)
    await process.connect()
    assert process.is_owner is owns
    for each in (process, *others):
        await each.aclose()
    assert server.counts.handshakes == 1
