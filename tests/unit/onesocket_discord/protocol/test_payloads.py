"""Bodies that are decoded once, for those who look; what may be sent, and what not."""

import json
from typing import Any

import pytest

from onesocket.errors import DecodeError, EncodeError, InvalidOption
from onesocket_discord.client._guild_members import GuildMembersRequest
from onesocket_discord.protocol import (
    Dispatch,
    Identification,
    Intents,
    PayloadTooBig,
    Presence,
    events,
    models,
    shard_of,
)
from onesocket_discord.protocol import _payload as payload
from onesocket_discord.protocol._sharding import checked_shard
from onesocket_discord.protocol.events import EVENT_TYPES
from tests.unit.onesocket_discord.protocol.gateway_driver import GatewayDriver

MESSAGE = {
    "id": "10",
    "channel_id": "20",
    "author": {"id": "30", "username": "ada", "discriminator": "0", "avatar": None, "new": 1},
    "content": "hello",
    "timestamp": "2026-01-01T00:00:00+00:00",
    "edited_timestamp": None,
    "nonce": 5,
    "reactions": [{"emoji": {"id": None, "name": "👍"}, "count": 2, "me": True}],
    "referenced_message": {"id": "9", "channel_id": "20", "content": "first"},
    "type": 19,
}


def dispatch(event: str, body: Any) -> Dispatch:
    (only,) = GatewayDriver().up().event(event, 2, body).delivered
    return only


def test_a_common_event_is_a_struct() -> None:
    message = dispatch("MESSAGE_CREATE", MESSAGE).data
    assert isinstance(message, models.Message)
    assert message.author == models.User(id="30", username="ada")
    assert message.referenced_message is not None
    assert message.referenced_message.content == "first"
    assert message.reactions is not None
    assert message.reactions[0].emoji.name == "👍"
    with pytest.raises(AttributeError):
        message.content = "changed"  # type: ignore[misc]


def test_a_body_is_decoded_once_and_only_when_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []
    real = payload._decode

    def spy(decode: Any, data: Any, what: str) -> Any:
        decoded.append(what)
        return real(decode, data, what)

    event = dispatch("MESSAGE_CREATE", MESSAGE)
    monkeypatch.setattr(payload, "_decode", spy)
    assert decoded == []
    assert event.data is event.data
    assert decoded == ["MESSAGE_CREATE"]
    assert event.plain is event.plain
    assert len(decoded) == 2


def test_a_body_that_doesnt_fit_can_be_read_plainly() -> None:
    event = dispatch("MESSAGE_CREATE", {"id": 5})
    with pytest.raises(DecodeError, match="MESSAGE_CREATE"):
        _ = event.data
    assert event.plain == {"id": 5}
    assert "content" not in repr(dispatch("MESSAGE_CREATE", MESSAGE))


@pytest.mark.parametrize("event", EVENT_TYPES)
def test_every_struct_takes_what_the_documentation_shows(event: str) -> None:
    user = {"id": "1", "username": "ada"}
    emoji = {"id": "7", "name": "wave"}
    body = {
        "id": "1",
        "ids": ["1"],
        "type": 0,
        "guild_id": "2",
        "channel_id": "3",
        "message_id": "4",
        "user_id": "1",
        "role_id": "5",
        "role": {"id": "5", "name": "owner", "colors": {"primary_color": 0}},
        "user": user,
        "emoji": emoji,
        "nonce": "n",
        "meta": {"nonce": "n"},
        "retry_after": 1,
        "members": [{"user": user, "roles": []}],
    }
    assert type(dispatch(event, body).data) is EVENT_TYPES[event]


def test_guilds_begin_unavailable() -> None:
    ready = dispatch("READY", {"v": 10, "guilds": [{"id": "1", "unavailable": True}], "session_id": "s"}).data
    assert isinstance(ready, events.Ready)
    assert [guild.unavailable for guild in ready.guilds] == [True]


def test_the_bodies_are_immutable_and_so_can_be_shared() -> None:
    for kind in EVENT_TYPES.values():
        assert kind.__struct_config__.frozen, kind


# --- sending ----------------------------------------------------------------------------------------------------------


def payload_of(size: int) -> dict[str, Any]:
    empty = len(json.dumps({"op": 4, "d": ""}, separators=(",", ":")))
    return {"op": 4, "d": "x" * (size - empty)}


def test_4096_bytes_are_the_limit() -> None:
    protocol = GatewayDriver().protocol
    assert len(protocol.encode(payload_of(4096))) == 4096
    with pytest.raises(PayloadTooBig, match="4097"):
        protocol.encode(payload_of(4097))
    with pytest.raises(PayloadTooBig):
        protocol.encode({"op": 4, "d": "é" * 2100})  # bytes count, not characters


@pytest.mark.parametrize(
    "message",
    [
        "text",
        None,
        5,
        [],
        {},
        {"d": 1},
        {"op": "3"},
        {"op": True},
        {"op": 3, "d": object()},
        {"op": 3, "d": "\ud800"},
        {"op": 1},
        {"op": 2, "d": {}},
        {"op": 6, "d": {}},
    ],
)
def test_what_is_no_payload_or_not_ours_to_send_is_refused(message: Any) -> None:
    with pytest.raises(EncodeError):
        GatewayDriver().protocol.encode(message)


# --- parameters -------------------------------------------------------------------------------------------------------


def test_shards() -> None:
    assert shard_of(197038439483310086, 10) == (197038439483310086 >> 22) % 10
    assert shard_of("4194304", 2) == 1
    assert shard_of(4194303, 2) == 0
    for wrong in [(2, 2), (-1, 2), (0, 0), (0,), "01", 5, (0.0, 1), (True, "2")]:
        with pytest.raises(InvalidOption, match="shard"):
            checked_shard(wrong)
    with pytest.raises(InvalidOption):
        shard_of("x", 2)
    with pytest.raises(InvalidOption):
        shard_of(1, 0)
    assert checked_shard([1, 2]) == (1, 2)


def test_intents_match_the_documentation() -> None:
    assert int(Intents.GUILD_MESSAGES | Intents.MESSAGE_CONTENT) == 33_280
    assert int(Intents.PRIVILEGED) == 2 + 256 + 32_768
    assert int(Intents.PRIVILEGED | Intents.UNPRIVILEGED) == 53_608_447


@pytest.mark.parametrize("large", [49, 251, "100", 0])
def test_large_threshold_has_bounds(large: Any) -> None:
    with pytest.raises(InvalidOption, match="large_threshold"):
        Identification(intents=Intents(0), large_threshold=large)


def test_a_presence_has_a_known_status() -> None:
    with pytest.raises(InvalidOption, match="online, dnd"):
        Presence("busy")  # type: ignore[arg-type]


# --- members ----------------------------------------------------------------------------------------------------------


def ask(**options: Any) -> GuildMembersRequest:
    defaults: dict[str, Any] = {
        "query": None,
        "limit": 0,
        "user_ids": None,
        "presences": False,
        "nonce": None,
        "intents": Intents.GUILDS,
    }
    return GuildMembersRequest.check(7, **(defaults | options))


def test_a_request_for_members() -> None:
    assert ask(user_ids=[1, "2"], nonce="n").payload() == {
        "op": 8,
        "d": {"guild_id": "7", "user_ids": ["1", "2"], "limit": 0, "presences": False, "nonce": "n"},
    }
    assert ask(query="a", limit=5, nonce="n").payload()["d"] == {
        "guild_id": "7",
        "query": "a",
        "limit": 5,
        "presences": False,
        "nonce": "n",
    }
    assert len(ask(query="a").nonce) == 32
    assert ask(query="a").nonce != ask(query="a").nonce


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"query": "a", "user_ids": [1]},
        {"user_ids": []},
        {"user_ids": range(101)},
        {"query": "a", "nonce": "n" * 33},
        {"query": "a", "nonce": "é" * 17},
        {"query": "a", "nonce": ""},
        {"query": "a", "limit": -1},
        {"query": ""},
        {"query": "a", "presences": True},
    ],
)
def test_requests_that_would_be_ignored_or_closed_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        ask(**options)


def test_what_needs_an_intent_goes_with_it() -> None:
    assert ask(query="", intents=Intents.GUILD_MEMBERS).payload()["d"]["query"] == ""
    assert ask(query="a", presences=True, intents=Intents.GUILD_PRESENCES).payload()["d"]["presences"] is True
    assert len(ask(user_ids=range(100)).payload()["d"]["user_ids"]) == 100
