"""The client's side of Alpaca's market data, against the fake venue."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from onesocket import Client, Gap, ReconnectPolicy
from onesocket.errors import InvalidOption, LoginRefused, SubscriptionRefused
from onesocket.services import alpaca
from onesocket.testing import ConnectionLimit
from onesocket.testing.services import AlpacaVenue, Disorder, VenueEvent
from tests.integration.test_client_parity import KINDS, open_handle

TOKEN = "key:secret"
FAST = ReconnectPolicy(initial=0.01, cap=0.05)


@pytest.fixture
async def venue() -> AsyncIterator[AlpacaVenue]:
    async with AlpacaVenue() as running:
        yield running
        await running.wait_until(lambda counts: counts.sockets_now == 0)


async def upgrades(venue: AlpacaVenue, number: int) -> None:
    await venue.wait_until(lambda counts: counts.upgraded >= number)


@pytest.mark.parametrize("kind", KINDS)
async def test_typed_messages_of_the_wanted_keys_arrive_in_every_scope(
    venue: AlpacaVenue, tmp_path: Path, kind: str
) -> None:
    options = {} if kind == "client" else {"key": "k"}
    async with open_handle(kind, venue.url, tmp_path, token=TOKEN, protocol=alpaca.protocol(), **options) as handle:
        stream = await handle.call(lambda client: client.subscribe(keys=["trades.BRK.B", "bars.MSFT"], gaps=False))
        await venue.wait_until(lambda _: venue.keys == {"trades.BRK.B", "bars.MSFT"})
        venue.push(
            {"T": "t", "S": "BRK.B", "i": 7, "p": 126.5, "s": 1, "t": "2021-02-22T15:51:44.208123456Z", "c": ["@"]},
            {"T": "b", "S": "MSFT", "o": 1, "h": 2, "l": 0.5, "c": 1.5, "v": 100},
        )
        first, second = await handle.receive(stream), await handle.receive(stream)
        assert first == alpaca.Trade(
            symbol="BRK.B", id=7, price=126.5, size=1, time="2021-02-22T15:51:44.208123456Z", conditions=("@",)
        )
        assert isinstance(second, alpaca.Bar)
        assert (second.close, second.volume) == (1.5, 100)
        assert venue.counts.most_open == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stream_of_all_symbols_gets_each_message_once_in_every_scope(
    venue: AlpacaVenue, tmp_path: Path, kind: str
) -> None:
    def bar(symbol: str) -> dict[str, object]:
        return {"T": "b", "S": symbol, "o": 1, "h": 2, "l": 0.5, "c": 1.5, "v": 100}

    options = {} if kind == "client" else {"key": "k"}
    async with open_handle(kind, venue.url, tmp_path, token=TOKEN, protocol=alpaca.protocol(), **options) as handle:
        every = await handle.call(lambda client: client.subscribe(keys=["bars.*", "bars.MSFT"], gaps=False))
        one = await handle.call(lambda client: client.subscribe(keys=["bars.AAPL"], gaps=False))
        named = await handle.call(
            lambda client: client.subscribe("bars", keys=["bars.*"], where=lambda one: one.symbol[0] == "A", gaps=False)
        )
        await venue.wait_until(lambda _: venue.keys == {"bars.*", "bars.MSFT", "bars.AAPL"})
        venue.push(bar("MSFT"), bar("TSLA"), bar("AAPL"))
        assert [(await handle.receive(every)).symbol for _ in range(3)] == ["MSFT", "TSLA", "AAPL"]
        assert (await handle.receive(one)).symbol == "AAPL"
        assert (await handle.receive(named)).symbol == "AAPL"


@pytest.mark.parametrize(
    ("point", "kind"),
    [
        ({"T": "t", "p": 1, "s": 1}, alpaca.Trade),
        ({"T": "q", "bp": 1, "bs": 1, "ap": 2, "as": 1}, alpaca.Quote),
        ({"T": "b", "o": 1, "h": 1, "l": 1, "c": 1, "v": 1}, alpaca.Bar),
        ({"T": "u", "o": 1, "h": 1, "l": 1, "c": 1, "v": 1}, alpaca.UpdatedBar),
        ({"T": "d", "o": 1, "h": 1, "l": 1, "c": 1, "v": 1}, alpaca.DailyBar),
        ({"T": "s", "sc": "H", "sm": "Halted"}, alpaca.TradingStatus),
        ({"T": "l", "u": 2, "d": 1}, alpaca.LimitBand),
        ({"T": "c", "oi": 1, "op": 1, "os": 1, "ci": 2, "cp": 1, "cs": 1}, alpaca.Correction),
        ({"T": "x", "i": 1, "p": 1, "s": 1}, alpaca.CancelError),
    ],
)
async def test_every_channel_has_its_type_and_its_key(
    venue: AlpacaVenue, point: dict[str, object], kind: type[alpaca.DataPoint]
) -> None:
    async with Client(venue.url, token=TOKEN, protocol=alpaca.protocol()) as client:
        key = f"{kind.channel}.A"
        stream, events = client.subscribe(keys=[key], gaps=False), client.subscribe(kind.channel, gaps=False)
        await venue.wait_until(lambda _: key in venue.keys)
        venue.push({"S": "A", **point})
        async with asyncio.timeout(10):
            message = await anext(stream)
            assert await anext(events) is message
        assert type(message) is kind
        assert (alpaca.key_of(message), alpaca.channel_of(message)) == (key, kind.channel)


async def test_symbols_that_are_refused_or_too_many_are_told_to_their_reader(venue: AlpacaVenue) -> None:
    venue.refused.add("BAD")
    async with Client(venue.url, token=TOKEN, protocol=alpaca.protocol(limit=3)) as client:
        stream = client.subscribe(keys=["trades.BAD", "trades.GOOD"], gaps=False)
        with pytest.raises(SubscriptionRefused, match=r"invalid syntax \(400\)") as refused:
            await anext(stream)
        assert refused.value.keys == ("trades.BAD",)
        await venue.wait_until(lambda _: venue.keys == {"trades.GOOD"})
        venue.symbol_limit = 1
        with pytest.raises(SubscriptionRefused, match=r"symbol limit exceeded \(405\)"):
            await anext(client.subscribe(keys=["trades.MORE"], gaps=False))
        venue.push({"T": "t", "S": "GOOD", "p": 1, "s": 1})
        message = await anext(stream)
        assert isinstance(message, alpaca.Trade)


async def test_subscriptions_are_there_again_after_losses(venue: AlpacaVenue) -> None:
    async with Client(venue.url, token=TOKEN, protocol=alpaca.protocol(), reconnect=FAST) as client:
        stream = client.subscribe(keys=["trades.A", "quotes.A"])
        for losses in range(3):
            await venue.wait_until(lambda _: venue.keys == {"trades.A", "quotes.A"})
            venue.disorder = [Disorder.REPEAT]
            venue.push({"T": "t", "S": "A", "p": losses, "s": 1})
            for _ in range(2):
                message = await anext(stream)
                assert isinstance(message, alpaca.Trade)
                assert message.price == losses
            venue.kill_connections()
            assert isinstance(await anext(stream), Gap)
            await upgrades(venue, losses + 2)
    assert venue.ledger.most_signed_in == {"key": 1}


async def test_the_place_of_a_closed_connection_is_asked_for_again_at_once(venue: AlpacaVenue) -> None:
    venue.account_limit = ConnectionLimit(ghost_seconds_after_close=0.4)
    async with Client(venue.url, token=TOKEN, protocol=alpaca.protocol(), reconnect=FAST) as client:
        stream = client.subscribe(keys=["trades.A"], gaps=False)
        await venue.wait_until(lambda _: "trades.A" in venue.keys)
        await client.reconnect()
        await venue.wait_until(lambda counts: counts.upgraded >= 2 and "trades.A" in venue.keys)
        assert venue.ledger.of(VenueEvent.LIMIT_EXCEEDED, key="key")
        venue.push({"T": "t", "S": "A", "p": 1, "s": 1})
        assert isinstance(await anext(stream), alpaca.Trade)


async def test_the_place_that_a_lost_connection_keeps_is_asked_for_again_quickly(venue: AlpacaVenue) -> None:
    venue.account_limit = ConnectionLimit(ghost_seconds=0.4)
    async with Client(venue.url, token=TOKEN, protocol=alpaca.protocol(), reconnect=FAST) as client:
        stream = client.subscribe(keys=["trades.A"])
        await venue.wait_until(lambda _: "trades.A" in venue.keys)
        venue.kill_connections()
        async with asyncio.timeout(5):  # and not 30 s, as where another program has the place
            assert isinstance(await anext(stream), Gap)
            await venue.wait_until(lambda _: "trades.A" in venue.keys)
        assert venue.ledger.of(VenueEvent.LIMIT_EXCEEDED, key="key")
        venue.push({"T": "t", "S": "A", "p": 1, "s": 1})
        assert isinstance(await anext(stream), alpaca.Trade)
    assert venue.ledger.most_signed_in == {"key": 1}


@pytest.mark.parametrize(
    ("token", "feed", "error", "text"),
    [
        ("key:wrong", "iex", LoginRefused, r"auth failed \(402\)"),
        (TOKEN, "sip", LoginRefused, r"insufficient subscription \(409\)"),
        ("no colon", "iex", InvalidOption, "KEY_ID:SECRET"),
    ],
)
async def test_logins_that_cannot_succeed_are_told(
    venue: AlpacaVenue, token: str, feed: str, error: type[Exception], text: str
) -> None:
    client = Client(venue.url.replace("iex", feed), token=token, protocol=alpaca.protocol())
    with pytest.raises(error, match=text) as caught:
        await client.connect()
    await client.aclose()
    assert token not in str(caught.value)


def test_the_addresses_are_those_of_the_documents() -> None:
    assert alpaca.url("sip") == "wss://stream.data.alpaca.markets/v2/sip"
    assert alpaca.url(sandbox=True) == "wss://stream.data.sandbox.alpaca.markets/v2/iex"
