"""The rows of a channel's list: its messages, then its drafts."""

from __future__ import annotations

import zlib
from datetime import datetime
from typing import Final

from textual.content import Content

from ..model._chat_state import ChatState
from ..model._models import Message
from ..model._outbox import Draft, DraftState
from ..model._safe_text import one_line, sanitize

Row = Message | Draft

_COLOURS: Final = ("$text-primary", "$text-secondary", "$text-accent", "$text-success", "$text-warning")
_STATE_TEXTS: Final = {
    DraftState.WAITING: "waiting for the connection",
    DraftState.SENDING: "being sent",
    DraftState.FAILED: "not sent",
}


def rows_of(state: ChatState, channel_id: int) -> list[Row]:
    """The rows of a channel in order."""
    return [*state.history(channel_id).messages, *state.outbox.of(channel_id)]


def row_id(row: Row) -> str:
    """The stable id of a row."""
    return f"d{row.nonce}" if isinstance(row, Draft) else f"m{row.id}"


def render_row(row: Row, state: ChatState) -> Content:
    """Render a row as styled text; users' texts are never markup."""
    # With an empty line after it.
    return Content("\n").join(
        [_render_draft(row, state) if isinstance(row, Draft) else _render_message(row), Content(" ")]
    )


def _render_message(message: Message) -> Content:
    colour = _COLOURS[zlib.crc32(message.author.username.encode("utf-8", "replace")) % len(_COLOURS)]
    name = (one_line(message.author.username, 32) or "somebody", f"bold {colour}")
    head: list[Content | tuple[str, str]] = [name]
    if message.author.bot:
        head.append((" bot", "dim"))
    head.append((f"  {format_time(message.timestamp)}", "dim"))
    if message.edited_timestamp is not None:
        head.append(("  edited", "dim italic"))
    lines = [Content.assemble(*head)]
    quoted = message.referenced_message
    if quoted is not None:
        lines.append(Content.styled(f"↳ {one_line(quoted.author.username, 32)}: {one_line(quoted.content, 60)}", "dim"))
    elif message.is_reply:
        lines.append(Content.styled("↳ a message that was deleted", "dim"))
    lines.append(Content(sanitize(message.content)))
    if message.reactions:
        marks = [
            (f"{one_line(one.emoji.name or '?', 16)} {one.count}", "bold $text-accent" if one.me else "")
            for one in message.reactions
        ]
        lines.append(Content("  ").join(Content.styled(*mark) for mark in marks))
    return Content("\n").join(lines)


def _render_draft(draft: Draft, state: ChatState) -> Content:
    who = state.me.username if state.me is not None else "you"
    failed = draft.fate is DraftState.FAILED
    fate = _STATE_TEXTS[draft.fate] + (f": {one_line(draft.reason, 200)}" if failed else " …")
    hint = "  (t tries again, x discards)" if failed else ""
    return Content("\n").join(
        [
            Content.assemble((one_line(who, 32), "bold dim"), (f"  {fate}{hint}", "$text-error" if failed else "dim")),
            Content.styled(sanitize(draft.content), "dim"),
        ]
    )


def format_time(timestamp: str) -> str:
    """The local time, with the date if it isn't today."""
    try:
        at = datetime.fromisoformat(timestamp).astimezone()
    except ValueError:
        return "?"
    return f"{at:%H:%M}" if at.date() == datetime.now().astimezone().date() else f"{at:%Y-%m-%d %H:%M}"
