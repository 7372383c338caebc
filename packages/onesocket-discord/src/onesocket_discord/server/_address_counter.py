"""Counts by the addresses of clients, each up to a limit."""

from __future__ import annotations

from collections import Counter
from typing import Final

from ._trusted_proxies import TrustedProxies, network_of

UNCOUNTED: Final = ""
"""The network of a trusted proxy, whose connections are those of many clients, and of who left before it was known."""


class AddressCounter:
    """Counts what is open for each client's network, and refuses more than the limit of one."""

    def __init__(self, limit: int, proxies: TrustedProxies) -> None:
        """`proxies` aren't counted: their clients are, where it is known which one it is."""
        self._limit = limit
        self._proxies = proxies
        self._open: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<AddressCounter {self._open.total()} of {len(self._open)} addresses>"

    def enter(self, address: str) -> str | None:
        """Count one for this address; returns the network for `leave`. None: it has as many as it may."""
        if not address or self._proxies.trusts(address):
            return UNCOUNTED
        network = network_of(address)
        if self._open[network] >= self._limit:
            return None
        self._open[network] += 1
        return network

    def leave(self, network: str) -> None:
        """Uncount one of this network, as `enter` has returned it."""
        if network != UNCOUNTED:
            self._open[network] -= 1
            if not self._open[network]:
                del self._open[network]
