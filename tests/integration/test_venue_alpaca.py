"""The fake of Alpaca's market data, and what all venues share, asked by a client of another project."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import msgspec.msgpack
import pytest
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from onesocket.testing import ConnectionLimit, Fault, MessageLimit, ThreadedServer
from onesocket.testing.services import AlpacaVenue, Disorder, VenueEvent
from tests.support.venue_peer import DEADLINE, VenuePeer, dial

LOGIN = {"action": "auth", "key": "key", "secret": "secret"}
CONNECTED = [{"T": "success", "msg": "connected"}]
AUTHENTICATED = [{"T": "success", "msg": "authenticated"}]


@pytest.fixture
async def venue() -> AsyncIterator[AlpacaVenue]:
    async with AlpacaVenue(channels=("trades", "quotes", "bars")) as running:
        yield running


def error(code: int, text: str) -> Any:
    return [{"T": "error", "code": code, "msg": text}]


def trade(symbol: str, price: float) -> dict[str, Any]:
    return {"T": "t", "S": symbol, "p": price}


async def log_in(peer: VenuePeer) -> None:
    assert await peer.receive() == CONNECTED
    assert await peer.ask(LOGIN) == AUTHENTICATED


async def test_it_answers_each_change_with_the_whole_list(venue: AlpacaVenue) -> None:
    async with dial(venue.url) as peer:
        await log_in(peer)
        first = await peer.ask({"action": "subscribe", "trades": ["AAPL"], "quotes": ["AMD", "CLDR"], "bars": ["*"]})
        second = await peer.ask({"action": "unsubscribe", "bars": ["*"], "quotes": ["AMD"]})
        lists = {"trades": ["AAPL"], "corrections": ["AAPL"], "cancelErrors": ["AAPL"]}
        assert first == [{"T": "subscription", "quotes": ["AMD", "CLDR"], "bars": ["*"], **lists}]
        assert second == [{"T": "subscription", "quotes": ["CLDR"], "bars": [], **lists}]
        assert venue.ledger.subscribers == {"trades.AAPL": {1}, "quotes.CLDR": {1}}
        assert venue.connections[0].subscriptions.keys == {"trades.AAPL", "quotes.CLDR"}


async def test_data_reach_those_who_asked_in_arrays(venue: AlpacaVenue) -> None:
    async with dial(venue.url) as peer:
        await log_in(peer)
        await peer.ask({"action": "subscribe", "trades": ["AAPL"], "bars": ["*"]})
        correction = {"T": "c", "S": "AAPL", "x": "V"}
        assert venue.push(trade("AAPL", 1.0), trade("MSFT", 2.0), {"T": "b", "S": "MSFT"}, correction) == 1
        assert venue.push(trade("MSFT", 2.0)) == 0
        assert await peer.receive() == [trade("AAPL", 1.0), {"T": "b", "S": "MSFT"}, correction]
        assert [json.loads(text)[0] for text in venue.ledger.sent()] == [trade("AAPL", 1.0)]


async def test_a_client_of_messagepack_is_answered_in_it_with_timestamps(venue: AlpacaVenue) -> None:
    packed = {"Content-Type": "application/msgpack"}
    async with asyncio.timeout(DEADLINE), connect_async(venue.url, proxy=None, additional_headers=packed) as peer:

        async def ask(message: Any) -> Any:
            await peer.send(msgspec.msgpack.encode(message))
            return msgspec.msgpack.decode(await peer.recv(decode=False))

        assert msgspec.msgpack.decode(await peer.recv(decode=False)) == CONNECTED
        assert await ask([1]) == error(400, "invalid syntax")
        assert await ask(LOGIN) == AUTHENTICATED
        (subscribed,) = await ask({"action": "subscribe", "trades": ["AAPL"]})
        assert subscribed["trades"] == ["AAPL"]
        await peer.send(b"\xc1")
        assert msgspec.msgpack.decode(await peer.recv(decode=False)) == error(400, "invalid syntax")
        venue.push(trade("AAPL", 1.5) | {"t": "2026-01-02T03:04:05.123456Z"}, trade("AAPL", 2.5))
        time = datetime(2026, 1, 2, 3, 4, 5, 123456, UTC)
        assert msgspec.msgpack.decode(await peer.recv(decode=False)) == [
            trade("AAPL", 1.5) | {"t": time},
            trade("AAPL", 2.5),
        ]


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ({"action": "auth", "key": "key", "secret": "wrong"}, error(402, "auth failed")),
        ({"action": "subscribe", "trades": ["AAPL"]}, error(401, "not authenticated")),
        ({"action": "listen"}, error(400, "invalid syntax")),
        ([1], error(400, "invalid syntax")),
        ("{", error(400, "invalid syntax")),
    ],
)
async def test_errors_before_the_login(venue: AlpacaVenue, message: Any, answer: Any) -> None:
    async with dial(venue.url) as peer:
        await peer.receive()
        assert await peer.ask(message) == answer
        assert await peer.ask(LOGIN) == AUTHENTICATED


async def test_errors_after_the_login(venue: AlpacaVenue) -> None:
    venue.symbol_limit = 2
    venue.refused.add("BAD")
    async with dial(venue.url) as peer:
        await log_in(peer)
        await peer.ask({"action": "subscribe", "trades": ["AAPL"]})
        assert await peer.ask(LOGIN) == error(403, "already authenticated")
        assert await peer.ask({"action": "subscribe", "trades": ["A"], "quotes": ["A"]}) == error(
            405, "symbol limit exceeded"
        )
        assert await peer.ask({"action": "subscribe", "trades": "AAPL"}) == error(400, "invalid syntax")
        assert await peer.ask({"action": "subscribe", "trades": ["BAD"]}) == error(400, "invalid syntax")
        answer = await peer.ask({"action": "subscribe", "news": ["AAPL"]})
        assert answer == error(410, "invalid subscribe action for this feed")
        assert venue.keys == {"trades.AAPL"}
        assert venue.ledger.totals[VenueEvent.REFUSED] == 5
        assert (await peer.ask({"action": "subscribe", "quotes": ["B"], "bars": ["A", "B"]}))[0]["T"] == "subscription"


async def test_one_connection_has_the_place_of_an_account_and_a_ghost_keeps_it(venue: AlpacaVenue) -> None:
    venue.account_limit = ConnectionLimit(max_connections=1, ghost_seconds_after_close=60)
    refusal = ([CONNECTED, error(406, "connection limit exceeded")], 1000, "connection limit exceeded")
    async with dial(venue.url) as first:
        await log_in(first)
        async with dial(venue.url) as second:
            await second.send(LOGIN)
            assert await second.rest() == refusal
    await venue.wait_until(lambda counts: counts.open_now == 0)
    assert (venue.places("key").taken, venue.places("key").ghosts) == (0, 1)
    async with dial(venue.url) as third:
        await third.send(LOGIN)
        assert await third.rest() == refusal
    venue.account_limit = ConnectionLimit(max_connections=2)
    async with dial(venue.url) as fourth:
        await log_in(fourth)
    assert venue.ledger.most_signed_in == {"key": 1}
    assert venue.ledger.most_open == venue.counts.most_open == 2
    assert len(venue.ledger.of(VenueEvent.LIMIT_EXCEEDED, key="key")) == 2


async def test_a_login_by_headers_and_one_that_never_comes() -> None:
    async with AlpacaVenue(auth_timeout=0.02) as venue:
        headers = {"APCA-API-KEY-ID": "key", "APCA-API-SECRET-KEY": "secret"}
        async with dial(venue.url, additional_headers=headers) as peer, dial(venue.url) as silent:
            assert [await peer.receive(), await peer.receive()] == [CONNECTED, AUTHENTICATED]
            assert await silent.rest() == ([CONNECTED, error(404, "auth timeout")], 1000, "auth timeout")
            assert (await peer.ask({"action": "subscribe", "trades": []}))[0]["T"] == "subscription"


async def test_no_time_runs_on_for_a_connection_that_has_ended(venue: AlpacaVenue) -> None:
    async with dial(venue.url) as peer:
        await peer.receive()
        timer = venue.sessions[0].after(60, lambda: None)
    await venue.wait_until(lambda counts: counts.open_now == 0)
    assert timer.cancelled()


async def test_a_feed_outside_of_the_plan_and_an_unknown_address(venue: AlpacaVenue) -> None:
    async with dial(venue.url.replace("iex", "sip")) as peer:
        await peer.receive()
        assert await peer.ask(LOGIN) == error(409, "insufficient subscription")
    with pytest.raises(InvalidStatus, match="404"):
        async with dial(venue.url.replace("v2", "v3")):
            pass


# What all venues share


async def test_holes_repeats_and_late_messages_are_sent_as_planned_and_noted(venue: AlpacaVenue) -> None:
    async with dial(venue.url) as peer:
        await log_in(peer)
        await peer.ask({"action": "subscribe", "trades": ["A"]})
        venue.disorder = [None, Disorder.HOLE, Disorder.REPEAT, Disorder.LATE, None]
        for price in range(6):
            venue.push(trade("A", price))
        got = [(await peer.receive())[0]["p"] for _ in range(6)]
        assert got == [0, 2, 2, 4, 3, 5]
        assert [json.loads(text)[0]["p"] for text in venue.ledger.sent("trades.A", connection=1)] == got
        assert [json.loads(e.detail)[0]["p"] for e in venue.ledger.of(VenueEvent.WITHHELD)] == [1]
        venue.disorder = lambda session, key: Disorder.REPEAT if (session.number, key) == (1, "trades.A") else None
        venue.push(trade("A", 6))
        assert await peer.receive() == await peer.receive() == [trade("A", 6)]
        venue.disorder = Disorder.HOLE
        venue.push(trade("A", 7))
        venue.disorder = None
        venue.push(trade("A", 8))
        assert await peer.receive() == [trade("A", 8)]


async def test_a_connection_that_exceeds_the_pace_is_closed_and_noted() -> None:
    async with AlpacaVenue(message_limit=MessageLimit(2, per=60.0)) as venue, dial(venue.url) as peer:
        await peer.send(LOGIN, LOGIN, LOGIN, LOGIN)
        _, code, reason = await peer.rest()
        assert (code, reason) == (1008, "Too many requests")
        assert [entry.key for entry in venue.ledger.of(VenueEvent.LIMIT_EXCEEDED)] == ["message_limit"]


async def test_connections_beyond_the_limit_of_the_server_have_no_session() -> None:
    async with AlpacaVenue(limit=ConnectionLimit(max_connections=1)) as venue, dial(venue.url) as first:
        assert await first.receive() == CONNECTED
        async with dial(venue.url) as second:
            assert await second.rest() == ([], 1008, "connection limit exceeded")
        assert [entry.connection for entry in venue.ledger.of(VenueEvent.LIMIT_EXCEEDED)] == [2]
        assert len(venue.sessions) == 1


async def test_connections_end_by_their_lifetime_and_by_call() -> None:
    async with AlpacaVenue(lifetime=0.02) as venue, dial(venue.url) as peer:
        venue.rotation_code = 4000
        assert await peer.rest() == ([CONNECTED], 4000, "")
        assert len(venue.ledger.of(VenueEvent.ROTATED, connection=1)) == 1
        venue.lifetime = None
        async with dial(venue.url) as second, dial(venue.url) as third:
            await second.receive()
            await third.receive()
            assert await venue.rotate() == 2
            assert (await second.rest(), await third.rest()) == (([], 4000, ""), ([], 4000, ""))
        assert venue.sessions == []


async def test_a_peer_that_answers_no_ping_is_ended() -> None:
    async with AlpacaVenue(ping_interval=0.01, pong_timeout=0.05, close_timeout=0.05) as venue:
        venue.faults = [Fault.stop_reading()]  # the PONG is never read
        async with dial(venue.url, close_timeout=0.01) as deaf:
            assert (await deaf.rest())[1:] == (1008, "no PONG")
            assert [entry.key for entry in venue.ledger.of(VenueEvent.LIMIT_EXCEEDED)] == ["pong_timeout"]


async def test_a_peer_that_answers_pings_is_pinged_again() -> None:
    limit = MessageLimit(3, per=60.0, pings=True)
    async with AlpacaVenue(ping_interval=0.01, message_limit=limit) as venue, dial(venue.url) as peer:
        assert (await peer.rest())[1:] == (1008, "Too many requests")  # its fourth PONG


async def test_the_ledger_is_bounded_and_says_so() -> None:
    async with AlpacaVenue(ledger_limit=3) as venue, dial(venue.url) as peer:
        await log_in(peer)
        await peer.ask({"action": "subscribe", "trades": ["A", "A"]})
        assert [entry.event for entry in venue.ledger.entries] == [
            VenueEvent.SIGNED_IN,
            VenueEvent.SUBSCRIBED,
            VenueEvent.REPEATED,
        ]
        assert venue.ledger.dropped == 1
        assert venue.ledger.totals[VenueEvent.OPENED] == 1
        assert "subscribed=1" in repr(venue.ledger)
        assert repr(venue).startswith("<AlpacaVenue ws://127.0.0.1")


async def test_a_restart_ends_sessions_and_keeps_the_ledger(venue: AlpacaVenue) -> None:
    async with dial(venue.url) as peer:
        await log_in(peer)
        await peer.ask({"action": "subscribe", "trades": ["A"]})
        await venue.restart()
        assert (await peer.rest())[1] is None
        assert (venue.keys, venue.sessions) == (frozenset(), [])
    async with dial(venue.url) as again:
        await log_in(again)
    assert venue.ledger.totals[VenueEvent.SIGNED_IN] == 2


def test_a_venue_runs_in_a_thread_for_code_without_asyncio() -> None:
    with ThreadedServer(AlpacaVenue()) as threaded, connect(threaded.server.url, proxy=None) as client:
        assert json.loads(client.recv(10)) == CONNECTED
        client.send(json.dumps(LOGIN))
        assert json.loads(client.recv(10)) == AUTHENTICATED
        client.send('{"action": "subscribe", "trades": ["A"]}')
        client.recv(10)
        assert threaded.call(lambda venue: venue.push(trade("A", 1))) == 1
        assert json.loads(client.recv(10)) == [trade("A", 1)]
