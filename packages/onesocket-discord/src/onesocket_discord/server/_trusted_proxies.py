"""Reverse proxies before the server, and the clients that they name."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from onesocket.errors import InvalidOption

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_IPV6_NETWORK: Final = 64
"""Bits of an IPv6 address that a provider gives to one customer, who makes up the rest."""
_MAPPED_PREFIX: Final = 96
"""Bits of an IPv6 address before the IPv4 address that is mapped into it."""


@dataclass(frozen=True, slots=True)
class RequestSource:
    """The client of one request."""

    address: str
    """The client's address: that of the connection, or the one that a trusted proxy has named."""
    scheme: str | None = None
    """``http`` or ``https``, as a trusted proxy says that the client has asked; None: no trusted proxy says so."""
    is_forwarded: bool = False
    """True if a trusted proxy has named the address."""

    @property
    def network(self) -> str:
        """The part of the address by which limits count."""
        return network_of(self.address)


class TrustedProxies:
    """The proxies whose ``X-Forwarded-For`` and ``-Proto`` are believed; any others could be forged.

    The client is the rightmost address that isn't a trusted proxy's own. What stands left of it is the client's word.
    Something that is no address ends the search: then the last proxy before it counts as the client.
    """

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        """`trusted`: addresses, or networks as in ``10.0.0.0/8``. Raises `InvalidOption`."""
        self._trusted = tuple(_network(one) for one in trusted)

    def __repr__(self) -> str:
        return f"<TrustedProxies {', '.join(map(str, self._trusted)) or 'none'}>"

    def source_of(self, peer: str, headers: Callable[[str], Sequence[str]]) -> RequestSource:
        """Return the source of a request.

        `peer`: the address at the other end of the connection. `headers`: the values of all headers with a name.
        """
        known = _parse(peer)
        if known is None or not self._trusts(known):
            return RequestSource(peer)
        address, is_forwarded = known, False
        for text in _entries_from_the_right(headers("X-Forwarded-For")):
            named = _parse(text)
            if named is None:
                break
            address, is_forwarded = named, True
            if not self._trusts(named):
                break
        return RequestSource(str(address), _scheme(headers("X-Forwarded-Proto")), is_forwarded)

    def trusts(self, address: str) -> bool:
        """Return True if this is the address of a trusted proxy."""
        known = _parse(address) if self._trusted else None
        return known is not None and self._trusts(known)

    def _trusts(self, address: _Address) -> bool:
        return any(address.version == network.version and address in network for network in self._trusted)


def network_of(address: str) -> str:
    """The part of a client's address by which limits count: of IPv6 the first 64 bits, else all of it."""
    known = _parse(address)
    if known is None or known.version == 4:
        return address
    return str(ipaddress.ip_network((known, _IPV6_NETWORK), strict=False))


def _entries_from_the_right(lines: Sequence[str]) -> Iterable[str]:
    """Split lazily: a client may send thousands of entries, of which the rightmost ones matter."""
    for line in reversed(lines):
        rest, comma = line, ","
        while comma:
            rest, comma, last = rest.rpartition(",")
            yield last.strip()


def _scheme(lines: Sequence[str]) -> str | None:
    """The scheme that the nearest proxy names."""
    return _SCHEMES.get(lines[-1].rpartition(",")[2].strip().lower()) if lines else None


def _parse(text: str) -> _Address | None:
    """The address in an entry, which some proxies write with a port; None if there is none."""
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        text = host if bracket and (not port or (port[:1] == ":" and port[1:].isdigit())) else ""
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
        text = host if port.isdigit() else ""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])  # a zone has a meaning on its own machine alone
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise InvalidOption(
            f"--trusted-proxy wants the IP address or the network of a trusted proxy, such as 127.0.0.1 or "
            f"10.0.0.0/8: {error}"
        ) from None
    mapped = _mapped_network(network)
    if mapped is not None:
        network = mapped
    if network.prefixlen == 0:
        raise InvalidOption(f"--trusted-proxy {text} would trust every client; name the proxy's own address or network")
    return network


def _mapped_network(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> ipaddress.IPv4Network | None:
    """The IPv4 network in one such as ``::ffff:10.0.0.0/104``, as sockets for both show it; None: it is none."""
    if network.version == 4 or network.prefixlen < _MAPPED_PREFIX:
        return None
    first = ipaddress.IPv6Address(network.network_address).ipv4_mapped
    return None if first is None else ipaddress.IPv4Network((int(first), network.prefixlen - _MAPPED_PREFIX))
