"""Two chat servers on one database and one Redis: clients can't tell them from one."""

from __future__ import annotations

import asyncio
import math
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import pytest
from sqlalchemy import delete

from onesocket.errors import EngineCommandDenied, EngineFull, EngineUnavailable, InvalidOption, InvalidURL, MissingExtra
from onesocket_discord._serving import EncodedDispatch
from onesocket_discord.server import ChatServer, GatewayOptions
from onesocket_discord.server._ports import Account, Event, Json
from onesocket_discord.server.cluster import ClusterNode
from onesocket_discord.server.cluster._session_records import SessionRecord
from onesocket_discord.server.gateway._session import GatewaySession
from onesocket_discord.server.store._server_lease import SettingsDiffer
from onesocket_discord.server.store._tables import tokens
from tests.support.postgresql import PostgresqlServer
from tests.support.redis_server import RedisServer, redis_server
from tests.unit.onesocket_discord.server.gateway.raw_client import ALL_INTENTS, RawGatewayClient, dial
from tests.unit.onesocket_discord.server.service_fixture import expect_api_error


@pytest.fixture(scope="module")
def shared_redis() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture
def redis(shared_redis: RedisServer) -> RedisServer:
    shared_redis.client().flushall()
    return shared_redis


@pytest.fixture
def database(postgresql: PostgresqlServer) -> str:
    return postgresql.emptied_place()


@asynccontextmanager
async def running(database: str, redis: RedisServer, **options: Any) -> AsyncIterator[ChatServer]:
    chosen = GatewayOptions(**{"identify_interval": 0, "close_timeout": 1, **options})
    async with ChatServer(database, cluster=redis.url, options=chosen) as server:
        yield server


@dataclass
class Nodes:
    one: ChatServer
    other: ChatServer
    bot: str
    """The token of a bot."""
    ann: str
    """The token of a person, who owns the default guild."""
    guild: str
    channel: int
    author: Account

    async def say(self, server: ChatServer, content: str, **more: Any) -> Json:
        return await server.service.messages.post(self.author, self.channel, {"content": content, **more})


@asynccontextmanager
async def two_nodes(database: str, redis: RedisServer, **options: Any) -> AsyncIterator[Nodes]:
    async with running(database, redis, **options) as one, running(database, redis, **options) as other:
        bot = await one.create_bot("robo")
        ann = await other.create_user("ann", "correct horse")
        author = await one.service.authenticate(ann)
        assert author is not None
        guild = one.service.default_guild
        (channel,) = await other.service.channels.of_guild(author, guild)
        yield Nodes(one, other, bot, ann, str(guild), int(channel["id"]), author)


@pytest.fixture
async def nodes(database: str, redis: RedisServer) -> AsyncIterator[Nodes]:
    async with two_nodes(database, redis) as nodes:
        yield nodes


def cluster_of(server: ChatServer) -> ClusterNode:
    cluster = server._gateway.state.cluster
    assert cluster is not None
    return cluster


async def log_in(client: RawGatewayClient, token: str, intents: int = ALL_INTENTS) -> Json:
    return await client.identify(token, intents=intents)


async def health(server: ChatServer) -> tuple[int, Json]:
    async with aiohttp.ClientSession() as http, http.get(f"{server.public.origin}/healthz") as answer:
        return answer.status, await answer.json()


async def messages(client: RawGatewayClient, count: int) -> list[tuple[int, str]]:
    found = [await client.until("MESSAGE_CREATE") for _ in range(count)]
    return [(one["s"], one["d"]["content"]) for one in found]


async def resumed(client: RawGatewayClient, ready: Json, seq: int, token: str) -> list[Json]:
    """Resume; returns the payloads up to RESUMED or op 9."""
    await client.hello()
    await client.resume(ready, seq, token)
    found: list[Json] = []
    while not found or (found[-1]["t"] != "RESUMED" and found[-1]["op"] != 9):
        found.append(await client.receive())
    return found


async def continued(client: RawGatewayClient, ready: Json, seq: int, token: str, contents: list[str]) -> list[Json]:
    """Resume; returns the payloads up to RESUMED and these messages, checked: numbered without a hole, each once.

    A message that was just posted may come before RESUMED or after it.
    """
    await client.hello()
    await client.resume(ready, seq, token)
    found: list[Json] = []
    while [one["d"]["content"] for one in found if one["t"] == "MESSAGE_CREATE"] != contents or all(
        one["t"] != "RESUMED" for one in found
    ):
        found.append(await client.receive())
        assert found[-1]["s"] == seq + len(found), found
    return found


# --- events -----------------------------------------------------------------------------------------------------------


async def test_events_reach_the_sessions_of_both_servers_in_one_order(nodes: Nodes) -> None:
    async with dial(nodes.one.gateway_url) as first, dial(nodes.other.gateway_url) as second:
        await log_in(first, nodes.bot)
        await log_in(second, nodes.ann)
        servers = (nodes.one, nodes.other)
        await asyncio.gather(*(nodes.say(servers[n % 2], str(n)) for n in range(20)))
        heard = [await messages(client, 20) for client in (first, second)]
        contents = [[content for _, content in each] for each in heard]
        assert contents[0] == contents[1]
        assert sorted(map(int, contents[0])) == list(range(20))
        stored = await nodes.one.service.messages.history(nodes.author, nodes.channel, limit=100)
        assert [message["content"] for message in reversed(stored)] == contents[0]


async def test_typing_and_presences_cross_the_servers(nodes: Nodes) -> None:
    async with dial(nodes.one.gateway_url) as first:
        await log_in(first, nodes.bot)
        async with dial(nodes.other.gateway_url) as second:
            await log_in(second, nodes.ann)
            user_id = str(nodes.author.user_id)
            update = await first.until("PRESENCE_UPDATE")
            while update["d"]["user"]["id"] != user_id:  # the bot's own
                update = await first.until("PRESENCE_UPDATE")
            assert update["d"]["status"] == "online"
            await nodes.other.service.channels.type_in(nodes.author, nodes.channel)
            assert (await first.until("TYPING_START"))["d"]["user_id"] == user_id
            await second.send(3, {"since": None, "activities": [], "status": "dnd", "afk": False})
            assert (await first.until("PRESENCE_UPDATE"))["d"]["status"] == "dnd"
            async with dial(nodes.one.gateway_url) as late:
                await late.hello()
                await late.send(2, {"token": nodes.bot, "intents": ALL_INTENTS, "properties": {}})
                guild = await late.until("GUILD_CREATE")
                assert {one["user"]["id"]: one["status"] for one in guild["d"]["presences"]}[user_id] == "dnd"
            await second.close(1000)
        assert (await first.until("PRESENCE_UPDATE"))["d"]["status"] == "offline"


async def test_a_presence_that_redis_refuses_for_a_while_is_told_later_and_typing_is_not(
    nodes: Nodes, redis: RedisServer
) -> None:
    async with dial(nodes.one.gateway_url) as client:
        await log_in(client, nodes.bot)
        await client.until("PRESENCE_UPDATE")  # its own: nothing more is on its way
        node = cluster_of(nodes.other)
        add, refused = node._stream.add, asyncio.Event()

        async def refuse(entries: Any) -> None:
            if entries[0][0] is None:
                node._stream.add = add  # type: ignore[method-assign]
                refused.set()
                raise EngineFull("no memory")
            await add(entries)

        node._stream.add = refuse  # type: ignore[method-assign]
        robo = await nodes.one.service.authenticate(nodes.bot)
        assert robo is not None
        everybody = frozenset({robo.user_id})
        node.publish(Event("TYPING_START", {}, everybody))
        node.publish(Event("PRESENCE_UPDATE", {"status": "dnd"}, everybody))
        await refused.wait()
        told = await client.receive()
        assert (told["t"], told["d"]) == ("PRESENCE_UPDATE", {"status": "dnd"})


async def test_a_token_that_ends_at_one_server_ends_its_sessions_at_the_other(nodes: Nodes) -> None:
    assert await nodes.other.service.authenticate(nodes.ann) is not None  # remembered there
    async with dial(nodes.other.gateway_url) as client:
        await log_in(client, nodes.ann)
        await nodes.one.service.accounts.logout(nodes.author, nodes.ann)
        assert await client.close_code() == 4004
    assert await nodes.other.service.authenticate(nodes.ann) is None


async def is_forgotten(server: ChatServer, token: str) -> bool:
    for _ in range(200):
        if await server.service.authenticate(token) is None:
            return True
        await asyncio.sleep(0.05)
    return False


async def test_a_sign_out_that_redis_has_lost_is_no_token_that_goes_on(nodes: Nodes, redis: RedisServer) -> None:
    assert await nodes.other.service.authenticate(nodes.ann) is not None  # remembered there
    gone = delete(tokens).where(tokens.c.user_id == nodes.author.user_id)
    await nodes.one.service.store.write(lambda work: work.execute(gone))  # its entry never comes
    assert await nodes.other.service.authenticate(nodes.ann) is not None
    redis.client().flushall()
    assert await is_forgotten(nodes.other, nodes.ann)


async def test_without_redis_a_token_that_ends_at_one_server_is_void_at_the_other(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onesocket_discord.server.cluster._cluster_node._TIMEOUT", 0.3)
    with redis_server() as own:
        async with two_nodes(database, own) as nodes:
            assert await nodes.other.service.authenticate(nodes.ann) is not None
            own.process.send_signal(signal.SIGSTOP)
            try:
                await nodes.one.service.accounts.set_banned("ann", banned=True)
                assert await is_forgotten(nodes.other, nodes.ann)
            finally:
                own.process.send_signal(signal.SIGCONT)


async def test_identifies_of_a_bot_are_counted_by_both_servers_together(database: str, redis: RedisServer) -> None:
    async with two_nodes(database, redis, identify_interval=30, identify_limit=2) as nodes:
        robo = await nodes.one.service.authenticate(nodes.bot)
        assert robo is not None
        async with dial(nodes.one.gateway_url) as first, dial(nodes.other.gateway_url) as second:
            await log_in(first, nodes.bot)
            await second.hello()
            await second.send(2, {"token": nodes.bot, "intents": 0, "properties": {}})
            assert (await second.receive())["op"] == 9
        limit = await nodes.other._gateway.session_start_limit(robo)
        assert (limit["total"], limit["remaining"]) == (2, 1)
        assert 0 < limit["reset_after"] <= 86_400_000


# --- sessions ---------------------------------------------------------------------------------------------------------


async def test_a_session_is_resumed_on_the_other_server_with_what_it_missed_once_and_in_order(nodes: Nodes) -> None:
    async with dial(nodes.one.gateway_url) as client:
        ready = await log_in(client, nodes.bot)
        await nodes.say(nodes.other, "a")
        await nodes.say(nodes.one, "b")
        ((_, a), (seq, b)) = await messages(client, 2)
        assert (a, b) == ("a", "b")
        await client.send(8, {"guild_id": nodes.guild, "query": "", "limit": 0})  # a dispatch for this session alone
        assert (await client.until("GUILD_MEMBERS_CHUNK"))["s"] == seq + 1
        client.socket.transport.abort()
    await nodes.say(nodes.one, "c")
    await nodes.say(nodes.other, "d")
    async with dial(nodes.other.gateway_url) as client:
        found = await continued(client, ready, seq, nodes.bot, ["c", "d"])
        assert (found[0]["t"], len(found)) == ("GUILD_MEMBERS_CHUNK", 4)
        await nodes.say(nodes.one, "e")
        assert await messages(client, 1) == [(seq + 5, "e")]
    assert len(nodes.one._gateway.state.sessions) == 0


async def test_a_session_moves_while_its_old_connection_is_open_and_back(nodes: Nodes) -> None:
    async with dial(nodes.one.gateway_url) as first, dial(nodes.other.gateway_url) as second:
        ready = await log_in(first, nodes.bot)
        await nodes.say(nodes.one, "a")
        ((seq, _),) = await messages(first, 1)
        assert (await resumed(second, ready, seq, nodes.bot))[-1]["t"] == "RESUMED"
        assert await first.close_code() == 4000
        await nodes.say(nodes.one, "b")
        assert await messages(second, 1) == [(seq + 2, "b")]
        async with dial(nodes.one.gateway_url) as third:
            await third.hello()
            await third.resume(ready, seq, nodes.bot)
            found = [await third.receive() for _ in range(3)]
            assert [(one["s"] - seq, one["t"]) for one in found] == [
                (1, "RESUMED"),
                (2, "MESSAGE_CREATE"),
                (3, "RESUMED"),
            ]
            assert await second.close_code() == 4000
            await nodes.say(nodes.other, "c")
            assert await messages(third, 1) == [(seq + 4, "c")]


async def test_a_session_that_can_not_be_resumed_is_said_so(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    records = cluster_of(nodes.one).sessions._records
    end, is_recorded = records.end, asyncio.Event()

    async def recorded(session_id: str) -> None:
        await end(session_id)
        is_recorded.set()

    monkeypatch.setattr(records, "end", recorded)
    async with dial(nodes.one.gateway_url) as client:
        ready = await log_in(client, nodes.bot)
        await client.close(1000)
    await is_recorded.wait()  # the server answers the close first
    async with dial(nodes.other.gateway_url) as client:  # ended by its client
        assert (await resumed(client, ready, 1, nodes.bot))[-1]["op"] == 9
    async with dial(nodes.one.gateway_url) as client:
        ready = await log_in(client, nodes.bot)
        client.socket.transport.abort()
    async with dial(nodes.other.gateway_url) as client:  # another user's
        assert (await resumed(client, ready, 1, nodes.ann))[-1]["op"] == 9
    async with dial(nodes.other.gateway_url) as client:  # a number that was never sent
        await client.hello()
        await client.resume(ready, 99, nodes.bot)
        assert await client.close_code() == 4007


async def test_a_login_that_ends_while_its_session_moves_resumes_nothing(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with dial(nodes.one.gateway_url) as client:
        ready = await log_in(client, nodes.ann)
        client.socket.transport.abort()
    records = cluster_of(nodes.other).sessions._records
    claim = records.claim

    async def claim_slowly(session_id: str, user_id: int) -> SessionRecord | None:
        """Claims a session whose user signs out before this server has it."""
        record = await claim(session_id, user_id)
        await nodes.one.service.accounts.logout(nodes.author, nodes.ann)
        assert await is_forgotten(nodes.other, nodes.ann)
        return record

    monkeypatch.setattr(records, "claim", claim_slowly)
    async with dial(nodes.other.gateway_url) as client:
        await client.hello()
        await client.resume(ready, 1, nodes.ann)
        assert await client.close_code() == 4004
    assert len(nodes.other._gateway.state.sessions) == 0


@pytest.mark.parametrize("is_another", [False, True])
async def test_a_session_that_ends_while_its_resume_is_recorded_is_not_resumed(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch, *, is_another: bool
) -> None:
    """Else its client would wait for ever. `is_another`: it is resumed by another login of its user."""
    body = {"login": "ann", "password": "correct horse"}
    token = str((await nodes.one.service.accounts.login(body))["token"]) if is_another else nodes.ann
    async with dial(nodes.one.gateway_url) as client:
        ready = await log_in(client, nodes.ann)
        client.socket.transport.abort()
    sessions = cluster_of(nodes.one).sessions
    record = sessions.record

    async def record_slowly(session: GatewaySession, own: Sequence[EncodedDispatch]) -> bool:
        """Records something of a session whose user signs out meanwhile."""
        is_recorded = await record(session, own)
        await nodes.other.service.accounts.logout(nodes.author, token)
        assert await is_forgotten(nodes.one, token)
        return is_recorded

    monkeypatch.setattr(sessions, "record", record_slowly)
    async with dial(nodes.one.gateway_url) as client:
        assert (await resumed(client, ready, 1, token))[-1]["op"] == 9
    assert len(nodes.one._gateway.state.sessions) == 0


async def test_sessions_of_a_server_that_stops_in_order_are_resumed_on_the_other(
    database: str, redis: RedisServer
) -> None:
    async with two_nodes(database, redis) as nodes:
        async with dial(nodes.one.gateway_url) as client:
            ready = await log_in(client, nodes.bot)
            await nodes.say(nodes.one, "a")
            ((seq, _),) = await messages(client, 1)
            await nodes.one.stop()
            assert await client.close_code() == 1001
        await nodes.say(nodes.other, "b")
        async with dial(nodes.other.gateway_url) as client:
            assert len(await continued(client, ready, seq, nodes.bot, ["b"])) == 2


async def test_checkpoints_shorten_what_has_to_be_read_and_keep_the_numbers(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The server makes no checkpoints beside those of the test.
    monkeypatch.setattr("onesocket_discord.server.cluster._shared_sessions._AGE", math.inf)
    async with dial(nodes.one.gateway_url) as client:
        ready = await log_in(client, nodes.bot)
        await nodes.say(nodes.one, "a")
        ((seq, _),) = await messages(client, 1)
        shared = cluster_of(nodes.one)
        for _ in range(3):
            await shared.sessions.save_records(0)
        progress = shared.sessions._progress[ready["d"]["session_id"]]
        assert (progress.older.seq, progress.newer.seq) == (seq, seq)
        client.socket.transport.abort()
    async with dial(nodes.other.gateway_url) as client:  # what is before both checkpoints can't be rebuilt
        assert (await resumed(client, ready, seq - 1, nodes.bot))[-1]["op"] == 9
    async with dial(nodes.one.gateway_url) as client:
        ready = await log_in(client, nodes.bot)
        for content in ("b", "c"):
            await nodes.say(nodes.one, content)
            ((seq, _),) = await messages(client, 1)
            await shared.sessions.save_records(0)
        client.socket.transport.abort()
    await nodes.say(nodes.other, "d")
    async with dial(nodes.other.gateway_url) as client:  # from the older checkpoint: "c" did not arrive
        assert len(await continued(client, ready, seq - 1, nodes.bot, ["c", "d"])) == 3


# --- when something is gone -------------------------------------------------------------------------------------------


async def test_events_that_a_killed_server_left_are_passed_on_by_another(
    postgresql: PostgresqlServer, database: str, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onesocket_discord.server.cluster._cluster_node._RELAY_INTERVAL", 0.05)
    async with two_nodes(database, redis) as nodes, dial(nodes.other.gateway_url) as client:
        await log_in(client, nodes.bot)
        store = nodes.one.service.store
        monkeypatch.setattr(store, "pass_on_events", lambda append: asyncio.sleep(0, result=False))
        monkeypatch.setattr(store, "has_outgoing", asyncio.Event())
        monkeypatch.setattr(cluster_of(nodes.one)._stream, "add", lambda _: asyncio.Event().wait())
        message = await nodes.say(nodes.one, "left behind", nonce="1", enforce_nonce=True)
        assert (await client.until("MESSAGE_CREATE"))["d"]["id"] == message["id"]
        # One that was appended, but not removed before the end, is not published twice.
        shared = cluster_of(nodes.other)
        await shared._stream.add([(10**6, b"\x91"), (10**6, b"\x91")])
        assert redis.client().xlen(shared._keys.stream) == len(redis.client().xrange(shared._keys.stream))
        bodies = [fields[b"b"] for _, fields in redis.client().xrange(shared._keys.stream)]
        assert bodies.count(b"\x91") == 1


@pytest.mark.parametrize("is_foreign", [False, True])
async def test_sessions_end_where_redis_has_lost_its_data_and_begin_again(
    nodes: Nodes, redis: RedisServer, caplog: pytest.LogCaptureFixture, *, is_foreign: bool
) -> None:
    """The sessions begin again likewise where another program has written into the stream."""
    async with dial(nodes.one.gateway_url) as client:
        await log_in(client, nodes.bot)
        await client.until("PRESENCE_UPDATE")  # its own: nothing more is on its way
        if is_foreign:
            (stream,) = redis.client().keys("onesocket-chat:*:stream")
            redis.client().xadd(stream, {"another": "program's"})
        else:
            redis.client().flushall()
        while (payload := await client.receive())["op"] != 9:
            pass
        assert payload["d"] is False
        await client.send(2, {"token": nodes.bot, "intents": ALL_INTENTS, "properties": {}})
        await client.until("GUILD_CREATE")
        await nodes.say(nodes.other, "after it")
        assert [content for _, content in await messages(client, 1)] == ["after it"]
    assert ("another program has written an entry" in caplog.text) is is_foreign


async def test_without_redis_messages_are_stored_and_reach_everybody_when_it_is_back(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onesocket_discord.server.cluster._cluster_node._TIMEOUT", 0.3)
    monkeypatch.setattr("onesocket_discord.server._health._MAX_AGE", 0.0)
    with redis_server() as own:
        async with two_nodes(database, own) as nodes, dial(nodes.one.gateway_url) as client:
            await log_in(client, nodes.bot)
            robo = await nodes.one.service.authenticate(nodes.bot)
            assert robo is not None
            assert await health(nodes.one) == (200, {"status": "ok"})
            own.process.send_signal(signal.SIGSTOP)
            try:
                await nodes.say(nodes.other, "stored")
                async with dial(nodes.other.gateway_url) as late:
                    await late.hello()
                    await late.send(2, {"token": nodes.bot, "intents": 0, "properties": {}})
                    assert await late.close_code() == 4000
                with expect_api_error(503, 0):
                    await nodes.one._gateway.session_start_limit(robo)
                reason = "the cluster's engine can't be reached, or takes no writes"
                assert await health(nodes.one) == (503, {"status": "unavailable", "reason": reason})
            finally:
                own.process.send_signal(signal.SIGCONT)
            assert (await health(nodes.one))[0] == 200
            assert [content for _, content in await messages(client, 1)] == ["stored"]


async def test_users_of_a_server_that_is_gone_are_shown_as_offline(database: str, redis: RedisServer) -> None:
    async with (
        two_nodes(database, redis) as nodes,
        dial(nodes.other.gateway_url) as watcher,
        dial(nodes.one.gateway_url) as gone,
    ):
        await log_in(watcher, nodes.bot)
        await log_in(gone, nodes.ann)
        user_id = str(nodes.author.user_id)
        while (update := await watcher.until("PRESENCE_UPDATE"))["d"]["user"]["id"] != user_id:
            pass
        assert update["d"]["status"] == "online"
        gone_node, left = cluster_of(nodes.one), cluster_of(nodes.other)
        assert redis.client().smembers(left._keys.nodes) == {left.name.encode(), gone_node.name.encode()}
        await nodes.one.stop()
        assert redis.client().delete(left._keys.alive(gone_node.name)) == 1  # as its time does after the grace
        await left._find_lost_nodes()
        assert (await watcher.until("PRESENCE_UPDATE"))["d"]["status"] == "offline"
        assert redis.client().smembers(left._keys.nodes) == {left.name.encode()}


async def test_places_that_can_not_be(database: str, redis: RedisServer) -> None:
    with pytest.raises(InvalidURL, match="scheme"):
        ChatServer(database, cluster="http://localhost")
    with pytest.raises(InvalidOption, match="can't share an SQLite database"):
        await ChatServer(cluster=redis.url).start()
    with pytest.raises(EngineUnavailable, match=r"127\.0\.0\.1:1"):
        await ChatServer(database, cluster="redis://ann:tr0ub4dor@127.0.0.1:1").start()


async def test_an_engine_that_can_not_serve_is_refused_at_the_start(database: str, redis: RedisServer) -> None:
    raw = redis.client()
    raw.execute_command("ACL", "SETUSER", "chat", "on", ">x", "~onesocket-chat:*", "+@all", "-xadd")
    limited = replace(redis, path=f"chat:x@{redis.path}")
    with pytest.raises(EngineCommandDenied, match=r"may not run xadd: add \+xadd"):
        await ChatServer(database, cluster=limited.url).start()
    raw.execute_command("ACL", "SETUSER", "chat", "+xadd")
    async with running(database, limited) as server:
        assert await health(server) == (200, {"status": "ok"})
    raw.execute_command("ACL", "DELUSER", "chat")


async def test_a_server_that_would_let_in_whom_the_others_do_not_is_refused(database: str, redis: RedisServer) -> None:
    async with ChatServer(database, cluster=redis.url, registration="invite"):
        different: tuple[dict[str, Any], ...] = ({}, {"registration": "invite", "login_lifetime": 3600.0})
        for options in different:
            with pytest.raises(SettingsDiffer, match="start it with theirs, or end them first"):
                await ChatServer(database, cluster=redis.url, **options).start()


def test_a_missing_redis_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("onesocket_discord.server.cluster")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "onesocket.sharing.cluster._redis_client", raising=False)
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(MissingExtra, match=r"onesocket-discord\[server,postgresql,redis\]"):
        ChatServer("postgresql://localhost/chat", cluster="redis://localhost")


async def test_a_ban_by_one_server_reaches_the_sessions_at_the_other(nodes: Nodes) -> None:
    token = await nodes.other.create_user("bob", "correct horse")
    bob = await nodes.other.service.authenticate(token)
    assert bob is not None
    async with dial(nodes.other.gateway_url) as client:
        await log_in(client, token)
        await nodes.one.service.bans.ban(nodes.author, int(nodes.guild), bob.user_id, {}, reason="loud")
        assert (await client.until("GUILD_DELETE"))["d"]["id"] == nodes.guild
        with expect_api_error(403, 40007):
            await nodes.other.service.guilds.enter(bob, int(nodes.guild))
        await nodes.one.service.accounts.set_banned("bob", banned=True)
        assert await client.close_code() == 4004
    assert await nodes.other.service.authenticate(token) is None
    async with dial(nodes.other.gateway_url) as client:
        await client.hello()
        await client.send(2, {"token": token, "intents": ALL_INTENTS})
        assert await client.close_code() == 4004
