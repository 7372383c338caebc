"""What may stand in a CLOSE frame beside its code."""

from __future__ import annotations

from typing import Final

# A control frame holds 125 bytes, two of them code (RFC 6455, section 5.5).
_MAX_BYTES: Final = 123


def truncate_close_reason(text: str) -> str:
    """The reason that fits: whole, or cut where a clause ends, or else between two characters."""
    data = text.encode("utf-8", "replace")
    if len(data) <= _MAX_BYTES:
        return data.decode()
    cut = data[:_MAX_BYTES].decode("utf-8", "ignore")
    whole = data.decode()
    end = max(whole.rfind(mark, 0, len(cut) + len(mark)) for mark in ("; ", ": ", ". "))
    return cut[:end] if end > len(cut) // 2 else cut
