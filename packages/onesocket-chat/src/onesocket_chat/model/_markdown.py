"""Markdown as chats have it, parsed into runs of text that look alike. What has no end is plain text.

Links are addresses as they stand there: no text can stand for another address.
"""

from __future__ import annotations

import enum
import re
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit

_MAX_DEPTH: Final = 6
_CODE_BLOCK: Final = re.compile(r"```(?:[\w+#.-]{1,20}\n)?\n?([^`](?:.*?[^\n])??)\n?```", re.DOTALL)
_SPECIAL: Final = re.compile(r"[\\*_~|`hH<@]")
_ESCAPABLE: Final = frozenset("\\*_~|`<@:>#-")
_BACKTICKS: Final = re.compile(r"`+")
_LINK: Final = re.compile(r"https?://[^\s<>]+", re.IGNORECASE)
_LINK_END: Final = ".,;:!?'\"*_~|"
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
    start = 0
    for block in _CODE_BLOCK.finditer(text) if text.count("```") > 1 else ():
        _add_lines(runs, text[start : block.start()])
        if runs and not runs[-1].text.endswith("\n"):
            runs.append(Run("\n"))
        runs.append(Run(block[1], Mark.BLOCK))
        start = block.end()
        if start < len(text) and text[start] != "\n":
            runs.append(Run("\n"))
    _add_lines(runs, text[start:])
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


def _add_lines(runs: list[Run], text: str) -> None:
    """Add the runs of paragraphs and quotes."""
    lines = text.split("\n")
    start = 0
    for number in range(1, len(lines) + 1):
        is_quote = _is_quote(lines[start])
        if number < len(lines) and _is_quote(lines[number]) is is_quote:
            continue
        part = lines[start:number]
        if start:
            runs.append(Run("\n"))
        if is_quote:
            _parse_inline(runs, "\n".join(line[2:] for line in part), Mark.QUOTE, 0)
        else:
            _parse_inline(runs, "\n".join(part), Mark.PLAIN, 0)
        start = number


def _is_quote(line: str) -> bool:
    return line.startswith("> ")  # not >_<


def _parse_inline(runs: list[Run], text: str, marks: Mark, depth: int) -> None:
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
        elif (run := _run_at(text, at, ends)) is not None:
            flush()
            runs.append(Run(run.text, marks | run.marks))
            at += run.length
        elif depth < _MAX_DEPTH and (emphasis := _emphasis_at(text, at, ends)) is not None:
            flush()
            _parse_inline(runs, emphasis.text, marks | emphasis.marks, depth + 1)
            at += emphasis.length
        else:
            length = _BACKTICKS.match(text, at)
            plain.append(length[0] if length else text[at])
            at += len(length[0]) if length else 1
    plain.append(text[at:])
    flush()


class _Found(NamedTuple):
    text: str
    marks: Mark
    length: int
    """Characters of the source."""


def _run_at(text: str, at: int, ends: _Ends) -> _Found | None:
    match text[at]:
        case "`":
            return _code_at(text, at, ends)
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


def _code_at(text: str, at: int, ends: _Ends) -> _Found | None:
    """Code between runs of one or two backticks; a longer run is text."""
    found = _BACKTICKS.match(text, at)
    length = len(found[0]) if found else 0
    if not 0 < length <= 2:
        return None
    end = ends.find_backticks(length, at + length)
    return None if end < 0 else _Found(text[at + length : end], Mark.CODE, end + length - at)


def _link_at(text: str, at: int) -> _Found | None:
    found = _LINK.match(text, at)
    if found is None or (at and text[at - 1].isalnum()):
        return None
    address = found[0].rstrip(_LINK_END)
    # A bracket at the end belongs to the sentence, unless the address opened it.
    if address.endswith(")") and "(" not in address:
        address = address[:-1]
    return _Found(address, Mark.LINK, len(address)) if link_target(address) is not None else None


def _emphasis_at(text: str, at: int, ends: _Ends) -> _Found | None:
    for delimiter, mark in _DELIMITERS:
        start = at + len(delimiter)
        if not text.startswith(delimiter, at) or text[start : start + 1].strip() == "":
            continue
        is_word = delimiter == "_" and at > 0 and (text[at - 1].isalnum() or text[at - 1] == "_")  # snake_case
        end = -1 if is_word else ends.find(delimiter, start + 1)
        if end < 0 or (len(delimiter) == 1 and text[end - 1].isspace()):
            continue
        after = text[end + 1 : end + 2]
        if delimiter == "_" and (after.isalnum() or after == "_"):
            continue
        return _Found(text[start:end], mark, end + len(delimiter) - at)
    return None


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

    def find_backticks(self, length: int, start: int) -> int:
        """Position of the next run of exactly `length` backticks; -1 without one."""
        name = f"run {length}"
        if start >= self._absent.get(name, len(self._text)):
            return -1
        for found in _BACKTICKS.finditer(self._text, start):
            if len(found[0]) == length:
                return found.start()
        self._absent[name] = min(start, self._absent.get(name, start))
        return -1
