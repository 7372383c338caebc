"""The client's side of Kraken's market data, against the fake venue."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from operator import methodcaller
from pathlib import Path
from typing import Any

import pytest

from onesocket import Client, Gap, ReconnectPolicy, join
from onesocket.client import GapReason
from onesocket.errors import InvalidOption, RequestRefused, SubscriptionRefused
from onesocket.sequences import Book, BookState
from onesocket.services import kraken
from onesocket.testing.services import Disorder, KrakenVenue, VenueEvent
from tests.integration.test_client_parity import KINDS, Handle, open_handle
from tests.support.kraken_example import ASKS, BIDS

FAST = ReconnectPolicy(initial=0.01, cap=0.05)
TICKER = dict.fromkeys(
    ("bid", "bid_qty", "ask", "ask_qty", "last", "volume", "vwap", "low", "high", "change", "change_pct"), 1.5
)
TRADE = {"side": "buy", "price": 0.5, "qty": 2.10, "ord_type": "limit", "trade_id": 7, "timestamp": "2023-09-25"}
CANDLE = {"trades": 1, "interval_begin": "2023-10-04T15:25:00Z", "interval": 5} | dict.fromkeys(
    ("open", "high", "low", "close", "volume", "vwap"), 0.1
)


@pytest.fixture
async def venue() -> AsyncIterator[KrakenVenue]:
    async with KrakenVenue(heartbeat_interval=None) as running:
        yield running
        await running.wait_until(lambda counts: counts.sockets_now == 0)


@pytest.mark.parametrize("kind", KINDS)
async def test_typed_messages_of_the_wanted_keys_arrive_in_every_scope(
    venue: KrakenVenue, tmp_path: Path, kind: str
) -> None:
    options = {} if kind == "client" else {"key": "k"}
    async with open_handle(kind, venue.url, tmp_path, protocol=kraken.protocol(), **options) as handle:
        keys = ["ticker:BTC/USD", "trade:ETH/USD"]
        stream = await handle.call(lambda client: client.subscribe(keys=keys, gaps=False))
        await venue.wait_until(lambda _: venue.keys == set(keys))
        venue.push("ticker", "BTC/USD", TICKER | {"last": 25000.5})
        venue.push("trade", "ETH/USD", TRADE)
        first, second = await handle.receive(stream), await handle.receive(stream)
        assert isinstance(first, kraken.TickerMessage)
        assert (first.data[0].symbol, first.data[0].last) == ("BTC/USD", Decimal("25000.5"))
        assert second == kraken.TradeMessage(
            data=(
                kraken.TradeData(
                    symbol="ETH/USD",
                    side="buy",
                    price=Decimal("0.5"),
                    qty=Decimal("2.1"),
                    ord_type="limit",
                    trade_id=7,
                    timestamp="2023-09-25",
                ),
            )
        )
        answer = await handle.call(lambda client: client.request({"method": "ping", "req_id": 101}))
        assert (answer.method, answer.req_id) == ("pong", 101)
        assert venue.counts.most_open == 1


@pytest.mark.parametrize(
    ("channel", "data", "kind"),
    [
        ("ticker", TICKER, kraken.TickerMessage),
        ("trade", TRADE, kraken.TradeMessage),
        ("ohlc", CANDLE, kraken.CandleMessage),
        ("book", {"bids": [], "asks": [{"price": 0.5666, "qty": 4831.75}], "checksum": 1}, kraken.BookMessage),
    ],
)
async def test_every_channel_has_its_type_and_its_key(
    venue: KrakenVenue, channel: str, data: dict[str, Any], kind: type
) -> None:
    async with Client(venue.url, protocol=kraken.protocol()) as client:
        key = f"{channel}:A/USD"
        await client.connect()
        events = client.subscribe(channel, gaps=False)
        stream = client.subscribe(keys=[key], gaps=False)
        await venue.wait_until(lambda _: key in venue.keys)
        venue.push(channel, "A/USD", data)
        async with asyncio.timeout(10):
            while (message := await anext(stream)).type == "snapshot":  # type: ignore[union-attr]
                assert await anext(events) is message
            assert await anext(events) is message
        assert type(message) is kind
        assert (kraken.key_of(message), kraken.channel_of(message)) == (key, channel)


async def test_statuses_and_heartbeats_have_types_and_no_key() -> None:
    async with KrakenVenue(heartbeat_interval=0.01) as venue, Client(venue.url, protocol=kraken.protocol()) as client:
        everything = client.subscribe(gaps=False)
        trades = client.subscribe(keys=["trade:A/USD"])
        async with asyncio.timeout(10):
            status, answer, heartbeat = [await anext(everything) for _ in range(3)]
        assert len(trades) == 0
        assert isinstance(status, kraken.StatusMessage)
        assert status.data[0].system == "online"
        assert isinstance(answer, kraken.KrakenAnswer)
        assert heartbeat == kraken.HeartbeatMessage()
        assert [kraken.key_of(message) for message in (status, answer, heartbeat)] == [None, None, None]
        assert [kraken.channel_of(message) for message in (status, answer)] == ["status", None]


async def test_each_symbol_is_accepted_or_refused_by_itself_and_in_its_channel(venue: KrakenVenue) -> None:
    venue.refused.update({"BAD/USD", "ticker:B/USD"})
    async with Client(venue.url, protocol=kraken.protocol()) as client:
        keys = ["ticker:A/USD", "ticker:BAD/USD", "ticker:B/USD", "trade:B/USD"]
        stream = client.subscribe(keys=keys, gaps=False)
        reasons: dict[Any, str] = {}
        for _ in range(2):
            with pytest.raises(SubscriptionRefused) as refused:
                await anext(stream)
            reasons |= dict.fromkeys(refused.value.keys, refused.value.reason or "")
        assert reasons == {
            "ticker:BAD/USD": "Currency pair not supported BAD/USD",
            "ticker:B/USD": "Currency pair not supported B/USD",
        }
        assert venue.keys == {"ticker:A/USD", "trade:B/USD"}
        with pytest.raises(RequestRefused, match="Malformed request"):
            await client.request({"method": "other"})


@pytest.mark.parametrize("key", ["nonsense", "ticker:", "other:A/USD"])
def test_keys_that_are_none_name_the_remedy(key: str) -> None:
    subscribe = kraken.protocol().subscriptions.subscribe  # type: ignore[union-attr]
    with pytest.raises(InvalidOption, match="such as 'ticker:BTC/USD'"):
        list(subscribe([key]))


def test_a_subscription_that_is_there_already_is_no_refusal() -> None:
    ack = kraken.protocol().subscriptions.ack  # type: ignore[union-attr]
    assert ack is not None
    answer = kraken.KrakenAnswer(
        method="subscribe", success=False, error="Already subscribed", req_id=1, symbol="A/USD"
    )
    accepted: Any = ack(answer)
    assert (list(accepted.keys), accepted.refused) == (["book:A/USD"], None)


async def test_subscriptions_are_there_again_after_losses(venue: KrakenVenue) -> None:
    async with Client(venue.url, protocol=kraken.protocol(interval=5), reconnect=FAST) as client:
        stream = client.subscribe(keys=["ohlc:A/USD", "trade:A/USD"])
        for losses in range(3):
            await venue.wait_until(lambda _: venue.keys == {"ohlc:A/USD", "trade:A/USD"})
            venue.push("ohlc", "A/USD", CANDLE | {"trades": losses})
            message = await anext(stream)
            assert isinstance(message, kraken.CandleMessage)
            assert message.data[0].trades == losses
            venue.kill_connections()
            assert isinstance(await anext(stream), Gap)
            await venue.wait_until(lambda counts, wanted=losses + 2: counts.upgraded >= wanted)  # type: ignore[misc]


async def test_late_readers_of_a_ticker_begin_with_the_newest_message(venue: KrakenVenue) -> None:
    async with join(venue.url, scope="loop", key="k", protocol=kraken.protocol()) as client:
        first = client.subscribe(keys=["ticker:A/USD", "trade:A/USD"], gaps=False)
        await venue.wait_until(lambda _: venue.keys == {"ticker:A/USD", "trade:A/USD"})
        for last in 1, 2:
            venue.push("ticker", "A/USD", TICKER | {"last": last})
            venue.push("trade", "A/USD", TRADE)
            await anext(first)
            newest = await anext(first)
        late = client.subscribe(keys=["ticker:A/USD", "trade:A/USD"], gaps=False)
        message = await asyncio.wait_for(anext(late), 10)
        assert isinstance(message, kraken.TickerMessage)
        assert message.data[0].last == 2
        assert isinstance(newest, kraken.TradeMessage)


class KrakenFollower:
    """Keeps a book as a program does: it asks for each snapshot that is due."""

    def __init__(self, handle: Handle, stream: Any) -> None:
        self.handle, self.stream = handle, stream
        self.books = kraken.Books()
        self.asked = 0

    async def follow(self, venue: KrakenVenue) -> None:
        """Read until the book is that of the venue."""
        async with asyncio.timeout(10):
            while True:
                book = self.books.take(await self.handle.receive(self.stream))
                if book is None:
                    continue
                requests = self.books.requests(book)
                self.asked += bool(requests)
                for request in requests:
                    await self.handle.call(methodcaller("send", request))
                expected = venue.book("BTC/USD")
                if book.state is BookState.SYNCED and levels(book) == (expected.bids(10), expected.asks(10)):
                    return


def levels(book: Book) -> tuple[list[tuple[str, str]], ...]:
    return tuple([(str(price), str(quantity)) for price, quantity in side] for side in (book.bids(), book.asks()))


@pytest.mark.parametrize("kind", KINDS)
async def test_books_equal_the_venues_after_holes_and_losses_and_for_late_readers(
    venue: KrakenVenue, tmp_path: Path, kind: str
) -> None:
    options: dict[str, Any] = {"protocol": kraken.protocol(), "reconnect": FAST}
    options |= {} if kind == "client" else {"key": "k"}
    async with open_handle(kind, venue.url, tmp_path, **options) as handle:
        venue.push_book("BTC/USD", bids=BIDS, asks=ASKS)
        follower = KrakenFollower(handle, await handle.call(lambda client: client.subscribe(keys=["book:BTC/USD"])))
        await follower.follow(venue)
        venue.push_book("BTC/USD", bids=[("45283.45", "2.50000000")])
        venue.push_book("BTC/USD", bids=[("45283.5", "0"), ("45283.4", "0")])
        await follower.follow(venue)
        assert follower.asked == 0

        venue.disorder = [Disorder.HOLE]
        for quantity in "9.0", "8.0", "7.0":
            venue.push_book("BTC/USD", asks=[("45285.2", quantity), ("45286.4", quantity)])
            venue.push_book("BTC/USD", bids=[("45282.1", quantity)])
        await follower.follow(venue)
        assert follower.asked == 1

        late = KrakenFollower(handle, await handle.call(lambda client: client.subscribe(keys=["book:BTC/USD"])))
        venue.push_book("BTC/USD", bids=[("45283.45", "3.0")])
        await late.follow(venue)
        await follower.follow(venue)
        assert (late.asked, follower.asked) == (1, 1)

        venue.kill_connections()
        await venue.wait_until(lambda counts: counts.upgraded == 2 and bool(venue.keys))
        venue.push_book("BTC/USD", asks=[("45285.2", "0")])
        await follower.follow(venue)
        await late.follow(venue)
        assert (late.asked, follower.asked) == (1, 1)
        assert not venue.ledger.of(VenueEvent.REPEATED)


async def test_broken_data_are_a_gap_and_not_taken_for_an_answer(venue: KrakenVenue) -> None:
    async with Client(venue.url, protocol=kraken.protocol()) as client:
        stream = client.subscribe(keys=["trade:A/USD"])
        await venue.wait_until(lambda _: bool(venue.keys))
        venue.push("trade", "A/USD", {"side": "buy"})
        gap = await anext(stream)
        assert isinstance(gap, Gap)
        assert gap.reason is GapReason.UNDECODABLE


@pytest.mark.parametrize("options", [{"depth": 11}, {"interval": 2}])
def test_options_are_those_of_the_service(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match=r"is one of 1"):
        kraken.protocol(**options)
    assert kraken.protocol(depth=25).fingerprint != kraken.protocol().fingerprint == kraken.protocol().fingerprint


def test_the_addresses_are_those_of_the_documents() -> None:
    assert (kraken.url(), kraken.url(beta=True)) == ("wss://ws.kraken.com/v2", "wss://beta-ws.kraken.com/v2")
