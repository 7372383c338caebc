"""Markdown as chats have it, parsed into runs of text that look alike. What has no end is plain text.

Links are addresses as they stand there: no text can stand for another address.
"""

from __future__ import annotations

import enum
import re
from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit

from onesocket_discord.protocol._literals import Literal, LiteralKind, address_at, find_literals

_MAX_DEPTH: Final = 6
_QUOTE: Final = "> "
_LONG_RUN: Final = re.compile(r"\*{4,}|_{4,}")  # as of a line that people draw
_SPECIAL: Final = re.compile(r"[\\*_~|`hH<@]")
_ESCAPABLE: Final = frozenset("\\*_~|`<@:>#-")
_BACKTICKS: Final = re.compile(r"`+")
_MENTION: Final = re.compile(r"<(@!?|#)(\d{1,20})>", re.ASCII)
_EVERYONE: Final = re.compile(r"@(?:everyone|here)\b")


class Mark(enum.Flag):
    """How a run looks."""

    PLAIN = 0
    BOLD = enum.auto()
    ITALIC = enum.auto()
    UNDERLINE = enum.auto()
    STRIKE = enum.auto()
    SPOILER = enum.auto()
    CODE = enum.auto()
    BLOCK = enum.auto()
    QUOTE = enum.auto()
    LINK = enum.auto()
    USER = enum.auto()
    """A mention; the run's text is the user's id."""
    CHANNEL = enum.auto()
    """A mention; the run's text is the channel's id."""
    EVERYONE = enum.auto()


_DELIMITERS: Final = (
    ("***", Mark.BOLD | Mark.ITALIC),
    ("___", Mark.UNDERLINE | Mark.ITALIC),
    ("**", Mark.BOLD),
    ("__", Mark.UNDERLINE),
    ("~~", Mark.STRIKE),
    ("||", Mark.SPOILER),
    ("*", Mark.ITALIC),
    ("_", Mark.ITALIC),
)


class Run(NamedTuple):
    """Text of one look; it may have several lines."""

    text: str
    marks: Mark = Mark.PLAIN


def parse_markdown(text: str) -> list[Run]:
    """The runs of a message, in order. Text that was sanitized stays so."""
    runs: list[Run] = []
    literals, quotes = find_literals(text)
    remaining = deque(one for one in literals if one.kind is not LiteralKind.ADDRESS)
    start = 0
    for begin, end in quotes:
        if begin:
            _add_part(runs, text[start : begin - 1], start, remaining, Mark.PLAIN)
            runs.append(Run("\n"))
        _add_part(runs, text[begin:end], begin, remaining, Mark.QUOTE)
        start = end
        if start < len(text):
            runs.append(Run("\n"))
            start += 1
    _add_part(runs, text[start:], start, remaining, Mark.PLAIN)
    return runs


def link_target(address: str) -> str | None:
    """The address as a terminal takes it, in ASCII; None if it is none, or its host is not plain ASCII."""
    try:
        parts = urlsplit(address)
        if not parts.hostname or not parts.netloc.isascii() or "@" in parts.netloc:
            return None
    except ValueError:
        return None
    target = quote(address, safe="%/:?#[]@!$&'()*+,;=-._~")
    return target if target.isascii() and target.isprintable() else None


def mentioned(text: str) -> list[tuple[str, int]]:
    """The mentions of a text in order: ``("@", user id)`` or ``("#", channel id)``."""
    return [(found[1][0], int(found[2])) for found in _MENTION.finditer(text)] if "<" in text else []


def _add_part(runs: list[Run], text: str, offset: int, literals: deque[Literal], marks: Mark) -> None:
    """Add the runs of a paragraph or a quote, and take the code in it, which is the next of `literals`."""
    at = len(_QUOTE) if marks is Mark.QUOTE else 0
    end = len(text)
    lines = _Lines(marks)
    while literals and literals[0].start < offset + end:
        literal = literals.popleft()
        lines.add(text[at : literal.start - offset])
        at = literal.end - offset
        if literal.kind is LiteralKind.CODE:
            lines.add_code(literal)
            continue
        lines.flush(runs)
        if runs and not runs[-1].text.endswith("\n"):
            runs.append(Run("\n", marks))
        runs.append(Run(literal.text, Mark.BLOCK | marks))
        if at < end and text[at] != "\n":
            runs.append(Run("\n", marks))
    lines.add(text[at:])
    lines.flush(runs)


class _Lines:
    """Lines of a paragraph, or of a quote without its marks; code has a filler in it, in which nothing is a mark."""

    def __init__(self, marks: Mark) -> None:
        self._marks = marks
        self._parts: list[str] = []
        self._length = 0
        self._codes: dict[int, _Found] = {}

    def add(self, text: str) -> None:
        """Add text."""
        plain = text.replace(f"\n{_QUOTE}", "\n") if self._marks is Mark.QUOTE else text
        self._parts.append(plain)
        self._length += len(plain)

    def add_code(self, literal: Literal) -> None:
        """Add code within a line."""
        length = literal.end - literal.start
        self._codes[self._length] = _Found(literal.text, Mark.CODE, length)
        self._parts.append("`".ljust(length, "\0"))
        self._length += length

    def flush(self, runs: list[Run]) -> None:
        """Add the runs of the lines, of which none is left."""
        _parse_inline(runs, "".join(self._parts), self._marks, _Place(self._codes))
        self._parts, self._length, self._codes = [], 0, {}


def _parse_inline(runs: list[Run], text: str, marks: Mark, place: _Place) -> None:
    """Add the runs of the inside of a paragraph."""
    ends = _Ends(text)
    plain: list[str] = []
    at = 0

    def flush() -> None:
        joined = "".join(plain)
        plain.clear()
        if joined:
            runs.append(Run(joined, marks))

    while (found := _SPECIAL.search(text, at)) is not None:
        plain.append(text[at : found.start()])
        at = found.start()
        if text[at] == "\\" and text[at + 1 : at + 2] in _ESCAPABLE:
            plain.append(text[at + 1])
            at += 2
        elif (run := place.codes.get(place.offset + at) or _run_at(text, at)) is not None:
            flush()
            runs.append(Run(run.text, marks | run.marks))
            at += run.length
        elif (drawn := _LONG_RUN.match(text, at)) is not None:
            plain.append(drawn[0])
            at = drawn.end()
        elif place.depth < _MAX_DEPTH and (emphasis := _emphasis_at(text, at, ends)) is not None:
            flush()
            _parse_inline(runs, emphasis.text, marks | emphasis.marks, place.inside(at + emphasis.begins))
            at += emphasis.length
        else:
            rest = _BACKTICKS.match(text, at)
            plain.append(rest[0] if rest else text[at])
            at += len(rest[0]) if rest else 1
    plain.append(text[at:])
    flush()


class _Found(NamedTuple):
    text: str
    marks: Mark
    length: int
    """Characters of the source."""
    begins: int = 0
    """Characters of its mark."""


class _Place(NamedTuple):
    """Where a text is in its paragraph."""

    codes: Mapping[int, _Found]
    """The code of the paragraph by its place."""
    offset: int = 0
    depth: int = 0

    def inside(self, offset: int) -> _Place:
        """The place of what a mark holds, which begins at `offset` of this text."""
        return _Place(self.codes, self.offset + offset, self.depth + 1)


def _run_at(text: str, at: int) -> _Found | None:
    match text[at]:
        case "h" | "H":
            return _link_at(text, at)
        case "<":
            mention = _MENTION.match(text, at)
            if mention is not None:
                return _Found(mention[2], Mark.CHANNEL if mention[1] == "#" else Mark.USER, len(mention[0]))
            link = _link_at(text, at + 1)
            closed = link is not None and text[at + 1 + link.length : at + 2 + link.length] == ">"
            return link._replace(length=link.length + 2) if link is not None and closed else None
        case "@":
            everyone = _EVERYONE.match(text, at)
            return _Found(everyone[0], Mark.EVERYONE, len(everyone[0])) if everyone is not None else None
        case _:
            return None


def _link_at(text: str, at: int) -> _Found | None:
    address = None if at and text[at - 1].isalnum() else address_at(text, at)
    if address is None or link_target(address) is None:
        return None
    return _Found(address, Mark.LINK, len(address))


def _emphasis_at(text: str, at: int, ends: _Ends) -> _Found | None:
    for delimiter, mark in _DELIMITERS:
        start = at + len(delimiter)
        if not text.startswith(delimiter, at) or text[start : start + 1].strip() == "":
            continue
        is_word = delimiter == "_" and at > 0 and (text[at - 1].isalnum() or text[at - 1] == "_")  # snake_case
        end = -1 if is_word else _end_of(delimiter, text, start, ends)
        if end < 0 or (len(delimiter) != 2 and text[end - 1].isspace()):
            continue
        after = text[end + 1 : end + 2]
        if delimiter == "_" and (after.isalnum() or after == "_"):
            continue
        return _Found(text[start:end], mark, end + len(delimiter) - at, len(delimiter))
    return None


def _end_of(delimiter: str, text: str, start: int, ends: _Ends) -> int:
    """The end of what a delimiter begins before `start`; "*" and "**" may hold each other. -1: it begins nothing."""
    sign = delimiter[0]
    if len(delimiter) == 1:
        return ends.find_single(sign, start if text.startswith(2 * sign, start) else start + 1)
    end = ends.find(delimiter, start + 1)
    if len(delimiter) > 2 or end < 0 or sign not in "*_":
        return end
    # In "***a** b*" the single mark, which ends last, is the outer one.
    if text[start] == sign and ends.find_single(sign, end + 2) >= 0:
        return -1
    # In "**a *b***" the first of three ends what is inside.
    return end + 1 if text.startswith(3 * sign, end) and text[end + 3 : end + 4] != sign else end


class _Ends:
    """Finds the ends of delimiters; one without an end is looked for once, so that parsing is linear."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._absent: dict[str, int] = {}

    def find(self, delimiter: str, start: int) -> int:
        """Position of the delimiter from `start` on; -1 without one."""
        if start >= self._absent.get(delimiter, len(self._text)):
            return -1
        at = self._text.find(delimiter, start)
        if at < 0:
            self._absent[delimiter] = min(start, self._absent.get(delimiter, start))
        return at

    def find_single(self, sign: str, start: int) -> int:
        """Position of a single sign, one that is no half of a double one; -1 without one."""
        name = f"single {sign}"
        if start >= self._absent.get(name, len(self._text)):
            return -1
        at = self.find(sign, start)
        while at >= 0 and self._text[at + 1 : at + 2] == sign:
            at = self.find(sign, at + 2)
        if at < 0:
            self._absent[name] = min(start, self._absent.get(name, start))
        return at
