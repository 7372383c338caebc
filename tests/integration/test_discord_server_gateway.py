"""The gateway on real sockets, with a client that hides nothing."""

import asyncio
import contextlib
import json
import random
import resource
import socket
import struct
import time
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onesocket.errors import InvalidOption
from onesocket_discord.server._ports import Account, Event, token_digest
from onesocket_discord.server.gateway import GatewayServer
from onesocket_discord.server.gateway._identify_limiter import IdentifyVerdict
from tests.unit.onesocket_discord.server.gateway.raw_client import (
    ALL_INTENTS,
    BOT_TOKEN,
    DEADLINE,
    GUILD,
    OTHER_GUILD,
    FakeDirectory,
    RawGatewayClient,
    dial,
    running_gateway,
)

ALL_USERS = frozenset(range(1, 10))


@pytest.fixture
async def gateway() -> AsyncIterator[GatewayServer]:
    async with running_gateway() as gateway:
        yield gateway


def message(number: int, **changes: Any) -> Event:
    body = {"id": str(number), "guild_id": str(GUILD), "author": {"id": "2"}, "content": f"text {number}"}
    return Event("MESSAGE_CREATE", {**body, **changes}, ALL_USERS, intents=1 << 9, content_of=2)


async def texts(client: RawGatewayClient, count: int) -> list[str]:
    return [(await client.until("MESSAGE_CREATE"))["d"]["content"] for _ in range(count)]


# --- the way to READY -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", ["", "zlib-stream", "zstd-stream"])
async def test_ready_guilds_and_events_come_numbered_in_every_compression(
    gateway: GatewayServer, compress: str
) -> None:
    async with dial(gateway.url, compress=compress) as client:
        assert (await client.hello())["d"]["heartbeat_interval"] == 41250
        await client.send(1, 0)  # before Identify, with 0
        assert await client.receive() == {"t": None, "s": None, "op": 11, "d": None}
        await client.send(2, {"token": "Bot t1", "intents": ALL_INTENTS, "properties": {}, "compress": compress})
        ready = await client.receive()
        assert (ready["t"], ready["s"]) == ("READY", 1)
        assert ready["d"]["guilds"] == [{"id": str(one), "unavailable": True} for one in (GUILD, OTHER_GUILD)]
        assert ready["d"]["resume_gateway_url"] == gateway.url
        assert ready["d"]["application"] == {"id": "1", "flags": 0}
        assert ready["d"]["v"] == 10
        assert len(ready["d"]["session_id"]) == 32
        assert "read_states" not in ready["d"]
        first, second = await client.receive(), await client.receive()
        assert [(one["t"], one["s"]) for one in (first, second)] == [("GUILD_CREATE", 2), ("GUILD_CREATE", 3)]
        assert first["d"]["unavailable"] is False
        gateway.publish(message(1))
        event = await client.until("MESSAGE_CREATE")
        assert event["d"]["content"] == "text 1"


@pytest.mark.parametrize("bits", [1 << 17, 1 << 18 | 1 << 19, 1 << 60])
async def test_undocumented_intents_are_ignored(gateway: GatewayServer, bits: int) -> None:
    async with dial(gateway.url) as client:
        await client.identify(intents=ALL_INTENTS | bits)
        gateway.publish(message(1))
        assert await texts(client, 1) == ["text 1"]


async def test_people_get_their_read_states(gateway: GatewayServer) -> None:
    async with dial(gateway.url) as client:
        assert (await client.identify("p2"))["d"]["read_states"] == [{"id": "5"}]


async def test_json_in_binary_frames_and_in_fragments(gateway: GatewayServer) -> None:
    async with dial(gateway.url) as client:
        await client.hello()
        await client.socket.send(json.dumps({"op": 1, "d": None}).encode())
        assert (await client.receive())["op"] == 11
        await client.socket.send(iter(['{"op":', "1,", '"d":null}']))
        assert (await client.receive())["op"] == 11


async def test_identify_with_compress_packs_ready_alone(gateway: GatewayServer) -> None:
    async with dial(gateway.url) as client:
        await client.identify(compress=True, wait=False)
        packed = await client.socket.recv()
        assert isinstance(packed, bytes)
        assert json.loads(zlib.decompress(packed))["t"] == "READY"
        assert (await client.receive())["t"] == "GUILD_CREATE"


async def test_an_offered_permessage_deflate_is_not_agreed_to(gateway: GatewayServer) -> None:
    async with dial(gateway.url) as client:
        assert client.socket.response is not None
        assert "Sec-WebSocket-Extensions" not in client.socket.response.headers


async def test_what_happens_during_the_welcome_comes_after_it() -> None:
    directory = FakeDirectory()
    directory.gate = asyncio.Event()
    async with running_gateway(directory) as gateway, dial(gateway.url) as client:
        await client.identify(wait=False)
        async with asyncio.timeout(DEADLINE):
            await directory.asked.wait()
        gateway.publish(message(1))
        directory.gate.set()
        names = [(await client.receive())["t"] for _ in range(4)]
        assert names == ["READY", "GUILD_CREATE", "GUILD_CREATE", "MESSAGE_CREATE"]


async def test_a_welcome_that_takes_too_long_is_an_error_of_ours() -> None:
    directory = FakeDirectory()
    directory.gate = asyncio.Event()
    async with running_gateway(directory, identify_timeout=0.05) as gateway, dial(gateway.url) as client:
        await client.identify(wait=False)
        assert await client.close_code() == 4000
        assert gateway.state.stats_counter.snapshot().sessions == 0


async def test_after_an_invalid_session_there_is_time_for_another_try() -> None:
    async with running_gateway(identify_timeout=0.3) as gateway, dial(gateway.url) as client:
        await client.hello()
        await client.send(6, {"token": "t1", "session_id": "gone", "seq": 1})
        assert (await client.receive())["op"] == 9
        assert await client.close_code() == 4009


async def test_a_client_that_leaves_during_the_welcome_leaves_no_session() -> None:
    directory = FakeDirectory()
    directory.gate = asyncio.Event()
    async with running_gateway(directory) as gateway:
        async with dial(gateway.url) as client:
            await client.identify(wait=False)
            async with asyncio.timeout(DEADLINE):
                await directory.asked.wait()
        await gateway.state.stats_counter.wait_for(lambda stats: stats.open == 0 and stats.sessions == 0, DEADLINE)


# --- close codes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "code"),
    [("v=9&encoding=json", 4012), ("v=x&encoding=json", 4012), ("v=10&encoding=etf", 4002)],
)
async def test_a_wrong_query_is_closed_at_once(gateway: GatewayServer, query: str, code: int) -> None:
    async with dial(gateway.url, query) as client:
        assert await client.close_code() == code


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("{", 4002),
        ("[]", 4002),
        ("null", 4002),
        ("{}", 4002),
        ('{"op":"1"}', 4002),
        ('{"op":1.5}', 4002),
        ("[" * 4000, 4002),
        ('{"op":2,"d":' + "[" * 2000 + "]" * 2000 + "}", 4002),
        ('{"op":1,"d":"1"}', 4002),
        ('{"op":1,"d":true}', 4002),
        ("x" * 4097, 4002),
        ("x" * 70_000, 4002),
        (b"\xff\xfe", 4002),
        ('{"op":99}', 4001),
        ('{"op":0}', 4001),
        ('{"op":11}', 4001),
        ('{"op":-1}', 4001),
        ('{"op":3,"d":{}}', 4003),
        ('{"op":4,"d":{}}', 4003),
        ('{"op":8,"d":{"guild_id":"1","query":"","limit":0}}', 4003),
        ('{"op":2,"d":null}', 4002),
        ('{"op":2,"d":{"token":1,"intents":1}}', 4002),
        ('{"op":2,"d":{"token":"nobody","intents":1}}', 4004),
        ('{"op":2,"d":{"token":"t1"}}', 4013),
        ('{"op":2,"d":{"token":"t1","intents":"1"}}', 4013),
        ('{"op":2,"d":{"token":"t1","intents":-1}}', 4013),
        ('{"op":2,"d":{"token":"t1","intents":1,"shard":[1,1]}}', 4010),
        ('{"op":2,"d":{"token":"t1","intents":1,"shard":[0,0]}}', 4010),
        ('{"op":2,"d":{"token":"t1","intents":1,"shard":[-1,2]}}', 4010),
        ('{"op":2,"d":{"token":"t1","intents":1,"shard":"01"}}', 4010),
        ('{"op":2,"d":{"token":"t1","intents":1,"shard":[false,true]}}', 4010),
        ('{"op":2,"d":{"token":"t1","intents":1,"presence":{"status":"busy"}}}', 4002),
        ('{"op":2,"d":{"token":"t1","intents":1,"presence":{"status":{}}}}', 4002),
        ('{"op":2,"d":{"token":"t1","intents":1,"presence":{"activities":[1]}}}', 4002),
        ('{"op":6,"d":{"token":"nobody","session_id":"x","seq":1}}', 4004),
        ('{"op":6,"d":{"token":"t1","session_id":"x","seq":null}}', 4002),
        ('{"op":6,"d":{"token":"t1","session_id":5,"seq":1}}', 4002),
    ],
)
async def test_each_mistake_has_its_close_code(gateway: GatewayServer, sent: str | bytes, code: int) -> None:
    async with dial(gateway.url) as client:
        await client.hello()
        await client.socket.send(sent)
        assert await client.close_code() == code


@pytest.mark.parametrize("op", [2, 6])
async def test_a_second_identify_or_resume_on_a_connection_is_4005(gateway: GatewayServer, op: int) -> None:
    async with dial(gateway.url) as client:
        ready = await client.identify()
        body = {"token": "t1", "intents": 1, "session_id": ready["d"]["session_id"], "seq": 1}
        await client.send(op, body)
        assert await client.close_code() == 4005


async def test_a_second_identify_before_the_first_is_answered_is_4005(gateway: GatewayServer) -> None:
    async with dial(gateway.url) as client:
        await client.identify(wait=False)
        await client.send(2, {"token": "t1", "intents": 1})
        assert await client.close_code() == 4005


async def test_more_than_120_events_in_a_minute_are_4008(gateway: GatewayServer) -> None:
    async with dial(gateway.url) as client:
        await client.hello()
        for _ in range(121):
            await client.send(1)
        assert await client.close_code() == 4008
        assert gateway.state.stats_counter.snapshot().heartbeats == 120


async def test_nobody_identifies_in_time() -> None:
    async with running_gateway(identify_timeout=0.05) as gateway, dial(gateway.url) as client:
        await client.hello()
        assert await client.close_code() == 4009


async def test_without_heartbeats_the_connection_is_closed_and_the_session_kept() -> None:
    async with running_gateway(heartbeat_interval=0.1) as gateway:
        async with dial(gateway.url) as client:
            ready = await client.identify()
            assert await client.close_code() == 4000
        async with dial(gateway.url) as client:
            await client.hello()
            await client.resume(ready, 3)
            assert (await client.until("RESUMED"))["op"] == 0


async def test_disallowed_intents_and_too_many_guilds() -> None:
    async with running_gateway(disallowed_intents=1 << 15, guilds_per_shard=1) as gateway:
        async with dial(gateway.url) as client:
            await client.identify(wait=False)
            assert await client.close_code() == 4014
        async with dial(gateway.url) as client:
            await client.identify(wait=False, intents=1)
            assert await client.close_code() == 4011
        assert gateway.state.stats_counter.snapshot().sessions == 0


async def test_an_intent_that_a_bot_may_not_use_is_refused_with_4014(
    gateway: GatewayServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeDirectory, "denied_intents", 1 << 15)
    async with dial(gateway.url) as client:
        await client.identify(wait=False)
        assert await client.close_code() == 4014
    async with dial(gateway.url) as client:
        await client.identify(intents=1)


async def test_an_intent_that_is_taken_away_ends_the_sessions_with_4003(
    gateway: GatewayServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with dial(gateway.url) as client:
        ready = await client.identify()
        monkeypatch.setattr(FakeDirectory, "denied_intents", 1 << 15)
        gateway.invalidate(1)
        assert await client.close_code() == 4003
    async with dial(gateway.url) as client:
        await client.hello()
        await client.resume(ready, 3)
        assert (await client.receive())["op"] == 9
    async with dial(gateway.url) as client:
        await client.identify(wait=False)
        assert await client.close_code() == 4014


async def test_signing_out_ends_the_sessions_with_4004(gateway: GatewayServer) -> None:
    async with dial(gateway.url) as client:
        ready = await client.identify()
        gateway.sign_out(1)
        assert await client.close_code() == 4004
    async with dial(gateway.url) as client:
        await client.hello()
        await client.resume(ready, 3)
        assert (await client.receive())["op"] == 9


async def test_signing_out_of_one_token_leaves_the_others(gateway: GatewayServer) -> None:
    async with dial(gateway.url) as one, dial(gateway.url) as other:
        for client, token in ((one, "t1"), (other, "t01")):  # of the same user
            await client.identify(token)
        gateway.sign_out(1, token_digest("t1"))
        assert await one.close_code() == 4004
        assert gateway.logins() == {token_digest("t01")}
        gateway.publish(message(1))
        assert await texts(other, 1) == ["text 1"]


async def test_a_token_that_is_signed_out_of_while_it_logs_in_opens_nothing() -> None:
    directory = FakeDirectory()
    directory.gate = asyncio.Event()
    async with running_gateway(directory) as gateway, dial(gateway.url) as client:
        await client.identify(wait=False)
        await directory.asked.wait()
        gateway.sign_out(1)
        directory.gate.set()
        assert await client.close_code() == 4004


@pytest.mark.parametrize(("is_void", "code"), [(True, 4004), (False, 4014)])
async def test_what_is_taken_away_while_an_identify_waits_for_its_limit_holds(
    monkeypatch: pytest.MonkeyPatch, is_void: bool, code: int
) -> None:
    directory = FakeDirectory()

    async def check_identify(account: Account, shard: int) -> IdentifyVerdict:
        """Waits as that of a cluster does: there is no session yet that could be ended."""
        del shard
        if is_void:
            monkeypatch.setattr(directory, "void", {BOT_TOKEN})
            running.sign_out(account.user_id)
        else:
            monkeypatch.setattr(directory, "denied_intents", 1 << 15)
            running.invalidate(account.user_id)
        return IdentifyVerdict.GRANTED

    async with running_gateway(directory) as running, dial(running.url) as client:
        monkeypatch.setattr(running.state, "check_identify", check_identify)
        await client.identify(wait=False)
        assert await client.close_code() == code
        assert not directory.asked.is_set()
        assert running.state.stats_counter.snapshot().sessions == 0


async def test_a_session_that_ends_while_it_begins_is_no_wrong_token() -> None:
    directory = FakeDirectory()
    directory.gate = asyncio.Event()
    async with running_gateway(directory) as gateway, dial(gateway.url) as client:
        await client.identify(wait=False)
        await directory.asked.wait()
        for session in gateway.state.sessions:  # as a server of a cluster ends them that has missed events
            gateway.state.sessions.end(session)
        directory.gate.set()
        assert (await client.receive())["op"] == 9
        await client.send(2, {"token": BOT_TOKEN, "intents": ALL_INTENTS, "properties": {}})
        assert (await client.receive())["t"] == "READY"


# --- sessions -------------------------------------------------------------------------------------------------------


async def lost_session(gateway: GatewayServer, *, code: int = 4000) -> dict[str, Any]:
    """A session whose client read READY and both guilds, and left."""
    async with dial(gateway.url) as client:
        ready = await client.identify()
        await client.close(code)
    await gateway.state.stats_counter.wait_for(lambda stats: stats.open == 0, DEADLINE)
    return ready


@pytest.mark.parametrize("compress", ["", "zlib-stream", "zstd-stream"])
async def test_a_resume_replays_what_was_missed_once_and_in_order(gateway: GatewayServer, compress: str) -> None:
    ready = await lost_session(gateway)
    for number in range(20):
        gateway.publish(message(number))
    async with dial(gateway.url, compress=compress) as client:
        await client.hello()
        await client.resume(ready, 3)
        replayed = []
        while (payload := await client.receive())["t"] != "RESUMED":
            replayed.append(payload)
        assert [one["s"] for one in replayed] == list(range(4, 4 + len(replayed)))
        contents = [one["d"]["content"] for one in replayed if one["t"] == "MESSAGE_CREATE"]
        assert contents == [f"text {number}" for number in range(20)]
        assert payload["s"] == replayed[-1]["s"] + 1
        gateway.publish(message(20))
        assert await texts(client, 1) == ["text 20"]


@pytest.mark.parametrize("code", [1000, 1001])
async def test_1000_and_1001_from_the_client_end_its_session(gateway: GatewayServer, code: int) -> None:
    ready = await lost_session(gateway, code=code)
    async with dial(gateway.url) as client:
        await client.hello()
        await client.resume(ready, 3)
        assert await client.receive() == {"t": None, "s": None, "op": 9, "d": False}
        await client.send(2, {"token": "t1", "intents": 1})  # on the same connection
        assert (await client.until("READY"))["s"] == 1


@pytest.mark.parametrize("code", [3000, 4000, 4200])
async def test_other_codes_leave_it_to_be_resumed(gateway: GatewayServer, code: int) -> None:
    ready = await lost_session(gateway, code=code)
    async with dial(gateway.url) as client:
        await client.hello()
        await client.resume(ready, 3)
        assert (await client.until("RESUMED"))["t"] == "RESUMED"


@pytest.mark.parametrize("seq", [-1, 1000])
async def test_a_sequence_number_that_was_never_sent_is_4007(gateway: GatewayServer, seq: int) -> None:
    ready = await lost_session(gateway)
    async with dial(gateway.url) as client:
        await client.hello()
        await client.resume(ready, seq)
        assert await client.close_code() == 4007
    assert gateway.state.sessions.get(ready["d"]["session_id"]) is None


async def test_what_the_replay_no_longer_covers_is_an_invalid_session() -> None:
    async with running_gateway(replay_count=5) as gateway:
        ready = await lost_session(gateway)
        for number in range(6):
            gateway.publish(message(number))
        async with dial(gateway.url) as client:
            await client.hello()
            await client.resume(ready, 3)
            assert await client.receive() == {"t": None, "s": None, "op": 9, "d": False}


async def test_replays_are_bounded_in_bytes() -> None:
    async with running_gateway(replay_bytes=20_000) as gateway:
        ready = await lost_session(gateway)
        session = gateway.state.sessions.get(ready["d"]["session_id"])
        assert session is not None
        for number in range(100):
            gateway.publish(message(number, content="x" * 1000))
            assert sum(body.size for body in session.replay) <= 20_000 + 1200
        assert session.covers(session.seq)
        assert not session.covers(3)


async def test_sessions_expire() -> None:
    async with running_gateway(session_ttl=0.05) as gateway:
        await lost_session(gateway)
        await gateway.state.stats_counter.wait_for(lambda stats: stats.sessions == 0, DEADLINE)
        assert gateway.state.sessions.by_user == {}


async def test_a_session_of_somebody_else_is_not_given_away(gateway: GatewayServer) -> None:
    ready = await lost_session(gateway)
    async with dial(gateway.url) as client:
        await client.hello()
        await client.resume(ready, 3, token="t2")
        assert (await client.receive())["op"] == 9
    assert gateway.state.sessions.get(ready["d"]["session_id"]) is not None


async def test_resuming_a_live_session_moves_it(gateway: GatewayServer) -> None:
    async with dial(gateway.url) as old, dial(gateway.url) as new:
        ready = await old.identify()
        await new.hello()
        await new.resume(ready, 3)
        assert await old.close_code() == 4000
        await new.until("RESUMED")
        gateway.publish(message(1))
        assert await texts(new, 1) == ["text 1"]
        assert gateway.state.stats_counter.snapshot().sessions == 1


async def test_two_identifies_make_two_sessions_that_both_get_everything(gateway: GatewayServer) -> None:
    async with dial(gateway.url) as first, dial(gateway.url) as second:
        one, two = await first.identify(), await second.identify()
        assert one["d"]["session_id"] != two["d"]["session_id"]
        gateway.publish(message(1))
        assert await texts(first, 1) == await texts(second, 1) == ["text 1"]


async def test_sessions_of_a_user_are_bounded_and_the_oldest_that_waits_gives_way() -> None:
    async with running_gateway(max_sessions_per_user=2) as gateway:
        waiting = await lost_session(gateway)
        async with dial(gateway.url) as first, dial(gateway.url) as second, dial(gateway.url) as third:
            await first.identify()
            await second.identify()
            assert gateway.state.sessions.get(waiting["d"]["session_id"]) is None
            await third.identify(wait=False)
            assert await third.close_code() == 4008


async def test_identifying_too_fast_is_an_invalid_session_for_bots_only() -> None:
    async with running_gateway(identify_interval=60) as gateway:
        for token in ("p2", "p2", "t1"):
            async with dial(gateway.url) as client:
                await client.identify(token)
        async with dial(gateway.url) as client:
            await client.identify(wait=False)
            assert await client.receive() == {"t": None, "s": None, "op": 9, "d": False}
            assert (await gateway.session_start_limit(await bot()))["remaining"] == 999


async def test_a_spent_budget_of_identifies_is_4004() -> None:
    async with running_gateway(identify_limit=1) as gateway:
        async with dial(gateway.url) as client:
            await client.identify()
        async with dial(gateway.url) as client:
            await client.identify(wait=False)
            assert await client.close_code() == 4004


async def bot() -> Any:
    return await FakeDirectory().authenticate("t1")


# --- who gets what --------------------------------------------------------------------------------------------------


async def test_intents_and_recipients_decide_who_gets_an_event(gateway: GatewayServer) -> None:
    async with dial(gateway.url) as all_of_it, dial(gateway.url) as nothing:
        await all_of_it.identify("t1")
        await nothing.hello()
        await nothing.send(2, {"token": "t3", "intents": 0})
        assert (await nothing.until("READY"))["s"] == 1  # and no GUILD_CREATE
        gateway.publish(message(1))
        gateway.publish(Event("USER_UPDATE", {"id": "3"}, frozenset({3})))
        gateway.publish(Event("USER_UPDATE", {"id": "1"}, frozenset({1})))
        assert (await nothing.receive())["t"] == "USER_UPDATE"
        assert await texts(all_of_it, 1) == ["text 1"]
        assert (await all_of_it.until("USER_UPDATE"))["d"]["id"] == "1"


async def test_content_is_hidden_from_bots_that_did_not_ask_for_it(gateway: GatewayServer) -> None:
    async with dial(gateway.url) as blind, dial(gateway.url) as person, dial(gateway.url) as author:
        intents = ALL_INTENTS & ~(1 << 15)
        await blind.identify("t1", intents=intents)
        await author.identify("t2", intents=intents)
        await person.identify("p3", intents=intents)
        gateway.publish(message(1, embeds=[1]))
        gateway.publish(message(2, mentions=[{"id": "1"}]))
        gateway.publish(message(3, guild_id=None))  # a direct message
        assert await texts(blind, 3) == ["", "text 2", "text 3"]
        assert await texts(author, 3) == await texts(person, 3) == ["text 1", "text 2", "text 3"]


async def test_shards_get_their_guilds_and_the_first_one_what_has_no_guild(gateway: GatewayServer) -> None:
    async with dial(gateway.url) as even, dial(gateway.url) as odd:
        ready = await even.identify(shard=[0, 2])
        assert [one["id"] for one in ready["d"]["guilds"]] == [str(OTHER_GUILD)]
        assert ready["d"]["shard"] == [0, 2]
        ready = await odd.identify(shard=[1, 2])
        assert [one["id"] for one in ready["d"]["guilds"]] == [str(GUILD)]
        gateway.publish(message(1))
        gateway.publish(message(2, guild_id=str(OTHER_GUILD)))
        gateway.publish(message(3, guild_id=None))
        gateway.publish(message(4))
        assert await texts(even, 2) == ["text 2", "text 3"]
        assert await texts(odd, 2) == ["text 1", "text 4"]


async def test_presence_is_told_when_it_changes_and_when_its_owner_leaves(gateway: GatewayServer) -> None:
    async with dial(gateway.url) as watcher:
        await watcher.identify("t1")
        await watcher.until("PRESENCE_UPDATE")  # its own
        async with dial(gateway.url) as other:
            await other.identify("p2", presence={"status": "dnd", "activities": [{"name": "chess", "type": 0}]})
            update = (await watcher.until("PRESENCE_UPDATE"))["d"]
            assert (update["user"], update["status"], update["guild_id"]) == ({"id": "2"}, "dnd", str(GUILD))
            assert update["activities"] == [{"name": "chess", "type": 0}]
            assert gateway.status_of(2) == "dnd"
            await other.send(3, {"status": "idle", "activities": [], "since": None, "afk": False})
            assert (await watcher.until("PRESENCE_UPDATE"))["d"]["status"] == "idle"
        update = (await watcher.until("PRESENCE_UPDATE"))["d"]
        assert (update["status"], update["client_status"]) == ("offline", {})
        assert gateway.status_of(2) == "offline"


async def test_presences_and_large_guilds_are_cut_to_what_the_session_may_see() -> None:
    async with running_gateway(FakeDirectory(members=60)) as gateway, dial(gateway.url) as client:
        await client.hello()
        await client.send(2, {"token": "t1", "intents": 1})
        guild = (await client.until("GUILD_CREATE"))["d"]
        assert guild["large"]
        assert guild["presences"] == []
        assert [one["user"]["id"] for one in guild["members"]] == ["1", "2"]  # itself, and who is there


# --- members --------------------------------------------------------------------------------------------------------


async def chunks(client: RawGatewayClient, **wanted: Any) -> list[dict[str, Any]]:
    await client.send(8, {"guild_id": str(GUILD), **wanted})
    found = [(await client.until("GUILD_MEMBERS_CHUNK"))["d"]]
    while len(found) < found[0]["chunk_count"]:
        found.append((await client.until("GUILD_MEMBERS_CHUNK"))["d"])
    return found


async def test_members_come_in_chunks_of_a_thousand() -> None:
    async with running_gateway(FakeDirectory(members=2001)) as gateway, dial(gateway.url) as client:
        await client.identify()
        found = await chunks(client, query="", limit=0, nonce="n" * 32)
        assert [(len(one["members"]), one["chunk_index"], one["nonce"]) for one in found] == [
            (1000, 0, "n" * 32),
            (1000, 1, "n" * 32),
            (1, 2, "n" * 32),
        ]
        assert len((await chunks(client, query="USER20", limit=3))[0]["members"]) == 3
        found = await chunks(client, user_ids=["7", "9999"], nonce="n" * 33, presences=True)
        assert ([one["user"]["id"] for one in found[0]["members"]], found[0]["not_found"]) == (["7"], ["9999"])
        assert "nonce" not in found[0]
        assert found[0]["presences"] == []
        assert (await chunks(client, query="nobody", limit=1))[0]["members"] == []


@pytest.mark.parametrize(("query", "limit"), [("", 0), ("", 1)])
async def test_without_the_intent_there_is_no_list_of_all_members(query: str, limit: int) -> None:
    async with running_gateway(FakeDirectory(members=3)) as gateway, dial(gateway.url) as client:
        await client.identify(intents=ALL_INTENTS & ~(1 << 1))
        await client.send(8, {"guild_id": str(GUILD), "query": query, "limit": limit})
        found = await chunks(client, user_ids=["2"])  # the first answer is that to the second request
        assert [one["user"]["id"] for one in found[0]["members"]] == ["2"]
        assert len((await chunks(client, query="user", limit=2))[0]["members"]) == 2


@pytest.mark.parametrize(
    "wanted",
    [
        {"query": ""},
        {"query": "", "limit": -1},
        {"query": "", "limit": 0, "user_ids": []},
        {"user_ids": ["1"] * 101},
        {"user_ids": ["x"]},
        {"query": 5, "limit": 0},
        {"guild_id": "x", "query": "", "limit": 0},
        {"guild_id": 2**63, "query": "", "limit": 0},
        {"guild_id": str(2**63), "query": "", "limit": 0},
        {"user_ids": [2**63]},
    ],
)
async def test_a_bad_request_for_members_is_4002(gateway: GatewayServer, wanted: dict[str, Any]) -> None:
    if wanted == {"query": ""}:
        wanted = {"query": "", "user_ids": ["1"]}
    async with dial(gateway.url) as client:
        await client.identify()
        await client.send(8, {"guild_id": str(GUILD), **wanted})
        assert await client.close_code() == 4002


async def test_a_guild_of_others_has_no_members_to_show(gateway: GatewayServer) -> None:
    async with dial(gateway.url) as client:
        await client.identify()
        await client.send(8, {"guild_id": "77", "query": "", "limit": 0})
        found = await chunks(client, query="", limit=1)  # the first answer is that to the second request
        assert found[0]["guild_id"] == str(GUILD)


async def test_voice_states_are_accepted_and_ignored(gateway: GatewayServer) -> None:
    async with dial(gateway.url) as client:
        await client.identify()
        await client.send(4, {"guild_id": "1", "channel_id": None})
        await client.send(1)
        while (payload := await client.receive())["op"] != 11:
            assert payload["op"] == 0


# --- bad clients ----------------------------------------------------------------------------------------------------


def upgrade(path: str = "/?v=10&encoding=json") -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()


def frame(payload: bytes, opcode: int = 1, *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    head = bytes(((0x80 if fin else 0) | rsv << 4 | opcode,))
    mask = 0x80 if masked else 0
    if len(payload) < 126:
        head += bytes((mask | len(payload),))
    elif len(payload) < 1 << 16:
        head += bytes((mask | 126,)) + struct.pack("!H", len(payload))
    else:
        head += bytes((mask | 127,)) + struct.pack("!Q", len(payload))
    return head + (b"\0\0\0\0" if masked else b"") + payload


class RawSocket:
    """Bytes in, bytes out."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, url: str, path: str = "/?v=10&encoding=json") -> "RawSocket":
        port = int(url.rstrip("/").rpartition(":")[2])
        self = cls(*await asyncio.open_connection("127.0.0.1", port))
        self.writer.write(upgrade(path))
        head = await self.reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in head, head
        return self

    async def frame(self) -> tuple[int, bytes]:
        async with asyncio.timeout(DEADLINE):
            first, second = await self.reader.readexactly(2)
            size = second & 127
            if size == 126:
                (size,) = struct.unpack("!H", await self.reader.readexactly(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
            return first & 15, await self.reader.readexactly(size)

    async def close_code(self) -> int | None:
        """The code of the CLOSE frame; None: the connection ended without one."""
        try:
            while True:
                opcode, payload = await self.frame()
                if opcode == 8:
                    return int.from_bytes(payload[:2], "big")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def end(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(b"{}", rsv=4), 1002),
        (frame(b"{}", rsv=1), 1002),
        (frame(b"{}", masked=False), 1002),
        (frame(b"{}", 3), 1002),
        (frame(b"x" * 126, 9), 1002),
        (frame(b"x", 9, fin=False), 1002),
        (frame(b"{}", 0), 1002),
        (frame(b"{", fin=False) + frame(b"{}"), 1002),
        (frame(b"\xff"), 1007),
        (frame(b"\xc3", fin=False) + frame(b"\xff", 0), 1007),
        (frame(b"x" * 3000, fin=False) + frame(b"x" * 3000, 0), 4002),
        (frame(b"x" * (1 << 20)), 4002),
        (frame(struct.pack("!H", 4000), 8), 4000),
        (frame(b"", 8), 1000),
        (frame(b"", 8) + frame(b"{}", 3), 1000),
        (frame(struct.pack("!H", 999), 8), 1002),
        (frame(b"x", 8), 1002),
    ],
)
async def test_broken_frames_are_told_what_is_wrong(gateway: GatewayServer, sent: bytes, code: int) -> None:
    raw = await RawSocket.open(gateway.url)
    raw.writer.write(sent)
    assert await raw.close_code() == code
    await raw.end()
    await gateway.state.stats_counter.wait_for(lambda stats: stats.open == 0, DEADLINE)


async def test_a_ping_is_answered_with_its_payload(gateway: GatewayServer) -> None:
    raw = await RawSocket.open(gateway.url)
    raw.writer.write(frame(b"are you there", 9))
    assert await raw.frame() == (1, (await hello_bytes(gateway)))
    assert await raw.frame() == (10, b"are you there")
    await raw.end()


async def hello_bytes(gateway: GatewayServer) -> bytes:
    async with dial(gateway.url) as client:
        data = await client.socket.recv()
        assert isinstance(data, str)
        return data.encode()


async def test_a_client_that_never_answers_close_is_dropped_at_the_deadline() -> None:
    async with running_gateway(close_timeout=0.05) as gateway:
        raw = await RawSocket.open(gateway.url)
        raw.writer.write(frame(b'{"op":99}'))
        assert await raw.close_code() == 4001
        await gateway.state.stats_counter.wait_for(lambda stats: stats.open == 0, DEADLINE)
        await raw.end()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_bytes_end_in_order_and_leave_the_server_well(data: st.DataObject) -> None:
    junk = data.draw(
        st.lists(st.one_of(st.binary(max_size=300), st.builds(frame, st.binary(max_size=300))), max_size=5)
    )

    async def scenario() -> None:
        async with running_gateway() as gateway:
            raw = await RawSocket.open(gateway.url)
            raw.writer.write(b"".join(junk))
            raw.writer.write_eof()
            await raw.close_code()
            await raw.end()
            await gateway.state.stats_counter.wait_for(lambda stats: stats.open == 0, DEADLINE)
            async with dial(gateway.url) as client:
                assert (await client.identify())["t"] == "READY"

    asyncio.run(scenario())


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
_NAMES = [
    *("token", "intents", "shard", "presence", "session_id", "seq", "guild_id", "query", "limit", "user_ids"),
    *("nonce", "status", "activities", "compress", "large_threshold"),
]
_FIELDS = st.fixed_dictionaries(
    {},
    optional={name: _JSON | st.sampled_from(["t1", 1, 0, "", [0, 1], ["1"], str(GUILD)]) for name in _NAMES},
)


@settings(max_examples=60, deadline=None)
@given(
    events=st.lists(st.tuples(st.sampled_from([1, 2, 3, 4, 6, 8, 31]), _FIELDS | _JSON), max_size=4),
    ready=st.booleans(),
)
def test_no_event_is_an_unknown_error(events: list[tuple[int, Any]], ready: bool) -> None:
    async def scenario() -> None:
        async with running_gateway() as gateway:
            raw = await RawSocket.open(gateway.url)
            if ready:
                raw.writer.write(frame(b'{"op":2,"d":{"token":"t1","intents":513}}'))
            for op, d in events:
                raw.writer.write(frame(json.dumps({"op": op, "d": d}).encode()))
            raw.writer.write(frame(struct.pack("!H", 4999), 8))
            assert await raw.close_code() in {4999, 4001, 4002, 4003, 4004, 4005, 4007, 4010, 4013, 1007}
            await raw.end()

    asyncio.run(scenario())


async def test_a_client_that_does_not_read_is_dropped_and_the_others_get_everything() -> None:
    async with running_gateway(write_buffer=200_000, replay_bytes=100_000) as gateway, dial(gateway.url) as reader:
        await reader.identify("t2")
        raw = await RawSocket.open(gateway.url)
        raw.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        transport: Any = raw.writer.transport
        transport.pause_reading()
        raw.writer.write(frame(json.dumps({"op": 2, "d": {"token": "t1", "intents": ALL_INTENTS}}).encode()))
        await gateway.state.stats_counter.wait_for(lambda stats: stats.identifies == 2, DEADLINE)
        sent = 0
        while not gateway.state.stats_counter.snapshot().dropped:
            assert sent < 1000
            gateway.publish(message(sent, content=f"{sent} " + "x" * 20_000))
            sent += 1
            assert (await reader.until("MESSAGE_CREATE"))["d"]["content"].startswith(f"{sent - 1} ")
        assert gateway.state.stats_counter.snapshot().sessions == 2  # it can come back
        await gateway.state.stats_counter.wait_for(lambda stats: stats.open == 1, DEADLINE)
        raw.writer.transport.abort()
        await raw.end()


async def test_connections_over_the_limits_are_refused_with_an_http_error() -> None:
    async with running_gateway(max_connections=2, max_per_address=10) as gateway, dial(gateway.url), dial(gateway.url):
        assert await refusal(gateway) == (503, "5")
    async with running_gateway(max_connections=10, max_per_address=1) as gateway, dial(gateway.url):
        assert await refusal(gateway) == (429, "5")


async def refusal(gateway: GatewayServer) -> tuple[int, str]:
    port = int(gateway.url.rstrip("/").rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(upgrade())
    async with asyncio.timeout(DEADLINE):
        answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    lines = dict(line.split(": ", 1) for line in answer.split("\r\n\r\n")[0].split("\r\n")[1:])
    return int(answer.split()[1]), lines["Retry-After"]


async def test_who_asks_for_no_upgrade_in_time_is_let_go() -> None:
    async with running_gateway(handshake_timeout=0.05) as gateway:
        port = int(gateway.url.rstrip("/").rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(DEADLINE):
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_a_thousand_clients_reach_ready_and_all_get_the_same_message() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8192)), hard))
    count, started = 1000, time.monotonic()
    async with running_gateway() as gateway:
        clients = [await RawSocket.open(gateway.url) for _ in range(count)]
        for number, raw in enumerate(clients):
            raw.writer.write(frame(json.dumps({"op": 2, "d": {"token": f"t{number + 1}", "intents": 512}}).encode()))
        await gateway.state.stats_counter.wait_for(lambda stats: stats.identifies == count, 30)
        body = {"id": "1", "guild_id": str(GUILD), "content": "to all"}
        gateway.publish(Event("MESSAGE_CREATE", body, frozenset(range(1, count + 1)), intents=512))
        for raw in clients:
            payloads = [json.loads((await raw.frame())[1]) for _ in range(3)]
            assert [one["t"] for one in payloads] == [None, "READY", "MESSAGE_CREATE"]
        assert gateway.state.stats_counter.snapshot().open == count
        for raw in clients:
            raw.writer.transport.abort()
        await gateway.state.stats_counter.wait_for(lambda stats: stats.open == 0, DEADLINE)
        for raw in clients:
            await raw.end()
    assert time.monotonic() - started < 30


# --- the end --------------------------------------------------------------------------------------------------------


async def test_stopping_asks_everybody_to_reconnect_and_closes_in_order() -> None:
    async with running_gateway() as gateway, dial(gateway.url) as first, dial(gateway.url) as second:
        await first.identify("t1")
        await second.hello()
        stopping = asyncio.ensure_future(gateway.stop())
        payload: dict[str, Any] = {}
        while payload.get("op") != 7:
            payload = await first.receive()
        assert (await second.receive())["op"] == 7
        assert await first.close_code() == await second.close_code() == 1001
        async with asyncio.timeout(DEADLINE):
            await stopping
        assert gateway.state.stats_counter.snapshot().open == 0


async def test_stopping_does_not_wait_longer_than_the_close_timeout() -> None:
    async with running_gateway(close_timeout=0.1) as gateway:
        raw = await RawSocket.open(gateway.url)
        port = int(gateway.url.rstrip("/").rpartition(":")[2])
        silent, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(2):
            await gateway.stop()
            with contextlib.suppress(ConnectionError):
                assert await silent.read() == b""
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        await raw.end()
        with pytest.raises(InvalidOption, match="started once"):
            await gateway.start(FakeDirectory())


async def test_an_event_that_can_not_be_encoded_harms_nobody(
    gateway: GatewayServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with dial(gateway.url) as client:
        await client.identify()
        gateway.publish(Event("MESSAGE_CREATE", {"bad": object()}, ALL_USERS))
        assert "MESSAGE_CREATE could not be published" in caplog.text
        gateway.publish(message(1))
        assert await texts(client, 1) == ["text 1"]


async def test_everything_at_once_in_any_order_is_numbered_without_a_hole(gateway: GatewayServer) -> None:
    """Lines that break at random places: what arrives over all of them is everything, once, in order."""
    rng = random.Random(7)
    contents: list[str] = []
    ready, seq, number = None, 0, 0
    while number < 200:
        async with dial(gateway.url, compress=rng.choice(["", "zlib-stream", "zstd-stream"])) as client:
            if ready is None:
                ready = await client.identify()
                seq = 3
            else:
                await client.hello()
                await client.resume(ready, seq)
            for _ in range(rng.randrange(10)):
                gateway.publish(message(number))
                number += 1
            for _ in range(rng.randrange(8)):
                nothing: dict[str, Any] = {"s": None, "t": None}
                payload = await client.receive() if number > len(contents) else nothing
                if payload["s"] is not None:
                    assert payload["s"] == seq + 1
                    seq = payload["s"]
                if payload["t"] == "MESSAGE_CREATE":
                    contents.append(payload["d"]["content"])
            client.socket.transport.abort()
    async with dial(gateway.url) as client:
        await client.hello()
        assert ready is not None
        await client.resume(ready, seq)
        contents += await texts(client, number - len(contents))
    assert contents == [f"text {n}" for n in range(number)]
