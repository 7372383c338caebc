"""The fake of Kraken's WebSocket, asked by a client of another project."""

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from onesocket.testing.services import Disorder, KrakenVenue, VenueEvent, book_checksum
from tests.support.kraken_example import ASKS, BIDS, CHECKSUM
from tests.support.venue_peer import VenuePeer, dial


class PeerBook:
    """A client's book, kept by the rules of the service's guide from the text of the numbers."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.sides: dict[str, dict[Decimal, tuple[str, str]]] = {"bids": {}, "asks": {}}

    def apply(self, text: str) -> bool:
        """Take a message; returns True if its checksum fits."""
        message = json.loads(text, parse_float=str, parse_int=str)
        data = message["data"][0]
        for name, side in self.sides.items():
            for level in data[name]:
                if Decimal(level["qty"]):
                    side[Decimal(level["price"])] = level["price"], level["qty"]
                else:
                    side.pop(Decimal(level["price"]), None)
            kept = sorted(side, reverse=name == "bids")[: self.depth]
            self.sides[name] = {price: side[price] for price in kept}
        return book_checksum(self.top("bids"), self.top("asks")) == int(data["checksum"])

    def top(self, side: str) -> list[tuple[str, str]]:
        """Return the ten best levels."""
        return list(self.sides[side].values())[:10]


@pytest.fixture
async def venue() -> AsyncIterator[KrakenVenue]:
    async with KrakenVenue(heartbeat_interval=None) as running:
        yield running


def subscribe(*symbols: str, channel: str = "book", **fields: Any) -> dict[str, Any]:
    return {"method": "subscribe", "params": {"channel": channel, "symbol": list(symbols), **fields}, "req_id": 7}


async def receive_text(peer: VenuePeer) -> str:
    return str(await peer.connection.recv())


def test_the_checksum_is_that_of_the_documents() -> None:
    assert book_checksum(BIDS, ASKS) == CHECKSUM


async def test_a_status_comes_first_and_changes_are_told(venue: KrakenVenue) -> None:
    async with dial(venue.url) as peer:
        first = await peer.receive()
        assert (first["channel"], first["data"][0]["system"]) == ("status", "online")
        venue.push_status("maintenance")
        assert (await peer.receive())["data"][0]["system"] == "maintenance"


async def test_each_symbol_has_its_answer_with_the_id_of_the_request(venue: KrakenVenue) -> None:
    venue.refused.update({"BAD/USD", "ticker:C/USD"})
    async with dial(venue.url) as peer:
        await peer.receive()
        await peer.send(subscribe("A/USD", "BAD/USD", "C/USD", channel="ticker"))
        answers = [await peer.receive() for _ in range(3)]
        assert [(each["req_id"], each["success"]) for each in answers] == [(7, True), (7, False), (7, False)]
        assert answers[0]["result"] == {"channel": "ticker", "snapshot": True, "symbol": "A/USD"}
        assert (answers[1]["error"], answers[1]["symbol"]) == ("Currency pair not supported BAD/USD", "BAD/USD")
        assert venue.keys == {"ticker:A/USD"}
        assert venue.push("ticker", "A/USD", {"last": 1.5}) == 1
        data = [{"symbol": "A/USD", "last": 1.5}]
        assert await peer.receive() == {"channel": "ticker", "type": "update", "data": data}
        again = await peer.ask(subscribe("A/USD", channel="ticker"))
        assert (again["success"], again["error"]) == (False, "Already subscribed")
        end = {"method": "unsubscribe", "params": {"channel": "ticker", "symbol": ["A/USD"]}}
        assert (await peer.ask(end))["success"] is True
        assert (await peer.ask(end))["error"] == "Subscription Not Found"
        assert len(venue.ledger.of(VenueEvent.REPEATED, key="ticker:A/USD")) == 2


async def test_pings_are_answered_and_nonsense_is_refused(venue: KrakenVenue) -> None:
    async with dial(venue.url) as peer:
        await peer.receive()
        answer = await peer.ask({"method": "ping", "req_id": 101})
        assert (answer["method"], answer["req_id"]) == ("pong", 101)
        all_nonsense: list[Any] = ["{", [], {"method": "subscribe"}, {"method": "other", "req_id": 1}, subscribe()]
        for nonsense in all_nonsense:
            assert (await peer.ask(nonsense))["success"] is False
        assert (await peer.ask(subscribe("A/USD", depth=11)))["error"] == "Subscription depth not supported"
        assert venue.keys == frozenset()


async def test_books_of_every_depth_follow_the_venue(venue: KrakenVenue) -> None:
    venue.push_book("BTC/USD", bids=BIDS, asks=ASKS)
    venue.push_book("BTC/USD", bids=[(str(45000 - n), "1.0") for n in range(20)])
    async with dial(venue.url) as shallow, dial(venue.url) as deep:
        books = {shallow: PeerBook(10), deep: PeerBook(25)}
        for peer, book in books.items():
            await peer.receive()
            assert (await peer.ask(subscribe("BTC/USD", depth=book.depth)))["result"]["depth"] == book.depth
            assert book.apply(await receive_text(peer))
            assert '"qty":0.10000000' in venue.ledger.sent("book:BTC/USD")[-1]  # in full precision
        venue.push_book("BTC/USD", bids=[("45283.45", "2.5")])  # one level falls out of the shallow book
        venue.push_book("BTC/USD", bids=[("45283.5", "0"), ("45283.4", "0")])  # and another one comes in
        venue.push_book("BTC/USD", bids=[("44999", "7.0")])  # seen by the deep one alone
        venue.push_book("BTC/USD", asks=[("45285.2", "0.5")])
        for peer, book in books.items():
            assert all([book.apply(await receive_text(peer)) for _ in range(3 if peer is shallow else 4)])
            assert book.top("bids") == venue.book("BTC/USD").bids(10)
            assert book.top("asks") == venue.book("BTC/USD").asks(10)
        assert ("44999", "7.0") in books[deep].sides["bids"].values()


async def test_a_hole_shows_in_the_checksum_and_a_new_snapshot_heals_it(venue: KrakenVenue) -> None:
    venue.push_book("BTC/USD", bids=BIDS, asks=ASKS)
    async with dial(venue.url) as peer:
        book = PeerBook(10)
        await peer.receive()
        await peer.ask(subscribe("BTC/USD"))
        assert book.apply(await receive_text(peer))
        venue.disorder = [Disorder.HOLE]
        venue.push_book("BTC/USD", bids=[("45283.5", "9.0")])
        venue.push_book("BTC/USD", asks=[("45285.2", "9.0")])
        assert not book.apply(await receive_text(peer))
        await peer.ask({"method": "unsubscribe", "params": {"channel": "book", "symbol": ["BTC/USD"]}})
        await peer.ask(subscribe("BTC/USD"))
        assert PeerBook(10).apply(await receive_text(peer))
        assert (await peer.ask(subscribe("X/USD", snapshot=False)))["result"]["snapshot"] is False


async def test_heartbeats_come_in_the_absence_of_data() -> None:
    async with KrakenVenue(heartbeat_interval=0.01) as venue, dial(venue.url) as peer:
        await peer.receive()
        await peer.ask(subscribe("A/USD", channel="trade"))
        assert [await peer.receive() for _ in range(3)] == [{"channel": "heartbeat"}] * 3
        venue.push("trade", "A/USD", {"price": 1})
        while await peer.receive() == {"channel": "heartbeat"}:
            pass  # those that were on their way
