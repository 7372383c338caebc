"""The client's side of Binance's market data, against the fake venues."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from onesocket import Client, Gap, ReconnectPolicy
from onesocket.errors import DecodeError, RequestRefused, SubscriptionRefused
from onesocket.sequences import Book, BookState
from onesocket.services import binance
from onesocket.testing import MemoryPeer, MemoryServer, run_virtual
from onesocket.testing.services import BinanceFuturesVenue, BinanceVenue, Disorder, VenueEvent
from tests.integration.test_client_parity import KINDS, Handle, open_handle

FAST = ReconnectPolicy(initial=0.01, cap=0.05)
TRADE = {"e": "trade", "E": 1, "s": "BTCUSDT", "t": 7, "p": "0.001", "q": "100", "T": 1, "m": True, "M": True}
TICKER = {"s": "A", "o": "1", "c": "2", "h": "3", "l": "0.5", "v": "10", "q": "18"}


@pytest.fixture
async def venue() -> AsyncIterator[BinanceVenue]:
    async with BinanceVenue() as running:
        yield running
        assert not running.ledger.of(VenueEvent.LIMIT_EXCEEDED)
        await running.wait_until(lambda counts: counts.sockets_now == 0)


def client_of(venue: BinanceVenue, **options: Any) -> Client[binance.Message]:
    protocol = binance.protocol(futures=isinstance(venue, BinanceFuturesVenue))
    return Client(venue.stream_url(), protocol=protocol, reconnect=FAST, **options)


@pytest.mark.parametrize("kind", KINDS)
async def test_typed_data_of_the_wanted_streams_arrive_in_every_scope(
    venue: BinanceVenue, tmp_path: Path, kind: str
) -> None:
    options = {} if kind == "client" else {"key": "k"}
    async with open_handle(kind, venue.stream_url(), tmp_path, protocol=binance.protocol(), **options) as handle:
        keys = ["btcusdt@trade", "a@bookTicker"]
        stream = await handle.call(lambda client: client.subscribe(keys=keys, gaps=False))
        await venue.wait_until(lambda _: venue.keys == set(keys))
        venue.push("btcusdt@trade", TRADE)
        venue.push("a@bookTicker", {"u": 9, "s": "A", "b": "25.35190000", "B": "31", "a": "25.36", "A": "40"})
        first, second = await handle.receive(stream), await handle.receive(stream)
        assert first.data == binance.Trade(
            event_time=1,
            symbol="BTCUSDT",
            id=7,
            price=Decimal("0.001"),
            quantity=Decimal(100),
            trade_time=1,
            is_buyer_maker=True,
        )
        assert (type(second.data), str(second.data.bid)) == (binance.BookTicker, "25.35190000")
        answer = await handle.call(lambda client: client.request({"method": "LIST_SUBSCRIPTIONS", "id": "mine"}))
        assert (set(answer.result), answer.id) == (set(keys), "mine")
        assert venue.counts.most_open == 1


CANDLE = {"t": 1, "T": 2, "i": "1m", "o": "1", "c": "2", "h": "3", "l": "1", "v": "9", "q": "1", "n": 3, "x": True}
CHANNELS: list[tuple[str, str, Any, Any]] = [
    ("a@aggTrade", "aggTrade", {**TRADE, "a": 5, "f": 1, "l": 2}, binance.AggTrade),
    ("a@kline_1m@+08:00", "kline_1m", {"e": "kline", "E": 1, "s": "A", "k": CANDLE}, binance.Kline),
    ("a@miniTicker", "miniTicker", {"e": "24hrMiniTicker", "E": 1, **TICKER}, binance.MiniTicker),
    ("a@ticker_1h", "ticker_1h", {"E": 1, **TICKER, "p": "1", "P": "2", "w": "3"}, binance.Ticker),
    ("!miniTicker@arr", "!miniTicker", [{"E": 1, **TICKER}], tuple),
    ("a@avgPrice", "avgPrice", {"E": 1, "s": "A", "i": "5m", "w": "25776.8", "T": 1}, binance.AveragePrice),
    ("a@depth5@100ms", "depth5", {"lastUpdateId": 160, "bids": [["0.1", "10"]], "asks": []}, binance.Depth),
    ("a@depth@100ms", "depth", {"E": 1, "s": "A", "U": 1, "u": 2, "b": [], "a": []}, binance.DepthUpdate),
    ("a@somethingNew", "somethingNew", {"e": "new"}, dict),
]


@pytest.mark.parametrize(("name", "channel", "data", "kind"), CHANNELS)
async def test_every_channel_has_its_type_and_its_names(
    venue: BinanceVenue, name: str, channel: str, data: Any, kind: type
) -> None:
    async with client_of(venue) as client:
        stream, events = client.subscribe(keys=[name], gaps=False), client.subscribe(channel, gaps=False)
        await venue.wait_until(lambda _: name in venue.keys)
        venue.push(name, data)
        async with asyncio.timeout(10):
            message = await anext(stream)
            assert await anext(events) is message
        assert isinstance(message, binance.StreamMessage)
        assert type(message.data) is kind
        assert (binance.key_of(message), binance.channel_of(message)) == (name, channel)
        assert binance.identity_of(message) == binance.identity_of(binance.StreamMessage(name, message.data))


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a@markPrice@1s", {"E": 1, "s": "A", "p": "1", "i": "2", "r": "", "T": 0}, binance.MarkPrice),
        ("a@depth5", {"E": 1, "s": "A", "U": 1, "u": 2, "pu": 0, "b": [], "a": []}, binance.DepthUpdate),
    ],
)
async def test_futures_have_types_of_their_own(name: str, data: Any, kind: type) -> None:
    async with BinanceFuturesVenue() as venue, client_of(venue) as client:
        stream = client.subscribe(keys=[name], gaps=False)
        await venue.wait_until(lambda _: name in venue.keys)
        venue.push(name, data)
        message = await anext(stream)
        assert isinstance(message, binance.StreamMessage)
        assert type(message.data) is kind
        assert binance.Books().take(message) is None  # no changes of a book, though of the same form


async def test_streams_that_are_refused_or_too_many_are_told_to_their_reader(venue: BinanceVenue) -> None:
    venue.refused.add("bad")
    protocol = binance.protocol(limit=2)
    async with Client(venue.stream_url(), protocol=protocol) as client:
        stream = client.subscribe(keys=["a@trade", "bad@trade"], gaps=False)
        with pytest.raises(SubscriptionRefused, match=r"unknown stream bad@trade \(2\)") as refused:
            await anext(stream)
        assert refused.value.keys == ("bad@trade",)
        await venue.wait_until(lambda _: venue.keys == {"a@trade"})
        with pytest.raises(SubscriptionRefused, match="at most 2 keys"):
            await anext(client.subscribe(keys=["b@trade", "c@trade"], gaps=False))
        with pytest.raises(RequestRefused, match=r"Unknown property \(0\)"):
            await client.request({"method": "GET_PROPERTY", "params": ["other"]})


def test_errors_are_known_in_both_forms_and_raw_data_are_not_taken_for_answers() -> None:
    decode = binance.protocol().decode
    for text in ('{"code": 2, "msg": "no", "id": 1}', '{"error": {"code": 2, "msg": "no"}, "id": 1}'):
        assert decode(text) == binance.Answer(id=1, code=2, msg="no")
    assert decode('{"code": 2, "msg": "no"}') == binance.Answer(code=2, msg="no")
    with pytest.raises(DecodeError, match=r"binance\.url\(\)"):
        decode(json.dumps(TRADE))


async def test_subscriptions_are_there_again_after_losses(venue: BinanceVenue) -> None:
    async with client_of(venue) as client:
        stream = client.subscribe(keys=["btcusdt@trade", "a@trade"])
        for losses in range(3):
            await venue.wait_until(lambda _: venue.keys == {"btcusdt@trade", "a@trade"})
            venue.push("btcusdt@trade", TRADE | {"t": losses})
            message = await anext(stream)
            assert isinstance(message, binance.StreamMessage)
            assert message.data.id == losses
            venue.kill_connections()
            assert isinstance(await anext(stream), Gap)
            await venue.wait_until(lambda counts, wanted=losses + 2: counts.upgraded >= wanted)  # type: ignore[misc]


@pytest.mark.parametrize("kind", ["client", "process", "host"])
@pytest.mark.parametrize("is_announced", [True, False])
async def test_connections_are_rotated_without_a_hole_by_age_and_by_announcement(
    venue: BinanceVenue, tmp_path: Path, kind: str, is_announced: bool
) -> None:
    options: dict[str, Any] = {"rotation": binance.rotation(age=3600 if is_announced else 0.1, overlap=0.1)}
    if kind != "client":
        options["key"] = "k"

    async def trade() -> None:
        number = 0
        while True:
            number += 1
            venue.push("btcusdt@trade", TRADE | {"t": number})
            await asyncio.sleep(0.002)

    async with open_handle(kind, venue.stream_url(), tmp_path, protocol=binance.protocol(), **options) as handle:
        stream = handle.client.subscribe(keys=["btcusdt@trade"])
        await venue.wait_until(lambda _: "btcusdt@trade" in venue.keys)
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(trade())]
        if is_announced:
            tasks.append(asyncio.create_task(venue.rotate(notice=5)))
        last = None
        async with asyncio.timeout(20):
            while handle.client.epoch < 2 or venue.counts.open_now > 1:
                message = await anext(stream)
                assert isinstance(message, binance.StreamMessage), message
                assert last in (None, message.data.id - 1), "missing, doubled or out of order"
                last = message.data.id
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        assert venue.counts.most_open == 2


class Follower:
    """Keeps books as a program does: each snapshot that is due is fetched over HTTP."""

    def __init__(self, venue: BinanceVenue, handle: Handle, stream: Any) -> None:
        self.venue, self.handle, self.stream = venue, handle, stream
        self.books = binance.Books()
        self.fetched = 0

    async def follow(self, number: int) -> Book:
        """Read until the book has the update of this number."""
        while True:
            book = self.books.take(await self.handle.receive(self.stream))
            if book is None:
                continue
            if book.snapshot_due():
                self.fetched += 1
                self.books.add_snapshot(str(book.key), await self.fetch(book))
            if book.state is BookState.SYNCED and (book.number or 0) >= number:
                return book

    async def fetch(self, book: Book) -> bytes:
        async with httpx.AsyncClient(trust_env=False) as http:
            return (await http.get(self.venue.depth_url, params={"symbol": str(book.key)})).content


def assert_equal(book: Book, venue: BinanceVenue) -> None:
    expected = venue.snapshot(str(book.key))
    sides = [[(str(price), str(quantity)) for price, quantity in side] for side in (book.bids(), book.asks())]
    assert sides == [expected["bids"], expected["asks"]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make_venue", [BinanceVenue, BinanceFuturesVenue])
async def test_books_equal_the_venues_after_holes_old_snapshots_and_losses(
    make_venue: type[BinanceVenue], tmp_path: Path, kind: str
) -> None:
    options: dict[str, Any] = {"protocol": binance.protocol(futures=make_venue is BinanceFuturesVenue)}
    options |= {"reconnect": FAST} if kind == "client" else {"reconnect": FAST, "key": "k"}
    async with make_venue() as venue, open_handle(kind, venue.stream_url(), tmp_path, **options) as handle:
        stream = await handle.call(lambda client: client.subscribe(keys=["btcusdt@depth@100ms"]))
        follower = Follower(venue, handle, stream)
        await venue.wait_until(lambda _: bool(venue.keys))
        old = venue.snapshot("BTCUSDT")
        venue.push_depth("BTCUSDT", bids=[("100.0", "1.50"), ("99.5", "2")], asks=[("100.5", "3")], updates=7)
        assert_equal(await follower.follow(7), venue)
        venue.push_depth("BTCUSDT", bids=[("99.5", "0")], updates=2)
        venue.push_depth("BTCUSDT", asks=[("100.4", "0.10")])
        assert_equal(await follower.follow(10), venue)
        assert follower.fetched == 1

        snapshots = iter([{**old, "lastUpdateId": 1}])
        venue.on_snapshot = lambda _, snapshot: next(snapshots, snapshot)  # the first one is old
        venue.disorder = [Disorder.HOLE]
        for quantity in "1", "2", "3":
            venue.push_depth("BTCUSDT", bids=[("100.0", quantity)])
        assert_equal(await follower.follow(13), venue)
        assert follower.fetched == 3

        venue.kill_connections()
        await venue.wait_until(lambda counts: counts.upgraded == 2 and bool(venue.keys))
        venue.push_depth("BTCUSDT", bids=[("98", "1")], asks=[("100.4", "0")])
        assert_equal(await follower.follow(14), venue)


@pytest.mark.parametrize(("futures", "limit"), [(False, 5), (True, 10)])
def test_the_pace_is_kept_whatever_is_sent(futures: bool, limit: int) -> None:
    times: list[float] = []

    def answer(peer: MemoryPeer, data: str | bytes) -> None:
        times.append(asyncio.get_running_loop().time())
        peer.send(json.dumps({"result": None, "id": json.loads(data)["id"]}))

    async def main() -> None:
        server = MemoryServer(on_message=answer)
        protocol = binance.protocol(futures=futures)
        async with Client("ws://server.test/", protocol=protocol, transport=server.transport()) as client:
            streams = []
            for number in range(3 * limit):
                streams.append(client.subscribe(keys=[f"s{number}@trade"]))
                await client.request({"method": "LIST_SUBSCRIPTIONS"})
            for stream in streams:
                stream.close()

    run_virtual(main)
    assert len(times) >= 6 * limit
    assert max(sum(1 for each in times if at <= each < at + 1) for at in times) == limit - 1  # one is for a PONG


def test_snapshots_are_taken_as_bodies_and_decoded() -> None:
    books = binance.Books()
    snapshots: list[Any] = [
        b'{"lastUpdateId": 1, "bids": [["1", "2"]], "asks": []}',
        {"lastUpdateId": 2, "bids": [["1", "2"]], "asks": []},
        binance.Depth(last_update_id=3, bids=((Decimal(1), Decimal(2)),), asks=()),
    ]
    for number, snapshot in enumerate(snapshots, start=1):
        assert books.add_snapshot("A", snapshot).number == number
    assert (list(books), len(books), [tuple(level) for level in books["A"].bids()]) == (
        ["A"],
        1,
        [(Decimal(1), Decimal(2))],
    )


def test_the_addresses_are_those_of_the_documents() -> None:
    assert binance.url() == "wss://stream.binance.com:9443/stream"
    assert binance.url("futures") == "wss://fstream.binance.com/market/stream"
    assert binance.url("futures-books") == "wss://fstream.binance.com/public/stream"
