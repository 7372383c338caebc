"""Tells from the head of a request whether it asks for a WebSocket."""

from __future__ import annotations

import re
from typing import Final

_MAX_HEAD: Final = 32_768
_HEAD_END: Final = b"\r\n\r\n"
_UPGRADE: Final = re.compile(rb"\r\nupgrade[ \t]*:[^\r\n]*websocket", re.IGNORECASE)


def asks_for_upgrade(head: bytearray) -> bool | None:
    """Return whether these first bytes of a request ask for a WebSocket; None: its head has not arrived yet."""
    end = head.find(_HEAD_END)
    if end < 0:
        return None if len(head) <= _MAX_HEAD else False
    return _UPGRADE.search(head, 0, end) is not None
