"""A bot on several hosts: one Identify for all, and its session goes from one to the next. The chat server counts."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from onesocket import Gap
from onesocket.errors import EngineUnavailable
from onesocket.sharing._connection_key import ConnectionKey
from onesocket.sharing.cluster import _cluster_owner as cluster_owner
from onesocket.sharing.cluster._boot_time import boot_time
from onesocket.sharing.cluster._cluster_options import ClusterOptions
from onesocket.sharing.cluster._coordinator import ClusterEngine
from onesocket.sharing.cluster._lease_clock import LeaseClock
from onesocket.sharing.cluster._memory_engine import MemoryEngine
from onesocket_discord import DiscordClient, Intents
from onesocket_discord.pytest_plugin import chat_server as chat_server_fixture
from onesocket_discord.server import ChatServer
from tests.support.cluster_hosts import DEADLINE, LEASE, Host

pytestmark = [
    pytest.mark.skipif(not hasattr(asyncio, "open_unix_connection"), reason="Unix only"),
    pytest.mark.usefixtures("quick_logins"),
]
chat_server = chat_server_fixture
INTENTS = Intents.GUILDS | Intents.GUILD_MESSAGES | Intents.MESSAGE_CONTENT


class BotHosts:
    """The hosts of one bot."""

    def __init__(self, server: ChatServer, directory: Path, engine: ClusterEngine, lease: float) -> None:
        self.server = server
        self.engine: Any = engine
        self.hosts: list[Host] = []
        self.token = ""
        self.margin = 0.1
        self._lease = lease
        self._directory = directory
        self._numbers = itertools.count()
        self._writer: Any = None
        self._channel = 0

    async def prepare(self) -> None:
        """Make the bot, and somebody who writes to it."""
        self.token = await self.server.create_bot("robo")
        self._writer = await self.server.service.authenticate(await self.server.create_bot("writer"))
        (channel,) = await self.server.service.channels.of_guild(self._writer, self.server.service.default_guild)
        self._channel = int(channel["id"])

    def host(self, *, beside: Host | None = None) -> Host:
        """A further host, or another process of the one that this one is beside."""
        url = self.server.gateway_url

        def make_client() -> DiscordClient:
            return DiscordClient(self.token, INTENTS, gateway_url=url, snapshot=True)

        protocol = make_client().internals.options.protocol
        directory = self._directory / str(next(self._numbers)) if beside is None else beside.directory
        options = ClusterOptions(engine=self.engine, lease=self._lease, margin=self.margin)
        host = Host(url, directory, options, protocol, ConnectionKey.of(url, key="robo"), make_client=make_client)
        self.hosts.append(host)
        return host

    async def connected(self, count: int) -> list[Host]:
        """So many hosts that are connected; the first one leads."""
        hosts = [self.host() for _ in range(count)]
        for host in hosts:
            await host.upstream.connect()
        return hosts

    async def say(self, *texts: str) -> None:
        """Have the bot told something."""
        for text in texts:
            await self.server.service.messages.post(self._writer, self._channel, {"content": text})

    @property
    def counts(self) -> tuple[int, int]:
        """Numbers of Identifies and Resumes that the server granted."""
        return self.server.stats.identifies, self.server.stats.resumes


@pytest.fixture
def lease() -> float:
    return LEASE


@pytest.fixture
async def fleet(chat_server: ChatServer, tmp_path: Path, lease: float) -> AsyncIterator[BotHosts]:
    fleet = BotHosts(chat_server, tmp_path, MemoryEngine(), lease)
    await fleet.prepare()
    yield fleet
    await asyncio.gather(*(host.upstream.aclose() for host in fleet.hosts))


def texts(host: Host) -> list[str]:
    """Contents of the messages that its reader got, and the reasons of gaps."""
    shown = [item for item in host.received if isinstance(item, Gap) or item.event == "MESSAGE_CREATE"]
    return [item.reason.value if isinstance(item, Gap) else item.data.content for item in shown]


async def heard(host: Host, *expected: str) -> None:
    await host.until(lambda host: expected[-1] in texts(host))
    assert texts(host) == list(expected)


def lose_connection(host: Host) -> None:
    """Have a host hear nothing more from the server, without a close."""
    attempt = host.owner.client.internals.runner.attempt
    assert attempt is not None
    assert attempt.connection is not None
    attempt.connection.pause_reading()


async def test_a_fleet_identifies_once(fleet: BotHosts) -> None:
    hosts = await fleet.connected(3)
    await fleet.say("to all")
    for host in hosts:
        await heard(host, "to all")
    assert fleet.counts == (1, 0)


async def test_the_next_leader_resumes_after_an_orderly_leave(fleet: BotHosts) -> None:
    leader, *others = await fleet.connected(3)
    await fleet.say("before")
    for host in others:
        await heard(host, "before")
    lose_connection(leader)
    await fleet.say("meanwhile")
    await leader.upstream.aclose()
    for host in others:
        await heard(host, "before", "meanwhile")
    await fleet.say("after")
    for host in others:
        await heard(host, "before", "meanwhile", "after")
    assert fleet.counts == (1, 1)


def end_sessions(fleet: BotHosts) -> None:
    """Have the server forget all sessions."""
    fleet.server._gateway.state.sessions.end_all()


def partition(fleet: BotHosts, host: Host, *, spares: tuple[str, ...] = ()) -> None:
    """Take the engine away from this host, for good, but for some operations."""
    member = host.owner._coordinator.member

    def fail(name: str, operation: str) -> None:
        if name == member and operation not in spares:
            raise EngineUnavailable(f"no {operation} for this host")

    fleet.engine.before = fail
    fleet.engine.interrupt_waits()


async def close_for_its_lease(fleet: BotHosts, leader: Host) -> None:
    """Have a leader without the engine find that its lease has ended; the bot is told one thing more before."""
    leadership = leader.owner.leadership
    assert leadership is not None
    leadership._now = lambda: boot_time() + 3600
    await fleet.say("too late")
    await fleet.server.wait_for(lambda stats: stats.open == 0)


def end_lease(fleet: BotHosts, *others: Host) -> None:
    """Have others find that the lease has ended."""
    fleet.engine.model(others[0].owner_key).expire()
    for host in others:
        host.owner.follower._following._expires = 0.0
    fleet.engine.interrupt_waits()


async def test_what_a_leader_could_not_publish_comes_from_the_next_one_once(fleet: BotHosts) -> None:
    leader, *others = await fleet.connected(3)
    await fleet.say("before")
    for host in others:
        await heard(host, "before")
    partition(fleet, leader)
    await fleet.say("unpublished")
    await heard(leader, "before", "unpublished")
    await close_for_its_lease(fleet, leader)
    end_lease(fleet, *others)
    await fleet.server.wait_for(lambda stats: stats.resumes == 1)
    await fleet.say("after")
    for host in others:
        await heard(host, "before", "unpublished", "too late", "after")
    assert fleet.counts == (1, 1)


async def test_a_leader_takes_over_what_it_has_not_read_yet(fleet: BotHosts) -> None:
    leader, other = await fleet.connected(2)
    member = other.owner._coordinator.member

    def fail(name: str, operation: str) -> None:
        if (name, operation) == (member, "follow"):
            raise EngineUnavailable("it reads nothing")

    fleet.engine.before = fail
    fleet.engine.interrupt_waits()
    await fleet.say("published")
    await heard(leader, "published")
    closing = asyncio.ensure_future(leader.upstream.aclose())
    await fleet.server.wait_for(lambda stats: stats.open == 0)
    await closing
    fleet.engine.before = None
    end_lease(fleet, other)
    await other.connected(2)
    await fleet.say("after")
    await heard(other, "published", "after")
    assert fleet.counts == (1, 1)


async def snapshot_of(host: Host) -> list[str]:
    """The events with which a late reader on this host begins."""
    asked: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
    host.upstream.ask_snapshot(asked.set_result)
    return [each.event for each in await asyncio.wait_for(asked, DEADLINE)]


async def test_late_readers_begin_with_ready_and_the_guilds_whoever_leads(fleet: BotHosts) -> None:
    leader, other = await fleet.connected(2)
    for host in (leader, other):
        assert await snapshot_of(host) == ["READY", "GUILD_CREATE"]
    await leader.upstream.aclose()
    late = fleet.host()
    await late.upstream.connect()
    assert await snapshot_of(late) == ["READY", "GUILD_CREATE"]
    assert fleet.counts == (1, 1)


async def test_a_host_that_comes_when_all_have_left_begins_anew(fleet: BotHosts) -> None:
    for host in await fleet.connected(2):
        await host.upstream.aclose()
    newcomer = fleet.host()
    await newcomer.upstream.connect()
    await newcomer.until(lambda host: len(host.received) == 2)
    assert [item.event for item in newcomer.received] == ["READY", "GUILD_CREATE"]
    assert fleet.counts[0] == 2


async def test_a_host_that_leaves_while_it_takes_over_releases_the_lease(
    fleet: BotHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader, other = await fleet.connected(2)
    reading, leaving = asyncio.Event(), asyncio.Event()

    async def read_rest(_: int) -> None:
        reading.set()
        await leaving.wait()

    async def leave(_: object) -> None:
        leaving.set()

    monkeypatch.setattr(other.owner.follower, "read_rest", read_rest)
    monkeypatch.setattr(other.owner.follower, "leave", leave)
    await leader.upstream.aclose()
    await reading.wait()
    model = fleet.engine.model(other.owner_key)
    await other.upstream.aclose()
    assert model.lease(asyncio.get_running_loop().time()) is None


async def test_another_process_of_the_leaders_host_resumes(fleet: BotHosts) -> None:
    leader = fleet.host()
    beside = fleet.host(beside=leader)
    for host in (leader, beside):
        await host.upstream.connect()
    await fleet.say("before")
    await heard(beside, "before")
    await leader.upstream.aclose()
    await fleet.say("after")
    await heard(beside, "before", "reconnected", "after")
    assert fleet.counts == (1, 1)


async def test_a_host_that_knows_the_guilds_leads_next(fleet: BotHosts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_owner, "_GIVES_WAY", 5.0)
    fleet.margin = 5.0
    leader = fleet.host()
    beside, other = fleet.host(beside=leader), fleet.host()
    for host in (leader, beside, other):
        await host.upstream.connect()
    await fleet.say("before")
    await heard(other, "before")
    members = [each.owner._coordinator.member for each in (leader, other)]
    has_asked = False

    def fail(name: str, operation: str) -> None:
        nonlocal has_asked
        has_asked |= name not in members and operation in ("acquire", "lease")
        if name == members[1] and operation in ("acquire", "follow") and not has_asked:
            raise EngineUnavailable("it has to wait for the other process")

    fleet.engine.before = fail
    await leader.upstream.aclose()
    await fleet.say("after")
    await heard(other, "before", "after")
    assert other.upstream.is_owner
    await beside.connected(2)
    await fleet.say("to both")
    await beside.until(lambda host: "to both" in texts(host))
    assert await snapshot_of(beside) == ["READY", "GUILD_CREATE"]
    assert fleet.counts == (1, 1)


async def test_a_session_that_the_server_has_ended_is_no_failure_of_a_first_connect(fleet: BotHosts) -> None:
    leader, other = fleet.host(), fleet.host()
    await leader.upstream.connect()
    partition(fleet, leader, spares=("take", "publish"))  # it answers nothing
    connecting = asyncio.ensure_future(other.upstream.connect())
    await other.until(lambda host: host.upstream.status.is_connected)
    await close_for_its_lease(fleet, leader)
    end_sessions(fleet)
    end_lease(fleet, other)
    await connecting
    assert fleet.counts == (2, 0)


async def test_readers_are_told_of_a_session_that_has_ended(fleet: BotHosts) -> None:
    leader, *others = await fleet.connected(3)
    await fleet.say("before")
    for host in others:
        await heard(host, "before")
    partition(fleet, leader)
    await close_for_its_lease(fleet, leader)
    end_sessions(fleet)
    end_lease(fleet, *others)
    for host in others:
        await host.reconnected()
    await fleet.say("after")
    for host in others:
        await heard(host, "before", "reconnected", "after")
    assert fleet.counts == (2, 0)


async def test_a_disconnect_ends_the_session(fleet: BotHosts) -> None:
    leader, other = await fleet.connected(2)
    await other.upstream.disconnect()
    await fleet.server.wait_for(lambda stats: stats.sessions == 0)
    await leader.upstream.aclose()
    await other.upstream.reconnect()
    assert fleet.counts == (2, 0)


@pytest.mark.parametrize("loss", ["engine", "records"])
async def test_a_host_that_missed_the_end_of_a_leader_is_told_though_the_session_goes_on(
    fleet: BotHosts, loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LeaseClock, "dial_delay", lambda *_: 0.0)
    leader, next_leader, deaf = await fleet.connected(3)
    await fleet.say("before")
    for host in fleet.hosts:
        await heard(host, "before")
    member = deaf.owner._coordinator.member

    def fail(name: str, operation: str) -> None:
        if (name, operation) in {(member, "follow"), (member, "acquire")}:
            raise EngineUnavailable("it hears nothing")

    fleet.engine.before = fail
    fleet.engine.interrupt_waits()
    await fleet.say("missed")
    await heard(next_leader, "before", "missed")
    model = fleet.engine.model(leader.owner_key)
    if loss == "engine":
        model.lose_everything()
    await leader.upstream.aclose()
    if loss == "engine":
        end_lease(fleet, next_leader)
    await fleet.server.wait_for(lambda stats: stats.resumes == 1)
    while model._feed and model._feed[0].position.epoch < model._end.epoch:
        model._feed.popleft()  # as an engine drops the oldest records
    fleet.engine.before = None
    fleet.engine.interrupt_waits()
    await fleet.say("after")
    await deaf.until(lambda host: texts(host)[-1:] == ["after"])
    assert "reconnected" in texts(deaf)
    assert await snapshot_of(deaf) == ["READY", "GUILD_CREATE"]
    assert fleet.counts[0] == 1
