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
from ...errors import IpcError, OnesocketError
from ...lifecycle._effects import Outcome
from .._host_options import Own
from ._ipc_errors import deserialize_error, serialize_error

PROTOCOL_VERSION: Final = 4
MAX_FRAME_BYTES: Final = 64 * 2**20
"""Limit of one frame, and of one message less a few bytes."""
MIN_INT: Final = -(2**63)
MAX_INT: Final = 2**64 - 1
_LENGTH: Final = struct.Struct("!I")

T = TypeVar("T")
SubscriptionKey: TypeAlias = str | int | bytes | tuple[Any, ...]
"""The types that a subscription key may have between processes."""


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
    stats: ConnectionStats


class Rejection(_Frame, frozen=True, tag=3):
    """Refuses the process."""

    error: OnesocketError


class MessageBatch(_Frame, frozen=True, tag=4):
    """Messages of one turn of the owner's loop, undecoded."""

    messages: list[Any]


class GapNotice(_Frame, frozen=True, tag=5):
    """A gap marker."""

    gap: Gap


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
    successor: int | None
    """Process id of the follower to which the owner would hand over; None: no other process may own."""
    key: str | None
    """The `key=` of the connection."""


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


class SendMessages(_Frame, frozen=True, tag=34):
    """Messages to be sent: number and data."""

    messages: list[tuple[int, Any]]


class Request(_Frame, frozen=True, tag=35):
    """Connect, reconnect or disconnect."""

    number: int
    verb: Verb


class Cancellation(_Frame, frozen=True, tag=36):
    """Cancels message or request `number`."""

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
    Hello | SendMessages | Request | Cancellation | Ask | Subscribe | StepDown | StatusRequest | SnapshotRequest
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
    """Encode a frame with its length. Raises `IpcError` if it is too long, or holds a value that can't be encoded."""
    try:
        body = _encode(frame)
    except (msgspec.MsgspecError, ArithmeticError, TypeError, ValueError, NotImplementedError, RecursionError) as error:
        raise IpcError(f"this can't be sent to another process: {type(error).__name__}") from error
    if len(body) > MAX_FRAME_BYTES:
        raise IpcError(f"{len(body)} bytes are more than processes send each other at once ({MAX_FRAME_BYTES})")
    return _LENGTH.pack(len(body)) + body


def decode_owner_frame(body: bytes) -> ToFollower:
    """Decode a frame of the owner. Raises `IpcError`."""
    try:
        frame: ToFollower = _to_follower.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise IpcError(f"the owner of the shared connection sent an invalid frame: {error}") from None
    if isinstance(frame, MessageBatch | SnapshotAnswer):
        _check_messages(frame.messages)
    elif isinstance(frame, Answer):
        _check_messages([frame.data])
    elif isinstance(frame, SubscriptionRefusal):
        frame.keys[:] = map(checked_key, frame.keys)
    return frame


def decode_follower_frame(body: bytes) -> ToOwner:
    """Decode a frame of a follower. Raises `IpcError`."""
    try:
        frame: ToOwner = _to_owner.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise IpcError(f"a follower of the shared connection sent an invalid frame: {error}") from None
    if isinstance(frame, SendMessages):
        _check_messages([message for _, message in frame.messages])
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
    """Cuts a stream of bytes into the bodies of frames. Holds at most one unfinished frame."""

    def __init__(self, max_bytes: int = MAX_FRAME_BYTES) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    def __repr__(self) -> str:
        return f"<FrameSplitter buffered={len(self._buffer)}>"

    def feed(self, data: bytes | memoryview) -> list[bytes]:
        """Return the frames that are complete now. Raises `IpcError` for one that is too long."""
        buffer = self._buffer
        length = len(data) - _LENGTH.size
        if not buffer and 0 <= length <= self._max_bytes and _LENGTH.unpack_from(data) == (length,):
            return [bytes(data[_LENGTH.size :])]  # one frame in one read, as mostly: nothing to keep
        buffer += data
        bodies: list[bytes] = []
        at = 0
        while len(buffer) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, at)
            if length > self._max_bytes:
                raise IpcError(f"a process announced a frame of {length} bytes; the limit is {self._max_bytes}")
            end = at + _LENGTH.size + length
            if end > len(buffer):
                break
            bodies.append(bytes(buffer[at + _LENGTH.size : end]))
            at = end
        if at:
            del buffer[:at]
        return bodies


def split_by_size(items: list[T], size: Callable[[T], int], max_bytes: int = MAX_FRAME_BYTES // 8) -> list[list[T]]:
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
