"""Escapes text of a peer for a terminal."""

from __future__ import annotations

import unicodedata

# Bytes of a binary message that are shown.
_MAX_SHOWN_BYTES = 64
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: str) -> str:
    r"""Return `text` on one line, with all characters escaped that a terminal would act upon.

    Control characters (ESC among them), line separators, bidirectional overrides and unassigned characters become
    ``\n`` or ``\u001b``. That form is also JSON's, so JSON stays JSON.
    """
    if text.isprintable():
        return text
    return "".join(_escaped(character) for character in text)


def printable_bytes(data: bytes) -> str:
    """Return the size of a binary message and its beginning in hexadecimal."""
    more = " ..." if len(data) > _MAX_SHOWN_BYTES else ""
    return f"<{len(data)} bytes: {data[:_MAX_SHOWN_BYTES].hex(' ')}{more}>" if data else "<0 bytes>"


def _escaped(character: str) -> str:
    # Other spaces than the usual one are no danger, only not "printable" by Python's rule.
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    if character in _ESCAPES:
        return _ESCAPES[character]
    utf16 = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{utf16[i : i + 2].hex()}" for i in range(0, len(utf16), 2))
