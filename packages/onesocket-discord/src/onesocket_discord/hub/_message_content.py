"""The parts of a message that decide which clients may read it."""

from __future__ import annotations

from typing import Self

import msgspec

from .._serving._server_payloads import content_for
from ..protocol.models import JsonObject


class MessageLocation(msgspec.Struct, gc=False):
    """The guild of a message; None for a direct message."""

    guild_id: str | None = None

    @classmethod
    def of(cls, raw: bytes) -> Self:
        """Decode it from a message's JSON. Raises `msgspec.DecodeError`."""
        return msgspec.json.decode(raw, type=cls)


def without_content(message: JsonObject, user_id: str) -> JsonObject | None:
    """The message with its content hidden; None where the bot `user_id` may read all of it without MESSAGE_CONTENT.

    That is in direct messages, in its own, and where it is mentioned (Discord's documentation, "Message content
    intent"); the message that it replies to counts for itself. What a bot forwards in a direct message is hidden, too.
    """
    shown = content_for(message, user_id, in_dm=message.get("guild_id") is None)
    return None if shown is message else shown
