"""The fake of Home Assistant, asked by a client of another project."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from onesocket.testing import ConnectionLimit
from onesocket.testing.services import HomeAssistantVenue, VenueEvent
from tests.support.venue_peer import VenuePeer, dial

LOGIN = {"type": "auth", "access_token": "token"}


@pytest.fixture
async def venue() -> AsyncIterator[HomeAssistantVenue]:
    async with HomeAssistantVenue(states=[{"entity_id": "light.bed"}]) as running:
        yield running


async def log_in(peer: VenuePeer) -> None:
    assert (await peer.receive())["type"] == "auth_required"
    assert (await peer.ask(LOGIN))["type"] == "auth_ok"


def result(ident: Any, value: Any = None) -> dict[str, Any]:
    return {"id": ident, "type": "result", "success": True, "result": value}


async def test_results_and_events_bear_the_ids_of_their_commands(venue: HomeAssistantVenue) -> None:
    async with dial(venue.url) as peer:
        await log_in(peer)
        assert await peer.ask({"id": 18, "type": "subscribe_events", "event_type": "state_changed"}) == result(18)
        assert await peer.ask({"id": 19, "type": "subscribe_events"}) == result(19)
        assert await peer.ask({"id": 20, "type": "get_states"}) == result(20, [{"entity_id": "light.bed"}])
        assert await peer.ask({"id": 21, "type": "ping"}) == {"id": 21, "type": "pong"}
        assert venue.push("state_changed", {"entity_id": "light.bed"}) == 1
        events = [await peer.receive(), await peer.receive()]
        assert [event["id"] for event in events] == [18, 19]
        assert events[0]["event"]["data"] == {"entity_id": "light.bed"}
        assert venue.ledger.subscribers == {"state_changed": {1}, "*": {1}}
        assert await peer.ask({"id": 22, "type": "unsubscribe_events", "subscription": 18}) == result(22)
        gone = await peer.ask({"id": 23, "type": "unsubscribe_events", "subscription": 18})
        assert gone["error"]["code"] == "not_found"
        venue.push("state_changed", 1)
        assert (await peer.receive())["id"] == 19
        await peer.send({"id": 24, "type": "fire_event", "event_type": "mine", "event_data": {"a": 1}})
        assert (await peer.receive())["success"] is True
        assert (await peer.receive())["event"]["data"] == {"a": 1}


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"id": 5, "type": "ping"}, "id_reuse"),
        ({"id": 4, "type": "ping"}, "id_reuse"),
        ({"id": 6, "type": "no_such"}, "unknown_command"),
        ({"id": "6", "type": "ping"}, "invalid_format"),
        ({"id": True, "type": "ping"}, "invalid_format"),
        ({"type": "ping"}, "invalid_format"),
        ([1], "invalid_format"),
        ({"id": 6, "type": "subscribe_events", "event_type": 100}, "invalid_format"),
        ({"id": 6, "type": "subscribe_events", "event_type": "secret"}, "unauthorized"),
        ({"id": 6, "type": "fire_event"}, "invalid_format"),
        ({"id": 6, "type": "open_door"}, "home_assistant_error"),
    ],
)
async def test_errors_name_their_code(venue: HomeAssistantVenue, message: Any, code: str) -> None:
    def fail(_: dict[str, Any]) -> None:
        raise ValueError("the door is stuck")

    venue.refused.add("secret")
    venue.commands["open_door"] = fail
    async with dial(venue.url) as peer:
        await log_in(peer)
        assert (await peer.ask({"id": 5, "type": "call_service"}))["success"] is True
        answer = await peer.ask(message)
        assert (answer["success"], answer["error"]["code"]) == (False, code)
        assert venue.keys == frozenset()
        assert venue.ledger.totals[VenueEvent.REFUSED] == 1
        assert await peer.ask({"id": 7, "type": "ping"}) == {"id": 7, "type": "pong"}


async def test_commands_of_ones_own_and_several_in_one_message(venue: HomeAssistantVenue) -> None:
    venue.commands["add"] = lambda message: message["a"] + message["b"]
    async with dial(venue.url) as peer:
        await log_in(peer)
        await peer.send([{"id": 1, "type": "add", "a": 1, "b": 2}, {"id": 2, "type": "ping"}])
        assert [await peer.receive(), await peer.receive()] == [result(1, 3), {"id": 2, "type": "pong"}]


async def test_a_client_that_coalesces_gets_arrays(venue: HomeAssistantVenue) -> None:
    async with dial(venue.url) as peer:
        await log_in(peer)
        features = {"id": 1, "type": "supported_features", "features": {"coalesce_messages": 1}}
        assert await peer.ask(features) == result(1)
        await peer.ask({"id": 2, "type": "subscribe_events", "event_type": "x"})
        venue.push("x", 1, 2)
        assert [event["event"]["data"] for event in await peer.receive()] == [1, 2]
        venue.push("x", 3)
        assert (await peer.receive())["event"]["data"] == 3


@pytest.mark.parametrize(
    "message", [{"type": "auth", "access_token": "wrong"}, {"type": "ping", "id": 1}, {"type": "auth"}, [LOGIN]]
)
async def test_a_wrong_login_is_told_and_ended(venue: HomeAssistantVenue, message: Any) -> None:
    async with dial(venue.url) as peer:
        await peer.send(message)
        messages, code, _ = await peer.rest()
        assert ([each["type"] for each in messages], code) == (["auth_required", "auth_invalid"], 1000)
        assert venue.ledger.totals[VenueEvent.SIGNED_IN] == 0


async def test_a_login_that_never_comes_and_what_is_not_json_end_without_a_message() -> None:
    async with HomeAssistantVenue(auth_timeout=0.02) as venue, dial(venue.url) as silent, dial(venue.url) as odd:
        await odd.send("{")
        assert [each["type"] for each in (await odd.rest())[0]] == ["auth_required"]
        assert [each["type"] for each in (await silent.rest())[0]] == ["auth_required"]
        assert venue.ledger.of(VenueEvent.LIMIT_EXCEEDED, key="auth_timeout", connection=1)


async def test_accounts_have_their_own_places() -> None:
    tokens = {"a": "anna", "b": "ben"}
    async with HomeAssistantVenue(tokens=tokens, account_limit=ConnectionLimit()) as venue, dial(venue.url) as anna:
        await anna.send({"type": "auth", "access_token": "a"})
        await anna.receive()
        assert (await anna.receive())["type"] == "auth_ok"
        async with dial(venue.url) as ben, dial(venue.url) as second:
            await ben.receive()
            assert (await ben.ask({"type": "auth", "access_token": "b"}))["type"] == "auth_ok"
            await second.receive()
            assert (await second.ask({"type": "auth", "access_token": "a"}))["type"] == "auth_invalid"
        assert venue.ledger.most_signed_in == {"anna": 1, "ben": 1}
