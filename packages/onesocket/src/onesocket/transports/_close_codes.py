"""Which close codes may stand in a CLOSE frame."""

from __future__ import annotations

from typing import Final

# RFC 6455, section 7.4, and the IANA registry.
_REGISTERED: Final = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})


def is_sendable(code: int) -> bool:
    """Whether a peer may send this code: a registered one, or one for libraries and applications."""
    return code in _REGISTERED or 3000 <= code <= 4999
