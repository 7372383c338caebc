"""Which of the messages of a connection one reader wants."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from ..client.subscription import Predicate
from ..errors import InvalidOption


def filter_of(protocol: Any, keys: frozenset[Hashable], where: Predicate | None) -> Predicate | None:
    """What a reader asks of each message; raises `InvalidOption`."""
    if where is not None and not callable(where):  # pyright: ignore[reportUnnecessaryComparison]
        raise InvalidOption(f"where must be a function of the message, not {type(where).__name__}")
    if not keys:
        return where
    for method in ("subscribe_frames", "unsubscribe_frames", "key_of"):
        if not callable(getattr(protocol, method, None)):
            raise InvalidOption(f"keys= needs a protocol that describes its subscriptions: it has no {method}()")
    key_of: Callable[[Any], Hashable] = protocol.key_of
    return lambda message: key_of(message) in keys and (where is None or where(message))
