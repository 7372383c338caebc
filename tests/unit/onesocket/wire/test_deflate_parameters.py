"""The negotiation of permessage-deflate, against RFC 7692 and the library `websockets`."""

import itertools

import pytest
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    PerMessageDeflate,
    ServerPerMessageDeflateFactory,
)
from websockets.headers import parse_extension

from onesocket.errors import InvalidHandshake
from onesocket.wire._deflate_parameters import OFFER, DeflateParameters, choose_offer, parse_extensions, read_answer

ALL = [
    DeflateParameters(server, client, server_bits, client_bits)
    for server, client in itertools.product((False, True), repeat=2)
    for server_bits, client_bits in itertools.product((None, 8, 11, 15), repeat=2)
]


@pytest.mark.parametrize("parameters", ALL, ids=str)
def test_a_client_takes_every_answer_that_its_offer_allows(parameters: DeflateParameters) -> None:
    assert read_answer([str(parameters)]) == parameters


def test_values_may_be_quoted_and_spaced() -> None:
    found = read_answer(['  permessage-deflate ;server_max_window_bits = "1\\2";\tclient_no_context_takeover ,,'])
    assert found == DeflateParameters(client_no_context_takeover=True, server_max_window_bits=12)


@pytest.mark.parametrize("values", [[], [""], [" , ,"]])
def test_a_server_may_decline(values: list[str]) -> None:
    assert read_answer(values) is None
    assert choose_offer(values) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("permessage-bzip2", "not offered: permessage-bzip2"),
        ("permessage-deflate, permessage-bzip2", "not offered: permessage-bzip2"),
        ("permessage-deflate, permessage-deflate", "2 times"),
        ("permessage-deflate; client_max_window_bits", "client_max_window_bits"),
        ("permessage-deflate; server_max_window_bits", "server_max_window_bits"),
        ("permessage-deflate; server_max_window_bits=7", "server_max_window_bits=7"),
        ("permessage-deflate; server_max_window_bits=16", "server_max_window_bits=16"),
        ("permessage-deflate; server_max_window_bits=08", "server_max_window_bits=08"),
        ("permessage-deflate; server_max_window_bits=9; server_max_window_bits=9", "twice"),
        ("permessage-deflate; server_no_context_takeover=1", "server_no_context_takeover=1"),
        ("permessage-deflate; x", "unknown parameter or value: x"),
        ("permessage-deflate;", "malformed"),
        ("permessage-deflate; =", "malformed"),
        ("permessage-deflate x", "malformed"),
        ('permessage-deflate; server_max_window_bits="9', "malformed"),
        ("permessage-deflate\x00", "malformed"),
    ],
)
def test_an_answer_that_the_offer_does_not_allow_is_invalid(value: str, text: str) -> None:
    with pytest.raises(InvalidHandshake) as caught:
        read_answer([value])
    assert text in str(caught.value)


def test_two_header_lines_are_one_list() -> None:
    with pytest.raises(InvalidHandshake, match="2 times"):
        read_answer(["permessage-deflate", "permessage-deflate"])
    assert choose_offer(["x", "permessage-deflate"]) == DeflateParameters()


@pytest.mark.parametrize(
    ("offers", "answer"),
    [
        ("permessage-deflate", "permessage-deflate"),
        (OFFER, "permessage-deflate"),
        ("permessage-deflate; client_max_window_bits=10", "permessage-deflate; client_max_window_bits=10"),
        ("permessage-deflate; server_max_window_bits=15", "permessage-deflate; server_max_window_bits=15"),
        ("permessage-deflate; server_max_window_bits=8", "permessage-deflate; server_max_window_bits=8"),
        (
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        ),
        ("permessage-deflate; unknown, permessage-deflate", "permessage-deflate"),
        (
            "permessage-deflate; server_max_window_bits=20, permessage-deflate; server_max_window_bits=10",
            "permessage-deflate; server_max_window_bits=10",
        ),
        ("permessage-bzip2; x=1, permessage-deflate", "permessage-deflate"),
        ("permessage-deflate; unknown", None),
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; client_no_context_takeover=1", None),
        ("permessage-deflate; client_max_window_bits; client_max_window_bits", None),
        ("x-webkit-deflate-frame", None),
    ],
)
def test_a_server_takes_the_first_offer_that_it_supports(offers: str, answer: str | None) -> None:
    found = choose_offer([offers])
    assert (None if found is None else str(found)) == answer


def test_a_server_asks_for_its_own_limits() -> None:
    own = DeflateParameters(True, True, 12, 12)
    assert str(choose_offer(["permessage-deflate"], own)) == (
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12"
    )
    assert choose_offer([OFFER], own) == own
    smaller = choose_offer(["permessage-deflate; client_max_window_bits=9; server_max_window_bits=10"], own)
    assert smaller == DeflateParameters(True, True, 10, 9)


def test_a_malformed_offer_fails_the_handshake() -> None:
    with pytest.raises(InvalidHandshake, match="malformed"):
        choose_offer(["permessage-deflate; server_max_window_bits=="])


def test_websockets_parses_extensions_alike() -> None:
    value = 'foo, bar; a; b=1 ;c="x", permessage-deflate; client_max_window_bits'
    ours = [(name, list(parameters)) for name, parameters in parse_extensions([value])]
    assert ours == parse_extension(value)


# websockets can't compress with a window of 8 bits.
@pytest.mark.parametrize("parameters", [one for one in ALL if one.client_max_window_bits != 8], ids=str)
def test_websockets_takes_the_answers_to_its_offers(parameters: DeflateParameters) -> None:
    server_bits, client_bits = parameters.server_max_window_bits, parameters.client_max_window_bits
    offer = str(parameters) if client_bits is not None else f"{parameters}; client_max_window_bits"
    found = choose_offer([offer])
    assert found is not None
    factory = ClientPerMessageDeflateFactory(
        parameters.server_no_context_takeover, parameters.client_no_context_takeover, server_bits, client_bits or True
    )
    [(_, answer)] = parse_extension(str(found))
    agreed = factory.process_response_params(answer, [])
    assert isinstance(agreed, PerMessageDeflate)
    assert agreed.remote_max_window_bits == (server_bits or 15)
    assert agreed.local_max_window_bits == (client_bits or 15)
    assert agreed.remote_no_context_takeover == parameters.server_no_context_takeover
    assert agreed.local_no_context_takeover == parameters.client_no_context_takeover


@pytest.mark.parametrize("parameters", [one for one in ALL if one.server_max_window_bits != 8], ids=str)
def test_a_client_takes_the_answers_of_websockets(parameters: DeflateParameters) -> None:
    server_bits, client_bits = parameters.server_max_window_bits, parameters.client_max_window_bits
    factory = ServerPerMessageDeflateFactory(
        parameters.server_no_context_takeover, parameters.client_no_context_takeover, server_bits, client_bits
    )
    [(_, offered)] = parse_extension(OFFER)
    answer, agreed = factory.process_request_params(offered, [])
    assert isinstance(agreed, PerMessageDeflate)
    text = "; ".join(["permessage-deflate", *(name if value is None else f"{name}={value}" for name, value in answer)])
    assert read_answer([text]) == parameters
