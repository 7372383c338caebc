"""A service behind a hub: its login and its subscriptions are the hub's, its messages go to the clients as frames."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Final

import msgspec

from ..client._snapshot_keeper import key_function
from ..errors import DecodeError, InvalidOption
from ..protocols._json import Json
from ..protocols._protocol import Protocol, as_is
from ..protocols._requests import Requests
from ..protocols._snapshot import LastValues, Snapshot, SnapshotHook
from ..protocols._subscriptions import SubscriptionAnswer, Subscriptions, frames_of, subscriptions_of
from ..sharing.host._forwarding_protocol import ForwardingProtocol, unpacker
from ..wire._handshake import Data
from ._json_requests import JsonRequests
from ._loading import load_object
from ._merge import Interest, as_list

_encode = msgspec.json.encode
_decode_request: Final = msgspec.json.Decoder(dict[str, Any]).decode
_VERBS: Final = ("subscribe", "unsubscribe")


class ServiceFrames(ForwardingProtocol):
    """A protocol whose messages are the frames of another one, with its login, subscriptions, snapshot and paces."""

    name: ClassVar[str] = "service"

    def __init__(self, inner: Protocol[Any]) -> None:
        super().__init__(inner)
        self.decode = unpacker(inner)
        """Makes a message of a frame."""
        self.fingerprint = inner.fingerprint
        self.requests = _json_requests(inner)
        declared = subscriptions_of(inner)
        if declared is not None and declared.requests and self.requests is None:
            raise InvalidOption("a hub can't put ids into subscriptions that are no JSON objects")
        self.subscriptions = None if declared is None else self._subscriptions_of_frames(declared)
        self.snapshot = None if inner.snapshot is None else self._snapshot_of_frames(inner.snapshot)

    def successor(self) -> ServiceFrames:
        """As the real one."""
        return ServiceFrames(self._inner.successor())

    def frame_decoder(self) -> Callable[[Data], Any] | None:
        """Return a function that returns each frame itself."""
        return as_is

    def key_of_frame(self, data: Data) -> Hashable:
        """The key of a frame; None if it has none, or can't be decoded."""
        declared = self.subscriptions
        try:
            return None if declared is None or declared.key is None else declared.key(data)
        except DecodeError:
            return None

    def is_answer(self, frame: Data) -> bool:
        """Check whether a frame answers a message that subscribes."""
        declared = self.subscriptions
        try:
            return declared is not None and declared.ack is not None and declared.ack(frame) is not None
        except DecodeError:
            return False

    def _subscriptions_of_frames(self, declared: Subscriptions) -> Subscriptions:
        inner, decode, key, ack = self._inner, self.decode, declared.key, declared.ack

        def subscribe(keys: list[Any]) -> Iterator[Data]:
            return iter(frames_of(inner, declared.subscribe(keys)))

        def unsubscribe(keys: list[Any]) -> Iterator[Data]:
            return iter(() if declared.unsubscribe is None else frames_of(inner, declared.unsubscribe(keys)))

        def key_of(frame: Data) -> Hashable:
            return None if key is None else key(decode(frame))

        def answer(frame: Data) -> SubscriptionAnswer | Iterable[SubscriptionAnswer] | None:
            return None if ack is None else ack(decode(frame))

        return replace(
            declared,
            subscribe=subscribe,
            unsubscribe=None if declared.unsubscribe is None else unsubscribe,
            key=None if key is None else key_of,
            ack=None if ack is None else answer,
        )

    def _snapshot_of_frames(self, snapshot: Snapshot) -> Snapshot:
        decode = self.decode
        if isinstance(snapshot, SnapshotHook):
            messages, update, encode = snapshot.messages, snapshot.update, self._inner.encode
            return replace(
                snapshot,
                messages=lambda: [encode(message) for message in messages()],
                update=None if update is None else partial(_of_frame, update, decode),
            )
        if snapshot.key is None:
            return snapshot  # that of the subscriptions, which are those of frames
        key = key_function(snapshot, self._inner)
        return LastValues(key=partial(_of_frame, key, decode), limit=snapshot.limit)


class ServiceInterests:
    """The local language of a service's hub: ``{"op": "subscribe", "args": [keys]}``, whatever the service's own is.

    A client is told of refused keys by ``{"op": "refused", "args": [keys], "reason": "…"}``.
    """

    def __init__(self, frames: ServiceFrames, key: Callable[[str], Hashable] | None = None) -> None:
        """`key`: returns the key that a text means; it may raise `InvalidOption`."""
        self._key = key
        self.key_of = frames.key_of_frame
        self.wildcard = None if frames.subscriptions is None else frames.subscriptions.wildcard
        self.is_answer = frames.is_answer

    def __repr__(self) -> str:
        return "<ServiceInterests op=subscribe|unsubscribe args>"

    def read(self, data: Data) -> Interest | None:
        """Parse a client's message; None: it goes upstream unchanged. Raises `InvalidOption` for what is no key."""
        try:
            message = _decode_request(data)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return None
        verb, words = message.get("op"), message.get("args")
        if verb not in _VERBS or not isinstance(words, list):
            return None
        keys = [self._key_of_word(word) for word in as_list(words)]
        return Interest(add=keys) if verb == _VERBS[0] else Interest(remove=keys)

    def refused(self, keys: frozenset[Any], reason: str) -> Iterable[Data]:
        """Return the message that tells a client of refused keys."""
        return (_encode({"op": "refused", "args": sorted(keys, key=str), "reason": reason}, enc_hook=str).decode(),)

    def _key_of_word(self, word: Any) -> Any:
        if isinstance(word, str):
            return word if self._key is None else self._key(word)
        if isinstance(word, dict):
            raise InvalidOption("a key is a text, a number, or a list of these, not an object")
        return _frozen(word)


def load_protocol(name: str) -> Protocol[Any]:
    """Load the protocol ``module:object``: an instance, or a function (or class) without arguments that returns one.

    Modules in the working directory are found, too. Raises `InvalidOption`.
    """
    found: Any = load_object("--protocol", name, "feeds:protocol", _protocol_of)
    if not _is_protocol(found):
        raise InvalidOption(f"--protocol {name} is no Protocol, such as Json(...), and makes none")
    protocol: Protocol[Any] = found
    return protocol


def _protocol_of(found: Any) -> Any:
    return found if _is_protocol(found) else found()


def _is_protocol(found: Any) -> bool:
    return isinstance(found, Protocol)


def _of_frame(function: Callable[[Any], Any], decode: Callable[[Data], Any], frame: Data) -> Any:
    return function(decode(frame))


def _json_requests(inner: Protocol[Any]) -> Requests | None:
    """The requests of a service, with ids that are read from and put into frames of JSON."""
    requests = inner.requests
    if requests is None or requests.with_id is not None or not isinstance(inner, Json):
        return None
    stop, refused, decode = requests.stop, requests.refused, unpacker(inner)

    def stop_frame(frame: Data) -> Data | None:
        message = None if stop is None else stop(msgspec.json.decode(frame))
        return None if message is None else inner.encode(message)

    def refused_frame(frame: Data) -> Any:
        try:
            return None if refused is None else refused(decode(frame))
        except DecodeError:
            return None

    return JsonRequests(
        id=requests.id,
        make_id=requests.make_id,
        refused=None if refused is None else refused_frame,
        stop=None if stop is None else stop_frame,
    )


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, as_list(value))) if isinstance(value, list) else value
