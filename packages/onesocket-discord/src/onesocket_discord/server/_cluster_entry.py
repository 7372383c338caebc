"""Entries of the stream that the servers of a cluster share: each server reads all of them, in the same order."""

from __future__ import annotations

from array import array
from typing import Any, Final

import msgspec

from ._ports import Event


class EntryOfEvent(msgspec.Struct, tag="event", array_like=True, frozen=True):
    """An event for the sessions of its recipients, on whichever server they are."""

    name: str
    data: dict[str, Any]
    recipients: bytes
    """Their ids, eight bytes each."""
    intents: int
    content_of: int | None

    @classmethod
    def of(cls, event: Event) -> EntryOfEvent:
        """The entry of an event."""
        recipients = array("q", event.recipients).tobytes()
        return cls(event.name, event.data, recipients, int(event.intents), event.content_of)

    @property
    def event(self) -> Event:
        """The event again."""
        ids = array("q")
        ids.frombytes(self.recipients)
        return Event(self.name, self.data, frozenset(ids), self.intents, self.content_of)


class EntryOfSignOut(msgspec.Struct, tag="sign-out", array_like=True, frozen=True):
    """Tokens of a user are void: one with this digest, or all."""

    user_id: int
    login: bytes | None


class EntryOfAccount(msgspec.Struct, tag="account", array_like=True, frozen=True):
    """An account has changed: what is remembered of it is outdated."""

    user_id: int
    invalidates: bool = False
    """True if its sessions end with 4003."""


class EntryOfPresence(msgspec.Struct, tag="presence", array_like=True, frozen=True):
    """The presence of a user by the sessions on one server; None: there is none any more."""

    node: str
    user_id: int
    presence: dict[str, Any] | None


class EntryOfLostNode(msgspec.Struct, tag="lost-node", array_like=True, frozen=True):
    """A server has ended; `found_by` tells its users' friends."""

    node: str
    found_by: str


class EntryOfMove(msgspec.Struct, tag="move", array_like=True, frozen=True):
    """A session was resumed on another server."""

    session_id: str
    node: str


ClusterEntry = EntryOfEvent | EntryOfSignOut | EntryOfAccount | EntryOfPresence | EntryOfLostNode | EntryOfMove

encode_entry: Final = msgspec.msgpack.Encoder().encode
_decoder: Final[msgspec.msgpack.Decoder[ClusterEntry]] = msgspec.msgpack.Decoder(ClusterEntry)


def decode_entry(body: bytes) -> ClusterEntry | None:
    """The entry in these bytes; None if they are none, or one of a kind that only a later release knows."""
    try:
        return _decoder.decode(body)
    except msgspec.DecodeError:
        return None
