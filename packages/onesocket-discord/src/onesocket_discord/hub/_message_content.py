"""The parts of a message that decide which clients may read it."""

from __future__ import annotations

from typing import Self

import msgspec

from .._serving._server_payloads import hide_content
from ..protocol.models import JsonObject


class MessageLocation(msgspec.Struct, gc=False):
    """The guild of a message; None for a direct message."""

    guild_id: str | None = None

    @classmethod
    def of(cls, raw: bytes) -> Self:
        """Decode it from a message's JSON. Raises `msgspec.DecodeError`."""
        return msgspec.json.decode(raw, type=cls)


def without_content(message: JsonObject, user_id: str) -> JsonObject | None:
    """The message with its content hidden; None where the bot `user_id` may read it without MESSAGE_CONTENT.

    That is in direct messages, in its own, and where it is mentioned (Discord's documentation, "Message content
    intent").
    """
    author: JsonObject = message.get("author") or {}
    mentions = {str(user.get("id")) for user in message.get("mentions") or ()}
    if message.get("guild_id") is None or str(author.get("id")) == user_id or user_id in mentions:
        return None
    return hide_content(message)
