"""Which of the messages of a connection one reader wants."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from ..client._dial_options import SUBSCRIPTION_METHODS
from ..client._subscription import Predicate
from ..errors import InvalidOption


def message_filter(protocol: Any, keys: frozenset[Hashable], where: Predicate | None) -> Predicate | None:
    """What a reader asks of each message; raises `InvalidOption`."""
    if where is not None and not callable(where):  # pyright: ignore[reportUnnecessaryComparison]
        raise InvalidOption(f"where must be a function of the message, not {type(where).__name__}")
    if not keys:
        return where
    check_subscription_support(protocol)
    _require_method(protocol, "key_of")
    key_of: Callable[[Any], Hashable] = protocol.key_of
    return lambda message: key_of(message) in keys and (where is None or where(message))


def check_subscription_support(protocol: object) -> None:
    """Raise `InvalidOption` unless the protocol has frames that subscribe: a reader of keys would wait for ever."""
    for method in SUBSCRIPTION_METHODS:
        _require_method(protocol, method)


def _require_method(protocol: object, method: str) -> None:
    if not callable(getattr(protocol, method, None)):
        raise InvalidOption(f"keys= needs a protocol that describes its subscriptions: it has no {method}()")
