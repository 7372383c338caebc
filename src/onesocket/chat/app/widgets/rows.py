"""What a channel's list shows: its messages, and after them what is on its way."""

from __future__ import annotations

import zlib
from datetime import datetime
from typing import Final

from textual.content import Content

from ..model.outbox import Draft, Fate
from ..model.text import harmless, one_line
from ..model.things import Message
from ..model.world import World

Row = Message | Draft

_COLOURS: Final = ("$text-primary", "$text-secondary", "$text-accent", "$text-success", "$text-warning")
_FATES: Final = {Fate.WAITING: "waiting for the line", Fate.SENDING: "being sent", Fate.FAILED: "not sent"}


def rows_of(world: World, channel_id: int) -> list[Row]:
    """All rows in order."""
    return [*world.history(channel_id).messages, *world.outbox.of(channel_id)]


def row_id(row: Row) -> str:
    """A row's name, which stays the same."""
    return f"d{row.nonce}" if isinstance(row, Draft) else f"m{row.id}"


def shown(row: Row, world: World) -> Content:
    """A row as text with styles; what people wrote is never markup."""
    # With an empty line after it.
    return Content("\n").join([_draft(row, world) if isinstance(row, Draft) else _message(row), Content(" ")])


def _message(message: Message) -> Content:
    colour = _COLOURS[zlib.crc32(message.author.username.encode("utf-8", "replace")) % len(_COLOURS)]
    name = (one_line(message.author.username, 32) or "somebody", f"bold {colour}")
    head: list[Content | tuple[str, str]] = [name]
    if message.author.bot:
        head.append((" bot", "dim"))
    head.append((f"  {clock(message.timestamp)}", "dim"))
    if message.edited_timestamp is not None:
        head.append(("  edited", "dim italic"))
    lines = [Content.assemble(*head)]
    quoted = message.referenced_message
    if quoted is not None:
        lines.append(Content.styled(f"↳ {one_line(quoted.author.username, 32)}: {one_line(quoted.content, 60)}", "dim"))
    elif message.is_reply:
        lines.append(Content.styled("↳ a message that was deleted", "dim"))
    lines.append(Content(harmless(message.content)))
    if message.reactions:
        marks = [
            (f"{one_line(one.emoji.name or '?', 16)} {one.count}", "bold $text-accent" if one.me else "")
            for one in message.reactions
        ]
        lines.append(Content("  ").join(Content.styled(*mark) for mark in marks))
    return Content("\n").join(lines)


def _draft(draft: Draft, world: World) -> Content:
    who = world.me.username if world.me is not None else "you"
    failed = draft.fate is Fate.FAILED
    state = _FATES[draft.fate] + (f": {one_line(draft.reason, 200)}" if failed else " …")
    hint = "  (t tries again, x discards)" if failed else ""
    return Content("\n").join(
        [
            Content.assemble((one_line(who, 32), "bold dim"), (f"  {state}{hint}", "$text-error" if failed else "dim")),
            Content.styled(harmless(draft.content), "dim"),
        ]
    )


def clock(timestamp: str) -> str:
    """The hour and minute here; with the date if it wasn't today."""
    try:
        at = datetime.fromisoformat(timestamp).astimezone()
    except ValueError:
        return "?"
    return f"{at:%H:%M}" if at.date() == datetime.now().astimezone().date() else f"{at:%Y-%m-%d %H:%M}"
