"""Frames between processes: length-prefixed msgpack, validated on arrival. No I/O.

`PROTOCOL_VERSION` changes whenever a frame does, or `Status`, `ConnectionStats`, `Gap` and the enumerations that frames
carry. `Hello` and `Challenge` keep their first fields for ever, so that two releases can report why they can't work
together.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar, cast

import msgspec

from ...client._gap import Gap
from ...client._status import ConnectionStats, Status
from ...errors import EncodeError, InvalidOption, IpcError, OnesocketError
from ...lifecycle._effects import Outcome
from ...lifecycle._outbox import OutboxLimits
from .._host_options import Own
from ._ipc_errors import deserialize_error, serialize_error

PROTOCOL_VERSION: Final = 4
MAX_FRAME_BYTES: Final = 2**30
"""Limit of one frame, and of one message less a few bytes."""
PART_BYTES: Final = 2**18
"""Limit of the body of a frame that is sent whole; a longer one is sent in parts of this length, and the rest."""
MIN_INT: Final = -(2**63)
MAX_INT: Final = 2**64 - 1
_HEADER: Final = struct.Struct("!I")
"""The length of what follows. Above that stand three bits."""
_IS_PART: Final = 1 << 31
_HAS_MORE: Final = 1 << 30
"""Further parts of the frame follow; between them may stand whole frames, and parts of a frame of the other lane."""
_IS_MESSAGES: Final = 1 << 29
"""The lane: messages of the connection go on while an answer is sent in parts, and the other way round."""
_LENGTH_MASK: Final = _IS_MESSAGES - 1
PART_STRIDE: Final = _HEADER.size + PART_BYTES
"""Bytes from one part of an encoded frame to the next."""
MAX_EPOCH: Final = 1 << 48
FIRST_REQUEST_NUMBER: Final = 1 << 48
"""Numbers from here on are those of requests, lower ones those of messages: a result says which it is for."""
MAX_WAITING: Final = 65_536
"""Limit of the messages of one process that wait in the owner; others wait in the process itself."""
MAX_RUN: Final = 2**20
"""Limit of the messages in one run of results."""

T = TypeVar("T")
SubscriptionKey: TypeAlias = str | int | bytes | tuple[Any, ...]
"""The types that a subscription key may have between processes."""


class FeedPosition(msgspec.Struct, array_like=True, frozen=True, order=True, gc=False):
    """Place in the feed of an owner: the numbers of messages and of gap markers before it, since it took over."""

    messages: int = 0
    gaps: int = 0


class Verb(enum.StrEnum):
    """A request about the connection itself."""

    CONNECT = "connect"
    CONNECT_RETRYING = "connect, retrying"
    RECONNECT = "reconnect"
    ROTATE = "rotate"
    DISCONNECT = "disconnect"


Result: TypeAlias = tuple[int, Outcome | None, OnesocketError | None]
"""Number of a message or request, a request's outcome, and the error."""


class _Frame(msgspec.Struct, array_like=True, frozen=True):
    """Base of all frames."""


# --- from the owner -------------------------------------------------------------------------------------------------


class Challenge(_Frame, frozen=True, tag=1):
    """First frame of every connection between processes."""

    protocol: int
    release: str
    nonce: bytes = b""


class Welcome(_Frame, frozen=True, tag=2):
    """Accepts the process as a follower."""

    pid: int
    ownership_id: int
    """The number in the lock file for as long as this process owns the connection."""
    heartbeat: float
    status: Status
    """Status at the place where this process begins."""
    stats: ConnectionStats
    position: FeedPosition = FeedPosition()
    """The place where this process begins."""
    gap: Gap | None = None
    """Marker for what lies between the place that this process asked for and that one."""


class Rejection(_Frame, frozen=True, tag=3):
    """Refuses the process."""

    error: OnesocketError


class MessageBatch(_Frame, frozen=True, tag=4):
    """Messages of one turn of the owner's loop, undecoded."""

    messages: list[Any]


class SessionBatch(MessageBatch, frozen=True, tag=14):
    """Messages of a connection whose session another host can resume (`Protocol.session_state`), behind them.

    It goes to other hosts alone.
    """

    session: bytes | None = None
    """The state behind these messages; b"": there is no session. None: it is not told."""
    goes_on: bool = False
    """True where a connection is up that went on with the session of the leader before: nothing is missing."""


class GapNotice(_Frame, frozen=True, tag=5):
    """A gap marker."""

    gap: Gap
    position: FeedPosition = FeedPosition()
    """The place behind it."""


class StatusUpdate(_Frame, frozen=True, tag=6):
    """Status of the shared connection."""

    status: Status


class OwnerHeartbeat(_Frame, frozen=True, tag=7):
    """Shows that the owner's loop runs, and tells the counters of the connection."""

    stats: ConnectionStats
    has_preferrer: bool = False
    """True if a follower prefers to own: when the owner is gone, others leave the lock to it for a while."""


class Results(_Frame, frozen=True, tag=8):
    """Results of messages and requests."""

    results: list[Result]
    sent: list[tuple[int, int]] = []
    """Runs of messages that were sent: the first number of each, and the last."""


class Shutdown(_Frame, frozen=True, tag=9):
    """Orderly end: the connection is closed, the lock is free, and messages without a result were not sent."""

    leaves_lock: bool = False
    """True if another process is to be the next owner, and this one leaves the lock to it for a while."""


class StatusReport(_Frame, frozen=True, tag=10):
    """The answer to `StatusRequest`."""

    pid: int
    started: float
    followers: int
    dropped: int
    received_per_second: float
    sent_per_second: float
    status: Status
    own: Own
    next_owner: int | None
    """Process id of the follower to which the owner would hand over; None: no other process may own."""
    key: str | None
    """The `key=` of the connection."""
    cluster: str | None = None
    """Part of this host in its cluster, and the member that leads; None: the scope is another."""


class Answer(_Frame, frozen=True, tag=11):
    """An answer to an `Ask`, with the id of the connection; after the last one, its result follows."""

    number: int
    data: Any


class SubscriptionRefusal(_Frame, frozen=True, tag=12):
    """Keys that were refused, and are not subscribed to any more."""

    keys: list[Any]
    reason: str
    retryable: bool


class SnapshotAnswer(_Frame, frozen=True, tag=13):
    """The messages, undecoded, with which a late reader begins; they stand at this place of the stream."""

    number: int
    messages: list[Any]
    more: bool = False
    """The next frame with this number goes on."""


class HandOverAnswer(_Frame, frozen=True, tag=20):
    """The answer to `StepDown`: the process to which the owner hands over."""

    pid: int


# --- from a follower ------------------------------------------------------------------------------------------------


class Hello(_Frame, frozen=True, tag=33):
    """The answer to the challenge."""

    protocol: int
    release: str
    proof: bytes = b""
    """Proof that both processes have the same token."""
    options: dict[str, bytes] = {}
    """For each option that goes into dial and login, a proof that its value is the same (`_option_digests.py`)."""
    own: Own = Own.ALLOW
    ownership_id: int = 0
    """The last ownership of which this process got messages, or its own; 0: it is new."""
    position: FeedPosition | None = None
    """The place in the feed of that owner up to which it has them; None: it goes on with the newest."""
    epoch: int = 0
    """The newest epoch that this process knows."""


class SendMessages(_Frame, frozen=True, tag=34):
    """Messages to be sent, with consecutive numbers."""

    first: int
    messages: list[Any]


class Request(_Frame, frozen=True, tag=35):
    """Connect, reconnect or disconnect."""

    number: int
    verb: Verb


class Cancellation(_Frame, frozen=True, tag=36):
    """Cancels message or request `number`; a message gets a result all the same."""

    number: int


class Ask(_Frame, frozen=True, tag=40):
    """A request to the peer: a frame with a placeholder for its id, as of `RequestTemplate`."""

    number: int
    data: Any
    placeholder: Any
    is_encoded: bool
    is_stream: bool = False
    stop: Any = None
    """The frame that stops the stream, with the same placeholder, and another one for an id of its own."""
    stop_placeholder: Any = None
    is_lasting: bool = False
    """True if it waits for the connection whatever the limits of the outbox are."""


class OutboxBounds(_Frame, frozen=True, tag=42):
    """The limits of the process's outbox."""

    messages: int
    age: float


class Subscribe(_Frame, frozen=True, tag=37):
    """Changes the follower's subscriptions."""

    add: list[Any]
    remove: list[Any]


class StepDown(_Frame, frozen=True, tag=38):
    """Asks an owner to hand over to another process, instead of `Hello`."""


class StatusRequest(_Frame, frozen=True, tag=39):
    """Asks for a `StatusReport`, instead of `Hello`."""


class SnapshotRequest(_Frame, frozen=True, tag=41):
    """Asks for a `SnapshotAnswer`."""

    number: int


ToFollower: TypeAlias = (
    Challenge
    | Welcome
    | Rejection
    | MessageBatch
    | SessionBatch
    | GapNotice
    | StatusUpdate
    | OwnerHeartbeat
    | Results
    | Shutdown
    | StatusReport
    | Answer
    | SubscriptionRefusal
    | SnapshotAnswer
    | HandOverAnswer
)
ToOwner: TypeAlias = (
    Hello
    | SendMessages
    | Request
    | Cancellation
    | Ask
    | OutboxBounds
    | Subscribe
    | StepDown
    | StatusRequest
    | SnapshotRequest
)


def _to_builtin(value: object) -> object:
    """Convert an error, or a subclass of str, bytes, int or tuple, which msgspec does not encode."""
    if isinstance(value, BaseException):
        return serialize_error(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, bytes):
        return bytes(memoryview(value))
    raise NotImplementedError


def _from_builtin(kind: type, value: Any) -> object:
    if kind is OnesocketError:
        return deserialize_error(value)
    raise NotImplementedError


_encode: Final = msgspec.msgpack.Encoder(enc_hook=_to_builtin).encode
_to_follower: Final = msgspec.msgpack.Decoder(ToFollower, dec_hook=_from_builtin)
_to_owner: Final = msgspec.msgpack.Decoder(ToOwner, dec_hook=_from_builtin)
_MESSAGE_TYPES: Final = frozenset({str, bytes})


def encode_ipc_frame(frame: ToFollower | ToOwner) -> bytes:
    """Encode a frame with its header, or those of its parts.

    Raises `IpcError` for a value that can't be encoded, `EncodeError` for a frame that is too long.
    """
    try:
        body = _encode(frame)
    except (msgspec.MsgspecError, ArithmeticError, TypeError, ValueError, NotImplementedError, RecursionError) as error:
        raise IpcError(f"this can't be sent to another process: {type(error).__name__}") from error
    if len(body) <= PART_BYTES:
        return _HEADER.pack(len(body)) + body
    if len(body) > MAX_FRAME_BYTES:
        raise EncodeError(
            f"a message of {len(body)} bytes is more than processes that share a connection send each other "
            f"({MAX_FRAME_BYTES}): send it in several, or over a Client of this process alone"
        )
    flags = _IS_PART | (_IS_MESSAGES if isinstance(frame, MessageBatch) else 0)
    pieces: list[bytes | memoryview] = []
    for at in range(0, len(body), PART_BYTES):
        part = memoryview(body)[at : at + PART_BYTES]
        has_more = _HAS_MORE if at + PART_BYTES < len(body) else 0
        pieces += (_HEADER.pack(flags | has_more | len(part)), part)
    return b"".join(pieces)


def decode_owner_frame(body: bytes | bytearray) -> ToFollower:
    """Decode a frame of the owner. Raises `IpcError`."""
    try:
        frame: ToFollower = _to_follower.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise IpcError(f"the owner of the shared connection sent an invalid frame: {error}") from None
    if isinstance(frame, MessageBatch | SnapshotAnswer):
        _check_messages(frame.messages)
    elif isinstance(frame, Answer):
        _check_messages([frame.data])
    elif isinstance(frame, Results):
        if any(not 0 <= last - first < MAX_RUN for first, last in frame.sent):
            raise IpcError("the owner of the shared connection sent results for a run of messages that can't be")
    elif isinstance(frame, SubscriptionRefusal):
        frame.keys[:] = map(checked_key, frame.keys)
    return frame


def decode_follower_frame(body: bytes | bytearray) -> ToOwner:
    """Decode a frame of a follower. Raises `IpcError`."""
    try:
        frame: ToOwner = _to_owner.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise IpcError(f"a follower of the shared connection sent an invalid frame: {error}") from None
    if isinstance(frame, SendMessages):
        _check_messages(frame.messages)
        if not 0 <= frame.first <= FIRST_REQUEST_NUMBER - len(frame.messages):
            raise IpcError("a process gave its messages numbers that can't be")
    elif isinstance(frame, Hello):
        if not 0 <= frame.epoch <= MAX_EPOCH:
            raise IpcError("a process knows an epoch that can't be")
    elif isinstance(frame, Ask):
        given = (frame.data, frame.placeholder, frame.stop, frame.stop_placeholder)
        kinds = set(map(type, (text for text in given if text is not None)))
        is_whole = frame.data is not None and frame.placeholder and frame.stop_placeholder not in ("", b"")
        if not is_whole or len(kinds) != 1 or not kinds <= _MESSAGE_TYPES:
            raise IpcError("a process sent a request without a placeholder for its id")
    return frame


def _check_messages(messages: list[Any]) -> None:
    if not _MESSAGE_TYPES.issuperset(map(type, messages)):
        raise IpcError("a process sent a message that is neither text nor bytes")


def checked_bounds(messages: int, age: float) -> OutboxLimits:
    """The limits that a process has told. Raises `IpcError`."""
    try:
        return OutboxLimits(min(messages, MAX_WAITING), age)
    except InvalidOption as error:
        raise IpcError(str(error)) from None


def checked_key(value: object) -> SubscriptionKey:
    """The key as it was before it was encoded. Raises `IpcError`."""
    if isinstance(value, list | tuple) and len(value) <= 16:  # pyright: ignore[reportUnknownArgumentType]
        return tuple(checked_key(part) for part in cast("list[object]", value))
    if not isinstance(value, str | int | bytes) or isinstance(value, bool):
        raise IpcError("a subscription's key must be a str, an int, bytes, or a tuple of those")
    if isinstance(value, int) and not MIN_INT <= value <= MAX_INT:
        raise IpcError("an int in a subscription's key must be from -2**63 to 2**64 - 1")
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeError:
            raise IpcError("the text of a subscription's key must be UTF-8") from None
    return value


class FrameSplitter:
    """Cuts a stream of bytes into the bodies of frames. Holds at most one unfinished frame of each lane."""

    def __init__(self, max_bytes: int = MAX_FRAME_BYTES) -> None:
        self._max_bytes = max_bytes
        self._max_length = min(max_bytes, PART_BYTES)
        self._buffer = bytearray()
        self._parts: dict[int, bytearray] = {}
        """For each lane, what came of a frame that comes in parts."""

    def __repr__(self) -> str:
        return f"<FrameSplitter buffered={len(self._buffer) + sum(map(len, self._parts.values()))}>"

    def feed(self, data: bytes | memoryview) -> list[bytes | bytearray]:
        """Return the frames that are complete now. Raises `IpcError` for one that is too long, or for wrong parts."""
        buffer = self._buffer
        length = len(data) - _HEADER.size
        if not buffer and 0 <= length <= self._max_length and _HEADER.unpack_from(data) == (length,):
            return [bytes(data[_HEADER.size :])]  # one frame in one read, as mostly: nothing to keep
        if not buffer:
            bodies, at = self._cut(data)  # as they lie there: most frames are whole
            buffer += memoryview(data)[at:]
            return bodies
        buffer += data
        bodies, at = self._cut(buffer)
        del buffer[:at]
        return bodies

    def _cut(self, data: bytes | bytearray | memoryview) -> tuple[list[bytes | bytearray], int]:
        """The bodies of the frames that are complete in `data`, and the place behind the last one."""
        bodies: list[bytes | bytearray] = []
        at = 0
        with memoryview(data) as view:
            while len(view) - at >= _HEADER.size:
                (header,) = _HEADER.unpack_from(view, at)
                length = header & _LENGTH_MASK if header & _IS_PART else header
                if length > self._max_length:
                    raise IpcError(f"a process announced a frame of {length} bytes; the limit is {self._max_length}")
                end = at + _HEADER.size + length
                if end > len(view):
                    break
                body = view[at + _HEADER.size : end]
                if not header & _IS_PART:
                    bodies.append(bytes(body))
                elif (whole := self._join_parts(header, body)) is not None:
                    bodies.append(whole)
                body.release()
                at = end
        return bodies, at

    def _join_parts(self, header: int, part: memoryview) -> bytearray | None:
        """Add a part; returns the body of the frame with its last one."""
        lane = header & _IS_MESSAGES
        body = self._parts.setdefault(lane, bytearray())
        if not part or not (body or header & _HAS_MORE):
            raise IpcError("a process sent a part of a frame without others")
        if len(body) + len(part) > self._max_bytes:
            raise IpcError(f"a process sent a frame of more than {self._max_bytes} bytes, in parts")
        body += part
        return None if header & _HAS_MORE else self._parts.pop(lane)


def split_by_size(items: list[T], size: Callable[[T], int], max_bytes: int = PART_BYTES) -> list[list[T]]:
    """Split a list into portions of about `max_bytes` (text may take four times its length)."""
    if items and sum(map(size, items)) <= max_bytes:
        return [items]
    portions: list[list[T]] = []
    room = 0
    for item in items:
        if not portions or size(item) > room:
            portions.append([])
            room = max_bytes
        portions[-1].append(item)
        room -= size(item)
    return portions
