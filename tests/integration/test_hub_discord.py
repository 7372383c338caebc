"""The hub in front of a Discord gateway: many bots' processes share one session upstream."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest
from websockets.exceptions import ConnectionClosed

from onesocket import ReconnectPolicy, State
from onesocket.hub import Endpoint, Hub, HubOptions
from onesocket.sharing._client_upstream import ClientUpstream
from onesocket_discord import DiscordClient, Dispatch, Intents
from onesocket_discord.hub import DiscordFrontend
from onesocket_discord.server import ChatServer, GatewayOptions
from tests.unit.onesocket_discord.server.gateway.raw_client import DEADLINE, RawGatewayClient, dial

pytestmark = pytest.mark.usefixtures("private_runtime")

FAST = ReconnectPolicy(initial=0.01, cap=0.05, stable_after=0.05)
INTENTS = Intents.GUILDS | Intents.GUILD_MEMBERS | Intents.GUILD_MESSAGES | Intents.MESSAGE_CONTENT
LOCAL = Endpoint("127.0.0.1", 0)


class HubSetup:
    """The chat server, a bot's account there, the hub, and a person who writes."""

    def __init__(self, server: ChatServer, token: str, hub: Hub, http: aiohttp.ClientSession) -> None:
        self.server = server
        self.token = token
        self.hub = hub
        self.http = http

    async def rest(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bot {self.token}"}
        async with self.http.request(method, self.server.api_url + path, json=body, headers=headers) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()

    async def channel(self) -> str:
        guilds = await self.rest("GET", "/users/@me/guilds")
        channels = await self.rest("GET", f"/guilds/{guilds[0]['id']}/channels")
        return str(next(one["id"] for one in channels if one["type"] == 0))

    async def post(self, content: str) -> None:
        await self.rest("POST", f"/channels/{await self.channel()}/messages", {"content": content})


@asynccontextmanager
async def world(*, intents: Intents = INTENTS, **options: Any) -> AsyncIterator[HubSetup]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(ChatServer(options=GatewayOptions(identify_interval=0)))
        token = await server.create_bot("robo")
        client = DiscordClient(token, intents, api_url=server.api_url, reconnect=FAST)
        given = HubOptions(**{"listen": LOCAL, "close_timeout": 2.0, **options})
        hub = Hub(ClientUpstream(client), DiscordFrontend(client, given), given, key=server.gateway_url)
        stack.push_async_callback(hub.stop)
        await hub.start()
        http = await stack.enter_async_context(aiohttp.ClientSession())
        yield HubSetup(server, token, hub, http)


async def ready(client: RawGatewayClient, *, guilds: int = 1, **changes: Any) -> dict[str, Any]:
    """HELLO, Identify, READY and the guilds."""
    await client.hello()
    intents = int(changes.pop("intents", INTENTS))
    await client.send(2, {"token": "whatever", "intents": intents, "properties": {}, **changes})
    answer = await client.receive()
    assert answer["t"] == "READY", answer
    assert len(answer["d"]["guilds"]) == guilds
    for _ in range(guilds):
        guild = await client.receive()
        assert guild["t"] == "GUILD_CREATE"
        answer["guild"] = guild["d"]
    return answer


@pytest.mark.parametrize("compress", ["", "zlib-stream", "zstd-stream"])
async def test_five_clients_are_one_session_upstream(compress: str) -> None:
    async with world() as here, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(dial(here.hub.url, compress=compress)) for _ in range(5)]
        greetings = [await ready(client) for client in clients]
        assert len({one["d"]["session_id"] for one in greetings}) == 5
        assert {one["s"] for one in greetings} == {1}
        assert greetings[0]["d"]["user"]["username"] == "robo"
        assert greetings[0]["guild"]["channels"]
        await here.post("to all")
        for client in clients:
            message = await client.until("MESSAGE_CREATE")
            assert (message["s"], message["d"]["content"]) == (3, "to all")
        await clients[0].send(1, 3)
        assert (await clients[0].receive())["op"] == 11
        assert here.server.stats.identifies == 1
        assert here.server.stats.open == 1


async def test_a_client_resumes_what_it_missed_and_nothing_goes_up() -> None:
    async with world() as here:
        async with dial(here.hub.url) as client:
            greeting = await ready(client)
            await client.close(4000)
        await here.post("missed")
        async with dial(here.hub.url) as client, dial(here.hub.url) as other:
            await ready(other)
            await here.post("heard by the other")
            await other.until("MESSAGE_CREATE")
            await client.hello()
            await client.resume(greeting, 2)
            assert (await client.receive())["d"]["content"] == "missed"
            assert (await client.receive())["d"]["content"] == "heard by the other"
            assert (await client.receive())["t"] == "RESUMED"
        assert here.server.stats.identifies == 1
        assert here.server.stats.resumes == 0


async def test_what_cannot_be_resumed_is_op_9_or_4007() -> None:
    async with world() as here:
        async with dial(here.hub.url) as client:
            greeting = await ready(client)
            await client.close(1000)  # ends the session
        async with dial(here.hub.url) as client:
            await client.hello()
            await client.resume(greeting, 2)
            assert await client.receive() == {"t": None, "s": None, "op": 9, "d": False}
            await client.send(2, {"token": "x", "intents": int(INTENTS)})
            greeting = await client.until("READY")
            await client.close(4000)
        async with dial(here.hub.url) as client:
            await client.hello()
            await client.resume(greeting, 99)
            assert await client.close_code() == 4007


async def test_a_session_that_is_taken_over_and_cannot_be_resumed_closes_its_old_connection() -> None:
    async with world() as here, dial(here.hub.url) as old:
        greeting = await ready(old)
        async with dial(here.hub.url) as client:
            await client.hello()
            await client.resume(greeting, -1)
            assert await client.close_code() == 4007
        assert await old.close_code() == 4000


async def test_a_connection_that_is_lost_and_resumed_upstream_is_not_noticed() -> None:
    async with world() as here, dial(here.hub.url) as client:
        await ready(client)
        await here.server.faults.drop_connection()
        await here.server.wait_for(lambda stats: stats.resumes == 1, timeout=DEADLINE)
        await here.post("after it")
        message = await client.receive()
        assert (message["s"], message["d"]["content"]) == (3, "after it")


async def test_a_new_session_upstream_makes_clients_identify_anew() -> None:
    async with world() as here, dial(here.hub.url) as client:
        await ready(client)
        await here.server.faults.invalid_session(resumable=False)
        while (payload := await client.receive())["op"] != 9:
            pass
        assert payload["d"] is False
        await client.send(2, {"token": "x", "intents": int(INTENTS)})
        assert (await client.until("READY"))["s"] == 1
        assert (await client.until("GUILD_CREATE"))["d"]["channels"]


async def test_members_go_to_the_client_that_asked_with_its_own_nonce() -> None:
    async with world() as here, dial(here.hub.url) as one, dial(here.hub.url) as two:
        guild = (await ready(one))["guild"]["id"]
        await ready(two)
        await one.send(8, {"guild_id": guild, "query": "", "limit": 0, "nonce": "mine"})
        await two.send(8, {"guild_id": guild, "query": "", "limit": 0, "nonce": "mine"})
        await two.send(8, {"guild_id": guild, "query": "nobody is called that", "limit": 1})
        first, second = await one.until("GUILD_MEMBERS_CHUNK"), await two.until("GUILD_MEMBERS_CHUNK")
        third = await two.until("GUILD_MEMBERS_CHUNK")
        assert first["d"]["nonce"] == second["d"]["nonce"] == "mine"
        assert first["d"]["members"] == second["d"]["members"] != []
        assert third["d"]["members"] == []
        assert "nonce" not in third["d"]
        await here.post("next")
        assert (await one.receive())["t"] == "MESSAGE_CREATE"  # and no other client's answer before it


async def test_undocumented_intents_are_ignored() -> None:
    async with world() as here, dial(here.hub.url) as client:
        answer = await ready(client, intents=int(INTENTS) | 1 << 17 | 1 << 40)
        assert answer["t"] == "READY"


async def test_members_and_presences_go_by_the_intents_of_the_client_not_of_the_hub() -> None:
    async with world(intents=INTENTS | Intents.PRIVILEGED) as here, dial(here.hub.url) as client:
        guild = (await ready(client, intents=int(INTENTS & ~Intents.PRIVILEGED)))["guild"]["id"]
        await client.send(8, {"guild_id": guild, "query": "", "limit": 0, "nonce": "all"})
        await client.send(8, {"guild_id": guild, "query": "r", "limit": 5, "nonce": "some", "presences": True})
        answer = (await client.until("GUILD_MEMBERS_CHUNK"))["d"]
        assert answer["nonce"] == "some"
        assert not answer.get("presences")
        assert len(answer["members"]) == 1


async def test_the_last_presence_wins() -> None:
    async with world() as here, dial(here.hub.url) as one, dial(here.hub.url) as two:
        await ready(one)
        await ready(two)
        user = int((await here.rest("GET", "/users/@me"))["id"])
        gateway = here.server._gateway
        assert gateway.status_of(user) == "online"
        await one.send(3, {"since": None, "activities": [], "status": "idle", "afk": False})
        await two.send(3, {"since": None, "activities": [], "status": "dnd", "afk": False})
        async with asyncio.timeout(DEADLINE):
            while gateway.status_of(user) != "dnd":  # noqa: ASYNC110 - looked at in every turn of the loop
                await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"intents": int(INTENTS | Intents.GUILD_PRESENCES)}, 4014),
        ({"intents": -1}, 4013),
        ({"intents": "all"}, 4013),
        ({"shard": [1, 2]}, 4010),
        ({"shard": "first"}, 4010),
        ({"token": None}, 4002),
        ({"token": "wrong"}, 4004),
        ({"presence": {"status": "asleep"}}, 4002),
        ({"presence": {"status": ""}}, 4002),
    ],
)
async def test_identify_is_checked(changes: dict[str, Any], code: int) -> None:
    async with world(token="local-secret") as here, dial(here.hub.url) as client:
        await client.hello()
        await client.send(2, {"token": "Bot local-secret", "intents": int(INTENTS), "shard": [0, 1], **changes})
        assert await client.close_code() == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", 4002),
        ("[]", 4002),
        ('{"op":3,"d":{}}', 4003),
        ('{"op":99}', 4001),
        ('{"op":6,"d":{}}', 4002),
        ('{"op":1,"d":"' + "x" * 5000 + '"}', 4002),
        ('{"op":1,"d":"1"}', 4002),
    ],
)
async def test_hostile_payloads_close_only_their_own_connection(text: str, code: int) -> None:
    async with world() as here, dial(here.hub.url) as client, dial(here.hub.url) as bystander:
        await ready(bystander)
        await client.hello()
        await client.socket.send(text)
        assert await client.close_code() == code
        await bystander.send(1)
        assert (await bystander.receive())["op"] == 11


async def test_a_second_identify_and_a_wrong_query() -> None:
    async with world() as here, dial(here.hub.url) as client:
        await ready(client)
        await client.send(2, {"token": "x", "intents": 0})
        assert await client.close_code() == 4005
        async with dial(here.hub.url, "v=9&encoding=json") as old:
            assert await old.close_code() == 4012
        async with dial(here.hub.url, "v=10&encoding=etf") as other:
            assert await other.close_code() == 4002


async def test_who_has_not_the_intent_does_not_see_it() -> None:
    async with world() as here, dial(here.hub.url) as quiet, dial(here.hub.url) as blind, dial(here.hub.url) as seeing:
        await ready(quiet, intents=Intents.GUILDS)
        await ready(blind, intents=Intents.GUILDS | Intents.GUILD_MESSAGES)
        await ready(seeing)
        ann = await here.server.create_user("ann", "a long password")
        assert (await quiet.receive())["t"] == "GUILD_UPDATE"  # the first person there owns the guild
        async with here.http.post(
            f"{here.server.api_url}/channels/{await here.channel()}/messages",
            json={"content": "secret"},
            headers={"Authorization": ann},
        ) as answer:
            assert answer.status == 200, await answer.text()
        assert (await seeing.until("MESSAGE_CREATE"))["d"]["content"] == "secret"
        assert (await blind.until("MESSAGE_CREATE"))["d"]["content"] == ""
        await quiet.send(1)
        assert (await quiet.receive())["op"] == 11


async def test_the_guild_a_late_client_sees_is_up_to_date() -> None:
    async with world() as here, dial(here.hub.url) as first:
        guild = (await ready(first))["guild"]
        owner = await here.server.create_user("olga", "a long password")
        async with here.http.get(f"{here.server.api_url}/users/@me", headers={"Authorization": owner}) as answer:
            olga = (await answer.json())["id"]
        await first.until("GUILD_MEMBER_ADD")
        async with dial(here.hub.url) as late:
            seen = (await ready(late))["guild"]
        assert olga in {member["user"]["id"] for member in seen["members"]}
        assert len(seen["members"]) == len(guild["members"]) + 1
        assert seen["member_count"] == guild["member_count"] + 1


async def test_a_client_that_does_not_read_is_cut_off_and_may_resume() -> None:
    async with world() as here:
        async with dial(here.hub.url) as client:
            greeting = await ready(client)
            frontend = here.hub.frontend
            assert isinstance(frontend, DiscordFrontend)
            (connection,) = frontend._connections
            connection.cut_off("cut off: too slow")
            assert await client.close_code() == 1013
            assert here.hub.counters.cut_off == 1
        async with dial(here.hub.url) as client:
            await client.hello()
            await client.resume(greeting, 1)
            assert (await client.receive())["t"] == "GUILD_CREATE"
            assert (await client.receive())["t"] == "RESUMED"


async def test_a_client_that_reads_later_gets_every_dispatch() -> None:
    async with world() as here, dial(here.hub.url) as client:
        await ready(client)
        count = 0
        while here.hub.backlog.size < 1 << 20:
            here.hub.frontend.messages([Dispatch("NEW", 1, b'"%s"' % (b"x" * 900_000))])
            count += 1
            await asyncio.sleep(0)
        assert [(await client.receive())["s"] for _ in range(count)] == list(range(3, 3 + count))
        assert (here.hub.counters.cut_off, here.hub.backlog.size) == (0, 0)


async def test_a_client_that_is_cut_off_gets_nothing_behind_what_it_missed() -> None:
    async with world() as here, dial(here.hub.url) as client:
        await ready(client)
        frontend = here.hub.frontend
        assert isinstance(frontend, DiscordFrontend)
        while here.hub.backlog.size < 1 << 20:
            frontend.messages([Dispatch("NEW", 1, b'"%s"' % (b"x" * 900_000))])
            await asyncio.sleep(0)
        (connection,) = frontend._connections
        frontend.messages([Dispatch("NEWEST", 2, b"0")])  # it is written at the end of this turn
        connection._frames.fall_out()
        names = set()
        with contextlib.suppress(ConnectionClosed):
            while True:
                names.add((await client.receive())["t"])
        assert (client.socket.close_code, names) == (1013, {"NEW"})


async def test_what_discord_does_not_document_is_passed_on_as_it_came() -> None:
    async with world() as here, dial(here.hub.url) as client:
        await ready(client)
        frontend = here.hub.frontend
        odd = [("CHANNEL_CREATE", b'{"guild_id":7}'), ("MESSAGE_CREATE", b"[]"), ("GUILD_CREATE", b"{}"), ("NEW", b"1")]
        frontend.messages([Dispatch(event, 1, body) for event, body in odd])
        for number, (event, body) in enumerate(odd, 3):
            assert await client.receive() == {"t": event, "s": number, "op": 0, "d": json.loads(body)}


async def test_the_address_of_the_gateway() -> None:
    async with world(token="local-secret") as here:
        address = here.hub.url.removeprefix("ws://").rstrip("/")
        for path, status in [("gateway", 200), ("gateway/bot", 401), ("users/@me", 404)]:
            async with here.http.get(f"http://{address}/api/v10/{path}") as answer:
                assert answer.status == status, path
                if status == 200:
                    assert answer.headers["Content-Type"] == "application/json"
                    assert await answer.json() == {"url": f"ws://{address}"}
        headers = {"Authorization": "Bot local-secret"}
        async with here.http.get(f"http://{address}/api/v10/gateway/bot", headers=headers) as answer:
            found = await answer.json()
        assert found["url"] == f"ws://{address}"
        assert found["shards"] == 1
        assert found["session_start_limit"].keys() == {"total", "remaining", "reset_after", "max_concurrency"}


async def test_stopping_is_op_7_and_1001_and_ends_the_session_upstream() -> None:
    async with world() as here, dial(here.hub.url) as client:
        await ready(client)
        stopping = asyncio.create_task(here.hub.stop())
        assert (await client.receive())["op"] == 7
        assert await client.close_code() == 1001
        await stopping
        await here.server.wait_for(lambda stats: stats.open == 0 and stats.sessions == 0, timeout=DEADLINE)
        assert here.hub.status.state is State.CLOSED
