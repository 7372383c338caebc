"""The payload of a CLOSE frame, with a reason that fits."""

from __future__ import annotations

from typing import Final

NORMAL_CLOSURE: Final = 1000
NO_STATUS: Final = 1005
"""Stands for a CLOSE frame without a code; never sent (RFC 6455, section 7.4.1)."""
ABNORMAL_CLOSURE: Final = 1006
"""Stands for an end without a CLOSE frame; never sent."""
# A control frame holds 125 bytes, two of them code (RFC 6455, section 5.5).
_MAX_REASON_BYTES: Final = 123


def truncate_close_reason(text: str) -> str:
    """Return the reason as it fits: whole, or cut where a clause ends, or else between two characters."""
    data = text.encode("utf-8", "replace")
    if len(data) <= _MAX_REASON_BYTES:
        return data.decode()
    cut = data[:_MAX_REASON_BYTES].decode("utf-8", "ignore")
    whole = data.decode()
    end = max(whole.rfind(mark, 0, len(cut) + len(mark)) for mark in ("; ", ": ", ". "))
    return cut[:end] if end > len(cut) // 2 else cut


def close_payload(code: int, reason: str) -> bytes:
    """Return the payload of a CLOSE frame; a reason that is too long is cut."""
    return code.to_bytes(2, "big") + truncate_close_reason(reason).encode()
