"""Frozen snapshots of a pool."""

from __future__ import annotations

from dataclasses import dataclass

from ..client import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatus:
    """The pool at one moment."""

    connections: tuple[Status, ...]
    """The status of each connection, the oldest first."""
    keys: tuple[int, ...]
    """Number of keys of each of them, in the same order."""
    waiting: int
    """Number of wanted keys that no connection has: they wait for one that is being closed, or it has failed."""
    max_connections: int
    """The bound on connections; smaller than the option while the service has refused one more."""
    inbox: int
    """Length of the longest queue of any subscriber."""
    subscribers: int
    is_held: bool
    """True while a subscriber with the rule `wait` holds the connections back."""

    @property
    def is_connected(self) -> bool:
        """True if each wanted key has a connection that is open and logged in."""
        return not self.waiting and all(status.is_connected for status in self.connections)
