"""Names of the streams and subjects in NATS, and records as messages hold them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from ...errors import EngineUnusable
from ._cluster_view import AnnouncedMember
from ._coordinator import ClusterKey, Lag, Position, Record, RecordKind, Submission

KIND: Final = "Onesocket-Kind"
POSITION: Final = "Onesocket-Position"
PREVIOUS: Final = "Onesocket-Previous"
MEMBER: Final = "Onesocket-Member"
NUMBER: Final = "Onesocket-Number"
LAG: Final = "Onesocket-Lag"
LASTS: Final = "Onesocket-Lasts"
"""Seconds for which a note stands."""
TTL: Final = "Nats-TTL"
"""For the server, which counts whole seconds."""
EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"
ROLLUP: Final = {"Nats-Rollup": "sub"}
"""Replaces the messages on the subject."""


class NatsNames:
    """The streams and subjects of one cluster and member: ``PREFIX.DIGEST.NAME``."""

    __slots__ = (
        *("_base", "answers", "every_answer", "every_mailbox", "every_member", "feed", "lease"),
        *("mail_stream", "present", "stream"),
    )

    def __init__(self, key: ClusterKey, member: str) -> None:
        self._base = f"{key.prefix}.{key.digest}."
        self.stream = f"{key.prefix}-{key.digest}"
        """Holds lease, feed and answers, so that a write to them can depend on the lease."""
        self.mail_stream = f"{self.stream}-mailbox"
        """Holds the mailbox, which refuses what the feed would drop."""
        self.lease = self._base + "lease"
        self.feed = self._base + "feed"
        self.every_answer = self._base + "answers.*"
        self.every_mailbox = self._base + "mailbox.*"
        self.every_member = self._base + "members.*"
        self.present = f"{self._base}members.{member}"
        """The note of this member, for observers."""
        self.answers = self.answers_to(member)

    def __repr__(self) -> str:
        return f"<NatsNames {self.stream}>"

    def answers_to(self, member: str) -> str:
        """The subject of the answers to a member."""
        return f"{self._base}answers.{member}"

    def mailbox(self, epoch: int) -> str:
        """The subject of what is submitted to the leader of an epoch."""
        return f"{self._base}mailbox.{epoch}"


class StreamMessage(NamedTuple):
    """A message of a stream."""

    subject: str
    sequence: int
    headers: Mapping[str, str]
    data: bytes
    time: datetime | None = None
    """When it was stored, by the server's clock; None: not asked for."""


class LeaseMark(NamedTuple):
    """The message on the lease's subject: while it is there, the lease is held, or was released."""

    epoch: int
    member: str
    """Empty: it was released."""
    ttl: float
    sequence: int
    time: datetime


def encode_mark(epoch: int, member: str, ttl: float) -> bytes:
    """The body of a lease message."""
    return json.dumps({"epoch": epoch, "member": member, "ttl": ttl}).encode()


def parse_mark(stored: StreamMessage) -> LeaseMark:
    """A lease message; raises `EngineUnusable` for one that no release writes."""
    try:
        body: dict[str, Any] = json.loads(stored.data)
        assert stored.time is not None  # noqa: S101 - the caller has asked for it
        return LeaseMark(int(body["epoch"]), str(body["member"]), float(body["ttl"]), stored.sequence, stored.time)
    except (KeyError, TypeError, ValueError):
        raise _foreign(stored) from None


def position_header(position: Position) -> str:
    """A position as text."""
    return f"{position.epoch}-{position.number}"


def parse_record(stored: StreamMessage) -> Record:
    """A record of the feed, or an answer; raises `EngineUnusable` for a message that no release writes."""
    headers = stored.headers
    try:
        kind, position = RecordKind(headers[KIND]), _position(headers[POSITION])
        if kind is RecordKind.BEGAN:
            return Record(kind, position, member=headers[MEMBER], previous=_position(headers[PREVIOUS]))
    except (KeyError, ValueError):
        raise _foreign(stored) from None
    return Record(kind, position, stored.data)


def parse_submission(stored: StreamMessage) -> Submission:
    """A message of the mailbox; raises `EngineUnusable` for one that no release writes."""
    try:
        epoch, number = int(stored.subject.rpartition(".")[2]), int(stored.headers[NUMBER])
        return Submission(Position(epoch, stored.sequence), stored.headers[MEMBER], number, stored.data)
    except (KeyError, ValueError):
        raise _foreign(stored) from None


def lag_header(lag: Lag | None) -> dict[str, str]:
    """The header with a lag; none if it is not known."""
    if lag is None:
        return {}
    return {LAG: " ".join("-" if each is None else f"{each:g}" for each in (lag.records, lag.seconds))}


def parse_note(stored: StreamMessage, now: datetime) -> AnnouncedMember | None:
    """A member of its message; None: its time is up, or it has left. Raises `EngineUnusable` for a foreign message."""
    headers = stored.headers
    try:
        assert stored.time is not None  # noqa: S101 - the caller has asked for it
        left = float(headers[LASTS]) - (now - stored.time).total_seconds()
        lag = _parse_lag(headers[LAG]) if LAG in headers else None
    except (KeyError, ValueError):
        raise _foreign(stored) from None
    if left <= 0 or not stored.data:
        return None
    return AnnouncedMember(stored.subject.rpartition(".")[2], stored.data, lag, left)


def _parse_lag(text: str) -> Lag:
    records, seconds = (None if each == "-" else float(each) for each in text.split(" "))
    return Lag(None if records is None else int(records), seconds)


def _position(text: str) -> Position:
    epoch, _, number = text.partition("-")
    return Position(int(epoch), int(number))


def _foreign(stored: StreamMessage) -> EngineUnusable:
    return EngineUnusable(
        f"the message {stored.sequence} on {stored.subject} is none of onesocket's: let only members publish there"
    )
