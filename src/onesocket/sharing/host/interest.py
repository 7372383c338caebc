"""The owner's part in subscriptions: what all processes want together, kept up upstream."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from ...client.client import Client
from ...lifecycle.states import State
from ...protocols.base import Protocol
from ..line_keys import LineKeys
from .forwarding import can_subscribe
from .keys import KeyCounts


class Interest:
    """Sends differences while the line is up, and everything when a new one is."""

    def __init__(self, protocol: Protocol, client: Client) -> None:
        self._client = client
        self._counts = KeyCounts()
        self._line = LineKeys(protocol, client.inside, self._sync) if can_subscribe(protocol) else None

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

    def line_is_up(self) -> None:
        """A new line: it's subscribed to nothing."""
        self._sync()

    def room(self) -> None:
        """A message has left the outbox."""
        if self._line is not None:
            self._line.room()

    def stop(self) -> None:
        """The client is being closed."""
        if self._line is not None:
            self._line.stop()

    def _sync(self) -> None:
        client = self._client
        if self._line is not None and client.state is State.CONNECTED:
            self._line.bring_to(self._counts.wanted, client.epoch)
