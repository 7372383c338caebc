"""Hubs of several hosts, or of one, that share a bot's session: one Identify for all their clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from onesocket import Gap, join
from onesocket.client import GapReason
from onesocket.errors import OptionConflict
from onesocket.hub import Endpoint, Hub, HubOptions
from onesocket.sharing.cluster import ClusterOptions
from onesocket.sharing.cluster._memory_engine import MemoryEngine
from onesocket.sharing.host import HostOptions
from onesocket_discord import DiscordClient, Dispatch
from onesocket_discord.hub import make_hub
from onesocket_discord.pytest_plugin import chat_server as chat_server_fixture
from onesocket_discord.server import ChatServer
from tests.integration.test_cluster_discord import BotHosts, end_sessions
from tests.integration.test_hub_discord import INTENTS, ready
from tests.support.cluster_hosts import LEASE
from tests.unit.onesocket_discord.server.gateway.raw_client import RawGatewayClient, dial

pytestmark = [
    pytest.mark.skipif(not hasattr(asyncio, "open_unix_connection"), reason="Unix only"),
    pytest.mark.usefixtures("quick_logins"),
]
chat_server = chat_server_fixture


class Hubs:
    """The hubs of one bot, each on a host of its own."""

    def __init__(
        self, fleet: BotHosts, cluster: ClusterOptions, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.fleet = fleet
        self.hubs: list[Hub] = []
        self.clients = AsyncExitStack()
        self._cluster = cluster
        self._directory = directory
        self._monkeypatch = monkeypatch

    async def start(self, *, intents: int = int(INTENTS), **changes: Any) -> Hub:
        """Start another one."""
        place = self._directory / str(len(self.hubs))
        place.mkdir(mode=0o700)
        self._monkeypatch.setenv("ONESOCKET_RUNTIME_DIR", str(place))
        given: dict[str, Any] = {"cluster": self._cluster, "own": "allow", **changes}
        hub = make_hub(
            HubOptions(listen=Endpoint("127.0.0.1", 0), close_timeout=2.0),
            token=self.fleet.token,
            url=self.fleet.server.gateway_url,
            intents=intents,
            open_timeout=10.0,
            silence_timeout=None,
            headers=(),
            proxy=None,
            ssl=None,
            local_address=None,
            **given,
        )
        self.hubs.append(hub)
        await hub.start()
        return hub

    async def client(self, hub: Hub) -> RawGatewayClient:
        """A client of a hub, which has begun."""
        client = await self.clients.enter_async_context(dial(hub.url))
        await ready(client)
        return client


@pytest.fixture
async def hubs(chat_server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hubs]:
    engine = MemoryEngine()
    fleet = BotHosts(chat_server, tmp_path, engine, LEASE)
    await fleet.prepare()
    hubs = Hubs(fleet, ClusterOptions(engine=engine, lease=LEASE), tmp_path, monkeypatch)
    yield hubs
    await hubs.clients.aclose()
    await asyncio.gather(*(hub.stop() for hub in hubs.hubs), *(host.upstream.aclose() for host in fleet.hosts))


async def heard(client: RawGatewayClient, text: str) -> None:
    assert (await client.until("MESSAGE_CREATE"))["d"]["content"] == text


async def until_message(stream: AsyncIterator[Dispatch | Gap]) -> None:
    async for item in stream:
        assert isinstance(item, Dispatch)
        if item.event == "MESSAGE_CREATE":
            return


async def test_clients_of_all_hubs_have_one_session_whoever_leads(hubs: Hubs) -> None:
    leader, other, late = [await hubs.start() for _ in range(3)]
    clients = [await hubs.client(hub) for hub in (leader, other, late)]
    await hubs.fleet.say("to all")
    for client in clients:
        await heard(client, "to all")
    await leader.stop()
    await hubs.fleet.say("meanwhile or after")
    for client in clients[1:]:
        await heard(client, "meanwhile or after")
    assert hubs.fleet.counts == (1, 1)


async def test_a_hub_that_follows_sends_through_the_leader(hubs: Hubs) -> None:
    leader, other = [await hubs.start() for _ in range(2)]
    clients = [await hubs.client(hub) for hub in (leader, other)]
    guild = hubs.fleet.server.service.default_guild
    await clients[1].send(8, {"guild_id": str(guild), "query": "", "limit": 0, "nonce": "mine"})
    assert (await clients[1].until("GUILD_MEMBERS_CHUNK"))["d"]["nonce"] == "mine"
    await clients[1].send(3, {"since": None, "activities": [], "status": "idle", "afk": False})
    await hubs.fleet.say("after")
    await heard(clients[0], "after")


async def test_clients_of_all_hubs_identify_anew_when_the_session_has_ended(hubs: Hubs) -> None:
    leader, *others = [await hubs.start() for _ in range(3)]
    clients = [await hubs.client(hub) for hub in others]
    end_sessions(hubs.fleet)
    await leader.stop()
    for client in clients:
        while (payload := await client.receive())["op"] != 9:
            pass
        assert payload["d"] is False
        await client.send(2, {"token": "x", "intents": int(INTENTS), "properties": {}})
        assert (await client.until("READY"))["d"]["guilds"]
        await client.until("GUILD_CREATE")
    assert hubs.fleet.counts[0] == 2


async def test_clients_of_a_hub_that_missed_something_begin_anew(hubs: Hubs) -> None:
    leader, other = [await hubs.start() for _ in range(2)]
    clients = [await hubs.client(hub) for hub in (leader, other)]
    other.gap(Gap(GapReason.OVERFLOW, 1, 3))
    assert (await clients[1].receive())["op"] == 9
    await clients[1].send(2, {"token": "x", "intents": int(INTENTS), "properties": {}})
    assert (await clients[1].until("READY"))["d"]["user"]["username"] == "robo"
    await clients[1].until("GUILD_CREATE")
    await hubs.fleet.say("to both")
    for client in clients:
        await heard(client, "to both")
    assert hubs.fleet.counts == (1, 0)


async def test_programs_share_the_session_of_hubs(hubs: Hubs) -> None:
    hub = await hubs.start()
    client = await hubs.client(hub)
    url = hubs.fleet.server.gateway_url
    async with join(
        url,
        token=hubs.fleet.token,
        client_factory=lambda token: DiscordClient(token, INTENTS, gateway_url=url, snapshot=True, proxy=None),
        scope="cluster",
        cluster=hubs._cluster,
        host_options=HostOptions(directory=str(hubs._directory / "program")),
    ) as program:
        stream = program.subscribe()
        first = await anext(stream)
        assert isinstance(first, Dispatch)
        assert first.event == "READY"
        await hubs.fleet.say("to both")
        await heard(client, "to both")
        await until_message(stream)
    assert hubs.fleet.counts == (1, 0)


async def test_hubs_need_the_same_intents(hubs: Hubs) -> None:
    await hubs.start()
    with pytest.raises(OptionConflict):
        await hubs.start(intents=1)


async def test_a_hub_shares_with_the_processes_of_its_host(hubs: Hubs) -> None:
    hub = await hubs.start(cluster=None)
    url = hubs.fleet.server.gateway_url
    async with join(
        url,
        token=hubs.fleet.token,
        client_factory=lambda token: DiscordClient(token, INTENTS, gateway_url=url, snapshot=True, proxy=None),
        scope="host",
    ) as program:
        stream = program.subscribe()
        client = await hubs.client(hub)
        await hubs.fleet.say("to both")
        await heard(client, "to both")
        await until_message(stream)
    assert hubs.fleet.counts == (1, 0)
