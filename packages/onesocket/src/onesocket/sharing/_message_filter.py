"""Which of the messages of a connection one reader wants."""

from __future__ import annotations

from collections.abc import Hashable

from ..client._subscription import Predicate
from ..errors import InvalidOption
from ..protocols._protocol import Protocol
from ._upstream_subscriptions import check_subscription_support


def message_filter(protocol: Protocol, keys: frozenset[Hashable], where: Predicate | None) -> Predicate | None:
    """What a reader asks of each message; raises `InvalidOption`."""
    if where is not None and not callable(where):  # pyright: ignore[reportUnnecessaryComparison]
        raise InvalidOption(f"where must be a function of the message, not {type(where).__name__}")
    if not keys:
        return where
    check_subscription_support(protocol, reads=True)
    key_of = protocol.key_of
    return lambda message: key_of(message) in keys and (where is None or where(message))
