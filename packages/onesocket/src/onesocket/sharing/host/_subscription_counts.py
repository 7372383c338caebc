"""Subscriptions, counted over tasks and processes: only differences go upstream. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Final

from ...errors import InvalidOption

MAX_KEYS: Final = 100_000


class SubscriptionCounts:
    """Counts the subscribers of each key. A key is subscribed to while it has at least one."""

    def __init__(self, most: int = MAX_KEYS) -> None:
        self._most = most
        self._counts: dict[Hashable, int] = {}
        self._held: dict[Hashable, dict[Hashable, int]] = {}

    def __repr__(self) -> str:
        return f"<SubscriptionCounts keys={len(self._counts)} holders={len(self._held)}>"

    @property
    def wanted(self) -> frozenset[Hashable]:
        """Every key that somebody wants."""
        return frozenset(self._counts)

    def add_keys(self, who: Hashable, keys: Iterable[Hashable]) -> list[Hashable]:
        """Count these for `who`; returns the keys that nobody wanted before. Raises `InvalidOption`: too many."""
        keys = list(keys)
        new = list(dict.fromkeys(key for key in keys if key not in self._counts))
        if len(self._counts) + len(new) > self._most:
            raise InvalidOption(f"more than {self._most} keys would be subscribed to, which is the limit")
        held = self._held.setdefault(who, {})
        for key in keys:
            self._counts[key] = self._counts.get(key, 0) + 1
            held[key] = held.get(key, 0) + 1
        return new

    def remove_keys(self, who: Hashable, keys: Iterable[Hashable]) -> list[Hashable]:
        """Take a wish back; returns the keys that nobody wants any more. A wish that was never made is ignored."""
        gone: list[Hashable] = []
        held = self._held.get(who, {})
        for key in keys:
            if key in held:
                self._release(held, key, 1, gone)
        if not held:
            self._held.pop(who, None)
        return gone

    def drop(self, who: Hashable) -> list[Hashable]:
        """`who` is gone, with all its wishes; returns the keys that nobody wants any more."""
        gone: list[Hashable] = []
        held = self._held.pop(who, {})
        for key, count in list(held.items()):
            self._release(held, key, count, gone)
        return gone

    def _release(self, held: dict[Hashable, int], key: Hashable, count: int, gone: list[Hashable]) -> None:
        held[key] -= count
        if not held[key]:
            del held[key]
        self._counts[key] -= count
        if not self._counts[key]:
            del self._counts[key]
            gone.append(key)
