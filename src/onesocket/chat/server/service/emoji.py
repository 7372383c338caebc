"""Emojis as they stand in a path: the character itself, or ``name:id``."""

from __future__ import annotations

import re

from ..ports import Json
from ..refusal import unknown

_CUSTOM = re.compile(r"(?:a:)?(\w{2,32}):(\d{1,20})", re.ASCII)
_KEYCAP = re.compile("[0-9#*]\ufe0f?\u20e3")
_LONGEST = 32
"""Characters; the longest families of joined people have 10."""


def checked(text: str) -> str:
    """Return the emoji's key, or raise `Refused` (10014)."""
    custom = _CUSTOM.fullmatch(text)
    if custom is not None:
        return f"{custom[1]}:{custom[2]}"
    if _KEYCAP.fullmatch(text):
        return text
    # Whether a character is an emoji depends on the year; that it is a symbol and no writing doesn't.
    if not 0 < len(text) <= _LONGEST or any(sign.isascii() or sign.isspace() or sign.isalnum() for sign in text):
        raise unknown("Emoji")
    return text


def as_object(key: str) -> Json:
    """Write the emoji with this key as events have it."""
    name, _, emoji_id = key.rpartition(":")
    return {"id": emoji_id, "name": name} if name else {"id": None, "name": key}
