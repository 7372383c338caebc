"""The client's side of graphql-transport-ws, against the fake venue."""

import asyncio
import json
from collections.abc import AsyncIterator
from operator import methodcaller
from pathlib import Path
from typing import Any

import pytest

from onesocket import Client, Gap, ReconnectPolicy, State
from onesocket.errors import ClosedByPeer, LoginRefused, OnesocketError, RequestRefused
from onesocket.services import graphql
from onesocket.services.graphql import Next, operation
from onesocket.testing.services import GraphQLVenue, VenueEvent
from tests.integration.test_client_parity import KINDS, open_handle
from tests.support.waiting import DEADLINE

FAST = ReconnectPolicy(initial=0.01, cap=0.05)
PRICES = operation("subscription { prices }", name="prices")
ACCOUNTS = {"Bearer s3cret": "anna", "Bearer fresh": "ben"}


def account_of(payload: dict[str, Any]) -> str | None:
    return ACCOUNTS.get(payload.get("Authorization", ""))


@pytest.fixture
async def venue() -> AsyncIterator[GraphQLVenue]:
    async with GraphQLVenue(queries={"add": lambda variables: variables["a"] + variables["b"]}) as running:
        yield running
        await running.wait_until(lambda counts: counts.sockets_now == 0)


def make_client(venue: GraphQLVenue, **options: Any) -> Client[graphql.Message]:
    return Client(venue.url, protocol=graphql.protocol(), reconnect=FAST, **options)


def add(a: int, b: int) -> graphql.OperationRequest:
    return operation("query ($a: Int, $b: Int) { add(a: $a, b: $b) }", {"a": a, "b": b}, name="add")


@pytest.mark.parametrize("kind", KINDS)
async def test_operations_are_requests_and_streams_in_every_scope(
    venue: GraphQLVenue, tmp_path: Path, kind: str
) -> None:
    options = {} if kind == "client" else {"key": "k"}
    async with open_handle(kind, venue.url, tmp_path, protocol=graphql.protocol(), **options) as handle:
        stream = await handle.call(methodcaller("request_stream", PRICES))
        other = await handle.call(methodcaller("request_stream", PRICES))
        answers = await asyncio.gather(*(handle.call(methodcaller("request", add(n, 1))) for n in range(3)))
        assert [answer.payload.data for answer in answers] == [1, 2, 3]
        await venue.wait_until(lambda _: len(venue.sessions[0].streams) == 2)
        venue.push("prices", {"price": 42}, errors=[{"message": "stale", "path": ["price", 0]}])
        for each in (stream, other):
            message = await handle.receive(each)
            assert isinstance(message, Next)
            assert message.payload.data == {"price": 42}
            assert message.payload.errors == [graphql.GraphQLError(message="stale", path=["price", 0])]
        await handle.call(lambda _: stream.close())
        await venue.wait_until(lambda _: len(venue.sessions[0].streams) == 1)
        assert handle.client.handshake.subprotocol == graphql.SUBPROTOCOL
    asked = [message for message in map(json.loads, venue.received) if message["type"] == "subscribe"]
    assert len({message["id"] for message in asked}) == 5
    assert venue.ledger.of(VenueEvent.REFUSED) == []


async def test_a_stream_ends_as_the_server_completes_or_fails_it(venue: GraphQLVenue) -> None:
    venue.refused.add("secret")
    async with make_client(venue) as client:
        stream = client.request_stream(PRICES)
        await venue.wait_until(lambda _: "prices" in venue.keys)
        venue.push("prices", 1)
        venue.complete("prices")
        assert [message.payload.data async for message in stream if isinstance(message, Next)] == [1]
        failing = client.request_stream(PRICES)
        await venue.wait_until(lambda _: "prices" in venue.keys)
        venue.fail("prices", "gone", "really")
        with pytest.raises(RequestRefused, match="gone; really"):
            await anext(failing)
        with pytest.raises(RequestRefused, match="secret is refused"):
            await client.request(operation("{ secret }", name="secret"))
        await client.request(add(1, 1))
    assert not any(json.loads(text)["type"] == "complete" for text in venue.received)


async def test_a_stream_begins_again_after_a_loss(venue: GraphQLVenue) -> None:
    async with make_client(venue) as client, client.request_stream(PRICES, resend=True) as stream:
        for number in range(3):
            await venue.wait_until(lambda _: "prices" in venue.keys)
            venue.push("prices", number)
            message = await anext(stream)
            assert isinstance(message, Next)
            assert message.payload.data == number
            venue.kill_connections()
            assert isinstance(await anext(stream), Gap)


async def test_heartbeats_of_the_server_are_answered_and_reach_no_reader(venue: GraphQLVenue) -> None:
    async with make_client(venue) as client:
        everything = client.subscribe(gaps=False)
        venue.ping({"number": 1})
        await venue.wait_until(lambda _: venue.ledger.totals[VenueEvent.ACKNOWLEDGED] == 1)
        assert json.loads(venue.received[-1]) == {"type": "pong", "payload": {"number": 1}}
        venue.ping()
        await venue.wait_until(lambda _: venue.ledger.totals[VenueEvent.ACKNOWLEDGED] == 2)
        venue.sessions[0].send({"type": "pong"})
        venue.sessions[0].send({"type": "next", "id": "none", "payload": {"data": 1}})
        assert isinstance(await anext(everything), Next)


async def test_a_token_that_is_refused_is_told_and_a_fresh_one_asked_for(venue: GraphQLVenue) -> None:
    venue.authenticate = account_of
    client = make_client(venue, token="s3cr3t")
    with pytest.raises(LoginRefused, match=r"Forbidden \(4403\)") as caught:
        await client.connect()
    assert "s3cr3t" not in str(caught.value)
    await client.aclose()
    tokens = ["s3cret", "fresh"]
    async with make_client(venue, token=lambda: tokens.pop(0)) as client:
        messages = client.subscribe()
        venue.sessions[0].end(4403, "Forbidden")
        assert isinstance(await anext(messages), Gap)
        await venue.wait_until(lambda _: [session.account for session in venue.sessions] == ["ben"])


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [
        (4400, "Invalid message received", ClosedByPeer),
        (4401, "Unauthorized", LoginRefused),
        (4403, "Forbidden", LoginRefused),
        (4406, "Subprotocol not acceptable", ClosedByPeer),
        (4409, "Subscriber for 1 already exists", ClosedByPeer),
        (4429, "Too many initialisation requests", ClosedByPeer),
    ],
)
async def test_close_codes_that_no_retry_can_help_are_final(
    venue: GraphQLVenue, code: int, reason: str, error: type[OnesocketError]
) -> None:
    async with make_client(venue) as client:
        messages = client.subscribe()
        venue.sessions[0].end(code, reason)
        with pytest.raises(error, match=f"{reason}.*{code}"):
            async with asyncio.timeout(DEADLINE):
                await anext(messages)
        assert (client.state, venue.counts.upgraded) == (State.FAILED, 1)


@pytest.mark.parametrize("code", [1000, 1011, 4408, 4500, 4504])
async def test_other_close_codes_are_retried(venue: GraphQLVenue, code: int) -> None:
    async with make_client(venue) as client:
        messages = client.subscribe()
        venue.sessions[0].end(code, "passing")
        assert isinstance(await anext(messages), Gap)
        await venue.wait_until(lambda counts: counts.upgraded == 2)


async def test_a_payload_of_ones_own(venue: GraphQLVenue) -> None:
    venue.authenticate = lambda payload: payload.get("key")
    protocol = graphql.protocol(payload=lambda token: {"key": token})
    async with Client(venue.url, token="anna", protocol=protocol):
        assert venue.sessions[0].account == "anna"
