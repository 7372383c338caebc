"""The proxy that the environment has for an address; the library `websockets` is asked, too."""

from __future__ import annotations

import os

import pytest
from websockets.proxy import get_proxy
from websockets.uri import parse_uri

from onesocket.errors import InvalidOption, InvalidURL
from onesocket.transports import _environment_proxy as environment
from onesocket.transports._proxy import Proxy, check_proxy, find_proxy
from onesocket.urls import CLIENT_SCHEMES, parse_url

pytestmark = pytest.mark.skipif(os.name != "posix", reason="elsewhere the names of variables have no case")
P, Q, S = "http://p:1", "http://q:2", "socks5h://s:3"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUEST_METHOD", raising=False)


def found(url: str) -> str | None:
    address = parse_url(url)
    answer = environment.environment_proxy("wss" if address.secure else "ws", address.host, address.port)
    return None if answer is None else answer[0]


@pytest.mark.parametrize(
    ("variables", "url", "proxy"),
    [
        ({}, "ws://example.org/", None),
        ({"http_proxy": P}, "ws://example.org/", P),
        ({"http_proxy": P}, "wss://example.org/", None),
        ({"HTTP_PROXY": P}, "ws://example.org/", P),
        ({"https_proxy": P, "http_proxy": Q}, "ws://example.org/", P),
        ({"https_proxy": P}, "wss://example.org/", P),
        ({"HTTPS_PROXY": P}, "wss://example.org/", P),
        ({"HTTPS_PROXY": P, "https_proxy": Q}, "wss://example.org/", Q),
        ({"HTTPS_PROXY": P, "https_proxy": ""}, "wss://example.org/", None),
        ({"wss_proxy": Q, "https_proxy": P}, "wss://example.org/", Q),
        ({"ws_proxy": Q, "https_proxy": P}, "wss://example.org/", P),
        ({"ws_proxy": Q, "https_proxy": P}, "ws://example.org/", Q),
        ({"socks_proxy": S, "https_proxy": P}, "wss://example.org/", S),
        ({"https_proxy": S}, "wss://example.org/", S),
        ({"HTTP_PROXY": P, "REQUEST_METHOD": "GET"}, "ws://example.org/", None),
        ({"http_proxy": P, "REQUEST_METHOD": "GET"}, "ws://example.org/", P),
        ({"https_proxy": P, "no_proxy": "*"}, "wss://example.org/", None),
        ({"https_proxy": P, "no_proxy": "example.org"}, "wss://example.org/", None),
        ({"https_proxy": P, "NO_PROXY": "EXAMPLE.org"}, "wss://a.example.ORG/", None),
        ({"https_proxy": P, "no_proxy": ".example.org"}, "wss://example.org/", None),
        ({"https_proxy": P, "no_proxy": "ample.org"}, "wss://example.org/", P),
        ({"https_proxy": P, "no_proxy": "example.org:444"}, "wss://example.org/", P),
        ({"https_proxy": P, "no_proxy": "example.org:443"}, "wss://example.org/", None),
        ({"https_proxy": P, "no_proxy": " a , example.org , "}, "wss://example.org/", None),
        ({"https_proxy": P, "no_proxy": "localhost,127.0.0.1"}, "ws://127.0.0.1:8080/", None),
        ({"https_proxy": P, "no_proxy": "127.0.0.1"}, "ws://127.0.0.10:8080/", P),
        ({"https_proxy": P, "no_proxy": "::1"}, "ws://[::1]:8080/", None),
        ({"https_proxy": P, "no_proxy": ","}, "ws://localhost/", P),
        ({"https_proxy": P, "no_proxy": "*", "NO_PROXY": ""}, "ws://localhost/", None),
        ({"https_proxy": P, "no_proxy": "", "NO_PROXY": "*"}, "ws://localhost/", P),
    ],
)
def test_it_is_read_as_the_library_websockets_does(
    variables: dict[str, str], url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert found(url) == proxy
    assert get_proxy(parse_uri(url)) == proxy


@pytest.mark.parametrize(
    ("variables", "url", "proxy"),
    [
        ({"all_proxy": P}, "wss://example.org/", P),
        ({"ALL_PROXY": P}, "ws://example.org/", P),
        ({"all_proxy": P, "https_proxy": Q}, "wss://example.org/", Q),
        ({"https_proxy": "proxy.example:3128"}, "wss://example.org/", "http://proxy.example:3128"),
        ({"https_proxy": P, "no_proxy": "10.0.0.0/8"}, "wss://10.1.2.3/", None),
        ({"https_proxy": P, "no_proxy": "10.0.0.0/8"}, "wss://11.1.2.3/", P),
        ({"https_proxy": P, "no_proxy": "10.0.0.0/8"}, "wss://example.org/", P),
        ({"https_proxy": P, "no_proxy": "fd00::/8,no/net"}, "wss://[fd00::1]/", None),
        ({"https_proxy": P, "no_proxy": "[::1]:8080"}, "ws://[::1]:8080/", None),
        ({"https_proxy": P, "no_proxy": "[0:0::1]:8080"}, "ws://[::1]:8080/", None),
        ({"https_proxy": P, "no_proxy": "fd00:0:0::1"}, "wss://[fd00::1]/", None),
        ({"https_proxy": P, "no_proxy": "fd00::1"}, "wss://[FD00:0::0001]/", None),
        ({"https_proxy": P, "no_proxy": "fd00::2"}, "wss://[fd00::1]/", P),
        ({"https_proxy": P, "no_proxy": "*.example.org"}, "wss://a.example.org/", None),
        ({"https_proxy": P, "no_proxy": "example.org"}, "wss://example.org./", None),
    ],
)
def test_beyond_that_as_httpx_and_curl_do(
    variables: dict[str, str], url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert found(url) == proxy


def test_where_the_system_has_settings_they_count_behind_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `urllib.request` reads those of macOS and Windows; its SOCKS proxy has the scheme http there."""
    monkeypatch.setattr(environment, "_HAS_SYSTEM_SETTINGS", True)
    monkeypatch.setattr("urllib.request.getproxies", lambda: {"socks": "http://s:1080", "https": P})
    monkeypatch.setattr("urllib.request.proxy_bypass", lambda host: host == "direct.example:443")
    assert environment.environment_proxy("wss", "example.org", 443) == ("socks5h://s:1080", "the system's settings")
    assert environment.environment_proxy("https", "example.org", 443) == (P, "the system's settings")
    assert environment.environment_proxy("http", "example.org", 80) is None
    assert environment.environment_proxy("wss", "direct.example", 443) is None
    monkeypatch.setenv("all_proxy", Q)
    assert environment.environment_proxy("wss", "example.org", 443) == (Q, "all_proxy in the environment")


def test_its_source_is_named_and_its_credentials_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:s3cret@proxy.example:3128")
    proxy = find_proxy(True, parse_url("wss://example.org/"))
    assert proxy is not None
    assert proxy.name == "the proxy proxy.example:3128 (from https_proxy in the environment)"
    assert "s3cret" not in repr(proxy)
    assert proxy.password == "s3cret"
    assert find_proxy(None, parse_url("wss://example.org/")) is None
    assert find_proxy(True, parse_url("ws+unix:///run/hub", schemes=CLIENT_SCHEMES)) is None


@pytest.mark.parametrize("value", ["ftp://s3cret@p", "http://", "socks5://:s3cret@", "socks6://p"])
def test_a_malformed_one_is_named_with_its_variable(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("wss_proxy", value)
    with pytest.raises(InvalidURL, match="wss_proxy in the environment") as caught:
        find_proxy(True, parse_url("wss://example.org/"))
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "https", "socks4", "socks4a", "socks5", "socks5h"])
def test_each_scheme_has_its_port_and_decoded_credentials(scheme: str) -> None:
    proxy = Proxy.parse(f"{scheme}://us%40er:p%40ss%3Aw@proxy.example")
    assert (proxy.user, proxy.password) == ("us@er", "p@ss:w")
    assert proxy.address.port == {"http": 80, "https": 443}.get(scheme, 1080)
    assert proxy.resolves_names is (scheme not in ("socks4", "socks5"))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (False, "True for the environment's proxy"),
        (42, "True for the environment's proxy"),
        ("proxy:3128", "must begin with http://"),
        ("socks5://user@proxy", "alone"),
        ("socks5h://:s3cret@proxy", "alone"),
        ("socks5://us%C3%A9r:s3cret@proxy", "ASCII"),
        (f"socks5://user:{'s3cret' * 50}@proxy", "255 at most"),
    ],
)
def test_what_can_not_work_is_refused_before_anything_is_dialled(value: object, why: str) -> None:
    with pytest.raises((InvalidOption, InvalidURL), match=why) as caught:
        check_proxy(value)
    assert "s3cret" not in str(caught.value)
