"""The address by which clients reach the server, and the pages that may use it."""

import pytest

from onesocket.errors import InvalidOption
from onesocket_discord.server import ChatServer
from onesocket_discord.server._public_url import PublicUrl, check_gateway_url
from onesocket_discord.server.rest import OriginPolicy


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://chat.example", "https://chat.example"),
        ("HTTPS://Chat.Example:443/", "https://chat.example"),
        ("http://chat.example:80", "http://chat.example"),
        ("https://chat.example:8443", "https://chat.example:8443"),
        ("http://[2001:DB8::1]:8080/", "http://[2001:db8::1]:8080"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
    ],
)
def test_it_is_written_as_browsers_write_an_origin(text: str, origin: str) -> None:
    url = PublicUrl.parse(text)
    assert url.origin == origin
    assert (url.page_url, url.api_url) == (f"{origin}/", f"{origin}/api/v10")
    assert url.gateway_url == origin.replace("http", "ws", 1) + "/"


@pytest.mark.parametrize(
    "text",
    [
        *("", "chat.example", "ftp://chat.example", "wss://chat.example", "https://", "http://[", "https://a:x"),
        *("https://chat.example/chat", "https://chat.example?x", "https://chat.example#x", "https://chat.example:0"),
        *("https://*.example", "https://bücher.example", "https://a b", "https://chat.example, https://other.example"),
    ],
)
def test_anything_else_is_an_error_that_names_the_option(text: str) -> None:
    with pytest.raises(InvalidOption, match=r"--public-url wants .* such as https://chat\.example"):
        PublicUrl.parse(text)


def test_errors_show_no_password() -> None:
    for read in (PublicUrl.parse, check_gateway_url):
        with pytest.raises(InvalidOption) as caught:
            read("https://ann:tr0ub4dor@chat.example")
        assert "tr0ub4dor" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "https://chat.example/", "chat.example", "wss://", "wss://a:x/", "wss://a/?v=1"])
def test_the_gateways_address_is_that_of_a_websocket(text: str) -> None:
    with pytest.raises(InvalidOption, match=r"--gateway-url wants .* such as wss://chat\.example/"):
        ChatServer(public_gateway_url=text)


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (None, "chat.example", True),
        ("https://chat.example", "chat.example", True),
        ("https://chat.example", "127.0.0.1:8720", True),  # a proxy that passes its own name for the server
        ("https://app.example", "chat.example", True),  # named by --origin
        ("http://chat.example", "chat.example", False),  # whoever is on the way can write pages of it
        ("https://chat.example:8443", "chat.example:8443", False),
        ("https://other.example", "other.example", False),  # a name that leads here
        ("http://localhost:3000", "chat.example", False),  # a program on a user's machine
        ("http://127.0.0.1:3000", "127.0.0.1:8720", False),
        ("http://127.0.0.1:8720", "127.0.0.1:8720", True),  # the server's own page
        ("http://localhost:8720", "localhost:8720", True),
        ("http://192.168.1.5:8720", "192.168.1.5:8720", True),
    ],
)
def test_pages_of_the_public_address_may_and_others_must_be_named(
    origin: str | None, host: str, *, allowed: bool
) -> None:
    policy = OriginPolicy(["https://app.example"], PublicUrl.parse("https://chat.example"))
    assert policy.allows(origin, host) is allowed
    assert policy.allows_gateway(origin, host) is allowed


def test_the_scheme_of_its_own_page_is_that_of_the_request() -> None:
    policy = OriginPolicy()
    for scheme, allowed in ((None, True), ("http", True), ("https", False)):
        assert policy.allows("http://192.168.1.5", "192.168.1.5", scheme) is allowed
        assert policy.allows_gateway("http://chat.example", "chat.example", scheme) is allowed
