"""What clients send, checked: each mistake has its close code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeGuard, cast

import msgspec

from ....protocols.discord.intents import DOCUMENTED
from ....wire import Data
from ..ids import parse_snowflake
from .close_codes import DECODE_ERROR, INVALID_INTENTS, INVALID_SHARD, Close

_STATUSES: Final = frozenset({"online", "idle", "dnd", "invisible", "offline"})
_MOST_ACTIVITIES: Final = 5
_MOST_IDS: Final = 100
_LONGEST_NONCE: Final = 32


class Misuse(Exception):
    """The client gets this close code."""

    def __init__(self, close: Close) -> None:
        super().__init__(close)
        self.close = close


class Payload(msgspec.Struct):
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
class MembersWanted:
    """Op 8."""

    guild_id: int
    query: str | None
    limit: int
    user_ids: tuple[int, ...] | None
    presences: bool
    nonce: str | None


_decoder: Final = msgspec.json.Decoder(Payload)


def decode(data: Data) -> Payload:
    """The envelope. Raises `Misuse`."""
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise Misuse(DECODE_ERROR) from None


def body(payload: Payload) -> Any:
    """What is in `d`. Raises `Misuse`."""
    try:
        return msgspec.json.decode(payload.d)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise Misuse(DECODE_ERROR) from None


def identify(d: Any) -> Identify:
    """Op 2. Raises `Misuse`."""
    fields = _object(d)
    intents = fields.get("intents")
    if not _is_int(intents) or intents < 0:
        raise Misuse(INVALID_INTENTS)
    threshold = fields.get("large_threshold", 50)
    raw = fields.get("presence")
    return Identify(
        token=_token(fields),
        intents=intents & DOCUMENTED,
        shard=_shard(fields.get("shard")),
        compress=bool(fields.get("compress")),  # some libraries send the name of the transport compression
        large_threshold=min(max(threshold, 50), 250) if _is_int(threshold) else 50,
        presence=presence(raw) if raw is not None else None,
    )


def resume(d: Any) -> Resume:
    """Op 6. Raises `Misuse`."""
    fields = _object(d)
    session_id, seq = fields.get("session_id"), fields.get("seq")
    if not isinstance(session_id, str) or not _is_int(seq):
        raise Misuse(DECODE_ERROR)
    return Resume(_token(fields), session_id, seq)


def presence(d: Any) -> dict[str, Any]:
    """Op 3, and its like in Identify. Raises `Misuse`."""
    fields = _object(d)
    status: Any = fields.get("status", "online")
    activities: Any = fields.get("activities") or []
    if not isinstance(status, str) or status not in _STATUSES or not isinstance(activities, list):
        raise Misuse(DECODE_ERROR)
    entries = [_object(entry) for entry in _items(activities)[:_MOST_ACTIVITIES]]
    return {"status": status, "activities": entries}


def heartbeat(d: object) -> int | None:
    """Op 1: the last sequence number that the client knows. Raises `Misuse`."""
    if d is not None and not _is_int(d):
        raise Misuse(DECODE_ERROR)
    return d


def members_wanted(d: Any) -> MembersWanted:
    """Op 8. Raises `Misuse`."""
    fields = _object(d)
    guild: Any = fields.get("guild_id")
    if isinstance(guild, list) and len(_items(guild)) == 1:
        (guild,) = _items(guild)
    query, limit, ids, nonce = (fields.get(name) for name in ("query", "limit", "user_ids", "nonce"))
    if ids is not None and not isinstance(ids, list):
        ids = [ids]
    limit = limit if limit is not None else 0
    if (ids is None) == (query is None) or not _is_int(limit) or limit < 0 or not isinstance(query, str | None):
        raise Misuse(DECODE_ERROR)
    if ids is not None and len(_items(ids)) > _MOST_IDS:
        raise Misuse(DECODE_ERROR)
    return MembersWanted(
        guild_id=_snowflake(guild),
        query=query,
        limit=limit,
        user_ids=None if ids is None else tuple(_snowflake(one) for one in _items(ids)),
        presences=bool(fields.get("presences")),
        nonce=nonce if isinstance(nonce, str) and len(nonce.encode()) <= _LONGEST_NONCE else None,
    )


def _object(d: Any) -> Mapping[str, Any]:
    if not isinstance(d, dict):
        raise Misuse(DECODE_ERROR)
    return cast("dict[str, Any]", d)


def _items(value: Any) -> list[Any]:
    return cast("list[Any]", value)


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _token(fields: Mapping[str, Any]) -> str:
    token = fields.get("token")
    if not isinstance(token, str):
        raise Misuse(DECODE_ERROR)
    return token.removeprefix("Bot ")


def _shard(value: Any) -> tuple[int, int]:
    if value is None:
        return 0, 1
    if not isinstance(value, list) or len(_items(value)) != 2:
        raise Misuse(INVALID_SHARD)
    number, count = _items(value)
    if not _is_int(number) or not _is_int(count) or not 0 <= number < count:
        raise Misuse(INVALID_SHARD)
    return number, count


def _snowflake(value: Any) -> int:
    number = parse_snowflake(value)
    if number is None:
        raise Misuse(DECODE_ERROR)
    return number
