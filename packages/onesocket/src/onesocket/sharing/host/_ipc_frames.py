"""Frames between processes: length-prefixed msgpack, checked on arrival. No I/O.

The protocol's number changes whenever anything here does. `Hello` and `Challenge` keep their first fields for ever, so
that two releases can tell each other why they don't get on.
"""

from __future__ import annotations

import struct
from typing import Any, Final, TypeAlias, cast

import msgspec

from ...wire._handshake import Data
from ._errors import WireError

PROTOCOL_VERSION: Final = 3
MAX_FRAME_BYTES: Final = 64 * 2**20
"""Of one frame. A message may be as long as this, less a few bytes."""
MIN_INT: Final = -(2**63)
MAX_INT: Final = 2**64 - 1
_LENGTH: Final = struct.Struct("!I")

SubscriptionKey: TypeAlias = str | int | bytes | tuple[Any, ...]
"""The types that a subscription key may have between processes."""


class _Frame(msgspec.Struct, array_like=True, frozen=True):
    """Base of all frames."""


class SerializedError(msgspec.Struct, array_like=True, frozen=True):
    """A typed error on its way."""

    kind: str
    text: str
    state: dict[str, str | int | float | bool | None]


# --- the owner says -------------------------------------------------------------------------------------------------


class Challenge(_Frame, frozen=True, tag=1):
    """The first word."""

    protocol: int
    release: str
    nonce: bytes = b""


class Welcome(_Frame, frozen=True, tag=2):
    """You are attached."""

    pid: int
    ownership_id: int
    """The number in the lock file for as long as this process owns the connection."""
    heartbeat: float
    status: SharedStatus


class Rejection(_Frame, frozen=True, tag=3):
    """You are not."""

    why: SerializedError


class MessageBatch(_Frame, frozen=True, tag=4):
    """Messages of one turn of the loop, as they came."""

    messages: list[Any]


class GapMarker(_Frame, frozen=True, tag=5):
    """Here messages may be missing."""

    reason: str
    epoch: int
    missed: int | None = None
    error: SerializedError | None = None


class SharedStatus(_Frame, frozen=True, tag=6):
    """How the connection stands."""

    url: str
    state: str
    epoch: int
    attempt: int = 0
    error: SerializedError | None = None
    connected_at: float | None = None
    last_connected_at: float | None = None
    retry_in: float | None = None
    rtt: float | None = None
    callers: int = 0
    outbox: int = 0
    subprotocol: str | None = None
    last_loss: SerializedError | None = None
    last_lost_at: float | None = None


class Heartbeat(_Frame, frozen=True, tag=7):
    """A sign of life."""


class Results(_Frame, frozen=True, tag=8):
    """Results of requests: the number, and the outcome's name or an error."""

    of: list[tuple[int, str | SerializedError]]


class Shutdown(_Frame, frozen=True, tag=9):
    """Let go in order: the socket upstream is closed, the lock is free, and what got no result wasn't sent."""


class StatusReport(_Frame, frozen=True, tag=10):
    """The answer to `StatusRequest`."""

    pid: int
    started: float
    followers: int
    dropped: int
    received_per_second: float
    sent_per_second: float
    status: SharedStatus


# --- a follower says ------------------------------------------------------------------------------------------------


class Hello(_Frame, frozen=True, tag=33):
    """The answer to the challenge; `proof`: that we have the same token; `options`: that we would dial alike."""

    protocol: int
    release: str
    proof: bytes = b""
    options: dict[str, bytes] = {}
    """For each option that goes into dial and login, a proof that its value is the same (`agreement.py`)."""


class OutgoingMessages(_Frame, frozen=True, tag=34):
    """Messages to be sent: number and message."""

    messages: list[tuple[int, Any]]


class ControlRequest(_Frame, frozen=True, tag=35):
    """connect, reconnect or disconnect."""

    number: int
    verb: str


class Cancellation(_Frame, frozen=True, tag=36):
    """The request `number` is cancelled."""

    number: int


class SubscriptionUpdate(_Frame, frozen=True, tag=37):
    """Subscriptions from now on, and no more."""

    add: list[Any]
    remove: list[Any]


class StepDown(_Frame, frozen=True, tag=38):
    """You were silent for too long: let another have it."""


class StatusRequest(_Frame, frozen=True, tag=39):
    """How are you? Instead of `Hello`."""


ToFollower: TypeAlias = (
    Challenge
    | Welcome
    | Rejection
    | MessageBatch
    | GapMarker
    | SharedStatus
    | Heartbeat
    | Results
    | Shutdown
    | StatusReport
)
ToOwner: TypeAlias = (
    Hello | OutgoingMessages | ControlRequest | Cancellation | SubscriptionUpdate | StepDown | StatusRequest
)


def _to_builtin(value: object) -> object:
    """Convert a subclass of str, bytes, int, float or tuple, which msgspec does not encode."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, bytes):
        return bytes(memoryview(value))
    raise NotImplementedError


_encode: Final = msgspec.msgpack.Encoder(enc_hook=_to_builtin).encode
_to_follower: Final = msgspec.msgpack.Decoder(ToFollower)
_to_owner: Final = msgspec.msgpack.Decoder(ToOwner)
_MESSAGE_TYPES: Final = frozenset({str, bytes})


def encode_ipc_frame(frame: ToFollower | ToOwner) -> bytes:
    """One frame for the socket; raises `WireError` when it would be too long, or holds what can't travel."""
    try:
        body = _encode(frame)
    except (msgspec.MsgspecError, ArithmeticError, TypeError, ValueError, NotImplementedError, RecursionError) as error:
        raise WireError(f"this can't be told to another process: {type(error).__name__}") from error
    if len(body) > MAX_FRAME_BYTES:
        raise WireError(f"{len(body)} bytes are more than processes send each other at once ({MAX_FRAME_BYTES})")
    return _LENGTH.pack(len(body)) + body


def decode_owner_frame(body: bytes) -> ToFollower:
    """Decode a frame of the owner. Raises `WireError`."""
    try:
        frame: ToFollower = _to_follower.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise WireError(f"the owner of the shared connection sent nonsense: {error}") from None
    if isinstance(frame, MessageBatch):
        _check_messages(frame.messages)
    return frame


def decode_follower_frame(body: bytes) -> ToOwner:
    """Decode a frame of a follower. Raises `WireError`."""
    try:
        frame: ToOwner = _to_owner.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise WireError(f"a follower of the shared connection sent nonsense: {error}") from None
    if isinstance(frame, OutgoingMessages):
        _check_messages([message for _, message in frame.messages])
    return frame


def _check_messages(messages: list[Any]) -> None:
    if not _MESSAGE_TYPES.issuperset(map(type, messages)):
        raise WireError("a process sent a message that is neither text nor bytes")


def checked_key(value: object) -> SubscriptionKey:
    """A key as it was before it travelled; raises `WireError`."""
    if isinstance(value, str | int | bytes) and not isinstance(value, bool):
        _check_key_part(value)
        return value
    if isinstance(value, list | tuple) and len(value) <= 16:  # pyright: ignore[reportUnknownArgumentType]
        return tuple(checked_key(part) for part in cast("list[object]", value))
    raise WireError("a subscription's key must be a str, an int, bytes, or a tuple of those")


def _check_key_part(part: str | int | bytes) -> None:
    if isinstance(part, int):
        if not MIN_INT <= part <= MAX_INT:
            raise WireError("an int in a subscription's key must be from -2**63 to 2**64 - 1")
    elif isinstance(part, str) and not part.isascii():
        try:
            part.encode()
        except UnicodeError:
            raise WireError("the text of a subscription's key must be UTF-8") from None


class FrameSplitter:
    """Cuts a stream of bytes into the bodies of frames. Holds at most one unfinished frame."""

    def __init__(self, most: int = MAX_FRAME_BYTES) -> None:
        self._most = most
        self._held = bytearray()

    def __repr__(self) -> str:
        return f"<Splitter held={len(self._held)}>"

    def feed(self, data: bytes | memoryview) -> list[bytes]:
        """Every frame that is complete now; raises `WireError` for one that is too long."""
        held = self._held
        length = len(data) - _LENGTH.size
        if not held and 0 <= length <= self._most and _LENGTH.unpack_from(data) == (length,):
            return [bytes(data[_LENGTH.size :])]  # one frame in one read, as mostly: nothing to keep
        held += data
        bodies: list[bytes] = []
        at = 0
        while len(held) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(held, at)
            if length > self._most:
                raise WireError(f"a process announced a frame of {length} bytes; the limit is {self._most}")
            end = at + _LENGTH.size + length
            if end > len(held):
                break
            bodies.append(bytes(held[at + _LENGTH.size : end]))
            at = end
        if at:
            del held[:at]
        return bodies


def split_batch(messages: list[Data], most: int = MAX_FRAME_BYTES // 8) -> list[list[Data]]:
    """`messages` in portions of about `most` bytes (text may take four times its length)."""
    if messages and sum(map(len, messages)) <= most:
        return [messages]
    portions: list[list[Data]] = []
    room = 0
    for message in messages:
        if not portions or len(message) > room:
            portions.append([])
            room = most
        portions[-1].append(message)
        room -= len(message)
    return portions
