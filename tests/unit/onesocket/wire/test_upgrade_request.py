"""The bytes of an upgrade request."""

import base64

import h11
import pytest

from onesocket._version import __version__
from onesocket.errors import InvalidOption
from onesocket.wire._handshake import DialRequest
from onesocket.wire._upgrade_request import new_key, upgrade_request

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455, section 1.3


def parsed(data: bytes) -> tuple[str, list[tuple[str, str]]]:
    """The target and the headers of a request, as a server's parser reads them."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    event = connection.next_event()
    assert isinstance(event, h11.Request)
    assert event.method == b"GET"
    assert isinstance(connection.next_event(), h11.EndOfMessage)
    assert connection.trailing_data[0] == b""
    return event.target.decode(), [(name.decode(), value.decode()) for name, value in event.headers.raw_items()]


def test_the_whole_request_of_a_plain_url() -> None:
    assert upgrade_request(DialRequest("ws://example.org/feed?x=1"), KEY) == (
        b"GET /feed?x=1 HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        b"User-Agent: onesocket/" + __version__.encode() + b"\r\n\r\n"
    )


def test_the_offers_and_headers_of_the_caller() -> None:
    request = DialRequest("ws://h/", (("X-Key", "a b"), ("X-Key", "")), ("chat.v2", "chat"))
    _, headers = parsed(upgrade_request(request, KEY, "permessage-deflate; client_max_window_bits"))
    assert headers[5:] == [
        ("Sec-WebSocket-Protocol", "chat.v2, chat"),
        ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
        ("User-Agent", f"onesocket/{__version__}"),
        ("X-Key", "a b"),
        ("X-Key", ""),
    ]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("ws://h:80/", "h"),
        ("ws://h:443/", "h:443"),
        ("wss://h:443/", "h"),
        ("wss://h:80/", "h:80"),
        ("ws://[::1]/", "[::1]"),
        ("ws://[::1]:8080/", "[::1]:8080"),
        ("ws://H.Example./", "h.example."),
    ],
)
def test_the_host_has_the_port_where_it_is_not_the_default(url: str, host: str) -> None:
    _, headers = parsed(upgrade_request(DialRequest(url), KEY))
    assert headers[0] == ("Host", host)


def test_host_and_user_agent_can_be_replaced() -> None:
    request = DialRequest("ws://127.0.0.1:8080/", (("host", "example.org"), ("USER-AGENT", "mine/1")))
    _, headers = parsed(upgrade_request(request, KEY))
    assert [(name.lower(), value) for name, value in headers if name.lower() in ("host", "user-agent")] == [
        ("host", "example.org"),
        ("user-agent", "mine/1"),
    ]


@pytest.mark.parametrize(
    "headers",
    [
        (("X", "a\r\nInjected: yes"),),
        (("X", "a\nInjected: yes"),),
        (("X", "a\0"),),
        (("X", "Größe"),),
        (("X\r\nInjected", "yes"),),
        (("X Y", "z"),),
        (("X:", "z"),),
        (("", "z"),),
    ],
)
def test_no_header_can_be_smuggled_in(headers: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(InvalidOption, match="can't be sent") as raised:
        DialRequest("ws://h/", headers)
    assert headers[0][1] not in str(raised.value) or len(headers[0][1]) < 5


@pytest.mark.parametrize("name", ["a, b", "a\r\nInjected: yes", "", "größe"])
def test_no_sub_protocol_can_smuggle_in_another(name: str) -> None:
    with pytest.raises(InvalidOption, match="not a sub-protocol name"):
        DialRequest("ws://h/", subprotocols=(name,))


def test_keys_are_16_random_bytes() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert {len(base64.b64decode(key, validate=True)) for key in keys} == {16}
