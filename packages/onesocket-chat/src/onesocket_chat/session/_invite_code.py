"""The code of an invite in what somebody pasted."""

from __future__ import annotations

import re
from typing import Final

_AFTER_PATH: Final = re.compile(r"[?#]")


def invite_code(text: str) -> str:
    """The code: the text itself, or the last part of a link's path. It is not checked."""
    text = text.strip()
    if "/" not in text:
        return text
    return _AFTER_PATH.split(text, maxsplit=1)[0].rstrip("/").rpartition("/")[2]
