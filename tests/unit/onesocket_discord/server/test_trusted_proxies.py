"""Which address and scheme a request has, behind proxies that are trusted and others."""

from collections.abc import Sequence

import pytest

from onesocket.errors import InvalidOption
from onesocket_discord.server._trusted_proxies import RequestSource, TrustedProxies, network_of

PROXIES = TrustedProxies(["127.0.0.1", "10.0.0.0/8", "2001:db8:1::/48"])


def source(peer: str, *forwarded: str, proto: Sequence[str] = ()) -> RequestSource:
    headers = {"X-Forwarded-For": forwarded, "X-Forwarded-Proto": proto}
    return PROXIES.source_of(peer, headers.__getitem__)


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("127.0.0.1", ["203.0.113.5"], "203.0.113.5"),
        # What stands left of the rightmost address that isn't a proxy's is the client's word.
        ("127.0.0.1", ["198.51.100.1, 203.0.113.5, 10.1.2.3"], "203.0.113.5"),
        ("127.0.0.1", ["198.51.100.1", "203.0.113.5", "10.1.2.3"], "203.0.113.5"),
        ("10.9.9.9", ["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
        ("2001:db8:1::9", ["2001:db8:2::1"], "2001:db8:2::1"),
        ("127.0.0.1", ["2001:DB8:2:0::1"], "2001:db8:2::1"),
        # With a port, as some proxies write it; and IPv4 in IPv6, as a dual-stack socket tells it.
        ("127.0.0.1", ["203.0.113.5:4711"], "203.0.113.5"),
        ("127.0.0.1", ["[2001:db8:2::1]:4711"], "2001:db8:2::1"),
        ("127.0.0.1", ["[2001:db8:2::1]"], "2001:db8:2::1"),
        ("::ffff:127.0.0.1", ["::ffff:203.0.113.5"], "203.0.113.5"),
        ("127.0.0.1", ["fe80::1%eth0"], "fe80::1"),
    ],
)
def test_the_client_is_the_rightmost_address_that_is_no_proxys(peer: str, forwarded: list[str], address: str) -> None:
    found = source(peer, *forwarded)
    assert (found.address, found.is_forwarded) == (address, True)


@pytest.mark.parametrize(
    "entry",
    ["", "unknown", "_hidden", "203.0.113.5x", "203.0.113.256", "1", "[::1", "[::1]x", "::1:x", "203.0.113.5:x"],
)
def test_something_that_is_no_address_ends_the_search(entry: str) -> None:
    assert source("127.0.0.1", f"203.0.113.5, {entry}") == RequestSource("127.0.0.1")
    assert source("127.0.0.1", f"203.0.113.5, {entry}, 10.1.2.3") == RequestSource("10.1.2.3", None, True)


def test_others_are_not_believed() -> None:
    assert source("192.0.2.1", "203.0.113.5", proto=["https"]) == RequestSource("192.0.2.1")
    assert TrustedProxies().source_of("127.0.0.1", lambda _: ["203.0.113.5"]) == RequestSource("127.0.0.1")
    assert source("127.0.0.1") == RequestSource("127.0.0.1")
    assert source("None") == RequestSource("None")


def test_a_long_list_of_made_up_addresses_is_not_read() -> None:
    read = 0

    class Line(str):
        __slots__ = ()

        def rpartition(self, sep: str, /) -> tuple[str, str, str]:
            nonlocal read
            read += 1
            before, comma, last = super().rpartition(sep)
            return Line(before), comma, last

    line = Line(", ".join(f"10.0.{n // 250}.{n % 250}" for n in range(10_000)) + ", 203.0.113.5, 10.1.2.3")
    assert source("127.0.0.1", line).address == "203.0.113.5"
    assert read == 2


@pytest.mark.parametrize(
    ("proto", "scheme"),
    [
        (["https"], "https"),
        (["HTTP"], "http"),
        (["wss"], "https"),
        (["ws"], "http"),
        (["http, https"], "https"),
        (["http", "https"], "https"),
        (["gopher"], None),
        ([""], None),
        ([], None),
    ],
)
def test_the_scheme_is_the_nearest_proxys_word(proto: list[str], scheme: str | None) -> None:
    assert source("127.0.0.1", "203.0.113.5", proto=proto).scheme == scheme


@pytest.mark.parametrize("address", ["proxy.example", "127.0.0.1/40", "", "10.0.0.1/8"])
def test_a_trusted_proxy_has_an_address(address: str) -> None:
    with pytest.raises(InvalidOption, match=r"--trusted-proxy wants .* of a trusted proxy, such as 127\.0\.0\.1"):
        TrustedProxies([address])


def test_a_proxy_may_be_named_as_a_socket_for_both_versions_shows_it() -> None:
    proxies = TrustedProxies(["::ffff:10.0.0.1", "::ffff:192.0.2.0/120"])
    for peer in ("10.0.0.1", "::ffff:10.0.0.1", "192.0.2.77"):
        assert proxies.source_of(peer, lambda _: ["203.0.113.5"]).address == "203.0.113.5"
    assert not proxies.source_of("10.0.0.2", lambda _: ["203.0.113.5"]).is_forwarded


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0", "::ffff:0.0.0.0/96"])
def test_not_everybody_is_a_proxy(network: str) -> None:
    with pytest.raises(InvalidOption, match="would trust every client"):
        TrustedProxies([network])


def test_limits_count_by_the_part_of_an_address_that_a_provider_gives() -> None:
    assert network_of("203.0.113.5") == "203.0.113.5"
    assert network_of("2001:db8::1:2:3:4") == network_of("2001:db8::5:6:7:8") == "2001:db8::/64"
    assert network_of("2001:db8:0:1::1") == "2001:db8:0:1::/64"
    assert network_of("") == ""
