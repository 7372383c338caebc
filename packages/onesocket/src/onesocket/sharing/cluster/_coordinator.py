"""The port between a member of a cluster and the engine that coordinates the members of one key.

The engine holds, for each key:

- the **lease**: which member leads, and in which epoch. Epochs only grow, and none is granted twice, even if the engine
  loses what it has: a real one begins each at its time in microseconds, or just above the last one;
- the **feed**: what the leader publishes for all members. Each record has a `Position` (epoch, number): number 0 says
  that the epoch began, batches are numbered 1, 2, 3 … *by the leader*, and an orderly end has the number after the last
  batch. The numbers are dense, so each reader can tell how many records it missed;
- the **mailbox**: what members submit to the leader of an epoch;
- the **answers**: what the leader answers to one member, numbered 1, 2, 3 … by the leader for each member and epoch;
- the **announcements**: for observers alone, a note of each member, which ends by itself;
- the **login slots**, which all keys of a prefix share: times at which logins may begin that have to keep a distance.

Since the writer numbers its records, each write can be repeated after a lost reply: the engine accepts a record that it
has already, and does nothing. A leader that gives up on a batch leaves its number out: readers see that it is missing.
A payload is bytes, opaque here.
"""

from __future__ import annotations

import enum
import re
import secrets
import socket
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from ..._record import record
from ...errors import InvalidOption

if TYPE_CHECKING:
    from ._cluster_view import ClusterObserver

FORMAT: Final = 1
"""Version of the keys and records in an engine: members of two formats refuse each other (`VersionMismatch`)."""
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_-]+")
_HOST_LENGTH: Final = 40


class Position(NamedTuple):
    """Place of a record: ordered by epoch, then by number. `START` is before all."""

    epoch: int
    number: int


START: Final = Position(0, 0)


@record
class ClusterKey:
    """Names what the members of one connection have in common in the engine. It holds no URL and no token."""

    prefix: str
    """Of the names of all keys, for access rules: 1 to 64 letters, digits, `-` and `_`."""
    digest: str
    """64 hexadecimal digits: `ConnectionKey.digest()`."""

    @classmethod
    def of(cls, digest: str, *, prefix: str = "onesocket") -> ClusterKey:
        """The key for a digest; raises `InvalidOption`."""
        if not _NAME.fullmatch(prefix):
            raise InvalidOption(f"the prefix of a cluster must be 1 to 64 letters, digits, - and _, not {prefix!r}")
        if not _DIGEST.fullmatch(digest):
            raise InvalidOption("the digest of a cluster's key must be 64 hexadecimal digits")
        return cls(prefix, digest)


def new_member_name(host: str | None = None) -> str:
    """A name for one life of a member: readable, and never used again. `host`: None is this machine's name."""
    name = _NOT_IN_NAMES.sub("-", socket.gethostname() if host is None else host).strip("-")[:_HOST_LENGTH] or "host"
    return f"{name}-{secrets.token_hex(8)}"


def check_member_name(member: str) -> str:
    """Return the name: 1 to 64 letters, digits, `-` and `_` (as in NATS subjects), or `InvalidOption` is raised."""
    if not _NAME.fullmatch(member):
        raise InvalidOption(f"the name of a member must be 1 to 64 letters, digits, - and _, not {member!r}")
    return member


class PreviousEpoch(enum.Enum):
    """The end of the epoch before a granted one. It decides when the new leader may dial."""

    NONE = "none"
    """The key has no earlier epoch, as far as engine and member know: dial at once."""
    RELEASED = "released"
    """Its leader has closed its connection and said so: dial at once."""
    EXPIRED = "expired"
    """Its lease ended unrenewed: dial after the margin."""
    LOST = "lost"
    """The engine has lost lease and epoch, which the member knew of: dial after a whole lease and the margin."""


@record
class Lease:
    """A lease that was granted to this member. It is counted from *before* the request (`LeaseClock`)."""

    epoch: int
    previous: PreviousEpoch

    @property
    def position(self) -> Position:
        """Position of the record with which the epoch begins; the first batch is the next number."""
        return Position(self.epoch, 0)


@record
class LeaseInfo:
    """The lease that another member holds."""

    member: str
    epoch: int
    remaining: float
    """Seconds until it ends, if it is not renewed; an engine that can't tell says the whole time to live."""
    end: Position
    """Position of the feed's newest record: a member that begins to follow begins after it."""


class RecordKind(enum.Enum):
    """Kinds of the records that a member reads."""

    BEGAN = "began"
    """An epoch began: `member` leads. What was submitted to an older epoch and isn't answered stays so."""
    BATCH = "batch"
    ENDED = "ended"
    """The leader has closed its connection and released the lease: the next one may have it at once."""
    MISSED = "missed"
    """Records before the next one are not held any more: `missed` of them, None if that isn't known.
    Its position is the one to continue after."""
    ANSWER = "answer"
    """For this member alone. Its position counts apart, in the epoch's answers to this member."""


@record
class Record:
    """One record of the feed, or an answer to this member."""

    kind: RecordKind
    position: Position
    payload: bytes = b""
    """Of a BATCH or an ANSWER."""
    member: str = ""
    """The leader; of BEGAN."""
    previous: Position = START
    """The feed's end before this epoch; of BEGAN. `START`: there was no record, or the engine has lost it."""
    missed: int | None = None
    """Number of records, of MISSED; None: it isn't known."""


@record
class Submission:
    """One payload that a member submitted to the leader of an epoch."""

    position: Position
    """In the mailbox of the epoch."""
    member: str
    number: int
    """The member's own number: 1, 2, 3 … for each epoch."""
    payload: bytes


@record
class Lag:
    """Part of the feed that a member has not read, at one moment."""

    records: int | None
    """None: it isn't known, as the member reads another epoch than that of the feed's end."""
    seconds: float | None
    """Time since the first of those was written; None: it isn't known."""


NO_LAG: Final = Lag(0, 0.0)


class Coordinator(Protocol):
    """The operations of one member on one key. Used on one event loop; bound to it by its first operation.

    Every operation may raise `EngineUnavailable` (it may have been carried out, or not; it can be repeated),
    `EngineFull` (a write was refused; nothing is lost) or a kind of `EngineUnusable` (an operator has to act). An
    operation may be cancelled at any time, with the same consequence as `EngineUnavailable`.
    """

    @property
    def member(self) -> str:
        """The name of this member."""
        ...

    @property
    def max_payload(self) -> int:
        """Bytes that one payload can have; a larger one is an `InvalidOption`."""
        ...

    async def check(self) -> None:
        """Find out whether the engine can serve: version, login, permissions, kinds of the keys, eviction.

        Raises `EngineUnusable` or `VersionMismatch`, each with the command or key and the remedy in its text.
        """

    async def acquire(self, ttl: float, after: int) -> Lease | LeaseInfo:
        """Take the lease for `ttl` seconds if it is free, begin an epoch, append its BEGAN record.

        In one atomic step, or in two: what others write is refused from the first one on, which takes the lease.
        `after`: the highest epoch that the member has seen; the new one is higher, also if the engine has lost its own.
        A member calls this only while it has no connection: a lease that it holds itself counts as released.
        """
        ...

    async def renew(self, epoch: int, ttl: float) -> bool:
        """Extend the lease to `ttl` seconds from now; False: this epoch has it no more, and never will again."""
        ...

    async def release(self, position: Position) -> None:
        """End the epoch, append its ENDED record at `position`, and free the lease.

        In one atomic step, or in two: the lease is free from the first one on, and the record is left out if another
        member has taken it before the second. No effect on another epoch's lease.
        `position`: after the last batch. The upstream connection is closed already.
        """

    async def lease(self) -> LeaseInfo | None:
        """The lease that is in force, or None; it changes nothing."""
        ...

    async def publish(self, position: Position, payload: bytes) -> None:
        """Append a batch at `position`; one call at a time, in the order of the numbers.

        Raises `Fenced` if the epoch doesn't hold the lease at the moment of the write, or if the engine has lost
        records of this epoch: the leader closes its connection. A batch that the engine has already is accepted again.
        """

    async def follow(self, feed: Position, answers: Position, wait: float) -> list[Record]:
        """Return the records after `feed`, in order, and the answers to this member after `answers`.

        Blocks up to `wait` seconds for the first one, and returns [] if none came. Bounded: the rest comes with the
        next call. MISSED stands at its place where records are not held any more; where the engine has lost the newest
        ones, so that its feed ends before `feed`, a read tells that if it finds nothing.
        """
        ...

    async def submit(self, position: Position, payload: bytes) -> None:
        """Put a payload into the mailbox of the epoch's leader; `position`: the epoch, and 1, 2, 3 … by this member.

        One call at a time. Raises `MailboxFull` if there is no room, and `Fenced` where the engine can tell that the
        epoch doesn't hold the lease; in both cases it was not submitted. One that the engine has already is accepted.
        """

    async def take(self, done: Position, wait: float) -> list[Submission]:
        """Return the submissions to this leader's epoch after `done`, and forget those up to it.

        `done`: at first `lease.position`. Blocks up to `wait` seconds; [] if none came. Bounded.
        """
        ...

    async def answer(self, member: str, position: Position, payload: bytes) -> None:
        """Append an answer for one member; fenced and repeatable as `publish`, with numbers for each member."""

    def descriptors(self) -> list[int]:
        """The open descriptors of connections to the engine: no forked child keeps them."""
        ...

    async def announce(self, note: bytes, feed: Position, ttl: float) -> Lag | None:
        """Have the engine hold `note` for `ttl` seconds, for observers, with the lag of this member.

        `feed`: the position up to which this member has read; `START`: it reads nothing. Returns the lag after `feed`;
        None: it reads nothing, or what follows can't be told. An empty note withdraws the one before.
        """
        ...

    async def reserve_slot(self, name: str, period: float, delay: float) -> float:
        """Reserve the first free time for a login, `delay` seconds from now or later; returns seconds until it.

        The next one under this name (64 letters, digits, `-` and `_` at most) is free `period` seconds after it, for
        the members of all keys with this prefix. One that is not used stays reserved.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections to the engine; the lease stays until it ends. Idempotent."""


class ClusterEngine(Protocol):
    """The engine as a program names it: `RedisCoordinator("redis://…")`. It can be pickled, and opened often."""

    def open(self, key: ClusterKey, member: str) -> Coordinator:
        """The operations for one member of one key; nothing is connected before the first operation."""
        ...

    def observe(self, prefix: str) -> ClusterObserver:
        """Reads what members have announced; nothing is connected before the first operation."""
        ...

    def __str__(self) -> str:
        """The address without its secrets."""
        ...
