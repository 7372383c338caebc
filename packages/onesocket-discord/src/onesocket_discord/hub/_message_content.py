"""Just enough of a message: where it is, and whose content a client without MESSAGE_CONTENT may read."""

from __future__ import annotations

from typing import Final, Self

import msgspec

from ._cached_guild import Json

_HIDDEN_FIELDS: Final[Json] = {"content": "", "embeds": [], "attachments": [], "components": []}
_encode: Final = msgspec.json.Encoder().encode


class MessageLocation(msgspec.Struct, gc=False):
    """A guild, or a direct message."""

    guild_id: str | None = None

    @classmethod
    def of(cls, raw: bytes) -> Self:
        """Of this body. Raises `msgspec.DecodeError`."""
        return msgspec.json.decode(raw, type=cls)


def without_content(data: Json, user_id: str) -> bytes | None:
    """The body with its content hidden; None where everybody may read it.

    That is in direct messages, in one's own, and where one is mentioned (Discord's documentation, "Message content
    intent").
    """
    author: Json = data.get("author") or {}
    mentions = {str(user.get("id")) for user in data.get("mentions") or ()}
    if data.get("guild_id") is None or str(author.get("id")) == user_id or user_id in mentions:
        return None
    return _encode({**data, **{name: value for name, value in _HIDDEN_FIELDS.items() if name in data}})
