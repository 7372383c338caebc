"""Processes recognise the protocol of a service without a ``key=``: by its module and its arguments."""

from collections.abc import Callable
from typing import Any

import pytest

from onesocket import Client
from onesocket.protocols import Protocol
from onesocket.services import alpaca, binance, graphql, home_assistant, kraken, slack
from onesocket.sharing._connection_key import ConnectionKey
from onesocket.sharing._option_digests import check_comparable_between_processes, option_digests

SERVICES = (alpaca, binance, graphql, home_assistant, kraken, slack)
PARAMETERS: list[tuple[Callable[..., Protocol[Any]], dict[str, Any]]] = [
    (alpaca.protocol, {"limit": 30}),
    (binance.protocol, {"futures": True}),
    (binance.protocol, {"limit": 200}),
    (kraken.protocol, {"depth": 25}),
    (kraken.protocol, {"interval": 5}),
    (slack.protocol, {"acknowledge": False}),
]


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.__name__)
async def test_a_services_protocol_needs_no_key(service: Any) -> None:
    one, other = (Client("ws://127.0.0.1:1/", token="a:b", protocol=service.protocol()) for _ in range(2))
    check_comparable_between_processes(one, ConnectionKey.of("ws://127.0.0.1:1/", token="a:b"))
    assert option_digests(one) == option_digests(other)
    assert len({each.protocol().fingerprint for each in SERVICES}) == len(SERVICES)


@pytest.mark.parametrize(("make", "arguments"), PARAMETERS)
def test_other_arguments_are_another_protocol(make: Callable[..., Protocol[Any]], arguments: dict[str, Any]) -> None:
    made = make(**arguments)
    assert made.opaque_arguments == ()
    assert made.fingerprint == make(**arguments).fingerprint != make().fingerprint


def test_a_payload_of_ones_own_may_know_an_account_and_needs_a_key() -> None:
    made = graphql.protocol(payload=lambda token: {"account": "alice", "token": token})
    assert made.opaque_arguments
    assert made.fingerprint != graphql.protocol().fingerprint
