"""Names of accounts: the keys by which they are compared, and the rules for new ones; texts with nothing to see."""

from __future__ import annotations

import functools
import unicodedata
from typing import Final

from ._skeletons import MAX_SKELETON, name_skeleton

_MAX_MARKS: Final = 3
"""Combining marks after one character; more make a name cover the lines around it."""
_FORBIDDEN: Final = frozenset("@#:`")
# Shown as nothing or as a space, although `str.isprintable` is true of them (Default_Ignorable_Code_Point and U+2800).
_INVISIBLE: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    "\ufffc\U0001d159"  # they have no glyph of their own
    "\ufe00\ufe01\ufe02\ufe03\ufe04\ufe05\ufe06\ufe07\ufe08\ufe09\ufe0a\ufe0b\ufe0c\ufe0d\ufe0e\ufe0f"
)
_VARIATION_SELECTORS: Final = ("\U000e0100", "\U000e01ef")
"""The first and the last of the supplementary ones, which are shown as nothing as well."""
_VISIBLE: Final = frozenset("LNPS")
"""The first letters of the categories of characters that are seen by themselves: letters, numbers, signs, symbols."""
_PICTOGRAPHS: Final = ("\U0001f000", "\U0001fbff")
"""The first and the last character of the blocks of emoji, of which Python's database lacks those of later years."""
_LINE_BREAKING: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
_BLANK: Final = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs"})
_REORDERING: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Embeddings, overrides and isolates of the bidirectional algorithm. Marks (U+200E, U+200F) move nothing else."""
# UTS 39, "Highly Restrictive": one script, or Latin beside those of Chinese, Japanese or Korean.
_MIXTURES: Final = (
    frozenset({"LATIN", "CJK", "HIRAGANA", "KATAKANA"}),
    frozenset({"LATIN", "CJK", "BOPOMOFO"}),
    frozenset({"LATIN", "CJK", "HANGUL"}),
)
_RESERVED: Final = (
    "admin", "administrator", "anyone", "bot", "everyone", "everybody", "here", "host", "mod", "moderator", "nobody",
    "official", "onesocket", "operator", "owner", "root", "security", "server", "staff", "support", "sysadmin",
    "system", "webmaster",
)  # fmt: skip
_MENTIONS: Final = ("everyone", "here")
_REMOVED: Final = "deleted user"


def name_key(name: str) -> str:
    """The key by which names are compared: names that differ in case or form alone are one."""
    return unicodedata.normalize("NFKC", name).casefold()[:MAX_SKELETON]


def removed_name(user_id: int) -> str:
    """The name that the messages of a removed account bear."""
    return f"{_REMOVED} {user_id}"


def name_problem(name: str, *, by_owner: bool = False) -> tuple[str, str] | None:
    """The code and text of the rule that a new name breaks; None for a good one.

    The server's owner may give away names that are reserved, but for those of mentions and of removed accounts.
    """
    begins_well = any(map(_is_visible, name[:1]))  # a combining mark would change what stands before the name
    if name != name.strip() or not name.isprintable() or _FORBIDDEN & set(name) or not begins_well or _is_hidden(name):
        return "USERNAME_INVALID", "Must begin with something to see, without @ # : ` and without spaces at its ends."
    if not _is_one_script(name):
        return "USERNAME_MIXED_SCRIPTS", "Must not mix letters of several alphabets."
    letters = _reserved_form(name)
    if letters.startswith(_reserved_form(_REMOVED)) or letters in _reserved_forms(_MENTIONS if by_owner else _RESERVED):
        return "USERNAME_RESERVED", "This name is reserved. Try another one."
    return None


def title_problem(title: str) -> tuple[str, str] | None:
    """The code and text of the rule that the name of a guild, a channel or a role breaks; None for a good one.

    There has to be something to see, and nothing that breaks or reorders the line in which it is shown.
    """
    if any(unicodedata.category(one) in _LINE_BREAKING or one in _REORDERING for one in title):
        return "NAME_INVALID", "Must be one line, without control characters."
    if not any(map(_is_visible, title)):
        return "NAME_BLANK", "Must not be blank."
    return None


def is_blank(text: str) -> bool:
    """Return True if there is nothing in a text to see. Marks, and what Python's database lacks, may be seen."""
    return all(unicodedata.category(one) in _BLANK or _is_invisible(one) for one in text)


def _is_hidden(name: str) -> bool:
    marks = 0
    for character in unicodedata.normalize("NFC", name):
        marks = marks + 1 if unicodedata.category(character) in {"Mn", "Me"} else 0
        if marks > _MAX_MARKS or _is_invisible(character):
            return True
    return False


def _is_visible(character: str) -> bool:
    if _PICTOGRAPHS[0] <= character <= _PICTOGRAPHS[1]:
        return True
    return unicodedata.category(character)[0] in _VISIBLE and not _is_invisible(character)


def _is_invisible(character: str) -> bool:
    return character in _INVISIBLE or _VARIATION_SELECTORS[0] <= character <= _VARIATION_SELECTORS[1]


def _is_one_script(name: str) -> bool:
    """Return True if all letters are of one script, by the first words of their names in Python's Unicode database."""
    shown = unicodedata.normalize("NFKC", name)
    letters = (one for one in shown if unicodedata.category(one) in {"Lu", "Ll", "Lt", "Lo"})
    scripts = {unicodedata.name(one, "UNNAMED").partition(" ")[0] for one in letters}
    return len(scripts) <= 1 or any(scripts <= mixture for mixture in _MIXTURES)


def _reserved_form(name: str) -> str:
    """The letters by which reserved names are known, without what is between them; i and l are one: ``ADM1N``."""
    return "".join(filter(str.isalnum, name_skeleton(name))).replace("i", "l")


@functools.cache
def _reserved_forms(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(map(_reserved_form, names))
