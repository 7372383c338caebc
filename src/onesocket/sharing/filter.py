"""Which of the messages of a connection one reader wants."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from ..client.dial_options import SUBSCRIBING
from ..client.subscription import Predicate
from ..errors import InvalidOption


def filter_of(protocol: Any, keys: frozenset[Hashable], where: Predicate | None) -> Predicate | None:
    """What a reader asks of each message; raises `InvalidOption`."""
    if where is not None and not callable(where):  # pyright: ignore[reportUnnecessaryComparison]
        raise InvalidOption(f"where must be a function of the message, not {type(where).__name__}")
    if not keys:
        return where
    check_merges(protocol)
    _check_has(protocol, "key_of")
    key_of: Callable[[Any], Hashable] = protocol.key_of
    return lambda message: key_of(message) in keys and (where is None or where(message))


def check_merges(protocol: object) -> None:
    """Raise `InvalidOption` unless the protocol has frames that subscribe: a reader of keys would wait for ever."""
    for method in SUBSCRIBING:
        _check_has(protocol, method)


def _check_has(protocol: object, method: str) -> None:
    if not callable(getattr(protocol, method, None)):
        raise InvalidOption(f"keys= needs a protocol that describes its subscriptions: it has no {method}()")
