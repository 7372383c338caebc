"""Declarations of the messages with which a reader begins that comes late."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeAlias

from .._record import record
from ..errors import InvalidOption
from ._plain_function import is_plain_function, kind_of


@record
class LastValues:
    """Late readers begin with the newest message of each key.

    The messages are those of the present connection: a loss of it that isn't resumed empties the cache, and so does the
    end of a key's subscription for that key.
    """

    key: str | Callable[[Any], Hashable] | None = None
    """The field that holds a message's key, or a function of the message; messages with the key None aren't kept.

    None: that of the protocol's `subscriptions` (or its `key_of`).
    """
    limit: int = 10_000
    """Number of keys; beyond it, the ones that had no message for the longest time are dropped."""

    def __post_init__(self) -> None:
        """Check the kinds."""
        if self.key is not None and not isinstance(self.key, str) and not is_plain_function(self.key):
            raise InvalidOption(f"key must be the name of a field, a plain function, or None, not {kind_of(self.key)}")
        if type(self.limit) is not int or self.limit < 1:
            raise InvalidOption(f"limit must be a whole number of keys, at least 1, not {self.limit!r}")


@record
class SnapshotHook:
    """Late readers begin with messages that functions of the program make.

    They are called by the process that holds the connection, on its host loop, between messages: with scope "host" each
    process brings its own, as any of them may come to hold the connection.
    """

    messages: Callable[[], Iterable[Any]]
    """Returns the messages that a late reader begins with, made of all that `update` was called with."""
    update: Callable[[Any], object] | None = None
    """Called with each message, before any reader has it."""
    reset: Callable[[], object] | None = None
    """Called when the connection was lost, and was not resumed: messages may be missing."""

    def __post_init__(self) -> None:
        """Check the kinds."""
        for name in ("messages", "update", "reset"):
            function = getattr(self, name)
            if not is_plain_function(function) and (name == "messages" or function is not None):
                raise InvalidOption(f"{name} must be a plain function, not {kind_of(function)}")


Snapshot: TypeAlias = LastValues | SnapshotHook


def check_snapshot(snapshot: object) -> Snapshot | None:
    """A declaration, or None; raises `InvalidOption`."""
    if snapshot is None or isinstance(snapshot, LastValues | SnapshotHook):
        return snapshot
    raise InvalidOption(f"snapshot must be LastValues(...), SnapshotHook(...) or None, not {kind_of(snapshot)}")
