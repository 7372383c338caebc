"""A leader that does not reach the server: another host tries, and the server is dialled no more often for that."""

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest

from onesocket import ReconnectPolicy, State
from onesocket.client._status import Status
from onesocket.errors import EngineFull
from onesocket.lifecycle._effects import Outcome
from onesocket.sharing.cluster._failed_dials import FailedDials
from onesocket.testing import Fault
from tests.support.cluster_hosts import Cluster, short_lease, try_another_host_soon
from tests.support.redis_server import free_port

pytestmark = pytest.mark.skipif(not hasattr(asyncio, "open_unix_connection"), reason="Unix only")
STEADY = ReconnectPolicy(initial=0.3, factor=1, cap=0.3)
"""From the second failure in a row on, the next attempt follows after 0.15 s or more."""


class Dials:
    """The attempts of all hosts: which host, and when."""

    def __init__(self) -> None:
        self.at: list[tuple[int, float]] = []
        self.url = ""

    def source(self, host: int) -> Callable[[], str]:
        def url() -> str:
            self.at.append((host, asyncio.get_running_loop().time()))
            return self.url

        return url


async def test_a_server_that_is_down_is_not_dialled_more_often_by_several_hosts(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    try_another_host_soon(monkeypatch)
    dials = Dials()
    dials.url = cluster.server.url
    hosts = [cluster.host(source=dials.source(number), reconnect=STEADY) for number in range(3)]
    for host in hosts:
        await host.upstream.connect()
    dials.url = f"ws://127.0.0.1:{free_port()}/"
    cluster.server.kill_connections()
    await hosts[0].got(State.BACKING_OFF)
    waiting = [asyncio.create_task(host.upstream.connect(retry=True)) for host in hosts]
    client = hosts[0].owner.client
    await hosts[0].until(lambda _: client.status.callers == 3 and client.status.attempt >= 3)
    del dials.at[:-1]
    await hosts[1].until(lambda host: len({host for host, _ in dials.at}) == 2)
    first = len(dials.at)
    await hosts[2].until(lambda host: len(dials.at) > first)
    times = [at for _, at in dials.at]
    assert min(after - before for before, after in pairwise(times)) >= 0.149
    assert all(isinstance(host.upstream.status.last_error, Exception) for host in hosts)
    dials.url = cluster.server.url
    # Each passes to the next leader; one that gets there late finds it connected.
    assert {await each for each in waiting} <= {Outcome.OPENED, Outcome.JOINED, Outcome.ALREADY_CONNECTED}


async def test_a_date_that_the_server_named_holds_for_the_next_leader(cluster: Cluster) -> None:
    leader, other = await cluster.connected(2, reconnect=STEADY)
    cluster.server.faults = [Fault.refuse(503, headers={"Retry-After": "1"}), None]
    cluster.server.kill_connections()
    for host in (leader, other):
        await host.until(lambda host: host.upstream.status.retry_in)
    named = asyncio.get_running_loop().time()
    await leader.upstream.aclose()
    await other.reconnected()
    assert asyncio.get_running_loop().time() - named > 0.9


def pass_at_once(dials: FailedDials, status: Status, now: float) -> bool:
    return status.state is State.BACKING_OFF


async def test_a_host_without_another_one_goes_on(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FailedDials, "note", pass_at_once)
    (host,) = await cluster.connected(1, reconnect=STEADY)
    leadership = host.owner.leadership
    cluster.server.kill_connections()
    await host.connected(2)
    assert host.owner.leadership is leadership


@short_lease
async def test_a_lease_that_no_other_host_takes_is_taken_again(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FailedDials, "note", pass_at_once)
    leader, other = await cluster.connected(2, reconnect=STEADY)
    epoch = leader.owner.follower.epoch
    cluster.partition(other)
    cluster.server.kill_connections()
    await leader.reconnected()
    assert leader.owner.follower.epoch > epoch
    assert leader.upstream.is_owner
    cluster.heal_all()
    await other.reconnected()


async def test_a_host_that_leaves_the_lease_to_others_lets_them_take_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FailedDials, "note", pass_at_once)
    leader, other = await cluster.connected(2, reconnect=STEADY)
    member, looked = other.owner._coordinator.member, asyncio.Event()

    def delay(name: str, operation: str) -> None:
        if operation == "lease":
            looked.set()
        if (name, operation) == (member, "acquire") and not looked.is_set():
            raise EngineFull("not before the host that left has looked")

    cluster.engine.before = delay
    cluster.server.kill_connections()
    await other.reconnected()
    assert other.upstream.is_owner
    await leader.reconnected()
