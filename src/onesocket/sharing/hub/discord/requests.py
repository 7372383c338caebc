"""What local clients send, checked; each mistake has the close code that Discord gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeGuard, cast

import msgspec

from ....protocols.discord.close_codes import CloseCode
from ....protocols.discord.identify import Presence
from ....protocols.discord.intents import DOCUMENTED, Intents
from ....wire import Data


class Misuse(Exception):
    """The client gets this close code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = int(code)
        self.reason = reason


class Payload(msgspec.Struct):
    """The envelope."""

    op: int
    d: Any = None


@dataclass(frozen=True, slots=True)
class Identify:
    """Op 2."""

    token: str
    intents: int
    shard: tuple[int, int] | None
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


_decoder: Final = msgspec.json.Decoder(Payload)


def decode(data: Data) -> Payload:
    """The envelope, in text or binary. Raises `Misuse`."""
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise _undecodable() from None


def identify(d: Any) -> Identify:
    """Op 2. Raises `Misuse`."""
    fields = object_of(d)
    intents, shard, presence = fields.get("intents"), fields.get("shard"), fields.get("presence")
    if not _is_count(intents):
        raise Misuse(CloseCode.INVALID_INTENTS, "Invalid intents")
    if shard is not None:
        items = _items(shard)
        if not isinstance(shard, list) or len(items) != 2 or not all(map(_is_count, items)):
            raise Misuse(CloseCode.INVALID_SHARD, "Invalid shard")
        shard = (items[0], items[1])
    return Identify(_token(fields), intents & DOCUMENTED, shard, None if presence is None else object_of(presence))


def resume(d: Any) -> Resume:
    """Op 6. Raises `Misuse`."""
    fields = object_of(d)
    session_id, seq = fields.get("session_id"), fields.get("seq")
    if not isinstance(session_id, str) or not _is_count(seq):
        raise _undecodable()
    return Resume(_token(fields), session_id, seq)


def members(d: Any, intents: int) -> dict[str, Any] | None:
    """Op 8 as it may go up for a client with these intents; None: all members without GUILD_MEMBERS. Raises `Misuse`.

    Discord leaves the latter unanswered, too; the hub's own intents may be more than the client's.
    """
    fields = object_of(d)
    if not fields.get("query") and fields.get("user_ids") is None and not intents & Intents.GUILD_MEMBERS:
        return None
    return fields if intents & Intents.GUILD_PRESENCES else {**fields, "presences": False}


def presence(d: Any) -> Presence:
    """Op 3. Raises `Misuse`."""
    fields = object_of(d)
    activities: Any = fields.get("activities") or []
    since = fields.get("since")
    if not isinstance(activities, list):
        raise _undecodable()
    try:
        return Presence(
            status=fields.get("status") or "online",
            activities=[object_of(activity) for activity in _items(activities)],
            afk=bool(fields.get("afk")),
            since=int(since) if isinstance(since, int | float) else None,
        )
    except ValueError:
        raise _undecodable() from None


def object_of(d: Any) -> dict[str, Any]:
    """A JSON object. Raises `Misuse`."""
    if not isinstance(d, dict):
        raise _undecodable()
    return cast("dict[str, Any]", d)


def _items(value: Any) -> list[Any]:
    return cast("list[Any]", value)


def _undecodable() -> Misuse:
    return Misuse(CloseCode.DECODE_ERROR, "Error while decoding payload")


def _token(fields: dict[str, Any]) -> str:
    token = fields.get("token")
    if not isinstance(token, str):
        raise _undecodable()
    return token.removeprefix("Bot ")


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
