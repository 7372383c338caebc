"""Reverse proxies before the server, and the client addresses that they name."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from aiohttp import web

from onesocket.errors import InvalidOption


class TrustedProxies:
    """The proxies whose ``X-Forwarded-For`` is believed; any other could be forged."""

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        """`trusted`: addresses, or networks as in ``10.0.0.0/8``. Raises `InvalidOption`."""
        try:
            self._trusted = tuple(ipaddress.ip_network(one) for one in trusted)
        except ValueError as error:
            raise InvalidOption(f"a trusted proxy is an IP address or a network, such as 127.0.0.1: {error}") from None

    def __repr__(self) -> str:
        return f"<TrustedProxies {', '.join(map(str, self._trusted)) or 'none'}>"

    def client_of(self, request: web.Request) -> str:
        """The client's address: the last one named that isn't a trusted proxy's own."""
        address = str(request.remote)
        named = [one.strip() for line in request.headers.getall("X-Forwarded-For", ()) for one in line.split(",")]
        while named and self._trusts(address):
            address = named.pop()
        return address

    def _trusts(self, address: str) -> bool:
        try:
            known = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(known.version == network.version and known in network for network in self._trusted)
