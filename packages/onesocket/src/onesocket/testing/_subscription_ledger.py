"""The subscriptions of one connection, counted by its server."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

ReadSubscription = Callable[[str | bytes], tuple[Sequence[str], Sequence[str]] | None]
"""The keys that a message subscribes to and those it unsubscribes from; None for any other message."""

_ACTION_FIELDS = ("op", "action", "method", "type", "event")
_KEY_FIELDS = ("args", "params", "keys", "channels", "topics", "symbols", "streams")


class SubscriptionLedger:
    """Counts subscriptions: a key that was subscribed to twice counts 2, one that was only unsubscribed from -1."""

    def __init__(self, read: ReadSubscription | None = None) -> None:
        self._read = read_subscription if read is None else read
        self._counts: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<SubscriptionLedger {dict(self._counts)}>"

    @classmethod
    def of(cls, messages: Iterable[str | bytes], read: ReadSubscription | None = None) -> SubscriptionLedger:
        """Return the ledger of a connection that sent these messages."""
        ledger = cls(read)
        for message in messages:
            ledger.note(message)
        return ledger

    def note(self, message: str | bytes) -> bool:
        """Take one message of the client; returns True if it was about subscriptions."""
        asked = self._read(message)
        if asked is None:
            return False
        self.change(*asked)
        return True

    def change(self, subscribed: Sequence[str], unsubscribed: Sequence[str]) -> None:
        """Count subscriptions and their ends."""
        self._counts.update(subscribed)
        self._counts.subtract(unsubscribed)
        for key in (*subscribed, *unsubscribed):
            if not self._counts[key]:
                del self._counts[key]

    @property
    def keys(self) -> frozenset[str]:
        """The keys that the connection is subscribed to."""
        return frozenset(key for key, count in self._counts.items() if count > 0)

    @property
    def odd(self) -> dict[str, int]:
        """Keys that were subscribed to more than once, or unsubscribed from without a subscription."""
        return {key: count for key, count in self._counts.items() if count != 1}


def read_subscription(message: str | bytes) -> tuple[Sequence[str], Sequence[str]] | None:
    """Parse the usual JSON shapes.

    ``{"op": "subscribe", "args": [...]}`` and ``{"subscribe": [...], "unsubscribe": [...]}``; ``op`` may also be
    action, method, type or event; ``args`` params, keys, channels, topics, symbols or streams.
    """
    try:
        parsed: object = json.loads(message)
    except (ValueError, RecursionError):
        return None
    if not isinstance(parsed, dict):
        return None
    fields = cast("dict[str, Any]", parsed)
    verb = next((fields[name] for name in _ACTION_FIELDS if name in fields), None)
    items = next((_texts(fields[name]) for name in _KEY_FIELDS if name in fields), ())
    match verb.lower() if isinstance(verb, str) else None:
        case "subscribe":
            return items, ()
        case "unsubscribe":
            return (), items
        case _ if "subscribe" in fields or "unsubscribe" in fields:
            return _texts(fields.get("subscribe", ())), _texts(fields.get("unsubscribe", ()))
        case _:
            return None


def _texts(items: Any) -> tuple[str, ...]:
    listed: list[Any] = [*items] if isinstance(items, list | tuple) else [items]
    return tuple(item if isinstance(item, str) else json.dumps(item, sort_keys=True) for item in listed)
