"""What local clients send, checked; each mistake has the close code that Discord gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeGuard, cast

import msgspec

from onesocket.wire._handshake import Data

from ..protocol._close_codes import CloseCode
from ..protocol._identification import Presence
from ..protocol._intents import DOCUMENTED_INTENTS, Intents


class FrontendViolation(Exception):
    """The client gets this close code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = int(code)
        self.reason = reason


class FrontendPayload(msgspec.Struct):
    """The envelope."""

    op: int
    d: Any = None


@dataclass(frozen=True, slots=True)
class FrontendIdentify:
    """Op 2."""

    token: str
    intents: int
    shard: tuple[int, int] | None
    presence: dict[str, Any] | None

    def __repr__(self) -> str:
        return f"<Identify intents={self.intents} shard={self.shard}>"


@dataclass(frozen=True, slots=True)
class FrontendResume:
    """Op 6."""

    token: str
    session_id: str
    seq: int

    def __repr__(self) -> str:
        return f"<Resume seq={self.seq}>"


_decoder: Final = msgspec.json.Decoder(FrontendPayload)


def decode_payload(data: Data) -> FrontendPayload:
    """The envelope, in text or binary. Raises `FrontendViolation`."""
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise _decode_error() from None


def read_identify(d: Any) -> FrontendIdentify:
    """Op 2. Raises `FrontendViolation`."""
    fields = read_object(d)
    intents, shard, presence = fields.get("intents"), fields.get("shard"), fields.get("presence")
    if not _is_count(intents):
        raise FrontendViolation(CloseCode.INVALID_INTENTS, "Invalid intents")
    if shard is not None:
        items = _items(shard)
        if not isinstance(shard, list) or len(items) != 2 or not all(map(_is_count, items)):
            raise FrontendViolation(CloseCode.INVALID_SHARD, "Invalid shard")
        shard = (items[0], items[1])
    return FrontendIdentify(
        _token(fields),
        intents & DOCUMENTED_INTENTS,
        shard,
        None if presence is None else read_object(presence),
    )


def read_resume(d: Any) -> FrontendResume:
    """Op 6. Raises `FrontendViolation`."""
    fields = read_object(d)
    session_id, seq = fields.get("session_id"), fields.get("seq")
    if not isinstance(session_id, str) or not _is_count(seq):
        raise _decode_error()
    return FrontendResume(_token(fields), session_id, seq)


def read_request_guild_members(d: Any, intents: int) -> dict[str, Any] | None:
    """Op 8 as it may go up for a client with these intents; None: all members without GUILD_MEMBERS.

    Discord leaves the latter unanswered, too; the hub's own intents may be more than the client's.
    Raises `FrontendViolation`.
    """
    fields = read_object(d)
    if not fields.get("query") and fields.get("user_ids") is None and not intents & Intents.GUILD_MEMBERS:
        return None
    return fields if intents & Intents.GUILD_PRESENCES else {**fields, "presences": False}


def read_presence(d: Any) -> Presence:
    """Op 3. Raises `FrontendViolation`."""
    fields = read_object(d)
    activities: Any = fields.get("activities") or []
    since = fields.get("since")
    if not isinstance(activities, list):
        raise _decode_error()
    try:
        return Presence(
            status=fields.get("status") or "online",
            activities=[read_object(activity) for activity in _items(activities)],
            afk=bool(fields.get("afk")),
            since=int(since) if isinstance(since, int | float) else None,
        )
    except ValueError:
        raise _decode_error() from None


def read_object(d: Any) -> dict[str, Any]:
    """A JSON object. Raises `FrontendViolation`."""
    if not isinstance(d, dict):
        raise _decode_error()
    return cast("dict[str, Any]", d)


def _items(value: Any) -> list[Any]:
    return cast("list[Any]", value)


def _decode_error() -> FrontendViolation:
    return FrontendViolation(CloseCode.DECODE_ERROR, "Error while decoding payload")


def _token(fields: dict[str, Any]) -> str:
    token = fields.get("token")
    if not isinstance(token, str):
        raise _decode_error()
    return token.removeprefix("Bot ")


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
