"""The subscriptions of three services, each as a declaration, at their fakes: what differs most is how they answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from onesocket import Json, Login, ReconnectPolicy, SubscriptionAnswer, Subscriptions, join
from onesocket.errors import SubscriptionRefused
from onesocket.testing.services import AlpacaVenue, BinanceVenue, KrakenVenue, Venue
from tests.support.waiting import DEADLINE

FAST = ReconnectPolicy(initial=0.01)


def alpaca() -> Json:
    """Answers with the whole list, or with an error that names no key."""

    def answer(message: dict[str, Any]) -> SubscriptionAnswer | None:
        match message:
            case {"T": "subscription", "trades": symbols}:
                return SubscriptionAnswer(symbols)
            case {"T": "error", "msg": reason}:
                return SubscriptionAnswer(refused=reason)
            case _:
                return None

    return Json(
        many=True,
        login=Login(
            request=lambda _: {"action": "auth", "key": "key", "secret": "secret"},
            ready=lambda message: message.get("msg") == "authenticated",
        ),
        subscriptions=Subscriptions(
            subscribe=lambda keys: {"action": "subscribe", "trades": keys},
            unsubscribe=lambda keys: {"action": "unsubscribe", "trades": keys},
            key=lambda message: message.get("S"),
            ack=answer,
        ),
    )


def binance() -> Json:
    """Answers by id, without keys."""
    return Json(
        subscriptions=Subscriptions(
            subscribe=lambda keys: {"method": "SUBSCRIBE", "params": keys, "id": 1},
            unsubscribe=lambda keys: {"method": "UNSUBSCRIBE", "params": keys, "id": 2},
            key=lambda message: message.get("s"),
            ack=lambda message: SubscriptionAnswer(refused=message.get("msg")) if message.get("id") == 1 else None,
        )
    )


def kraken() -> Json:
    """Answers for each key."""

    def answer(message: dict[str, Any]) -> SubscriptionAnswer | None:
        match message:
            case {"method": "subscribe", "success": True, "result": {"symbol": symbol}}:
                return SubscriptionAnswer([symbol])
            case {"method": "subscribe", "success": False, "symbol": symbol, "error": reason}:
                return SubscriptionAnswer([symbol], refused=reason)
            case _:
                return None

    return Json(
        subscriptions=Subscriptions(
            subscribe=lambda keys: {"method": "subscribe", "params": {"channel": "ticker", "symbol": keys}},
            unsubscribe=lambda keys: {"method": "unsubscribe", "params": {"channel": "ticker", "symbol": keys}},
            key=lambda message: message["data"][0]["symbol"] if message.get("channel") == "ticker" else None,
            ack=answer,
        )
    )


@pytest.mark.parametrize(
    ("make_venue", "make_protocol", "prefix", "reason"),
    [
        (AlpacaVenue, alpaca, "trades.", "invalid syntax"),
        (BinanceVenue, binance, "", "Invalid request: unknown stream BAD"),
        (KrakenVenue, kraken, "ticker:", "Currency pair not supported BAD"),
    ],
)
async def test_the_service_has_what_is_wanted_and_its_refusals_are_told(
    make_venue: Callable[..., Venue[Any]], make_protocol: Callable[[], Json], prefix: str, reason: str
) -> None:
    async with make_venue(refused=["BAD"]) as venue:

        async def has(*keys: str, connection: int = 1) -> None:
            numbers, wanted = [connection], {prefix + key for key in keys}
            await venue.wait_until(
                lambda _: venue.keys == wanted and [session.number for session in venue.sessions] == numbers, DEADLINE
            )

        def joined() -> Any:
            return join(venue.url, scope="loop", key="k", protocol=protocol, reconnect=FAST)

        protocol = make_protocol()
        async with joined() as one, joined() as two:
            first = one.subscribe(keys=["A", "B", "BAD", "C"], gaps=False)
            second = two.subscribe(keys=["B", "D"], gaps=False)
            with pytest.raises(SubscriptionRefused) as caught:
                await anext(first)
            assert (caught.value.keys, caught.value.reason) == (("BAD",), reason)
            await has("A", "B", "C", "D")
            venue.kill_connections()
            await has("A", "B", "C", "D", connection=2)
            again = two.subscribe(keys=["BAD"], gaps=False)
            with pytest.raises(SubscriptionRefused, match=reason):
                await anext(again)
            first.close()
            await has("B", "D", connection=2)
        assert len(second) == 0
        assert not any(session.keys for session in venue.sessions)


async def test_a_limit_that_is_not_declared_is_told_by_the_service_and_filled_up() -> None:
    async with AlpacaVenue(symbol_limit=3) as venue, join(venue.url, scope="loop", key="k", protocol=alpaca()) as one:
        stream = one.subscribe(keys=["A", "B", "C", "D", "E"])
        refused: set[Any] = set()
        while len(refused) < 2:
            with pytest.raises(SubscriptionRefused, match="symbol limit exceeded") as caught:
                await anext(stream)
            refused.update(caught.value.keys)
        assert {key.removeprefix("trades.") for key in venue.keys} == set("ABCDE") - refused
