"""Emojis in paths: the character itself, or ``name:id``."""

from __future__ import annotations

import re
import unicodedata

from .._api_error import unknown_resource
from .._ports import Json

_CUSTOM = re.compile(r"(?:a:)?(\w{2,32}):(\d{1,20})", re.ASCII)
_KEYCAP = re.compile("[0-9#*]\ufe0f?\u20e3")
_MAX_EMOJI_LENGTH = 32
"""Characters; the longest families of joined people have 10."""


def emoji_key(text: str) -> str:
    """Return the emoji's key, or raise `ApiError` (10014)."""
    custom = _CUSTOM.fullmatch(text)
    if custom is not None:
        return f"{custom[1]}:{custom[2]}"
    if _KEYCAP.fullmatch(text):
        return text
    # Unicode adds emojis every year, so any symbol that is no letter, digit or space is accepted.
    if not 0 < len(text) <= _MAX_EMOJI_LENGTH or any(
        sign.isascii() or sign.isspace() or sign.isalnum() or _is_control(sign) for sign in text
    ):
        raise unknown_resource("Emoji")
    if all(unicodedata.category(sign) in {"Cf", "Mn", "Me"} for sign in text):  # nothing would be shown
        raise unknown_resource("Emoji")
    return text


def _is_control(sign: str) -> bool:
    """Return True for what turns or hides the text around it; emojis have joiners, and flags have tags."""
    is_part = sign == "\u200d" or "\U000e0020" <= sign <= "\U000e007f"
    return unicodedata.category(sign) in {"Cc", "Cf", "Cs"} and not is_part


def emoji_object(key: str) -> Json:
    """The emoji object of this key."""
    name, _, emoji_id = key.rpartition(":")
    return {"id": emoji_id, "name": name} if name else {"id": None, "name": key}
