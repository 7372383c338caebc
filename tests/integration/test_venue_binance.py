"""The fakes of Binance's streams, asked by a client of another project."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from onesocket.testing import MessageLimit
from onesocket.testing.services import BinanceFuturesVenue, BinanceVenue, Disorder, VenueEvent
from tests.support.venue_peer import dial


@pytest.fixture
async def venue() -> AsyncIterator[BinanceVenue]:
    async with BinanceVenue(message_limit=MessageLimit(100)) as running:
        yield running


async def fetch(url: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        return await client.get(url)


async def test_requests_are_answered_by_their_id(venue: BinanceVenue) -> None:
    async with dial(venue.url) as peer:
        subscribe = {"method": "SUBSCRIBE", "params": ["btcusdt@trade", "btcusdt@depth"], "id": 1}
        assert await peer.ask(subscribe) == {"result": None, "id": 1}
        unsubscribe = {"method": "UNSUBSCRIBE", "params": ["btcusdt@depth"], "id": "x7"}
        assert await peer.ask(unsubscribe) == {"result": None, "id": "x7"}
        assert await peer.ask({"method": "LIST_SUBSCRIPTIONS", "id": None}) == {"result": ["btcusdt@trade"], "id": None}
        assert venue.keys == {"btcusdt@trade"}
        assert venue.push("btcusdt@trade", {"e": "trade", "p": "1"}) == 1
        assert await peer.receive() == {"e": "trade", "p": "1"}


async def test_a_slow_venue_takes_messages_later_and_in_their_order(venue: BinanceVenue) -> None:
    venue.answer_delay = 0.03
    async with dial(venue.url) as peer:
        begin = venue.time()
        await peer.send({"method": "SUBSCRIBE", "params": ["a@trade"], "id": 1})
        await venue.wait_until(lambda counts: counts.messages_received == 1)
        venue.answer_delay = 0.0
        await peer.send({"method": "LIST_SUBSCRIPTIONS", "id": 2})
        assert venue.push("a@trade", {"p": 1}) == 0, "nothing is subscribed yet"
        await venue.wait_until(lambda _: "a@trade" in venue.keys)
        assert venue.time() - begin >= 0.03
        assert [await peer.receive() for _ in range(2)] == [{"result": None, "id": 1}, {"result": ["a@trade"], "id": 2}]


async def test_streams_of_the_address_are_combined_or_raw(venue: BinanceVenue) -> None:
    both = venue.stream_url("a@trade", "b@trade"), venue.stream_url("a@trade", combined=False)
    async with dial(both[0]) as combined, dial(both[1]) as raw:
        await venue.wait_until(lambda counts: counts.open_now == 2)
        assert venue.push("a@trade", {"p": 1}) == 2
        assert await combined.receive() == {"stream": "a@trade", "data": {"p": 1}}
        assert await raw.receive() == {"p": 1}
        wrap = {"method": "SET_PROPERTY", "params": ["combined", True], "id": 1}
        assert await raw.ask(wrap) == {"result": None, "id": 1}
        assert await raw.ask({"method": "GET_PROPERTY", "params": ["combined"], "id": 2}) == {"result": True, "id": 2}
        venue.push("a@trade", {"p": 2})
        assert await raw.receive() == {"stream": "a@trade", "data": {"p": 2}}
    with pytest.raises(InvalidStatus, match="404"):
        async with dial(venue.url + "x"):
            pass


@pytest.mark.parametrize(
    ("message", "code", "text"),
    [
        ("{", 3, "Invalid JSON"),
        ({"id": 1}, 2, "missing field `method`"),
        ([], 2, "missing field `method`"),
        ({"method": "subscribe", "id": 1}, 2, "unknown variant `subscribe`, expected one of `SUBSCRIBE`, "),
        ({"method": "LIST_SUBSCRIPTIONS", "id": True}, 2, "request ID must be"),
        ({"method": "LIST_SUBSCRIPTIONS", "id": 2**63}, 2, "request ID must be"),
        ({"method": "LIST_SUBSCRIPTIONS", "id": "x" * 37}, 2, "request ID must be"),
        ({"method": "LIST_SUBSCRIPTIONS", "id": [1]}, 2, "request ID must be"),
        ({"method": "SUBSCRIBE", "params": "a@trade", "id": 1}, 2, "params"),
        ({"method": "SET_PROPERTY", "params": ["combined", 1], "id": 1}, 1, "expected Boolean"),
        ({"method": "SET_PROPERTY", "params": ["other", True], "id": 1}, 0, "Unknown property"),
        ({"method": "GET_PROPERTY", "params": [1], "id": 1}, 2, "property name must be a string"),
        ({"method": "SUBSCRIBE", "params": ["bad@trade"], "id": 1}, 2, "unknown stream bad@trade"),
        ({"method": "SUBSCRIBE", "params": ["a@trade", "b@trade", "c@trade"], "id": 1}, 2, "more than 2 streams"),
    ],
)
async def test_errors_are_those_of_the_documents(venue: BinanceVenue, message: Any, code: int, text: str) -> None:
    venue.refused.add("bad")
    venue.stream_limit = 2
    async with dial(venue.url) as peer:
        answer = await peer.ask(message)
        assert (answer["code"], venue.keys) == (code, frozenset())
        assert text in answer["msg"]
        assert venue.ledger.totals[VenueEvent.REFUSED] == 1


@pytest.mark.parametrize(("kind", "pace"), [(BinanceVenue, 5), (BinanceFuturesVenue, 10)])
async def test_the_pace_is_enforced(kind: type[BinanceVenue], pace: int) -> None:
    async with kind() as venue, dial(venue.url) as peer:
        await peer.send(*[{"method": "LIST_SUBSCRIPTIONS", "id": number} for number in range(pace + 1)])
        answers, code, reason = await peer.rest()
        assert ([answer["id"] for answer in answers], code) == (list(range(pace)), 1008)
        assert reason == "Too many requests"
        assert len(venue.ledger.of(VenueEvent.LIMIT_EXCEEDED, key="message_limit")) == 1


async def test_pings_count_in_the_pace_of_the_spot_streams() -> None:
    async with BinanceVenue() as venue, dial(venue.url) as peer:
        for _ in range(6):
            await peer.connection.ping()
        assert (await peer.rest())[1] == 1008


async def test_a_book_can_be_kept_from_snapshot_and_updates(venue: BinanceVenue) -> None:
    venue.push_depth("BTCUSDT", bids=[("100.0", "1.50"), ("99.5", "2")], asks=[("100.5", "3")], updates=7)
    async with dial(venue.stream_url("btcusdt@depth@100ms")) as peer:
        await venue.wait_until(lambda _: "btcusdt@depth@100ms" in venue.keys)
        venue.push_depth("BTCUSDT", bids=[("100.0", "0")], updates=2)
        snapshot = (await fetch(f"{venue.depth_url}?symbol=BTCUSDT&limit=5")).json()
        venue.push_depth("BTCUSDT", asks=[("100.4", "1")])
        assert snapshot == {"lastUpdateId": 9, "bids": [["99.5", "2"]], "asks": [["100.5", "3"]]}
        events = [(await peer.receive())["data"] for _ in range(2)]
        assert [(event["U"], event["u"], event["b"], event["a"]) for event in events] == [
            (8, 9, [["100.0", "0"]], []),
            (10, 10, [], [["100.4", "1"]]),
        ]
        assert events[0]["s"] == "BTCUSDT"
        assert "pu" not in events[0]
        assert venue.snapshot("BTCUSDT")["asks"] == [("100.4", "1"), ("100.5", "3")]
        assert [entry.detail for entry in venue.ledger.of(VenueEvent.SNAPSHOT)] == ["9"]


async def test_updates_of_futures_name_the_one_before_and_holes_show() -> None:
    async with BinanceFuturesVenue() as venue, dial(venue.stream_url("btcusdt@depth", combined=False)) as peer:
        await venue.wait_until(lambda _: "btcusdt@depth" in venue.keys)
        venue.disorder = [None, Disorder.HOLE]
        for updates in (3, 2, 1):
            venue.push_depth("BTCUSDT", bids=[("100", str(updates))], updates=updates)
        events = [await peer.receive() for _ in range(2)]
        assert [(event["U"], event["u"], event["pu"]) for event in events] == [(1, 3, 0), (6, 6, 5)]
        assert (await fetch(venue.depth_url + "?symbol=BTCUSDT")).json()["lastUpdateId"] == 6


async def test_a_hook_gives_old_snapshots_or_none(venue: BinanceVenue) -> None:
    venue.push_depth("A", bids=[("1", "1")], updates=4)
    url = venue.depth_url + "?symbol=A"
    venue.on_snapshot = lambda symbol, snapshot: {**snapshot, "lastUpdateId": 1, "symbol": symbol}
    assert (await fetch(url)).json() == {"lastUpdateId": 1, "bids": [["1", "1"]], "asks": [], "symbol": "A"}
    venue.on_snapshot = lambda _, __: None
    for address, status in ((url, 503), (venue.depth_url + "?symbol=B", 400), (venue.api_url + "/", 404)):
        assert (await fetch(address)).status_code == status


async def test_the_http_side_stops_and_starts_with_the_server(venue: BinanceVenue) -> None:
    venue.push_depth("A", bids=[("1", "1")])
    url = venue.depth_url + "?symbol=A"
    await venue.stop_listening()
    with pytest.raises(httpx.ConnectError):
        await fetch(url)
    await venue.start()
    assert (await fetch(url)).json()["lastUpdateId"] == 1
    reader, writer = await asyncio.open_connection("127.0.0.1", int(venue.api_url.rpartition(":")[2]))
    writer.write(b"nonsense\r\n\r\n")
    assert await reader.read() == b""  # closed, not answered
    writer.close()
    await writer.wait_closed()
    with pytest.raises(RuntimeError, match="HTTP side"):
        _ = BinanceVenue().api_url


async def test_the_end_is_announced_before_it_comes(venue: BinanceVenue) -> None:
    async with dial(venue.stream_url("a@trade")) as combined, dial(venue.url) as raw:
        await venue.wait_until(lambda counts: counts.open_now == 2)
        ending = asyncio.create_task(venue.rotate(notice=0.05))
        first = await combined.receive()
        assert (first["stream"], first["data"]["e"]) == ("!serverShutdown", "serverShutdown")
        assert (await raw.receive())["e"] == "serverShutdown"
        async with dial(venue.url) as successor:
            assert await ending == 2
            assert await combined.rest() == await raw.rest() == ([], 1001, "")
            assert (await successor.ask({"method": "LIST_SUBSCRIPTIONS", "id": 1}))["id"] == 1
