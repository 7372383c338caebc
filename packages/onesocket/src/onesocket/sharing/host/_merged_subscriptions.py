"""The owner's part in subscriptions: what all processes want together, kept up upstream."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from ...client._client import Client
from ...protocols._protocol import Protocol
from .._upstream_subscriptions import UpstreamSubscriptions, supports_merging
from ._subscription_counts import SubscriptionCounts


class MergedSubscriptions:
    """Counts what each process wants; `UpstreamSubscriptions` keeps the connection's subscriptions equal to it."""

    def __init__(self, protocol: Protocol, client: Client) -> None:
        self._counts = SubscriptionCounts()
        self._upstream_subscriptions = (
            UpstreamSubscriptions(protocol, client.internals, lambda: self._counts.wanted)
            if supports_merging(protocol)
            else None
        )

    def __repr__(self) -> str:
        return f"<Interest {self._counts!r} {self._upstream_subscriptions!r}>"

    def change(self, who: Hashable, add: Iterable[Hashable], remove: Iterable[Hashable]) -> None:
        """Add and remove keys of one subscriber. Raises `InvalidOption`: too many."""
        self._counts.add_keys(who, add)
        self._counts.remove_keys(who, remove)
        self._sync()

    def drop(self, who: Hashable) -> None:
        """Remove all keys of one subscriber."""
        self._counts.drop(who)
        self._sync()

    def _sync(self) -> None:
        if self._upstream_subscriptions is not None:
            self._upstream_subscriptions.changed()
