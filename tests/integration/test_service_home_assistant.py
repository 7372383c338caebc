"""The client's side of Home Assistant's WebSocket API, against the fake venue."""

import asyncio
import json
from collections.abc import AsyncIterator
from operator import methodcaller
from pathlib import Path
from typing import Any

import pytest

from onesocket import Client, Gap, ReconnectPolicy, join
from onesocket.errors import DecodeError, InvalidOption, InvalidURL, LoginRefused, RequestRefused, SubscriptionRefused
from onesocket.services import home_assistant
from onesocket.services.home_assistant import CallService, Event, Result, SubscribeEvents
from onesocket.testing.services import HomeAssistantVenue, VenueEvent
from tests.integration.test_client_parity import KINDS, open_handle
from tests.support.waiting import until

FAST = ReconnectPolicy(initial=0.01, cap=0.05)
LIGHT = CallService(domain="light", service="turn_on", target={"area_id": "kitchen"})
STATES = SubscribeEvents(event_type="state_changed")


@pytest.fixture
async def venue() -> AsyncIterator[HomeAssistantVenue]:
    async with HomeAssistantVenue() as running:
        yield running
        await running.wait_until(lambda counts: counts.sockets_now == 0)


TOKEN = "token"


def make_client(venue: HomeAssistantVenue, token: str | None = TOKEN) -> Client[home_assistant.Message]:
    return Client(venue.url, token=token, protocol=home_assistant.protocol(), reconnect=FAST)


def commands(venue: HomeAssistantVenue) -> list[dict[str, Any]]:
    """All messages after the login, in their order."""
    return [message for message in map(json.loads, venue.received) if message["type"] != "auth"]


@pytest.mark.parametrize("kind", KINDS)
async def test_events_by_their_types_share_their_ids_with_commands_and_are_restored(
    venue: HomeAssistantVenue, tmp_path: Path, kind: str
) -> None:
    venue.refused = {"secret"}
    options = {} if kind == "client" else {"key": "k"}
    protocol = home_assistant.protocol()
    async with open_handle(
        kind, venue.url, tmp_path, token="token", protocol=protocol, reconnect=FAST, **options
    ) as handle:
        one = await handle.call(lambda client: client.subscribe(keys=["lit", "secret"], gaps=False))
        two = await handle.call(lambda client: client.subscribe(keys=["lit"], gaps=False))
        stream = await handle.call(methodcaller("request_stream", SubscribeEvents(event_type="lit")))
        assert isinstance(await handle.call(methodcaller("request", LIGHT)), Result)
        assert isinstance(await handle.receive(stream), Result)
        with pytest.raises(SubscriptionRefused, match=r"'secret' was refused .*Unauthorized"):
            await handle.receive(one)
        for reader in (one, two, stream):
            await until(lambda: sum(each["type"] == "subscribe_events" for each in commands(venue)) == 3)
            if reader is one:
                venue.push("lit", {"n": 1})
            event = await handle.receive(reader)
            assert event.fired().data == {"n": 1}
        venue.kill_connections()
        await until(lambda: [each.get("event_type") for each in commands(venue)].count("lit") == 3)
        assert isinstance(await handle.call(methodcaller("request", LIGHT)), Result)
        venue.push("lit", {"n": 2})
        assert [(await handle.receive(reader)).fired().data for reader in (one, two)] == [{"n": 2}] * 2
        await handle.call(lambda _: one.close())
        await handle.call(lambda _: two.close())
        await until(lambda: commands(venue)[-1]["type"] == "unsubscribe_events")
        assert not venue.ledger.of(VenueEvent.LIMIT_EXCEEDED), "ids increase"


@pytest.mark.parametrize("kind", KINDS)
async def test_commands_and_subscriptions_have_increasing_ids_in_every_scope(
    venue: HomeAssistantVenue, tmp_path: Path, kind: str
) -> None:
    options = {} if kind == "client" else {"key": "k"}
    protocol = home_assistant.protocol()
    async with open_handle(kind, venue.url, tmp_path, token="token", protocol=protocol, **options) as handle:
        first = await handle.call(methodcaller("request_stream", STATES))
        assert isinstance(await handle.receive(first), Result)
        answers = await asyncio.gather(*(handle.call(methodcaller("request", LIGHT)) for _ in range(3)))
        second = await handle.call(methodcaller("request_stream", STATES))
        assert isinstance(await handle.receive(second), Result)
        venue.push("state_changed", {"entity_id": "light.bed"})
        events = [await handle.receive(stream) for stream in (first, second)]
        assert all(isinstance(event, Event) for event in events)
        assert [event.fired().data for event in events] == [{"entity_id": "light.bed"}] * 2
        await handle.call(lambda _: first.close())
        await venue.wait_until(lambda counts: counts.messages_received == 7)
        assert venue.keys == {"state_changed"}
        await handle.call(lambda _: second.close())
        await venue.wait_until(lambda _: not venue.keys)
    ids = [command["id"] for command in commands(venue)]
    assert ids == sorted(set(ids))
    assert {answer.id for answer in answers} == set(ids[1:4])
    assert [event.id for event in events] == [ids[0], ids[4]]
    assert venue.ledger.of(VenueEvent.REFUSED) == []


async def test_two_programs_share_one_counter(venue: HomeAssistantVenue) -> None:
    def joined() -> Any:
        return join(venue.url, scope="loop", key="k", token="token", protocol=home_assistant.protocol())

    async with joined() as one, joined() as two:
        await asyncio.gather(*(client.request(LIGHT) for _ in range(20) for client in (one, two)))
        assert (await one.request({"type": "get_states", "id": 7})).id == 7
    ids = [command["id"] for command in commands(venue)]
    assert (ids, venue.counts.most_open) == (list(range(1, 42)), 1)


async def test_a_stream_subscribes_again_after_a_loss(venue: HomeAssistantVenue) -> None:
    async with make_client(venue) as client, client.request_stream(STATES, resend=True) as stream:
        for losses in range(3):
            assert isinstance(await anext(stream), Result)
            venue.push("state_changed", {"losses": losses})
            event = await anext(stream)
            assert isinstance(event, Event)
            assert event.fired().data == {"losses": losses}
            venue.kill_connections()
            assert isinstance(await anext(stream), Gap)
    ids = [command["id"] for command in commands(venue) if command["type"] == "subscribe_events"]
    assert ids == sorted(set(ids))


async def test_commands_that_fail_are_told_with_their_reason(venue: HomeAssistantVenue) -> None:
    venue.refused.add("secret")
    async with make_client(venue) as client:
        with pytest.raises(RequestRefused, match=r"Unknown command\. \(unknown_command\)") as caught:
            await client.request({"type": "no_such"})
        assert isinstance(caught.value.answer, Result)
        with pytest.raises(RequestRefused, match=r"Unauthorized \(unauthorized\)"):
            await anext(client.request_stream(SubscribeEvents(event_type="secret")))
        assert isinstance(await client.request(home_assistant.PingCommand()), home_assistant.PongAnswer)


async def test_events_that_come_in_one_array_are_events_of_their_streams(venue: HomeAssistantVenue) -> None:
    async with make_client(venue) as client:
        await client.request({"type": "supported_features", "features": {"coalesce_messages": 1}})
        everything = client.request_stream(SubscribeEvents())
        assert isinstance(await anext(everything), Result)
        venue.push("x", 1, 2)
        assert [message.event["data"] async for message in first(everything, 2)] == [1, 2]


async def first(stream: Any, number: int) -> AsyncIterator[Any]:
    for _ in range(number):
        yield await anext(stream)


@pytest.mark.parametrize(
    ("token", "error", "text"),
    [
        ("s3cret", LoginRefused, "Invalid access token or password"),
        (None, InvalidOption, "long-lived access token"),
    ],
)
async def test_logins_that_cannot_succeed_are_told(
    venue: HomeAssistantVenue, token: str | None, error: type[Exception], text: str
) -> None:
    client = make_client(venue, token)
    with pytest.raises(error, match=text) as caught:
        await client.connect()
    await client.aclose()
    assert "s3cret" not in str(caught.value)


def test_an_event_of_another_subscription_is_none_of_the_event_bus() -> None:
    with pytest.raises(DecodeError, match="no event of the event bus"):
        Event(id=1, event={"variables": {}}).fired()


def test_the_address_is_that_of_the_browser() -> None:
    assert home_assistant.url() == "ws://homeassistant.local:8123/api/websocket"
    assert home_assistant.url("https://home.example/base/") == "wss://home.example/base/api/websocket"
    with pytest.raises(InvalidURL, match="http://"):
        home_assistant.url("homeassistant.local:8123")
