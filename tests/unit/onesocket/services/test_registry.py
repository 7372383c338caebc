"""The services by name: what every entry must have, so that the commands can use it."""

import pytest

from onesocket import Rotation
from onesocket.errors import InvalidOption
from onesocket.protocols import Protocol
from onesocket.services._registry import SERVICES, Service, find_service


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


def test_the_token_is_made_of_all_variables_or_of_none() -> None:
    service = Service(module="alpaca", variables=("ID", "SECRET"))
    assert service.token_of({"ID": "one", "SECRET": "two"}) == "one:two"
    assert service.token_of({"ID": "one", "SECRET": ""}) is None
    assert service.token_of({"SECRET": "two"}) is None
    assert Service(module="alpaca").token_of({"ID": "one"}) is None
