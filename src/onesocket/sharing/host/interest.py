"""The owner's part in subscriptions: what all processes want together, kept up upstream."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from ...client.client import Client
from ...errors import OnesocketError
from ...lifecycle.states import State
from ...protocols.base import Protocol
from .forwarding import subscriber
from .keys import KeyCounts, Upstreamed


class Interest:
    """Sends differences while the line is up, and everything when a new one is."""

    def __init__(self, protocol: Protocol, client: Client) -> None:
        self._frames = subscriber(protocol)
        self._client = client
        self._counts = KeyCounts()
        self._upstreamed = Upstreamed()
        self._line: int | None = None

    def __repr__(self) -> str:
        return f"<Interest {self._counts!r} {self._upstreamed!r}>"

    def change(self, who: Hashable, add: Iterable[Hashable], remove: Iterable[Hashable]) -> None:
        """Somebody wants more, or less. Raises `InvalidOption`: too many."""
        self._counts.want(who, add)
        self._counts.unwant(who, remove)
        self._sync()

    def drop(self, who: Hashable) -> None:
        """Somebody is gone."""
        self._counts.drop(who)
        self._sync()

    def line_is_up(self, epoch: int) -> None:
        """A new line: it's subscribed to nothing."""
        self._line = epoch
        self._sync()

    def _sync(self) -> None:
        client = self._client
        epoch = client.epoch
        if self._frames is None or self._line != epoch or client.state is not State.CONNECTED:
            return
        add, remove = self._upstreamed.differences(self._counts.wanted, epoch)
        subscribe, unsubscribe = self._frames
        try:
            for frame in (*(unsubscribe(remove) if remove else ()), *(subscribe(add) if add else ())):
                client.send_nowait(frame)
        except OnesocketError:
            self._line = None  # the line is ending; the next begins anew
