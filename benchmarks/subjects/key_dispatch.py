"""Dispatch of messages to streams of 1 000 keys, without a socket: each message belongs to one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from onesocket import Client, Raw, Subscriptions
from onesocket.wire._handshake import Data

from .base import Subject

_KEYS: Final = tuple(f"key {number:03}" for number in range(1000))


def _key_of(message: Any) -> Any:
    return message[:7]


class StreamsOfKeys(Subject):
    """A stream of each key, by ``subscribe(keys=…)``."""

    distribution = "onesocket"
    blocking = True

    @classmethod
    def check(cls) -> None:
        """Do nothing: the library is always installed."""

    async def open(self) -> None:
        """Open the streams."""
        self._dispatch = self.make_dispatch()
        self._received = 0

    async def close(self) -> None:
        """Do nothing."""

    async def receive(self, count: int, size: int) -> None:
        """Dispatch so many messages, in batches with one of each key. Raises RuntimeError when one is missing."""
        batch: list[Any] = [key.ljust(size, ".") for key in _KEYS]
        publish = self._dispatch.publish
        for _ in range(count // len(batch)):
            publish(batch)
        publish(batch[: count % len(batch)])
        before, self._received = self._received, sum(self._dispatch.counts())
        if self._received - before != count:
            raise RuntimeError(f"{count} messages were dispatched, and {self._received - before} received")

    def make_dispatch(self) -> Dispatch:
        """Return what is measured."""
        subscriptions = Subscriptions(subscribe=tuple, unsubscribe=tuple, key=_key_of)
        client: Client[Data] = Client("ws://nowhere.invalid/", protocol=Raw(subscriptions=subscriptions))
        streams = [client.subscribe(keys=[key], limit=1_000_000) for key in _KEYS]
        return Dispatch(client.internals.fan_out.publish_many, lambda: list(map(len, streams)))


class Dispatch:
    """The function that takes a batch, and the one that counts what each key has received."""

    def __init__(self, publish: Callable[[list[Any]], object], counts: Callable[[], list[int]]) -> None:
        self.publish = publish
        self.counts = counts


class LookUpAndCall(StreamsOfKeys):
    """A dict look-up and a call for each message, of a function that keeps it."""

    def make_dispatch(self) -> Dispatch:
        """Return a loop over the messages."""
        kept: dict[str, list[Any]] = {key: [] for key in _KEYS}
        readers: dict[str, Callable[[Any], None]] = {key: _keeper(messages) for key, messages in kept.items()}

        def publish(batch: list[Any]) -> None:
            for message in batch:
                readers[_key_of(message)](message)

        return Dispatch(publish, lambda: list(map(len, kept.values())))


def _keeper(messages: list[Any]) -> Callable[[Any], None]:
    def keep(message: Any) -> None:
        messages.append(message)

    return keep
