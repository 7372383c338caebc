"""Counts of subscriptions over all who want a key, so that only differences go upstream. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from typing import Final, Generic, TypeVar

from ..errors import InvalidOption

S = TypeVar("S")
"""A subscriber; it is known by its identity or value."""

MAX_KEYS: Final = 100_000


class SubscriptionCounts(Generic[S]):
    """Counts the subscribers of each key. A key is subscribed to while it has at least one."""

    def __init__(self, max_keys: int = MAX_KEYS) -> None:
        self._max_keys = max_keys
        self._total: Counter[Hashable] = Counter()
        self._by_subscriber: dict[S, Counter[Hashable]] = {}

    def __repr__(self) -> str:
        return f"<SubscriptionCounts keys={len(self._total)} subscribers={len(self._by_subscriber)}>"

    def __len__(self) -> int:
        """Number of keys that have a subscriber."""
        return len(self._total)

    def __iter__(self) -> Iterator[Hashable]:
        """Iterate over the keys that have a subscriber, in the order in which they got their first."""
        return iter(self._total)

    def __contains__(self, key: Hashable) -> bool:
        """True if the key has a subscriber."""
        return key in self._total

    def has_keys_of(self, subscriber: S) -> bool:
        """True if a subscriber has a key."""
        return subscriber in self._by_subscriber

    @property
    def wanted(self) -> frozenset[Hashable]:
        """All keys that have a subscriber."""
        return frozenset(self._total)

    def by_subscriber(self) -> list[tuple[S, list[Hashable]]]:
        """The keys of each subscriber, as often as they were added."""
        return [(subscriber, list(keys.elements())) for subscriber, keys in self._by_subscriber.items()]

    def add_keys(self, subscriber: S, keys: Iterable[Hashable]) -> list[Hashable]:
        """Count keys for a subscriber; returns those that had none before. Raises `InvalidOption`: too many."""
        keys = list(keys)
        new = list(dict.fromkeys(key for key in keys if key not in self._total))
        if len(self._total) + len(new) > self._max_keys:
            raise InvalidOption(f"more than {self._max_keys} keys would be subscribed to, which is the limit")
        if keys:
            self._by_subscriber.setdefault(subscriber, Counter()).update(keys)
            self._total.update(keys)
        return new

    def remove_keys(self, subscriber: S, keys: Iterable[Hashable]) -> list[Hashable]:
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

    def drop(self, subscriber: S) -> list[Hashable]:
        """Remove a subscriber with all its keys; returns those that have no other."""
        return self.remove_keys(subscriber, list(self._by_subscriber.get(subscriber, Counter()).elements()))

    def refuse(self, keys: Iterable[Hashable]) -> list[tuple[S, list[Hashable]]]:
        """Remove keys from all subscribers, as they are refused; returns the subscribers that lose some, with those."""
        refused = [key for key in dict.fromkeys(keys) if key in self._total]
        for key in refused:
            del self._total[key]
        losers: list[tuple[S, list[Hashable]]] = []
        for subscriber, held in tuple(self._by_subscriber.items()) if refused else ():
            lost = [key for key in refused if key in held]
            for key in lost:
                del held[key]
            if lost:
                losers.append((subscriber, lost))
            if not held:
                del self._by_subscriber[subscriber]
        return losers
