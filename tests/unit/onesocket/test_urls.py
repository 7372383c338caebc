"""URLs: the hosts that are names, and targets byte by byte."""

import contextlib
import re
import socket

import pytest

from onesocket import Client, TokenQuery
from onesocket.errors import InvalidURL
from onesocket.urls import parse_url, redact, with_query
from onesocket.wire import DialRequest

# Targets as real services sign or define them: changed by a byte, they mean something else, or nothing.
TARGETS = [
    "/",
    "/?",
    "/a/../b//c/.",
    "/feed?X-Amz-Credential=A%2F2020%2Fus-east-1&X-Amz-Signature=ab%3D%3D",
    "/?x=%20",
    "/?flag",
    "/?flag&&x=",
    "/?q=a;b",
    "/?q=%ff",
    "/?q=%FF%2f~a*b",
    "/?q=100%",
    "/?a+b=c d".replace(" ", "+"),
    "/stream?streams=btcusdt@trade/ethusdt@depth",
    '/?q={"a":[1,2]}|^`\\<>',
    "/?a=1?b=2",
]


@pytest.mark.parametrize("target", TARGETS)
def test_the_target_stays_as_it_is(target: str) -> None:
    address = parse_url(f"wss://User:pass@Example.org:8443{target}")
    assert address.target == target
    assert address.url == f"wss://example.org:8443{target}"
    assert parse_url(address.url).target == target


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("ws://h", "/"),
        ("ws://h?", "/?"),
        ("ws://h?a=b/c", "/?a=b/c"),
        ("ws://h/#", "/"),
        ("ws://h/ä?ö=€", "/%C3%A4?%C3%B6=%E2%82%AC"),
    ],
)
def test_only_what_is_missing_or_not_ascii_is_written_anew(url: str, target: str) -> None:
    assert parse_url(url).target == target


@pytest.mark.parametrize("target", TARGETS)
def test_a_token_is_appended_and_the_rest_of_the_query_stays(target: str) -> None:
    request = TokenQuery("token").put(DialRequest(f"ws://h{target}"), "t+k/ü")
    between = "" if target.endswith("?") else "&" if "?" in target else "?"
    assert request.url == f"ws://h{target}{between}token=t%2Bk%2F%C3%BC"


@pytest.mark.parametrize(
    ("url", "changed"),
    [
        ("ws://h/?token=old", "ws://h/?token=new"),
        ("ws://h/?a=%20&token=old&b=+", "ws://h/?a=%20&b=+&token=new"),
        ("ws://h/?tok%65n=old&tokens=1", "ws://h/?tokens=1&token=new"),
        ("ws://h/?token&x", "ws://h/?x&token=new"),
    ],
)
def test_a_parameter_of_the_same_name_is_replaced(url: str, changed: str) -> None:
    assert with_query(url, "token", "new") == changed


# --- hosts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "read"),
    [
        ("Example.ORG", "example.org"),
        ("example.org.", "example.org."),
        ("localhost", "localhost"),
        ("my_service", "my_service"),
        ("a-.b--c.example", "a-.b--c.example"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.1", "127.1"),
        ("[::1]", "::1"),
        ("[2001:DB8::1]", "2001:db8::1"),
        ("faß.de", "xn--fa-hia.de"),
        ("FAẞ.de", "xn--fa-hia.de"),
        ("βόλος.com", "xn--nxasmm1c.com"),
        ("bücher.example.", "xn--bcher-kva.example."),
        ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
        ("ｅｘａｍｐｌｅ.org", "example.org"),
        ("xn--fa-hia.de", "xn--fa-hia.de"),
        ("a" * 63 + ".example", "a" * 63 + ".example"),
        (".".join(["a" * 49] * 5) + ".abc", ".".join(["a" * 49] * 5) + ".abc"),
    ],
)
def test_hosts_that_are_names(host: str, read: str) -> None:
    address = parse_url(f"wss://{host}/")
    assert address.host == read
    assert parse_url(address.url) == address


@pytest.mark.parametrize(
    ("host", "told"),
    [
        (".example", "left empty"),
        ("a..b", "left empty"),
        ("a.example..", "left empty"),
        (".", "left empty"),
        ("a。。b", "IDNA 2008"),
        ("a" * 64 + ".example", "longer than 63 characters"),
        ("ü" * 64, "IDNA 2008"),
        (".".join(["a" * 50] * 5), "longer than 253 characters"),
        ("ex%61mple.org", "the character '%'"),
        ("a,b", "the character ','"),
        ("*.example.org", "the character '*'"),
        ("$HOST", "the character '$'"),
        ("{host}", "the character '{'"),
        ("☃.example", "IDNA 2008"),
        ("[v1.a]", "no IPv6 address"),
        ("[::1", "can't be read"),
        ("\ud800.example", "a surrogate"),
        ("user:\ud800@h", "a surrogate"),
        ("h/\ud800", "a surrogate"),
        ("ex\u200bample\u202e.org", "IDNA 2008"),
    ],
)
def test_a_host_that_can_never_be_a_name_is_refused_at_once(host: str, told: str) -> None:
    with pytest.raises(InvalidURL, match=re.escape(told)) as caught:
        Client(f"wss://{host}/?token=s3cret")
    assert not caught.value.retryable
    assert "s3cret" not in str(caught.value)
    assert str(caught.value).isprintable()


def test_the_zone_of_an_ipv6_address_is_for_this_machine_alone() -> None:
    address = parse_url("ws://[fe80::1%25eth0]:8080/[1]")
    assert (address.host, address.authority) == ("fe80::1%eth0", "[fe80::1]:8080")
    assert parse_url(address.url) == address


def test_empty_user_info_is_none() -> None:
    for url in ("ws://@h/", "ws://:@h/"):
        assert parse_url(url).authorization is None
    assert parse_url("ws://:key@h/").authorization == "Basic OmtleQ=="


def test_a_host_that_was_accepted_can_be_looked_up() -> None:
    """Python's resolver encodes names itself, and raises what is no OSError for names that it can't encode."""
    for host in ("a" * 63 + ".localhost", ".".join(["a" * 49] * 5) + ".abc", "my_service", "xn--fa-hia.de"):
        with contextlib.suppress(socket.gaierror):
            socket.getaddrinfo(parse_url(f"ws://{host}/").host, 80, flags=socket.AI_NUMERICHOST)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("ws:/127.0.0.1", "'ws:/127.0.0.1' is not a valid URL: it names no host"),
        (" ws://h", "' ws://h' is not"),
        ("ws://h/\n", r"'ws://h/\n' is not"),
        ("ws://h/?key=s3cret#s3cret", "'ws://h/?key=***#***' is not"),
        ("ws:/me:s3cret@h", "'ws:/h' is not"),
        ("h.example:80/?k=s3cret", "; did you mean ws://h.example:80/?k=***?"),
        ("http://h", "; did you mean ws://?"),
    ],
)
def test_a_text_that_is_no_url_is_told_as_it_was_given_without_secrets(given: str, shown: str) -> None:
    with pytest.raises(InvalidURL) as caught:
        Client(given)
    assert shown in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_proxy_without_a_scheme_is_told_with_the_usual_one() -> None:
    with pytest.raises(InvalidURL, match=r"did you mean http://127\.0\.0\.1:3128\?$"):
        Client("ws://h/", proxy="127.0.0.1:3128")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("wss://u:p@h/p?key=v&k%C3%BC+y=&a=b=c", "wss://h/p?key=***&k%C3%BC%20y=***&a=***"),
        ("wss://h/?a-token-without-a-name", "wss://h/?***"),
        ("wss://h/?key=v&a-token", "wss://h/?key=***&***"),
        ("wss://h/?a-token&key=v", "wss://h/?***&key=***"),
        ("ws+unix:///s:/t?a-token", "ws+unix:///s:/t?***"),
        ("wss://h/?&&", "wss://h/?***"),
        ("wss://h/", "wss://h/"),
    ],
)
def test_a_url_is_shown_without_the_values_of_its_query(url: str, shown: str) -> None:
    assert redact(url) == shown
