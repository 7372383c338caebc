"""The payload of a CLOSE frame: which codes may be sent, and how long a reason may be."""

from __future__ import annotations

from typing import Final

from ..lifecycle._peer_errors import CLOSE_CODES

NORMAL_CLOSURE: Final = 1000
NO_STATUS: Final = 1005
"""Stands for a CLOSE frame without a code; never sent (RFC 6455, section 7.4.1)."""
ABNORMAL_CLOSURE: Final = 1006
"""Stands for an end without a CLOSE frame; never sent."""
# A control frame holds 125 bytes, two of them code (RFC 6455, section 5.5).
_MAX_REASON_BYTES: Final = 123


def is_sendable(code: int) -> bool:
    """Return whether a peer may send this code: a registered one, or one for libraries and applications."""
    return (code in CLOSE_CODES and code not in (NO_STATUS, ABNORMAL_CLOSURE)) or 3000 <= code <= 4999


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
