"""Text from elsewhere, made harmless: nothing in it acts on a terminal, and nothing is markup."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_REPLACEMENTS = "\ufffd"
_LINE_BREAKS = {"\u2028": "\n", "\u2029": "\n", "\x85": "\n", "\v": "\n", "\f": "\n"}
JOINERS: Final = "\u200c\u200d"
"""ZWNJ, which Persian and Indic words need, and ZWJ, which holds an emoji of several together."""
_JOINER = re.compile(rf"(?<=[^\s{JOINERS}])[{JOINERS}](?=[^\s{JOINERS}])")
_LOOKED_AT: Final = 20
"""Characters of a text that are looked at for each one of its line: most may be invisible."""
_MARKS_ON_ONE_CHARACTER: Final = 6
"""Combining marks that are kept in a row: languages need three or four, a tower of them covers other lines."""


def sanitize(text: str) -> str:
    """`text` with its lines, but without control and invisible characters.

    What would steer a terminal (ESC, C1) becomes a replacement character; what is invisible (zero width, marks that
    turn the direction of writing around) goes, but for a ZWJ or ZWNJ between two characters.
    """
    text = text.replace("\r\n", "\n").replace("\t", "    ")
    if text.isascii() and text.isprintable():
        return text
    visible = "".join(map(_visible, text))
    return _without_towers(_joined(visible) if any(one in visible for one in JOINERS) else visible)


def clip(text: str, most: int) -> str:
    """Cut a text to `most` characters, and say how many are left out; a spoiler that is cut stays one."""
    if len(text) <= most:
        return text
    shown = text[:most]
    end = "||" if shown.count("||") % 2 else ""
    return f"{shown}{end}… ({len(text) - most} more characters)"


def one_line(text: str, most: int = 80) -> str:
    """Sanitize a text, join its lines, and cut it to `most` characters."""
    line = " ".join(sanitize(text[: _LOOKED_AT * most]).split())
    return line if len(line) <= most else line[: most - 1] + "…"


def _visible(character: str) -> str:
    if character == "\n" or character.isprintable():
        return character
    if character in _LINE_BREAKS:
        return "\n"
    if character in JOINERS:
        return character
    match unicodedata.category(character):
        case "Zs":
            return " "
        case "Cf":
            return ""
        case _:
            return _REPLACEMENTS


def _joined(text: str) -> str:
    """Drop the joiners that join nothing."""
    kept = {found.start() for found in _JOINER.finditer(text)}
    return "".join(one for number, one in enumerate(text) if one not in JOINERS or number in kept)


def _without_towers(text: str) -> str:
    """Drop the combining marks beyond those that one character may have."""
    if text.isascii():
        return text
    kept: list[str] = []
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.category(character) in {"Mn", "Me"} else 0
        if marks <= _MARKS_ON_ONE_CHARACTER:
            kept.append(character)
    return "".join(kept)
