"""The fake GraphQL server, asked by a client of another project."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from onesocket.testing import ConnectionLimit
from onesocket.testing.services import Disorder, GraphQLVenue, VenueEvent
from tests.support.venue_peer import VenuePeer, dial

INIT = {"type": "connection_init"}
ACK = {"type": "connection_ack"}


@pytest.fixture
async def venue() -> AsyncIterator[GraphQLVenue]:
    async with GraphQLVenue() as running:
        yield running


def graphql(venue: GraphQLVenue) -> Any:
    return dial(venue.url, subprotocols=["graphql-transport-ws"])


def subscribe(ident: str, name: str | None = None, **variables: Any) -> dict[str, Any]:
    payload = {"query": "subscription { ticks }", "operationName": name, "variables": variables}
    return {"id": ident, "type": "subscribe", "payload": payload}


def following(ident: str, data: Any) -> dict[str, Any]:
    return {"id": ident, "type": "next", "payload": {"data": data}}


async def start(peer: VenuePeer, venue: GraphQLVenue, *streams: tuple[str, str | None]) -> None:
    assert await peer.ask(INIT) == ACK
    for ident, name in streams:
        await peer.send(subscribe(ident, name))
    await venue.wait_until(lambda _: all((name or "subscription { ticks }") in venue.keys for _, name in streams))


async def test_streams_bear_the_ids_of_their_operations(venue: GraphQLVenue) -> None:
    async with graphql(venue) as peer:
        assert peer.connection.subprotocol == "graphql-transport-ws"
        await start(peer, venue, ("a", "prices"), ("b", "prices"), ("c", None))
        assert venue.push("prices", {"price": 1}) == 1
        assert [await peer.receive(), await peer.receive()] == [
            following("a", {"price": 1}),
            following("b", {"price": 1}),
        ]
        await peer.send({"id": "a", "type": "complete"}, {"id": "no such", "type": "complete"})
        await venue.wait_until(lambda _: len(venue.sessions[0].streams) == 2)
        assert "prices" in venue.keys
        venue.push("prices", {"price": 2}, errors=[{"message": "old"}])
        expected = following("b", {"price": 2})
        expected["payload"]["errors"] = [{"message": "old"}]
        assert await peer.receive() == expected
        venue.complete("prices")
        assert await peer.receive() == {"id": "b", "type": "complete"}
        venue.fail("subscription { ticks }", "gone")
        assert await peer.receive() == {"id": "c", "type": "error", "payload": [{"message": "gone"}]}
        assert venue.keys == frozenset()
        await peer.send(subscribe("b", "prices"))  # an id may be used again
        await venue.wait_until(lambda _: "prices" in venue.keys)


async def test_operations_with_one_result_and_refusals(venue: GraphQLVenue) -> None:
    def divide(variables: dict[str, Any]) -> Any:
        if not variables["by"]:
            raise ValueError("division by zero")
        return {"result": 6 // variables["by"]}

    venue.queries["divide"] = divide
    venue.refused.add("secret")
    async with graphql(venue) as peer:
        await start(peer, venue)
        await peer.send(subscribe("1", "divide", by=2), subscribe("2", "divide", by=0), subscribe("3", "secret"))
        answers = [await peer.receive() for _ in range(4)]
        assert answers[:2] == [following("1", {"result": 3}), {"id": "1", "type": "complete"}]
        assert answers[2] == {"id": "2", "type": "error", "payload": [{"message": "division by zero"}]}
        assert (answers[3]["id"], answers[3]["type"]) == ("3", "error")
        assert [entry.key for entry in venue.ledger.of(VenueEvent.REFUSED)] == ["divide", "secret"]


@pytest.mark.parametrize(
    ("query", "key"),
    [
        ("subscription prices($by: Int) { price }", "prices"),
        ("fragment P on Price { price } query\n  prices { ...P }", "prices"),
        ("mutation setPrice { subscription }", "setPrice"),
        ("{ price }", "{ price }"),
    ],
)
async def test_an_operation_has_the_name_in_its_query(venue: GraphQLVenue, query: str, key: str) -> None:
    async with graphql(venue) as peer:
        await start(peer, venue)
        await peer.send({"id": "1", "type": "subscribe", "payload": {"query": query}})
        await venue.wait_until(lambda _: venue.keys == {key})


async def test_pings_go_both_ways(venue: GraphQLVenue) -> None:
    async with graphql(venue) as peer:
        assert await peer.ask({"type": "ping"}) == {"type": "pong"}  # allowed before the initialisation
        assert await peer.ask({"type": "ping", "payload": {"n": 1}}) == {"type": "pong", "payload": {"n": 1}}
        venue.ping({"n": 2})
        assert await peer.receive() == {"type": "ping", "payload": {"n": 2}}
        await peer.send({"type": "pong"})
        await venue.wait_until(lambda _: venue.ledger.totals[VenueEvent.ACKNOWLEDGED] == 1)


@pytest.mark.parametrize(
    ("messages", "code", "reason"),
    [
        ([subscribe("a")], 4401, "Unauthorized"),
        ([INIT, INIT], 4429, "Too many initialisation requests"),
        ([INIT, subscribe("a"), subscribe("a")], 4409, "Subscriber for a already exists"),
        (["{"], 4400, "Invalid message received"),
        ([[]], 4400, "Invalid message received"),
        ([{"type": "start"}], 4400, "Invalid message received"),
        ([{"type": "connection_init", "payload": 1}], 4400, "Invalid message received"),
        ([INIT, {"type": "subscribe", "id": 1, "payload": {"query": ""}}], 4400, "Invalid message received"),
        ([INIT, {"type": "subscribe", "id": "", "payload": {"query": ""}}], 4400, "Invalid message received"),
        ([INIT, {"type": "subscribe", "id": "a", "payload": {}}], 4400, "Invalid message received"),
        ([INIT, {"type": "complete"}], 4400, "Invalid message received"),
    ],
)
async def test_breaches_of_the_rules_end_with_their_codes(
    venue: GraphQLVenue, messages: list[Any], code: int, reason: str
) -> None:
    async with graphql(venue) as peer:
        await peer.send(*messages)
        received, closed, text = await peer.rest()
        assert (received, closed) == ([ACK] if INIT in messages else [], code)
        assert text is not None
        assert text.startswith(reason)
        assert [entry.key for entry in venue.ledger.of(VenueEvent.REFUSED)] == [str(code)]


async def test_a_client_that_does_not_begin_and_one_without_the_subprotocol() -> None:
    async with GraphQLVenue(init_timeout=0.02) as venue, graphql(venue) as silent, dial(venue.url) as plain:
        assert await plain.rest() == ([], 4406, "Subprotocol not acceptable")
        assert await silent.rest() == ([], 4408, "Connection initialisation timeout")
        assert len(venue.ledger.of(VenueEvent.LIMIT_EXCEEDED, key="init_timeout")) == 1


async def test_the_payload_of_the_initialisation_names_the_account() -> None:
    def authenticate(payload: dict[str, Any]) -> str | None:
        return {"t": "user"}.get(payload.get("token", ""))

    async with GraphQLVenue(authenticate=authenticate, account_limit=ConnectionLimit()) as venue:
        login = INIT | {"payload": {"token": "t"}}
        async with graphql(venue) as first, graphql(venue) as second, graphql(venue) as stranger:
            assert await first.ask(login) == ACK
            await second.send(login)
            await stranger.send(INIT)
            assert await second.rest() == await stranger.rest() == ([], 4403, "Forbidden")
            assert venue.ledger.most_signed_in == {"user": 1}


async def test_results_can_be_withheld(venue: GraphQLVenue) -> None:
    async with graphql(venue) as peer:
        await start(peer, venue, ("a", "prices"))
        venue.disorder = [Disorder.HOLE]
        venue.push("prices", 1)
        venue.push("prices", 2)
        assert await peer.receive() == following("a", 2)
