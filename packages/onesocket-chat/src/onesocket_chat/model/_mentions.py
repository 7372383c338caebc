"""Mentions: people write ``@ada``, the server stores ``<@id>``. Code and addresses stay as they were written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from onesocket_discord.protocol._literals import find_literals

from ._models import User

_USER: re.Pattern[str] = re.compile(r"<@!?(\d{1,20})>", re.ASCII)
_BEGUN: re.Pattern[str] = re.compile(r"(?:^|[\s(])@([^\s@]{0,32})$")


def encode_mentions(text: str, people: Iterable[User]) -> str:
    """The text as it is sent: the names of these people behind an @ become mentions, in any case of letters."""
    ids = {person.username.casefold(): person.id for person in people if person.username}
    if not ids or "@" not in text:
        return text
    # Longer names first: "@ann" must not take the beginning of "@ann b". The @ of an address is part of a word.
    names = "|".join(re.escape(name) for name in sorted(ids, key=len, reverse=True))
    pattern = re.compile(rf"(?<![\w<])@({names})(?!\w)", re.IGNORECASE)

    def mention(found: re.Match[str]) -> str:
        return f"<@{ids[found[1].casefold()]}>" if found[1].casefold() in ids else found[0]

    return _outside_literals(text, lambda part: pattern.sub(mention, part))


def decode_mentions(text: str, people: Mapping[int, User]) -> str:
    """The text as it is edited: mentions become names."""

    def name(found: re.Match[str]) -> str:
        person = people.get(int(found[1]))
        return found[0] if person is None or not person.username else f"@{person.username}"

    return _outside_literals(text, lambda part: _USER.sub(name, part))


def _outside_literals(text: str, change: Callable[[str], str]) -> str:
    """The text with all changed that is neither code nor an address."""
    parts: list[str] = []
    start = 0
    for literal in find_literals(text).literals:
        parts += (change(text[start : literal.start]), text[literal.start : literal.end])
        start = literal.end
    return "".join((*parts, change(text[start:])))


class MentionCompletion:
    """Completes the name behind an @ before the cursor; again, with the next name that fits."""

    def __init__(self) -> None:
        self._found: list[str] = []
        self._number = 0
        self._completed = ""

    def __repr__(self) -> str:
        return f"<MentionCompletion {self._number}/{len(self._found)}>"

    def complete(self, before: str, names: Iterable[str]) -> tuple[int, str] | None:
        """The number of characters before the cursor to replace, and what replaces them; None if nothing fits."""
        if self._completed and before.endswith(self._completed):
            self._number = (self._number + 1) % len(self._found)
        else:
            begun = _BEGUN.search(before)
            if begun is None:
                return None
            self._completed = f"@{begun[1]}"
            query = begun[1].casefold()
            self._found = sorted({name for name in names if name.casefold().startswith(query)}, key=str.casefold)
            self._number = 0
        if not self._found:
            self._completed = ""
            return None
        length, self._completed = len(self._completed), f"@{self._found[self._number]} "
        return length, self._completed
