"""The client's side of Slack's Socket Mode, against the fake venue."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from onesocket import Client, Gap, ReconnectPolicy, State, join
from onesocket.errors import LoginRefused, ServerBusy, URLFailed
from onesocket.services import slack
from onesocket.services.slack import SlackEnvelope
from onesocket.testing import ConnectionLimit
from onesocket.testing.services import SlackVenue, VenueEvent
from tests.integration.test_client_parity import KINDS, open_handle
from tests.support.waiting import DEADLINE

FAST = ReconnectPolicy(initial=0.01, cap=0.05)


@pytest.fixture
async def venue() -> AsyncIterator[SlackVenue]:
    async with SlackVenue() as running:
        yield running
        await running.wait_until(lambda counts: counts.sockets_now == 0)


async def post(url: str, headers: Mapping[str, str]) -> bytes:
    async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE) as http:
        return (await http.post(url, headers=headers)).content


async def upgrades(venue: SlackVenue, number: int) -> None:
    await venue.wait_until(lambda counts: counts.upgraded == number)


def make_client(venue: SlackVenue, *, acknowledge: bool = True, **options: Any) -> Client[slack.Message]:
    url = slack.connection_url(post, "xapp-token", open_url=venue.open_url)
    protocol = slack.protocol(acknowledge=acknowledge)
    return Client(url, protocol=protocol, reconnect=FAST, rotation=slack.rotation(overlap=0.05), **options)


async def test_envelopes_are_typed_and_acknowledged_once_for_all_readers(venue: SlackVenue) -> None:
    async with make_client(venue) as client:
        readers = [client.subscribe(gaps=False), client.subscribe("slash_commands", gaps=False)]
        event = venue.push({"event": 1})
        command = venue.push({"command": "/go"}, type="slash_commands", accepts_response_payload=True)
        unknown = venue.push(None, type="to_come")
        for envelope in (event, command, unknown):
            await envelope.settled.wait()
            assert (envelope.is_acknowledged, envelope.response) == (True, None)
        assert await anext(readers[1]) == SlackEnvelope(
            type="slash_commands",
            envelope_id=command.envelope_id,
            payload={"command": "/go"},
            accepts_response_payload=True,
        )
        kinds = [message.type async for message in first(readers[0], 3) if isinstance(message, SlackEnvelope)]
        assert kinds == ["events_api", "slash_commands", "to_come"]
    assert venue.ledger.totals[VenueEvent.ACKNOWLEDGED] == 3
    assert venue.ledger.totals[VenueEvent.REPEATED] == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_the_connection_acknowledges_in_every_scope(venue: SlackVenue, tmp_path: Path, kind: str) -> None:
    options = {} if kind == "client" else {"key": "k"}
    async with open_handle(kind, venue.new_url(), tmp_path, protocol=slack.protocol(), **options) as handle:
        stream = await handle.call(lambda client: client.subscribe("events_api", gaps=False))
        envelope = venue.push({"event": 1})
        assert await handle.receive(stream) == SlackEnvelope(
            type="events_api", envelope_id=envelope.envelope_id, payload={"event": 1}
        )
        await envelope.settled.wait()
    assert [entry.key for entry in venue.ledger.of(VenueEvent.ACKNOWLEDGED)] == [envelope.envelope_id]


async def first(stream: Any, number: int) -> AsyncIterator[Any]:
    async with asyncio.timeout(DEADLINE):
        for _ in range(number):
            yield await anext(stream)


async def test_a_program_acknowledges_by_itself_with_a_response(venue: SlackVenue) -> None:
    venue.ack_timeout = 0.02
    async with make_client(venue, acknowledge=False) as client:
        messages = client.subscribe(gaps=False)
        sent = venue.push({"command": "/go"}, type="slash_commands", accepts_response_payload=True)
        assert isinstance(await anext(messages), SlackEnvelope)
        repeated = await anext(messages)
        assert isinstance(repeated, SlackEnvelope)
        assert (repeated.retry_attempt, repeated.retry_reason) == (1, "timeout")
        await client.send(repeated.ack({"text": "done"}))
        await sent.settled.wait()
        assert (sent.is_acknowledged, sent.response) == (True, {"text": "done"})


async def test_an_announced_close_is_a_rotation_without_a_loss(venue: SlackVenue) -> None:
    async with make_client(venue) as client:
        messages = client.subscribe()
        for number in range(3):
            before, rotating = venue.push(number), asyncio.create_task(venue.rotate(notice=DEADLINE))
            await upgrades(venue, number + 2)
            during = [venue.push("during") for _ in range(4)]
            await venue.wait_until(lambda counts: counts.open_now == 1)
            await before.settled.wait()
            for envelope in during:
                await envelope.settled.wait()
            rotating.cancel()
        after = venue.push("after")
        await after.settled.wait()
        payloads: list[Any] = []
        async for message in messages:
            assert not isinstance(message, Gap)
            if isinstance(message, SlackEnvelope):
                payloads.append(message.payload)
            if payloads[-1:] == ["after"]:
                break
        assert payloads == [each for number in range(3) for each in [number, *["during"] * 4]] + ["after"]
    assert venue.ledger.most_signed_in == {"A0": 2}
    assert venue.ledger.totals[VenueEvent.ROTATED] == 0
    assert venue.ledger.totals[VenueEvent.UNANSWERED] == 0


async def test_each_connection_has_an_address_of_its_own(venue: SlackVenue) -> None:
    async with make_client(venue) as client:
        messages = client.subscribe()
        for losses in range(2):
            venue.kill_connections()
            assert isinstance(await anext(messages), Gap)
            await upgrades(venue, losses + 2)
        venue.push(1)
        assert isinstance(await anext(messages), SlackEnvelope)


async def test_one_connection_is_shared_by_a_factory(venue: SlackVenue) -> None:
    def make() -> Client[slack.Message]:
        return make_client(venue)

    def joined() -> Any:
        return join("wss://slack.com/", key="slack", client_factory=make)

    async with joined() as one, joined() as two:
        readers = [each.subscribe(gaps=False) for each in (one, two)]
        envelope = venue.push("for both")
        await envelope.settled.wait()
        assert [message.payload for message in [await anext(reader) for reader in readers]] == ["for both"] * 2
    assert (venue.counts.upgraded, venue.ledger.totals[VenueEvent.REPEATED]) == (1, 0)


@pytest.mark.parametrize(
    ("reason", "error", "text"),
    [
        ("too_many_websockets", ServerBusy, "too_many_websockets"),
        ("link_disabled", LoginRefused, "Socket Mode is off"),
    ],
)
async def test_connections_that_slack_does_not_want(
    venue: SlackVenue, reason: str, error: type[Exception], text: str
) -> None:
    venue.account_limit = ConnectionLimit(max_connections=1)
    async with make_client(venue) as client:
        second = Client(venue.new_url(), protocol=slack.protocol())
        if reason == "too_many_websockets":
            with pytest.raises(error, match=text):
                await second.connect()
        else:
            login = slack.protocol().login
            assert login is not None
            assert isinstance(login.refusal(slack.DisconnectNotice(reason=reason)), error)
        await second.aclose()
        assert client.state is State.CONNECTED


@pytest.mark.parametrize(
    ("token", "answer", "text", "is_retryable"),
    [
        ("xapp-s3cret", None, "invalid_auth", False),
        ("xapp-token", b'{"ok": false, "error": "ratelimited"}', "ratelimited", True),
        ("xapp-token", b"<html>", "raised DecodeError", True),
        ("xapp-token", {"ok": True}, "raised UsageError", False),
        ("xapp-token", OSError("no network: xapp-s3cret"), "raised OSError", True),
    ],
)
async def test_an_address_that_cannot_be_had_is_told(
    venue: SlackVenue, token: str, answer: Any, text: str, *, is_retryable: bool
) -> None:
    async def answered(url: str, headers: Mapping[str, str]) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return await post(url, headers) if answer is None else answer

    url = slack.connection_url(answered, token, open_url=venue.open_url)
    client = Client(url, protocol=slack.protocol())
    with pytest.raises(URLFailed, match=text) as caught:
        await client.connect()
    await client.aclose()
    assert caught.value.retryable is is_retryable
    assert "s3cret" not in str(caught.value)


async def test_a_plain_http_function_will_do() -> None:
    asked: list[Any] = []

    def plain(url: str, headers: Mapping[str, str]) -> str:
        asked.append((url, dict(headers)))
        return '{"ok": true, "url": "wss://wss-primary.slack.com/link/?ticket=1"}'

    assert await slack.connection_url(plain, "xapp-1")() == "wss://wss-primary.slack.com/link/?ticket=1"
    assert asked == [("https://slack.com/api/apps.connections.open", {"Authorization": "Bearer xapp-1"})]
