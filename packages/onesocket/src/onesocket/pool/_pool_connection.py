"""One connection of a pool, with its keys."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Hashable, Iterable
from typing import Any, Protocol

from ..client._client import Client
from ..client._gap import Gap
from ..client._status import Change
from ..errors import SubscriptionRefused
from ..lifecycle._states import State


class ConnectionEvents(Protocol):
    """The receiver of what happens on the connections of a pool."""

    def messages(self, connection: PoolConnection, batch: list[Any]) -> None:
        """Take the messages of one read, in a list that must not be changed."""

    def gap(self, connection: PoolConnection, gap: Gap) -> None:
        """Take a gap marker."""

    def changed(self, connection: PoolConnection, change: Change) -> None:
        """Take a change of the state, soon after it."""

    def refused(self, connection: PoolConnection, error: SubscriptionRefused) -> None:
        """Take the refusal of keys, which are not subscribed to any more."""


class PoolConnection:
    """A client, and the keys that the pool has given it: a `KeySubscriber` of all its keys."""

    __slots__ = ("_capacity", "_events", "_internals", "_subscriptions", "client", "idle_since", "keys", "lost_at")

    def __init__(self, client: Client[Any], capacity: int, events: ConnectionEvents) -> None:
        self.client = client
        self.keys: dict[Hashable, None] = {}
        self.idle_since = 0.0
        """Time at which its last key left, on the loop's clock."""
        self.lost_at = -math.inf
        """Time at which it was last lost, on the loop's clock."""
        self._capacity = capacity
        self._events = events
        self._internals = client.internals
        self._internals.fan_out.take_keeper()  # the pool has one for all
        self._internals.fan_out.tap(
            lambda batch: events.messages(self, batch),
            lambda gap: events.gap(self, gap),
        )
        self._subscriptions = self._internals.subscriptions()
        client.on_change(self._changed)

    def __repr__(self) -> str:
        return f"<PoolConnection keys={len(self.keys)}/{self._capacity} {self.client!r}>"

    @property
    def room(self) -> int:
        """Number of keys that it can take."""
        return self._capacity - len(self.keys)

    @property
    def is_connected(self) -> bool:
        """Open and logged in."""
        return self.client.state is State.CONNECTED

    @property
    def is_held(self) -> bool:
        """True while it is not read."""
        return self._internals.fan_out.is_held

    @property
    def was_ready(self) -> bool:
        """True if it was ever open and logged in."""
        return self._internals.runner.readied > 0

    def open(self) -> None:
        """Start the first attempt, which is retried as the policy says."""
        retry = True if self._internals.options.reconnect is not None else None
        self.client.connect_nowait(retry=retry)

    def add(self, keys: Iterable[Hashable]) -> None:
        """Subscribe to these keys."""
        keys = list(keys)
        self.keys.update(dict.fromkeys(keys))
        self._subscriptions.add_keys(self, keys)

    def remove(self, keys: Iterable[Hashable]) -> None:
        """Unsubscribe from these keys."""
        gone = [key for key in keys if key in self.keys]
        self.drop(gone)
        self._subscriptions.remove_keys(self, gone)

    def drop(self, keys: Iterable[Hashable]) -> None:
        """Forget keys that are not subscribed to any more."""
        for key in keys:
            self.keys.pop(key, None)
        if not self.keys:
            self.idle_since = asyncio.get_running_loop().time()

    def has_all(self, keys: Iterable[Hashable]) -> bool:
        """True if the server has been asked for all these keys, and has answered where it does."""
        return all(self._subscriptions.is_subscribed(key) for key in keys)

    def has_any(self, keys: Iterable[Hashable]) -> bool:
        """True if the server may still be subscribed to one of these keys, on a connection that is up."""
        return self.is_connected and any(self._subscriptions.holds(key) for key in keys)

    def hold(self) -> None:
        """Stop reading, until as many calls of `release`."""
        self._internals.fan_out.hold()

    def release(self) -> None:
        """Undo one `hold`."""
        self._internals.fan_out.release()

    def refused(self, error: SubscriptionRefused) -> None:
        """Take the refusal of keys, as a `KeySubscriber`."""
        self._events.refused(self, error)

    def _changed(self, change: Change) -> None:
        if change.old is State.CONNECTED is not change.new:
            self.lost_at = asyncio.get_running_loop().time()
        self._events.changed(self, change)
