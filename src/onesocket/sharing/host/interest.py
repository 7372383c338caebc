"""The owner's part in subscriptions: what all processes want together, kept up upstream."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from ...client.client import Client
from ...client.dial_options import can_merge
from ...protocols.base import Protocol
from ..line_keys import LineKeys
from .keys import KeyCounts


class Interest:
    """Counts what each process wants; `LineKeys` keeps the connection's subscriptions equal to it."""

    def __init__(self, protocol: Protocol, client: Client) -> None:
        self._counts = KeyCounts()
        self._line = LineKeys(protocol, client.inside, lambda: self._counts.wanted) if can_merge(protocol) else None

    def __repr__(self) -> str:
        return f"<Interest {self._counts!r} {self._line!r}>"

    def change(self, who: Hashable, add: Iterable[Hashable], remove: Iterable[Hashable]) -> None:
        """Somebody wants more, or less. Raises `InvalidOption`: too many."""
        self._counts.want(who, add)
        self._counts.unwant(who, remove)
        self._sync()

    def drop(self, who: Hashable) -> None:
        """Somebody is gone."""
        self._counts.drop(who)
        self._sync()

    def _sync(self) -> None:
        if self._line is not None:
            self._line.changed()
