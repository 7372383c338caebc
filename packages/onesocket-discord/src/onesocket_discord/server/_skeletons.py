"""Skeletons of names: the same text for names that look alike.

By Unicode Technical Standard 39 (its list is in ``_confusables.txt``), and beyond it: accents, strokes and other marks
on letters are left out, so are the differences of case and of the digits of several scripts, and letters in another
shape, as small capitals, are one with those that they are made from. No library for it was fit: confusable-homoglyphs
has an older list, and has had no release since January 2024; the others are some months old.
"""

from __future__ import annotations

import functools
import unicodedata
import zlib
from importlib import resources
from typing import Final

MAX_SKELETON: Final = 128
"""Characters; a name has 32 at most, each of which may stand for several."""
_RULES: Final = 2
"""To be raised when `name_skeleton` changes: databases hold its results."""
_MARKS: Final = (
    ("\u0300", "\u036f"),
    ("\u1ab0", "\u1aff"),
    ("\u1dc0", "\u1dff"),
    ("\u20d0", "\u20ff"),
    ("\ufe20", "\ufe2f"),
)
"""The blocks of combining marks of no script: accents of Latin, Greek and Cyrillic letters. Marks of a script stay."""
_DIGITS: Final = str.maketrans("01", "ol")
"""The digits, in ASCII, that look like letters."""


def name_skeleton(name: str) -> str:
    """The same text for names that look alike: ``ann`` and ``аnn`` with a Cyrillic letter, ``bill`` and ``bíl1``."""
    letters = "".join(one for one in unicodedata.normalize("NFKD", " ".join(name.split())) if not _is_accent(one))
    shown = unicodedata.normalize("NFKD", letters.translate(_look_alikes()))
    shown = "".join(one if one.isascii() else str(unicodedata.decimal(one, one)) for one in shown)
    return shown.translate(_DIGITS).casefold().replace("rn", "m").replace("vv", "w")[:MAX_SKELETON]


def skeleton_version() -> str:
    """The version of the skeletons that this release makes; another one means that stored ones are outdated."""
    return f"{_RULES}.{zlib.crc32(_table().encode()):08x}"


def _is_accent(character: str) -> bool:
    return any(first <= character <= last for first, last in _MARKS)


def _table() -> str:
    return resources.files(__name__.rpartition(".")[0]).joinpath("_confusables.txt").read_text("ascii")


@functools.cache
def _look_alikes() -> dict[int, str]:
    """The table for `str.translate`, read at the first use."""
    found: dict[int, str] = {}
    for line in _table().splitlines():
        shown, tab, sources = line.partition("\t")
        if tab:
            text = "".join(chr(int(one, 16)) for one in shown.split())
            found |= {int(one, 16): text for one in sources.split()}
    return found
