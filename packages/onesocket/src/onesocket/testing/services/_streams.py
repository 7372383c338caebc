"""Subscriptions that have ids, which the client chooses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._faulty_connection import FaultyConnection
from ._session import V, VenueSession

ALL = "*"
"""The key of a stream of everything."""


class StreamSession(VenueSession[V]):
    """Base of sessions whose subscriptions are streams with ids of the client: several may have one key."""

    def __init__(self, venue: V, connection: FaultyConnection) -> None:
        super().__init__(venue, connection)
        self.streams: dict[Any, str] = {}
        """The key of each stream, by its id."""

    def open_stream(self, ident: Any, key: str) -> None:
        """Start a stream."""
        self.streams[ident] = key
        self.subscribe(key)

    def close_stream(self, ident: Any) -> str | None:
        """End a stream; returns its key, or None if there is no such stream."""
        key = self.streams.pop(ident, None)
        if key is not None and key not in self.streams.values():
            self.unsubscribe(key)
        return key

    def matching(self, key: str) -> Iterable[Any]:
        """Return the ids of the streams that data of `key` go to."""
        return [ident for ident, each in self.streams.items() if each in {key, ALL}]
