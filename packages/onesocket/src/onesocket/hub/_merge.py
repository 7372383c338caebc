"""Merging the subscriptions of many clients: the port for a protocol, and the usual shape in JSON."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, cast, runtime_checkable

import msgspec

from ..errors import InvalidOption, SubscriptionRefused
from ..protocols._raw import Raw
from ..protocols._subscriptions import Subscriptions
from ..wire._handshake import Data
from ._loading import load_object

log = logging.getLogger("onesocket")

_encode_json = msgspec.json.Encoder(order="deterministic").encode
_decode_json = msgspec.json.decode


@dataclass(frozen=True, slots=True)
class Interest:
    """The subscriptions that one message of a client adds and removes. Keys are strings that the merge chooses."""

    add: Sequence[str] = ()
    remove: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class JsonField:
    """The value at a path of a JSON object, such as ``arg.channel``: a key of messages."""

    path: str

    def __call__(self, data: Data) -> str | None:
        """The value as JSON; None without one."""
        value: Any = _decode_object(data)
        for name in self.path.split("."):
            value = cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else None
        return None if value is None else _encode_json(value).decode()


class InterestReader(Protocol):
    """Parses the subscriptions of local clients, and finds the key of a message.

    It may have `refused`, as a `Merge`; ``is_answer(data)``: True for messages of the service that are the hub's; and
    `wildcard`, as `Subscriptions`.
    """

    def read(self, data: Data) -> Interest | None:
        """Parse a client's message; None: it is no subscription. Raises `InvalidOption` for what is no key."""

    def key_of(self, data: Data) -> Any:
        """The key whose subscribers receive a message from upstream; None: all clients receive it."""


@runtime_checkable
class Merge(Protocol):
    """Parses and builds the subscription messages of a protocol, and finds the key of a message.

    It may have more: `ack`, a method that returns the `SubscriptionAnswer` that a message from upstream is; `batch`,
    `limit` and `pace`, as of `Subscriptions`; and ``refused(keys, reason)``, which returns messages for a client whose
    keys were refused, in place of which it otherwise sees the answer of the service alone.
    """

    def read(self, data: Data) -> Interest | None:
        """Parse a client's message; None: it is no subscription, and is sent upstream unchanged."""

    def subscribe(self, keys: frozenset[str]) -> Iterable[Data]:
        """The messages that subscribe to these keys."""
        ...

    def unsubscribe(self, keys: frozenset[str]) -> Iterable[Data]:
        """The messages that unsubscribe from these keys."""
        ...

    def key_of(self, data: Data) -> str | None:
        """The key whose subscribers receive a message from upstream; None: all clients receive it."""


class JsonMerge:
    """Subscription messages like ``{"op": "subscribe", "args": ["a", "b"]}``.

    - `action`, `subscribe`, `unsubscribe`: the member that says what to do, and its two values.
    - `keys`: the member with the list. Its items may be any JSON; equal items are one key.
    - `key`: the member of a message from upstream that holds its key, a path with dots (``arg.channel``); None: every
      client gets every message.
    """

    def __init__(
        self,
        *,
        action: str = "op",
        subscribe: str = "subscribe",
        unsubscribe: str = "unsubscribe",
        keys: str = "args",
        key: str | None = None,
    ) -> None:
        self._action = action
        self._verbs = subscribe, unsubscribe
        self._keys = keys
        self._field = JsonField(key) if key is not None else None
        self.fingerprint = repr((action, subscribe, unsubscribe, keys, key))

    def __repr__(self) -> str:
        return f"<JsonMerge {self._action}={'|'.join(self._verbs)} {self._keys}>"

    def read(self, data: Data) -> Interest | None:
        """Parse a message of this shape; None for any other."""
        message = _decode_object(data)
        if message is None:
            return None
        verb, items = message.get(self._action), message.get(self._keys)
        if verb not in self._verbs or not isinstance(items, list):
            return None
        keys = [_encode_json(item).decode() for item in as_list(items)]
        return Interest(add=keys) if verb == self._verbs[0] else Interest(remove=keys)

    def subscribe(self, keys: frozenset[str]) -> Iterable[Data]:
        """One message for all keys."""
        return (self._message(self._verbs[0], keys),)

    def unsubscribe(self, keys: frozenset[str]) -> Iterable[Data]:
        """One message for all keys."""
        return (self._message(self._verbs[1], keys),)

    def key_of(self, data: Data) -> str | None:
        """The value at the path `key`, as JSON; None without one."""
        return None if self._field is None else self._field(data)

    def _message(self, verb: str, keys: frozenset[str]) -> str:
        items = [msgspec.Raw(key.encode()) for key in sorted(keys)]
        return msgspec.json.encode({self._action: verb, self._keys: items}).decode()


class MergedRaw(Raw):
    """Raw messages, with the subscriptions of a merge: its methods, and what else it has of `Subscriptions`."""

    name: ClassVar[str] = "raw"

    def __init__(self, merge: Merge, **options: Any) -> None:
        limits: dict[str, Any] = {name: getattr(merge, name, None) for name in ("ack", "batch", "limit", "pace")}
        subscriptions = Subscriptions(
            subscribe=lambda keys: iter(merge.subscribe(frozenset(keys))),
            unsubscribe=lambda keys: iter(merge.unsubscribe(frozenset(keys))),
            **limits,
        )
        super().__init__(subscriptions=subscriptions, **options)


def load_merge(name: str) -> Merge:
    """Load the merge ``module:object``: an instance, or a class whose constructor takes no arguments.

    Modules in the working directory are found, too. Raises `InvalidOption`.
    """
    merge: Any = load_object(
        "--merge", name, "feeds:Trades", lambda found: found() if isinstance(found, type) else found
    )
    if not isinstance(merge, Merge):
        raise InvalidOption(f"--merge {name} needs the methods read, subscribe, unsubscribe and key_of")
    return merge


def key_of(merge: InterestReader, data: Data) -> Any:
    """The merge's key for a message; None, for all clients, if the merge raises."""
    try:
        return merge.key_of(data)
    except Exception:
        log.exception("--merge: key_of() failed on a message of %d bytes, which all clients receive", len(data))
        return None


def refusal_messages(merge: InterestReader | None, error: SubscriptionRefused) -> list[Data]:
    """The merge's messages for a client whose keys were refused; none if it has no `refused`, or that raises."""
    make: Callable[[frozenset[Any], str], Iterable[Data]] | None = getattr(merge, "refused", None)
    try:
        return [] if make is None else list(make(frozenset(error.keys), error.reason))
    except Exception:
        log.exception("--merge: refused() failed; the client is not told of %d keys", len(error.keys))
        return []


def as_list(value: Any) -> list[Any]:
    """`value`, which is a list, for type checkers."""
    return cast("list[Any]", value)


def _decode_object(data: Data) -> dict[str, Any] | None:
    try:
        message: object = _decode_json(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return cast("dict[str, Any]", message) if isinstance(message, dict) else None
