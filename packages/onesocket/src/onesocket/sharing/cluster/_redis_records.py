"""Names of the keys in Redis, and records as its replies hold them."""

from __future__ import annotations

from typing import Any, Final

from ...errors import EngineUnusable
from ._cluster_view import AnnouncedMember
from ._coordinator import ClusterKey, Lag, Position, Record, RecordKind, Submission

KINDS: Final = {
    "lease": "string",
    "state": "hash",
    "feed": "stream",
    "mailbox": "stream",
    "members": "hash",
    "answers": "stream",
    "present": "hash",
    "index": "hash",
}
"""Redis's type of each key."""
WRONG_TYPE: Final = "WRONGTYPE"
"""Begins the server's words for a key of another type."""


class RedisKeys:
    """The keys of one cluster and member: ``PREFIX:{DIGEST}:NAME``; the braces keep them in one slot."""

    __slots__ = ("_base", "answers", "feed", "index", "lease", "mailbox", "members", "present", "probe", "state")

    def __init__(self, key: ClusterKey, member: str) -> None:
        self._base = f"{key.prefix}:{{{key.digest}}}:"
        self.lease = self._base + "lease"
        self.state = self._base + "state"
        self.feed = self._base + "feed"
        self.mailbox = self._base + "mailbox"
        self.members = self._base + "members"
        self.present = self._base + "present"
        """Notes of the members, for observers."""
        self.index = index_of(key.prefix)
        self.probe = self._base + "probe"
        self.answers = self.answers_to(member)

    def __repr__(self) -> str:
        return f"<RedisKeys {self._base}>"

    def answers_to(self, member: str) -> str:
        """The key of the answers to a member."""
        return f"{self._base}answers:{member}"

    def kinds(self) -> dict[str, str]:
        """Redis's type of each key."""
        return {getattr(self, name): kind for name, kind in KINDS.items()}


def index_of(prefix: str) -> str:
    """The key that names the clusters of a prefix, by digest."""
    return f"{prefix}:index"


def slot_of(prefix: str, name: str) -> str:
    """The key of the login slots with this name."""
    return f"{prefix}:slots:{name}"


def parse_note(member: bytes, value: bytes, now: int) -> AnnouncedMember | None:
    """A member of its field, at a time of the engine's clock in milliseconds; None: its time is up.

    Raises `ValueError` for a field that no release writes.
    """
    until, records, behind, note = value.split(b" ", 3)
    left = int(until) - now
    return AnnouncedMember(member.decode(), note, parse_lag(records, behind), left / 1000) if left > 0 else None


def parse_lag(records: bytes, behind: bytes) -> Lag | None:
    """The lag of its two numbers, of which the second is milliseconds; ``-``: that is not known."""
    if records == behind == b"-":
        return None
    return Lag(None if records == b"-" else int(records), None if behind == b"-" else int(behind) / 1000)


def stream_id(position: Position) -> str:
    """The id of a record in a stream."""
    return f"{position.epoch}-{position.number}"


def parse_id(text: bytes) -> Position:
    """The position of a record, of its id."""
    epoch, _, number = text.partition(b"-")
    return Position(int(epoch), int(number))


def parse_streams(reply: Any) -> dict[str, list[tuple[Position, dict[bytes, bytes]]]]:
    """The entries of a reply to XREAD, by key."""
    streams: dict[str, list[tuple[Position, dict[bytes, bytes]]]] = {}
    for key, entries in reply or ():
        found = streams[key.decode()] = []
        for identifier, fields in entries:
            if fields is None:
                continue  # an entry that was deleted meanwhile
            found.append((parse_id(identifier), dict(zip(fields[::2], fields[1::2], strict=True))))
    return streams


def record_of(position: Position, fields: dict[bytes, bytes]) -> Record:
    """A record of the feed, or an answer; raises `EngineUnusable` for an entry that no release writes."""
    for name, kind in ((b"batch", RecordKind.BATCH), (b"answer", RecordKind.ANSWER)):
        if (payload := fields.get(name)) is not None:
            return Record(kind, position, payload)
    if (member := fields.get(b"began")) is not None:
        previous = parse_id(fields[b"previous"])
        return Record(RecordKind.BEGAN, position, member=member.decode(), previous=previous)
    if b"ended" in fields:
        return Record(RecordKind.ENDED, position)
    raise EngineUnusable(f"the feed has an entry at {stream_id(position)} that onesocket did not write")


def submission_of(position: Position, fields: dict[bytes, bytes]) -> Submission:
    """An entry of the mailbox; raises `EngineUnusable` for one that no release writes."""
    try:
        return Submission(position, fields[b"member"].decode(), int(fields[b"number"]), fields[b"mail"])
    except (KeyError, ValueError):
        text = f"the mailbox has an entry at {stream_id(position)} that onesocket did not write"
        raise EngineUnusable(text) from None
