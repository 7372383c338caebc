"""The services by name: what every entry must have, so that the commands can use it."""

import re

import pytest

from onesocket import Rotation
from onesocket.errors import InvalidOption
from onesocket.protocols import Protocol
from onesocket.services._kraken_messages import REQUEST_IDS
from onesocket.services._registry import KRAKEN_CHANNELS, SERVICES, Service, find_service


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_what_the_commands_need(name: str) -> None:
    service = find_service(name)
    assert name == service.module.replace("_", "-")
    assert isinstance(service.protocol(), Protocol)
    assert isinstance(service.rotation(), Rotation | None)
    keys = [service.key(word) for word in service.keys.split()]
    assert len(set(keys)) == len(keys)
    assert bool(keys) == (service.protocol().subscriptions is not None)


def test_an_unknown_name_is_told_with_the_known_ones() -> None:
    with pytest.raises(InvalidOption, match=r"'nasdaq' is none of the services, which are .*alpaca"):
        find_service("nasdaq")


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("AAPL", "trades.AAPL"),
        ("BRK.B", "trades.BRK.B"),
        ("bars.BRK.B", "bars.BRK.B"),
        ("quotes.MSFT", "quotes.MSFT"),
        ("bars.*", "bars.*"),
        ("*", "trades.*"),
    ],
)
def test_a_word_for_alpaca_is_a_symbol_or_a_key(word: str, key: str) -> None:
    assert find_service("alpaca").key(word) == key


@pytest.mark.parametrize("word", ["", "bars."])
def test_a_word_for_alpaca_names_a_symbol(word: str) -> None:
    with pytest.raises(InvalidOption, match="has no symbol"):
        find_service("alpaca").key(word)


@pytest.mark.parametrize(
    ("name", "word", "key"),
    [
        ("binance", "BTCUSDT@bookTicker", "btcusdt@bookTicker"),
        ("binance", "!miniTicker@arr", "!miniTicker@arr"),
        ("binance", "!bookTicker", "!bookTicker"),
        ("binance", "BTCUSDT@depth@100ms", "btcusdt@depth@100ms"),
        ("kraken", "BTC/USD", "ticker:BTC/USD"),
        ("kraken", "book:BTC/USD", "book:BTC/USD"),
        ("home-assistant", "state_changed", "state_changed"),
    ],
)
def test_a_word_means_a_key_of_the_service(name: str, word: str, key: str) -> None:
    assert find_service(name).key(word) == key


@pytest.mark.parametrize(
    ("name", "word", "told"),
    [
        ("binance", "BTCUSDT", "'BTCUSDT' is no stream"),
        ("binance", "btcusdt@", "'btcusdt@' is no stream"),
        ("kraken", "trades:BTC/USD", "'trades:BTC/USD' is no channel and symbol"),
        ("kraken", "book:", "give one of book, ohlc, ticker, trade"),
        ("kraken", "", "is no channel and symbol"),
    ],
)
def test_a_word_that_means_no_key_is_told_before_a_connection(name: str, word: str, told: str) -> None:
    with pytest.raises(InvalidOption, match=re.escape(told)):
        find_service(name).key(word)


def test_the_channels_of_kraken_are_those_of_its_module() -> None:
    assert set(KRAKEN_CHANNELS) == set(REQUEST_IDS)


def test_the_token_is_made_of_all_variables_or_of_none() -> None:
    service = Service(module="alpaca", variables=("ID", "SECRET"))
    assert service.token_of({"ID": "one", "SECRET": "two"}) == "one:two"
    assert service.token_of({"ID": "one", "SECRET": ""}) is None
    assert service.token_of({"SECRET": "two"}) is None
    assert Service(module="alpaca").token_of({"ID": "one"}) is None
