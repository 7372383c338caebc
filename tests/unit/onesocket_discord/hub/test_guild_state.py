"""The hub's cache of a guild after dispatches, as a client that comes late sees it."""

import json
from typing import Any

import pytest

from onesocket_discord._serving import EncodedDispatch, GatewayOptions, ServedSession
from onesocket_discord.client._cached_guild import CachedGuild
from onesocket_discord.client._guild_cache import STATE_EVENTS, GuildCache
from onesocket_discord.hub._member_requests import MemberRequests
from onesocket_discord.hub._message_content import without_content
from onesocket_discord.protocol._intents import Intents

ALL = int(Intents.GUILDS | Intents.GUILD_PRESENCES | Intents.GUILD_VOICE_STATES)


def user(number: int) -> dict[str, Any]:
    return {"id": str(number), "username": f"user{number}"}


def guild() -> dict[str, Any]:
    return {
        "id": "1",
        "name": "g",
        "member_count": 2,
        "roles": [{"id": "1", "name": "@everyone"}, {"id": "7", "name": "mods"}],
        "channels": [{"id": "10", "type": 0, "name": "general"}],
        "threads": [{"id": "20", "parent_id": "10"}],
        "members": [{"user": user(1), "roles": ["7"]}, {"user": user(2), "roles": []}],
        "presences": [{"user": {"id": "1"}, "status": "idle"}],
        "voice_states": [{"user_id": "1", "channel_id": "10"}],
    }


def world() -> GuildCache:
    known = GuildCache()
    known.begin({"user": user(1), "guilds": [{"id": "1", "unavailable": True}, {"id": "2", "unavailable": True}]})
    known.apply("GUILD_CREATE", guild())
    return known


def seen(known: GuildCache, intents: int = ALL, name: str = "1") -> dict[str, Any]:
    body = known.guild(name, intents)
    assert body is not None
    found: dict[str, Any] = json.loads(body.payload(1))["d"]
    return found


def ids(items: list[dict[str, Any]]) -> list[str]:
    return [str(item.get("id") or item.get("user", {}).get("id") or item.get("user_id")) for item in items]


@pytest.mark.parametrize(
    ("event", "data", "where", "expected"),
    [
        ("GUILD_UPDATE", {"id": "1", "name": "new"}, "name", "new"),
        ("GUILD_UPDATE", {"id": "1", "roles": [{"id": "1"}]}, "roles", ["1"]),
        ("GUILD_EMOJIS_UPDATE", {"emojis": [{"id": "5"}]}, "emojis", ["5"]),
        ("CHANNEL_CREATE", {"id": "11"}, "channels", ["10", "11"]),
        ("CHANNEL_DELETE", {"id": "10"}, "channels", []),
        ("CHANNEL_DELETE", {"id": "10"}, "threads", []),
        ("THREAD_CREATE", {"id": "21", "parent_id": "10"}, "threads", ["20", "21"]),
        ("THREAD_UPDATE", {"id": "20", "thread_metadata": {"archived": True}}, "threads", []),
        ("THREAD_DELETE", {"id": "20"}, "threads", []),
        ("THREAD_LIST_SYNC", {"threads": [{"id": "22"}]}, "threads", ["22"]),
        ("THREAD_LIST_SYNC", {"channel_ids": ["99"], "threads": []}, "threads", ["20"]),
        ("GUILD_MEMBER_ADD", {"user": user(3), "roles": []}, "members", ["1", "2", "3"]),
        ("GUILD_MEMBER_ADD", {"user": user(3), "roles": []}, "member_count", 3),
        ("GUILD_MEMBER_REMOVE", {"user": user(1)}, "members", ["2"]),
        ("GUILD_MEMBER_REMOVE", {"user": user(1)}, "presences", []),
        ("GUILD_MEMBER_REMOVE", {"user": user(1)}, "member_count", 1),
        ("GUILD_MEMBER_UPDATE", {"user": user(9), "nick": "?"}, "members", ["1", "2"]),
        ("GUILD_ROLE_CREATE", {"role": {"id": "8"}}, "roles", ["1", "7", "8"]),
        ("GUILD_ROLE_DELETE", {"role_id": "7"}, "roles", ["1"]),
        ("PRESENCE_UPDATE", {"user": {"id": "2"}, "status": "online"}, "presences", ["1", "2"]),
        ("PRESENCE_UPDATE", {"user": {"id": "1"}, "status": "offline"}, "presences", []),
        ("VOICE_STATE_UPDATE", {"user_id": "1", "channel_id": None}, "voice_states", []),
        ("STAGE_INSTANCE_CREATE", {"id": "30"}, "stage_instances", ["30"]),
        ("GUILD_SCHEDULED_EVENT_CREATE", {"id": "40"}, "guild_scheduled_events", ["40"]),
    ],
)
def test_dispatches_keep_a_guild_up_to_date(event: str, data: dict[str, Any], where: str, expected: Any) -> None:
    known = world()
    before = seen(known)
    assert event in STATE_EVENTS
    known.apply(event, {"guild_id": "1", **data})
    after = seen(known)
    value = after[where]
    assert (ids(value) if isinstance(value, list) else value) == expected
    assert before["id"] == after["id"]


def test_members_and_channels_change_in_place() -> None:
    known = world()
    known.apply("GUILD_MEMBER_UPDATE", {"guild_id": "1", "user": user(2), "nick": "two", "roles": ["7"]})
    known.apply("CHANNEL_UPDATE", {"guild_id": "1", "id": "10", "name": "renamed"})
    known.apply("GUILD_ROLE_DELETE", {"guild_id": "1", "role_id": "7"})
    found = seen(known)
    assert found["members"][1] == {"user": user(2), "nick": "two", "roles": []}
    assert found["channels"] == [{"id": "10", "type": 0, "name": "renamed", "guild_id": "1"}]
    assert found["members"][0]["roles"] == []


def test_what_is_not_asked_for_is_not_shown() -> None:
    found = seen(world(), int(Intents.GUILDS))
    assert found["presences"] == found["voice_states"] == []
    assert found["unavailable"] is False


def test_guilds_come_and_go() -> None:
    known = world()
    assert ids(known.ready_for()["guilds"]) == ["1", "2"]
    assert all(one["unavailable"] for one in known.ready_for()["guilds"])
    known.apply("GUILD_DELETE", {"id": "1", "unavailable": True})
    assert known.guild("1", ALL) is None
    assert ids(known.ready_for()["guilds"]) == ["2", "1"]
    known.apply("GUILD_DELETE", {"id": "1"})
    assert ids(known.ready_for()["guilds"]) == ["2"]
    known.apply("GUILD_CREATE", {"id": "2", "unavailable": True})
    assert known.guild("2", ALL) is None
    known.apply("CHANNEL_CREATE", {"guild_id": "404", "id": "1"})  # of an unknown guild
    known.apply("USER_UPDATE", {"id": "1", "username": "new"})
    assert known.ready_for(session_id="x")["user"]["username"] == "new"
    known.begin({"user": user(1), "guilds": []})
    assert known.ready_for()["guilds"] == []
    assert list(known.guilds(ALL)) == []


def test_a_guild_is_encoded_once_until_it_changes() -> None:
    one = CachedGuild(guild())
    first = one.body(ALL)
    assert one.body(ALL | Intents.GUILD_MESSAGES) is first
    one.apply("CHANNEL_CREATE", {"id": "11"})
    assert one.body(ALL) is not first
    second = one.body(ALL)
    one.apply("TYPING_START", {})
    assert one.body(ALL) is second


def test_content_is_hidden_but_from_whom_it_is_meant_for() -> None:
    message = {"guild_id": "1", "author": {"id": "5"}, "content": "secret", "embeds": [1], "mentions": []}
    hidden = without_content(message, "1")
    assert hidden is not None
    assert hidden == {**message, "content": "", "embeds": []}
    assert without_content({**message, "author": {"id": "1"}}, "1") is None
    assert without_content({**message, "mentions": [{"id": "1"}]}, "1") is None
    direct = {**message, "guild_id": None}
    assert without_content(direct, "1") is None
    forwarded = [{"message": {"content": "secret", "embeds": []}}]
    for of_bot, seen in ((False, "secret"), (True, "")):  # as on the local server
        author = {"id": "5", "bot": of_bot}
        body: dict[str, Any] = {**direct, "author": author, "message_snapshots": forwarded}
        (shown,) = (without_content(body, "1") or body)["message_snapshots"]
        assert shown["message"]["content"] == seen


def test_a_session_keeps_no_more_than_it_may() -> None:
    options = GatewayOptions()
    session = ServedSession(0, options)
    for _ in range(options.replay_count + 10):
        session.push(EncodedDispatch("X", 1))
    count = session.seq
    assert count == options.replay_count + 10
    assert session.covers(10)
    assert not session.covers(9)
    assert [json.loads(one)["s"] for one in session.missed(count - 2)] == [count - 1, count]
    large = ServedSession(0, options)
    for _ in range(5):
        large.push(EncodedDispatch("X", "x" * (options.replay_bytes // 2)))
    assert not large.covers(3)
    assert large.covers(4)


def test_answers_find_whoever_asked() -> None:
    requests, options = MemberRequests(), GatewayOptions()
    one, two = ServedSession(0, options), ServedSession(0, options)
    first = requests.add(one, {"guild_id": "1", "nonce": "n"})
    second = requests.add(two, {"guild_id": "1"})
    assert first["nonce"] != second["nonce"]
    assert len(first["nonce"]) <= 32
    for index in range(2):
        found = requests.chunk({"nonce": first["nonce"], "chunk_index": index, "chunk_count": 2})
        assert found is not None
        assert found[0] is one
        assert json.loads(found[1].payload(1))["d"]["nonce"] == "n"
    assert requests.chunk({"nonce": first["nonce"]}) is None
    limited = requests.rate_limited({"opcode": 8, "meta": {"nonce": second["nonce"], "guild_id": "1"}})
    assert limited is not None
    assert limited[0] is two
    assert json.loads(limited[1].payload(1))["d"]["meta"] == {"guild_id": "1"}
    assert requests.chunk({}) is None
    assert requests.rate_limited({}) is None
