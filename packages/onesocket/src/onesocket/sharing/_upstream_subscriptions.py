"""The subscriptions of one connection, kept equal to the keys that are wanted."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import Any, cast

from ..client._sender import Sender
from ..errors import EncodeError, InvalidOption
from ..protocols._protocol import Protocol, implements
from ..wire._handshake import Data


class UpstreamSubscriptions:
    """A `FrameSource`: frames are made when the connection has room for them, from what is wanted by then.

    They belong to the connection they were made for. A new one begins with nothing, and gets all that is wanted.
    """

    def __init__(self, protocol: Protocol, sender: Sender, wanted: Callable[[], frozenset[Hashable]]) -> None:
        self._protocol = protocol
        self._sender = sender
        self._wanted = wanted
        self._subscribed: frozenset[Hashable] = frozenset()
        """The keys that the connection has once `_unsent` is sent."""
        self._subscribed_before: frozenset[Hashable] = frozenset()
        """The keys that it had before the frames in `_unsent`."""
        self._unsent: deque[Data] = deque()
        self._is_begun = False
        """True once one of the frames made together is sent: the others follow."""
        sender.set_source(self)

    def __repr__(self) -> str:
        return f"<UpstreamSubscriptions keys={len(self._subscribed)} unsent={len(self._unsent)}>"

    def changed(self) -> None:
        """Send frames for the keys that are wanted by now."""
        self._sender.ask_source()

    def begin(self) -> None:
        """Forget all subscriptions: a new connection has none."""
        self._subscribed = frozenset()
        self._unsent.clear()

    def peek(self) -> Data | None:
        """The next frame; None when the connection has what is wanted."""
        if not self._unsent or not self._is_begun:
            self._make(self._wanted())
        return self._unsent[0] if self._unsent else None

    def taken(self) -> None:
        """Note that the frame is sent."""
        self._unsent.popleft()
        self._is_begun = True

    def _make(self, wanted: frozenset[Hashable]) -> None:
        if wanted == self._subscribed:
            return
        if self._unsent:  # keys that came and went while it waited cost nothing
            self._subscribed = self._subscribed_before
            self._unsent.clear()
        self._unsent.extend(self._frames(wanted - self._subscribed, self._subscribed - wanted))
        self._subscribed_before, self._subscribed = self._subscribed, wanted
        self._is_begun = False

    def _frames(self, added: frozenset[Hashable], gone: frozenset[Hashable]) -> list[Data]:
        # What is left first: the peer may have a limit.
        return [
            *self._made(self._protocol.unsubscribe_frames, gone),
            *self._made(self._protocol.subscribe_frames, added),
        ]

    def _made(self, make: Callable[[frozenset[Hashable]], Iterable[Data]], keys: frozenset[Hashable]) -> list[Data]:
        if not keys:
            return []
        try:
            return [_checked_frame(frame) for frame in make(keys)]
        except Exception as error:  # noqa: BLE001 - the protocol's, or a key that it can't express
            if len(keys) > 1:  # the others shall not be lost with it
                return [frame for key in keys for frame in self._made(make, frozenset((key,)))]
            asyncio.get_running_loop().call_exception_handler(
                {"message": "onesocket: the protocol can't express a key", "exception": error}
            )
            return []


def _checked_frame(frame: object) -> Data:
    if not isinstance(frame, str | bytes):
        raise EncodeError(f"a frame is str or bytes, not {type(frame).__name__}")
    return frame


def supports_merging(protocol: Protocol) -> bool:
    """True if the protocol has frames that subscribe and unsubscribe, so that subscriptions can be counted."""
    return implements(protocol, Protocol.subscribe_frames, Protocol.unsubscribe_frames)


def check_keys(keys: object) -> frozenset[Hashable]:
    """The keys of ``subscribe(keys=…)``; one str or bytes is one key. Raises `InvalidOption`."""
    if isinstance(keys, str | bytes):
        return frozenset((keys,))
    try:
        return frozenset(cast("Iterable[Hashable]", keys))
    except TypeError:
        raise InvalidOption(f"keys must be several hashable keys, such as ['a', 'b'], not {keys!r}") from None


def filter_keys(
    protocol: Protocol, keys: frozenset[Hashable], where: Callable[[Any], bool] | None
) -> Callable[[Any], bool]:
    """A predicate for the messages of these keys for which `where` is true; raises `InvalidOption`."""
    check_subscription_support(protocol, reads=True)
    key_of = protocol.key_of
    return lambda message: key_of(message) in keys and (where is None or bool(where(message)))


def check_subscription_support(protocol: Protocol, *, reads: bool = False) -> None:
    """Raise `InvalidOption` unless `keys=` can work: a reader of keys would wait for ever. `reads`: `key_of` counts."""
    methods = (Protocol.subscribe_frames, Protocol.unsubscribe_frames, *((Protocol.key_of,) if reads else ()))
    for method in methods:
        if not implements(protocol, method):
            raise InvalidOption(
                f"keys= needs a protocol that describes its subscriptions: it has no {method.__name__}()"
            )
