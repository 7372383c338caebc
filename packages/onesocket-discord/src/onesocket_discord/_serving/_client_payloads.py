"""Parses the payloads of clients; each violation has the close code that Discord documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeGuard, cast

import msgspec

from onesocket.errors import InvalidOption
from onesocket.wire._handshake import Data

from ..protocol._close_codes import REASONS, CloseCode
from ..protocol._identification import Presence
from ..protocol._intents import DOCUMENTED_INTENTS
from ..protocol._limits import LARGE_THRESHOLD, NONCE_LIMIT, USER_IDS_LIMIT
from ..protocol._sharding import Shard, checked_shard
from ..protocol._snowflakes import parse_snowflake
from ..protocol.models import JsonObject


class ClientViolation(Exception):
    """A violation of the protocol: the connection is closed with this code and reason (by default Discord's)."""

    def __init__(self, code: CloseCode, reason: str | None = None) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = REASONS[code] if reason is None else reason


class ClientPayload(msgspec.Struct):
    """The envelope of a client's payload."""

    op: int
    d: Any = None


@dataclass(frozen=True, slots=True)
class Identify:
    """The body of op 2."""

    token: str
    intents: int
    shard: Shard | None
    compress: bool
    large_threshold: int
    presence: Presence | None

    def __repr__(self) -> str:
        return f"<Identify intents={self.intents} shard={self.shard}>"


@dataclass(frozen=True, slots=True)
class Resume:
    """The body of op 6."""

    token: str
    session_id: str
    seq: int

    def __repr__(self) -> str:
        return f"<Resume seq={self.seq}>"


@dataclass(frozen=True, slots=True)
class RequestGuildMembers:
    """The body of op 8."""

    guild_id: int
    query: str | None
    limit: int
    user_ids: tuple[int, ...] | None
    presences: bool
    nonce: str | None


_decoder: Final = msgspec.json.Decoder(ClientPayload)


def decode_payload(data: Data) -> ClientPayload:
    """Decode a payload from a text or binary message. Raises `ClientViolation`."""
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise ClientViolation(CloseCode.DECODE_ERROR) from None


def read_identify(d: Any) -> Identify:
    """Parse the body of op 2. Raises `ClientViolation`."""
    fields = read_object(d)
    intents = fields.get("intents")
    if not _is_int(intents) or intents < 0:
        raise ClientViolation(CloseCode.INVALID_INTENTS)
    least, most = LARGE_THRESHOLD
    threshold = fields.get("large_threshold", least)
    presence = fields.get("presence")
    return Identify(
        token=_token(fields),
        intents=intents & DOCUMENTED_INTENTS,
        shard=_shard(fields.get("shard")),
        compress=bool(fields.get("compress")),  # some libraries send the name of the transport compression
        large_threshold=min(max(threshold, least), most) if _is_int(threshold) else least,
        presence=None if presence is None else read_presence(presence),
    )


def read_resume(d: Any) -> Resume:
    """Parse the body of op 6. Raises `ClientViolation`."""
    fields = read_object(d)
    session_id, seq = fields.get("session_id"), fields.get("seq")
    if not isinstance(session_id, str) or not _is_int(seq):
        raise ClientViolation(CloseCode.DECODE_ERROR)
    return Resume(_token(fields), session_id, seq)


def read_presence(d: Any) -> Presence:
    """Parse the body of op 3, or the presence in op 2. Raises `ClientViolation`."""
    fields = read_object(d)
    status, since = fields.get("status"), fields.get("since")
    activities: Any = fields.get("activities") or []
    if not isinstance(activities, list):
        raise ClientViolation(CloseCode.DECODE_ERROR)
    try:
        return Presence(
            status="online" if status is None else status,
            activities=[read_object(activity) for activity in _items(activities)],
            afk=bool(fields.get("afk")),
            since=int(since) if isinstance(since, int | float) else None,
        )
    except (ValueError, OverflowError):
        raise ClientViolation(CloseCode.DECODE_ERROR) from None


def read_heartbeat(d: object) -> int | None:
    """Parse the body of op 1: the last sequence number that the client received. Raises `ClientViolation`."""
    if d is not None and not _is_int(d):
        raise ClientViolation(CloseCode.DECODE_ERROR)
    return d


def read_request_guild_members(d: Any) -> RequestGuildMembers:
    """Parse the body of op 8. Raises `ClientViolation`."""
    fields = read_object(d)
    guild: Any = fields.get("guild_id")
    if isinstance(guild, list) and len(_items(guild)) == 1:
        (guild,) = _items(guild)
    query, limit, ids, nonce = (fields.get(name) for name in ("query", "limit", "user_ids", "nonce"))
    if ids is not None and not isinstance(ids, list):
        ids = [ids]
    limit = limit if limit is not None else 0
    if (ids is None) == (query is None) or not _is_int(limit) or limit < 0 or not isinstance(query, str | None):
        raise ClientViolation(CloseCode.DECODE_ERROR)
    if ids is not None and len(_items(ids)) > USER_IDS_LIMIT:
        raise ClientViolation(CloseCode.DECODE_ERROR)
    return RequestGuildMembers(
        guild_id=_snowflake(guild),
        query=query,
        limit=limit,
        user_ids=None if ids is None else tuple(_snowflake(user_id) for user_id in _items(ids)),
        presences=bool(fields.get("presences")),
        nonce=nonce if isinstance(nonce, str) and len(nonce.encode()) <= NONCE_LIMIT else None,
    )


def read_object(d: Any) -> JsonObject:
    """Return `d` if it is a JSON object. Raises `ClientViolation`."""
    if not isinstance(d, dict):
        raise ClientViolation(CloseCode.DECODE_ERROR)
    return cast("JsonObject", d)


def _items(value: Any) -> list[Any]:
    return cast("list[Any]", value)


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _token(fields: JsonObject) -> str:
    token = fields.get("token")
    if not isinstance(token, str):
        raise ClientViolation(CloseCode.DECODE_ERROR)
    return token.removeprefix("Bot ")


def _shard(value: object) -> Shard | None:
    try:
        return checked_shard(value)
    except InvalidOption:
        raise ClientViolation(CloseCode.INVALID_SHARD) from None


def _snowflake(value: Any) -> int:
    number = parse_snowflake(value)
    if number is None:
        raise ClientViolation(CloseCode.DECODE_ERROR)
    return number
