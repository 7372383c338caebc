"""Counts of subscriptions over tasks and processes, so that only differences go upstream. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from typing import Final

from ...errors import InvalidOption

MAX_KEYS: Final = 100_000


class SubscriptionCounts:
    """Counts the subscribers of each key. A key is subscribed to while it has at least one."""

    def __init__(self, max_keys: int = MAX_KEYS) -> None:
        self._max_keys = max_keys
        self._total: Counter[Hashable] = Counter()
        self._by_subscriber: dict[Hashable, Counter[Hashable]] = {}

    def __repr__(self) -> str:
        return f"<SubscriptionCounts keys={len(self._total)} subscribers={len(self._by_subscriber)}>"

    @property
    def wanted(self) -> frozenset[Hashable]:
        """All keys that have a subscriber."""
        return frozenset(self._total)

    def add_keys(self, subscriber: Hashable, keys: Iterable[Hashable]) -> list[Hashable]:
        """Count keys for a subscriber; returns those that had none before. Raises `InvalidOption`: too many."""
        keys = list(keys)
        new = list(dict.fromkeys(key for key in keys if key not in self._total))
        if len(self._total) + len(new) > self._max_keys:
            raise InvalidOption(f"more than {self._max_keys} keys would be subscribed to, which is the limit")
        self._by_subscriber.setdefault(subscriber, Counter()).update(keys)
        self._total.update(keys)
        return new

    def remove_keys(self, subscriber: Hashable, keys: Iterable[Hashable]) -> list[Hashable]:
        """Count keys less for a subscriber; returns those that have none any more. Keys never added are ignored."""
        gone: list[Hashable] = []
        held = self._by_subscriber.get(subscriber, Counter())
        for key in keys:
            if key in held:
                for counts in (held, self._total):
                    counts[key] -= 1
                    if not counts[key]:
                        del counts[key]
                if key not in self._total:
                    gone.append(key)
        if not held:
            self._by_subscriber.pop(subscriber, None)
        return gone

    def drop(self, subscriber: Hashable) -> list[Hashable]:
        """Remove a subscriber with all its keys; returns those that have no other."""
        return self.remove_keys(subscriber, list(self._by_subscriber.get(subscriber, Counter()).elements()))
