"""The rows of a channel's list: its messages, then its drafts, each with what its place in the list decides."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Container
from datetime import datetime, tzinfo
from typing import Final, NamedTuple

from ..model._chat_state import ChatState
from ..model._markdown import Mark, Run, mentioned, parse_markdown
from ..model._mentions import decode_mentions
from ..model._models import Message
from ..model._outbox import Draft
from ..model._safe_text import clip, one_line, sanitize

Row = Message | Draft

_MAX_CHARACTERS: Final = 8_000
"""Characters of one message that are drawn: twice what a server takes. Wrapping more would hold up the keys."""

_ZONE: Final[tzinfo | None] = None
"""The zone in which times are shown; None: that of the system."""
_COVER: Final = "████"
"""Stands for a spoiler in plain text, whatever its length."""
BLOCKED_TEXT: Final = "a message of somebody whom you blocked"
_GROUP_SECONDS: Final = 7 * 60
"""An author's next message belongs to the group until so long after the one before it."""


class MentionedName(NamedTuple):
    """The name of a user or channel that a text mentions by its id."""

    kind: str
    """``@`` or ``#``."""
    id: int
    name: str
    is_me: bool


class RowView(NamedTuple):
    """One row as it is drawn: two views that are equal look alike."""

    row: Row
    author: str = ""
    """Name of the author, in the first row of a group; empty: the row continues the group."""
    day: str = ""
    """The date, in the first row of a day."""
    is_first: bool = False
    """True for the first row of the list."""
    quote: str = ""
    """The message that it replies to, in one line."""
    names: tuple[MentionedName, ...] = ()
    """The users and channels that the text mentions."""
    is_revealed: bool = False
    """True if its spoilers are shown."""
    is_selected: bool = False
    is_hidden: bool = False
    """True if its author is blocked, and it was not asked for."""


def rows_of(state: ChatState, channel_id: int) -> list[Row]:
    """The rows of a channel in order; drafts come after the newest message, so not if the reader is far back."""
    history = state.history(channel_id)
    if history.anchor is not None:
        return [*history.messages]
    return [*history.messages, *state.outbox.of(channel_id)]


def views_of(
    rows: list[Row], state: ChatState, revealed: Container[str] = (), selected: Container[str] = ()
) -> list[RowView]:
    """The views of these rows; `revealed` and `selected` hold ids of rows."""
    views: list[RowView] = []
    before: Row | None = None
    for row in rows:
        name = row_id(row)
        is_hidden = name not in revealed and is_blocked(row, state)
        continues = before is not None and _continues(row, before) and not views[-1].is_hidden
        views.append(
            RowView(
                row,
                author="" if continues or is_hidden else _author(row, state),
                day=_new_day(row, before),
                is_first=before is None,
                quote=_quote(row, state),
                names=tuple(_name(kind, number, state) for kind, number in dict.fromkeys(mentioned(row.content))),
                is_revealed=name in revealed,
                is_selected=name in selected,
                is_hidden=is_hidden,
            )
        )
        before = row
    return views


def text_of(rows: list[Row], state: ChatState, revealed: Container[str] = ()) -> str:
    """The rows as text for another program: the content of one, or each with its time and author.

    A message whose spoilers are covered is given as it looks: covered, and without the marks of Markdown.
    """
    texts = [_copied(row, state, is_revealed=row_id(row) in revealed) for row in rows]
    if len(rows) == 1:
        return texts[0]
    return "\n".join(f"{_head(row, state)}{text}" for row, text in zip(rows, texts, strict=True)) + "\n"


def is_blocked(row: Row, state: ChatState) -> bool:
    """True if the signed-in user has blocked the author."""
    return isinstance(row, Message) and row.author.id in state.blocked


def _copied(row: Row, state: ChatState, *, is_revealed: bool) -> str:
    if not is_revealed and is_blocked(row, state):
        return BLOCKED_TEXT
    if not is_revealed and any(Mark.SPOILER in run.marks for run in parsed(row.content)):
        return plain_text(row.content, state)
    return sanitize(decode_mentions(row.content, state.people))


def _head(row: Row, state: ChatState) -> str:
    at = None if isinstance(row, Draft) else local_time(row.timestamp)
    return f"[{at:%Y-%m-%d %H:%M}] {_author(row, state)}: " if at is not None else f"{_author(row, state)}: "


def row_id(row: Row) -> str:
    """The stable id of a row."""
    return f"d{row.nonce}" if isinstance(row, Draft) else f"m{row.id}"


@functools.lru_cache(maxsize=4096)
def local_time(timestamp: str) -> datetime | None:
    """The time of a message where the user is; None if it can't be read."""
    try:
        return datetime.fromisoformat(timestamp).astimezone(_ZONE)
    except (ValueError, OverflowError, OSError):  # years that no calendar has
        return None


def format_time(timestamp: str) -> str:
    """The local time, with the date if it isn't today."""
    at = local_time(timestamp)
    if at is None:
        return "?"
    return f"{at:%H:%M}" if at.date() == datetime.now().astimezone().date() else f"{at:%Y-%m-%d %H:%M}"


def _continues(row: Row, before: Row) -> bool:
    """True if a row belongs to the group of the row before it."""
    if isinstance(row, Draft):
        return isinstance(before, Draft) and row.fate == before.fate and row.reason == before.reason
    if isinstance(before, Draft) or row.is_reply or row.author != before.author or _new_day(row, before):
        return False
    now, then = local_time(row.timestamp), local_time(before.timestamp)
    return now is not None and then is not None and 0 <= (now - then).total_seconds() < _GROUP_SECONDS


def _new_day(row: Row, before: Row | None) -> str:
    """The date of a message, if the row before it is of another day."""
    at = None if isinstance(row, Draft) else local_time(row.timestamp)
    if at is None:
        return ""
    last = None if before is None or isinstance(before, Draft) else local_time(before.timestamp)
    return "" if last is not None and last.date() == at.date() else f"{at:%a} {at.day} {at:%b %Y}"


def _quote(row: Row, state: ChatState) -> str:
    if isinstance(row, Draft) or not (row.is_reply or row.referenced_message is not None):
        return ""
    quoted = row.referenced_message
    if quoted is None:
        return "↳ a message that was deleted"
    if quoted.author.id in state.blocked:
        return f"↳ {BLOCKED_TEXT}"
    return f"↳ {one_line(quoted.author.username, 32)}: {preview(quoted.content, state, 60)}"


def preview(content: str, state: ChatState, most: int) -> str:
    """A message's text in one line of at most so many characters, as `plain_text()`."""
    return one_line(plain_text(content, state), most)


def plain_text(content: str, state: ChatState) -> str:
    """A message's text without the marks of Markdown, with names for mentions, and with its spoilers covered."""
    runs = itertools.groupby(parsed(content), key=lambda run: Mark.SPOILER in run.marks)
    return "".join(_COVER if is_hidden else "".join(_plain(run, state) for run in part) for is_hidden, part in runs)


@functools.lru_cache(maxsize=1024)
def parsed(content: str) -> tuple[Run, ...]:
    """The runs of a message; kept, as the quotes of replies are compared with each change of the list."""
    return tuple(parse_markdown(clip(sanitize(content[: 2 * _MAX_CHARACTERS]), _MAX_CHARACTERS)))


def _plain(run: Run, state: ChatState) -> str:
    if not run.marks & (Mark.USER | Mark.CHANNEL):
        return run.text
    return _name("@" if Mark.USER in run.marks else "#", int(run.text), state).name


def _author(row: Row, state: ChatState) -> str:
    if isinstance(row, Draft):
        return one_line(state.me.username, 32) if state.me is not None else "you"
    return one_line(row.author.username, 32) or "somebody"


def _name(kind: str, number: int, state: ChatState) -> MentionedName:
    if kind == "#":
        channel = state.channels.get(number)
        title = one_line(channel.title, 40) if channel is not None else "#unknown"
        return MentionedName(kind, number, title, is_me=False)
    person = state.people.get(number)
    is_me = state.me is not None and state.me.id == number
    return MentionedName(kind, number, f"@{one_line(person.username, 32) if person is not None else 'unknown'}", is_me)
