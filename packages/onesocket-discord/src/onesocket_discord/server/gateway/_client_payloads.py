"""What clients send, checked: each mistake has its close code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeGuard, cast

import msgspec

from onesocket.wire._handshake import Data

from ...protocol._intents import DOCUMENTED_INTENTS
from .._snowflakes import parse_snowflake
from ._close_codes import DECODE_ERROR, INVALID_INTENTS, INVALID_SHARD, CloseStatus

_STATUSES: Final = frozenset({"online", "idle", "dnd", "invisible", "offline"})
_MAX_ACTIVITIES: Final = 5
_MAX_USER_IDS: Final = 100
_MAX_NONCE_LENGTH: Final = 32


class ClientViolation(Exception):
    """The client gets this close code."""

    def __init__(self, close: CloseStatus) -> None:
        super().__init__(close)
        self.close = close


class ClientPayload(msgspec.Struct):
    """The envelope; `d` is decoded by whoever the opcode belongs to."""

    op: int
    d: msgspec.Raw = msgspec.Raw(b"null")


@dataclass(frozen=True, slots=True)
class Identify:
    """Op 2."""

    token: str
    intents: int
    shard: tuple[int, int]
    compress: bool
    large_threshold: int
    presence: dict[str, Any] | None

    def __repr__(self) -> str:
        return f"<Identify intents={self.intents} shard={self.shard}>"


@dataclass(frozen=True, slots=True)
class Resume:
    """Op 6."""

    token: str
    session_id: str
    seq: int

    def __repr__(self) -> str:
        return f"<Resume seq={self.seq}>"


@dataclass(frozen=True, slots=True)
class RequestGuildMembers:
    """Op 8."""

    guild_id: int
    query: str | None
    limit: int
    user_ids: tuple[int, ...] | None
    presences: bool
    nonce: str | None


_decoder: Final = msgspec.json.Decoder(ClientPayload)


def decode_payload(data: Data) -> ClientPayload:
    """The envelope. Raises `ClientViolation`."""
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise ClientViolation(DECODE_ERROR) from None


def decode_body(payload: ClientPayload) -> Any:
    """What is in `d`. Raises `ClientViolation`."""
    try:
        return msgspec.json.decode(payload.d)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise ClientViolation(DECODE_ERROR) from None


def read_identify(d: Any) -> Identify:
    """Op 2. Raises `ClientViolation`."""
    fields = _object(d)
    intents = fields.get("intents")
    if not _is_int(intents) or intents < 0:
        raise ClientViolation(INVALID_INTENTS)
    threshold = fields.get("large_threshold", 50)
    raw = fields.get("presence")
    return Identify(
        token=_token(fields),
        intents=intents & DOCUMENTED_INTENTS,
        shard=_shard(fields.get("shard")),
        compress=bool(fields.get("compress")),  # some libraries send the name of the transport compression
        large_threshold=min(max(threshold, 50), 250) if _is_int(threshold) else 50,
        presence=read_presence(raw) if raw is not None else None,
    )


def read_resume(d: Any) -> Resume:
    """Op 6. Raises `ClientViolation`."""
    fields = _object(d)
    session_id, seq = fields.get("session_id"), fields.get("seq")
    if not isinstance(session_id, str) or not _is_int(seq):
        raise ClientViolation(DECODE_ERROR)
    return Resume(_token(fields), session_id, seq)


def read_presence(d: Any) -> dict[str, Any]:
    """Op 3, and its like in Identify. Raises `ClientViolation`."""
    fields = _object(d)
    status: Any = fields.get("status", "online")
    activities: Any = fields.get("activities") or []
    if not isinstance(status, str) or status not in _STATUSES or not isinstance(activities, list):
        raise ClientViolation(DECODE_ERROR)
    entries = [_object(entry) for entry in _items(activities)[:_MAX_ACTIVITIES]]
    return {"status": status, "activities": entries}


def read_heartbeat(d: object) -> int | None:
    """Op 1: the last sequence number that the client knows. Raises `ClientViolation`."""
    if d is not None and not _is_int(d):
        raise ClientViolation(DECODE_ERROR)
    return d


def read_request_guild_members(d: Any) -> RequestGuildMembers:
    """Op 8. Raises `ClientViolation`."""
    fields = _object(d)
    guild: Any = fields.get("guild_id")
    if isinstance(guild, list) and len(_items(guild)) == 1:
        (guild,) = _items(guild)
    query, limit, ids, nonce = (fields.get(name) for name in ("query", "limit", "user_ids", "nonce"))
    if ids is not None and not isinstance(ids, list):
        ids = [ids]
    limit = limit if limit is not None else 0
    if (ids is None) == (query is None) or not _is_int(limit) or limit < 0 or not isinstance(query, str | None):
        raise ClientViolation(DECODE_ERROR)
    if ids is not None and len(_items(ids)) > _MAX_USER_IDS:
        raise ClientViolation(DECODE_ERROR)
    return RequestGuildMembers(
        guild_id=_snowflake(guild),
        query=query,
        limit=limit,
        user_ids=None if ids is None else tuple(_snowflake(one) for one in _items(ids)),
        presences=bool(fields.get("presences")),
        nonce=nonce if isinstance(nonce, str) and len(nonce.encode()) <= _MAX_NONCE_LENGTH else None,
    )


def _object(d: Any) -> Mapping[str, Any]:
    if not isinstance(d, dict):
        raise ClientViolation(DECODE_ERROR)
    return cast("dict[str, Any]", d)


def _items(value: Any) -> list[Any]:
    return cast("list[Any]", value)


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _token(fields: Mapping[str, Any]) -> str:
    token = fields.get("token")
    if not isinstance(token, str):
        raise ClientViolation(DECODE_ERROR)
    return token.removeprefix("Bot ")


def _shard(value: Any) -> tuple[int, int]:
    if value is None:
        return 0, 1
    if not isinstance(value, list) or len(_items(value)) != 2:
        raise ClientViolation(INVALID_SHARD)
    number, count = _items(value)
    if not _is_int(number) or not _is_int(count) or not 0 <= number < count:
        raise ClientViolation(INVALID_SHARD)
    return number, count


def _snowflake(value: Any) -> int:
    number = parse_snowflake(value)
    if number is None:
        raise ClientViolation(DECODE_ERROR)
    return number
