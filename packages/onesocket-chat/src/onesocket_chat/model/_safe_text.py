"""Text from elsewhere, made harmless: nothing in it acts on a terminal, and nothing is markup."""

from __future__ import annotations

import unicodedata

_REPLACEMENTS = "\ufffd"
_LINE_BREAKS = {"\u2028": "\n", "\u2029": "\n", "\x85": "\n", "\v": "\n", "\f": "\n"}


def sanitize(text: str) -> str:
    """`text` with its lines, but without control and invisible characters.

    What would steer a terminal (ESC, C1) becomes a replacement character; what is invisible (zero width, marks that
    turn the direction of writing around) goes.
    """
    text = text.replace("\r\n", "\n").replace("\t", "    ")
    if text.isprintable():
        return text
    return "".join(map(_visible, text))


def one_line(text: str, most: int = 80) -> str:
    """Sanitize a text, join its lines, and cut it to `most` characters."""
    line = " ".join(sanitize(text).split())
    return line if len(line) <= most else line[: most - 1] + "…"


def _visible(character: str) -> str:
    if character == "\n" or character.isprintable():
        return character
    if character in _LINE_BREAKS:
        return "\n"
    match unicodedata.category(character):
        case "Zs":
            return " "
        case "Cf":
            return ""
        case _:
            return _REPLACEMENTS
