"""Keepers of the messages with which late readers begin, where the connection lives."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, Final, Protocol, cast

from ..errors import InvalidOption, UsageError
from ..protocols._protocol import Protocol as WireProtocol
from ..protocols._protocol import as_is, implements
from ..protocols._snapshot import LastValues, SnapshotHook
from ..protocols._subscriptions import subscriptions_of
from ._gap import Gap, GapReason
from ._user_code import USER_ERRORS

_UNREADABLE: Final = object()
"""The key of the newest message that could not be read: its place is known, not its key."""
Report = Callable[[BaseException, str], object]
"""Reports an error of a function of the program, with the function's name."""


class SnapshotKeeper(Protocol):
    """Keeps what late readers begin with. Functions of the program that raise are reported, and stop nothing."""

    def put(self, message: Any, item: Any) -> None:
        """Take note of a message; `item` is what readers get for it: the message itself, or its frame."""

    def lose(self, gap: Gap) -> None:
        """Take note of a gap marker."""

    def put_unreadable(self, item: Any) -> None:
        """Take note of a frame that readers can't read."""

    def forget(self, keys: Iterable[Hashable]) -> None:
        """Forget keys whose subscription has ended; messages of them that still come are out of date soon."""

    def expect(self, keys: Iterable[Hashable]) -> None:
        """Take note of keys whose subscription begins."""

    def items(self, encode: Callable[[Any], Any] = as_is) -> list[Any]:
        """Return the items in the order of their messages. `encode`: makes the item of a message of the program."""
        ...


class LastValueKeeper:
    """Keeps the newest item of each key."""

    __slots__ = ("_ended", "_has_subscribed_keys", "_items", "_key_of", "_limit", "_report")

    def __init__(self, declared: LastValues, protocol: WireProtocol[Any], report: Report) -> None:
        self._key_of = key_function(declared, protocol)
        self._has_subscribed_keys = declared.key is None
        """True if its keys are those of subscriptions."""
        self._limit = declared.limit
        self._report = report
        self._items: OrderedDict[Any, Any] = OrderedDict()
        self._ended: dict[Hashable, None] = {}
        """Keys whose subscription has ended on the present connection, the last ones."""

    def __repr__(self) -> str:
        return f"<LastValueKeeper keys={len(self._items)}>"

    def put(self, message: Any, item: Any) -> None:
        """Keep the item instead of an older one of its key."""
        try:
            key = self._key_of(message)
            if key is None or (self._ended and key in self._ended):
                return
            self._items[key] = item
        except USER_ERRORS as error:
            self._report(error, "key= of LastValues")
            return
        self._items.move_to_end(key)
        if len(self._items) > self._limit:
            self._items.popitem(last=False)

    def lose(self, gap: Gap) -> None:
        """Forget all of a lost connection; keep the place of a message that can't be read."""
        if gap.reason is GapReason.RECONNECTED and gap.keys is not None and self._has_subscribed_keys:
            self._drop(gap.keys)
        elif gap.reason is GapReason.RECONNECTED:
            self._items.clear()
            self._ended.clear()
        elif gap.reason is GapReason.UNDECODABLE:
            self.put_unreadable(gap)

    def put_unreadable(self, item: Any) -> None:
        """Keep an item that readers can't read: some value before it may be out of date."""
        self._items[_UNREADABLE] = item
        self._items.move_to_end(_UNREADABLE)

    def forget(self, keys: Iterable[Hashable]) -> None:
        """Forget the newest items of these keys, and keep none until `expect`."""
        keys = list(keys)
        self._drop(keys)
        if self._has_subscribed_keys:
            self._ended.update(dict.fromkeys(keys))
            while len(self._ended) > self._limit:
                del self._ended[next(iter(self._ended))]

    def expect(self, keys: Iterable[Hashable]) -> None:
        """Keep items of these keys again."""
        if self._ended:
            for key in keys:
                self._ended.pop(key, None)

    def _drop(self, keys: Iterable[Hashable]) -> None:
        for key in keys:
            self._items.pop(key, None)

    def items(self, encode: Callable[[Any], Any] = as_is) -> list[Any]:
        """Return the newest item of each key."""
        del encode
        return list(self._items.values())


class HookKeeper:
    """Asks functions of the program."""

    __slots__ = ("_hook", "_report")

    def __init__(self, declared: SnapshotHook, report: Report) -> None:
        self._hook = declared
        self._report = report

    def put(self, message: Any, item: Any) -> None:
        """Call `update`."""
        del item
        if self._hook.update is not None:
            try:
                self._hook.update(message)
            except USER_ERRORS as error:
                self._report(error, "update= of SnapshotHook")

    def lose(self, gap: Gap) -> None:
        """Call `reset` after a lost connection."""
        if gap.reason is GapReason.RECONNECTED and self._hook.reset is not None:
            try:
                self._hook.reset()
            except USER_ERRORS as error:
                self._report(error, "reset= of SnapshotHook")

    def put_unreadable(self, item: Any) -> None:
        """Do nothing: the functions get messages that can be read."""

    def forget(self, keys: Iterable[Hashable]) -> None:
        """Do nothing: keys are the program's business."""

    def expect(self, keys: Iterable[Hashable]) -> None:
        """Do nothing, as `forget`."""

    def items(self, encode: Callable[[Any], Any] = as_is) -> list[Any]:
        """Call `messages`; without it, as it raised, a reader begins with the next message."""
        try:
            messages: Any = self._hook.messages()
            if isinstance(messages, str | bytes | Mapping):  # it would be taken apart
                kind = type(cast("object", messages)).__name__
                raise UsageError(f"messages= of SnapshotHook must return a list of messages, not one {kind}")
            return [encode(message) for message in messages]
        except USER_ERRORS as error:
            self._report(error, "messages= of SnapshotHook")
            return []


def make_snapshot_keeper(protocol: WireProtocol[Any], report: Report) -> SnapshotKeeper:
    """Make the keeper that `protocol.snapshot` declares. Raises `InvalidOption` if it can't work with the protocol."""
    declared = protocol.snapshot
    if isinstance(declared, LastValues):
        return LastValueKeeper(declared, protocol, report)
    if isinstance(declared, SnapshotHook):
        return HookKeeper(declared, report)
    raise InvalidOption(f"snapshot must be LastValues(...), SnapshotHook(...) or None, not {declared!r}")


def key_function(declared: LastValues, protocol: WireProtocol[Any]) -> Callable[[Any], Hashable]:
    """Return the function that finds the key of a message. Raises `InvalidOption` if there is none."""
    name = declared.key
    if name is None:
        declared_subscriptions = subscriptions_of(protocol)
        if declared_subscriptions is not None and declared_subscriptions.key is not None:
            return declared_subscriptions.key
        if implements(protocol, WireProtocol.key_of):
            return protocol.key_of
        raise InvalidOption(
            f"LastValues() needs a key=: the protocol {protocol.name} has neither Subscriptions(key=…) nor key_of()"
        )
    if callable(name):
        return name

    def field(message: Any) -> Hashable:
        # A mapping has the key under its name, a msgspec Struct as its attribute.
        get: Any = getattr(message, "get", None)
        value: Hashable = get(name) if callable(get) else getattr(message, name, None)
        return value

    return field
