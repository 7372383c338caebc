"""The option `keys` of ``subscribe()``, checked against the protocol."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, cast

from ..errors import InvalidOption
from ..protocols._protocol import Protocol
from ..protocols._subscriptions import Subscriptions, subscriptions_of
from ._key_table import KeySelection


def select_keys(protocol: Protocol, keys: object) -> KeySelection | None:
    """The selection for the keys of ``subscribe(keys=…)``; None: there are none. Raises `InvalidOption`."""
    wanted = check_keys(keys)
    if not wanted:
        return None
    return KeySelection(wanted, check_key_support(protocol), check_subscription_support(protocol).wildcard)


def check_keys(keys: object) -> tuple[Hashable, ...]:
    """The keys of ``subscribe(keys=…)``, each once; one str or bytes is one key. Raises `InvalidOption`."""
    if isinstance(keys, str | bytes):
        return (keys,)
    try:
        return tuple(dict.fromkeys(cast("Iterable[Hashable]", keys)))
    except TypeError:
        raise InvalidOption(f"keys must be several hashable keys, such as ['a', 'b'], not {keys!r}") from None


def check_subscription_support(protocol: Protocol) -> Subscriptions:
    """The subscriptions of a protocol; raises `InvalidOption` if it describes none."""
    declared = subscriptions_of(protocol)
    if declared is None:
        raise InvalidOption(
            "keys= needs a protocol that describes its subscriptions: it has neither subscriptions=Subscriptions(…) "
            "nor subscribe_frames() and unsubscribe_frames()"
        )
    return declared


def check_key_support(protocol: Protocol) -> Callable[[Any], Hashable]:
    """The function that finds the key of a message; raises `InvalidOption`: a reader of keys would wait for ever."""
    key_of = check_subscription_support(protocol).key
    if key_of is None:
        raise InvalidOption(
            "keys= needs a protocol that knows the key of a message: give its Subscriptions(…) a key=, or define "
            "key_of()"
        )
    return key_of
