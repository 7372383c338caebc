"""Parts of a message's text in which nothing is a mark: code and addresses. Server and clients have to agree on them.

As at Discord: whatever begins first, from left to right, is taken. The page's `text/literals.js` is this module's twin.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

# Three backticks begin a block wherever they are; whether there are more counts if they don't.
_PIECE: Final = re.compile(r"\\[\\`]|`{1,3}|https?://|\n> ", re.IGNORECASE | re.ASCII)
_BACKTICKS: Final = re.compile(r"`+")
_LANGUAGE: Final = re.compile(r"([a-z0-9_+.#-]+)\n", re.IGNORECASE | re.ASCII)
# No control characters in an address, and no bidirectional ones: they would show another one.
_ADDRESS: Final = re.compile(r"(?ai:https?://)[^\s<>\x00-\x1f\x85\ufeff\u200e\u200f\u202a-\u202e\u2066-\u2069]+")
_ADDRESS_END: Final = ".,;:!?'\"*_~|"
_FENCE: Final = "```"
_QUOTE: Final = "> "


class LiteralKind(enum.Enum):
    """Which kind of literal a part of a text is."""

    BLOCK = enum.auto()
    """A code block."""
    CODE = enum.auto()
    """Code within a line, between runs of one or two backticks."""
    ADDRESS = enum.auto()


class Literal(NamedTuple):
    """A part of a text in which nothing is a mark."""

    kind: LiteralKind
    start: int
    end: int
    """Of the source, with the backticks."""
    text: str
    """The code, without the marks of a quote, or the address."""
    language: str = ""
    """Of a code block."""


class Literals(NamedTuple):
    """The literals and quotes of a text, in order."""

    literals: list[Literal]
    quotes: list[tuple[int, int]]
    """Ranges of lines that each begin with a mark of a quote, without the last line's end."""


def find_literals(text: str) -> Literals:
    """Find code, addresses and quotes; takes time in proportion to the length. Code in a quote ends in it."""
    found = Literals([], [])
    if not text.startswith(_QUOTE) and _PIECE.search(text) is None:
        return found
    outside = _Scope(text, len(text))
    at = 0
    while at < len(text):
        if text.startswith(_QUOTE, at) and text[at - 1 : at] in {"", "\n"}:
            end = _quote_end(text, at)
            found.quotes.append((at, end))
            found.literals.extend(_Scope(text, end, is_quote=True).literals(at))
        else:
            found.literals.extend(outside.literals(at))
            end = outside.stopped_at
        at = end
    return found


def address_at(text: str, at: int) -> str | None:
    """The address at this place of a text; None: there is none."""
    found = _ADDRESS.match(text, at)
    if found is None:
        return None
    address = found[0].rstrip(_ADDRESS_END)
    # A bracket at the end belongs to the sentence, unless the address opened it.
    return address[:-1] if address.endswith(")") and "(" not in address else address


def without_literals(text: str) -> str:
    """The text with a space in place of each code, as at Discord, and of each address: these mention nobody."""
    if "`" not in text and "://" not in text:
        return text
    parts: list[str] = []
    start = 0
    for literal in find_literals(text).literals:
        parts.append(text[start : literal.start])
        start = literal.end
    return " ".join((*parts, text[start:]))


def _quote_end(text: str, at: int) -> int:
    while (end := text.find("\n", at)) >= 0 and text.startswith(_QUOTE, end + 1):
        at = end + 1
    return len(text) if end < 0 else end


class _Scope:
    """A part of a text out of which no code leads: a quote, or all that is none."""

    def __init__(self, text: str, end: int, *, is_quote: bool = False) -> None:
        self._text = text
        self._end = end
        self._is_quote = is_quote
        self._absent: dict[int, int] = {}
        """From where there is no run of so many backticks any more; 3: no fence."""
        self.stopped_at = end

    def literals(self, at: int) -> Iterator[Literal]:
        """Yield the literals from `at` on; outside quotes, up to the next one, where it stops."""
        self.stopped_at = self._end
        while (piece := _PIECE.search(self._text, at, self._end)) is not None:
            at = piece.end()
            if piece[0] == "\n> ":
                if not self._is_quote:
                    self.stopped_at = piece.start() + 1
                    return
            elif piece[0][0] != "\\":
                literal = self._literal(piece.start(), len(piece[0]))
                if literal is not None:
                    at = literal.end
                    yield literal
                elif (rest := _BACKTICKS.match(self._text, at)) is not None:
                    at = rest.end()

    def _literal(self, start: int, length: int) -> Literal | None:
        if self._text[start] != "`":
            address = address_at(self._text, start)
            return Literal(LiteralKind.ADDRESS, start, start + len(address), address) if address else None
        return self._block(start) if length >= len(_FENCE) else self._code(start, length)

    def _code(self, start: int, length: int) -> Literal | None:
        first = start + length
        if first >= self._absent.get(length, len(self._text)):
            return None
        for found in _BACKTICKS.finditer(self._text, first, self._end):
            if len(found[0]) == length:
                code = self._plain(first, found.start())
                return Literal(LiteralKind.CODE, start, found.end(), code)
        self._absent[length] = first
        return None

    def _block(self, start: int) -> Literal | None:
        """A code block; there is at least one character in it, which may be what looked like a language."""
        begin = start + len(_FENCE)
        language = _LANGUAGE.match(self._text, begin, self._end)
        for first, name in ((language.end() - 1, language[1]), (begin, "")) if language else ((begin, ""),):
            content = self._skip_lines(first)
            end = self._fence(content + 1)
            if end >= 0:
                code = self._plain(content, end).rstrip("\n")
                return Literal(LiteralKind.BLOCK, start, end + len(_FENCE), code, name)
        return None

    def _skip_lines(self, at: int) -> int:
        newline = "\n> " if self._is_quote else "\n"
        while self._text.startswith(newline, at, self._end):
            at += len(newline)
        return at

    def _fence(self, start: int) -> int:
        if start >= self._absent.get(len(_FENCE), len(self._text)):
            return -1
        end = self._text.find(_FENCE, start, self._end)
        if end < 0:
            self._absent[len(_FENCE)] = start
        return end

    def _plain(self, start: int, end: int) -> str:
        code = self._text[start:end]
        return code.replace("\n> ", "\n") if self._is_quote else code
