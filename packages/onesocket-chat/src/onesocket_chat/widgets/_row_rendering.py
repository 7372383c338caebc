"""Draws a row of a channel's list: users' texts become styled text, and nothing in them acts on the terminal."""

from __future__ import annotations

import zlib
from typing import Final

from textual.content import Content, Span
from textual.style import Style

from ..model._markdown import Mark, Run, link_target
from ..model._models import Attachment, Message
from ..model._outbox import Draft, DraftState
from ..model._safe_text import one_line
from ._rows import BLOCKED_TEXT, MentionedName, RowView, local_time, parsed

_COLOURS: Final = ("$text-primary", "$text-secondary", "$text-accent", "$text-success", "$text-error")
_STATE_TEXTS: Final = {
    DraftState.WAITING: "waiting for the connection",
    DraftState.SENDING: "being sent",
    DraftState.FAILED: "not sent",
}
_STYLES: Final = {
    Mark.BOLD: "bold",
    Mark.ITALIC: "italic",
    Mark.UNDERLINE: "underline",
    Mark.STRIKE: "strike",
    Mark.CODE: "$text-accent on $surface-lighten-1",
    Mark.BLOCK: "$text-accent on $surface-lighten-1",
    Mark.QUOTE: "dim italic",
    Mark.LINK: "underline $text-primary",
    Mark.USER: "$text-accent",
    Mark.CHANNEL: "$text-accent",
    Mark.EVERYONE: "bold $text-warning on $warning-muted",
}
_OF_ME: Final = _STYLES[Mark.EVERYONE]
_HIDDEN: Final = "$panel-lighten-2 on $panel-lighten-2"
_QUOTE_BAR: Final = "▎ "


def render_row(view: RowView) -> Content:
    """Render a row as styled text, with the date and the author above it if it begins a day or a group."""
    row = view.row
    lines = [] if view.is_first or not (view.author or view.day) else [Content(" ")]
    if view.day:
        lines.append(Content.styled(f"── {view.day} ──", "dim"))
    lines += _draft_lines(row, view) if isinstance(row, Draft) else _message_lines(row, view)
    content = Content("\n").join(lines)
    return content.stylize("on $primary-muted") if view.is_selected else content


def render_text(text: str, view: RowView) -> Content:
    """Render a message's text, with its Markdown and mentions."""
    runs = parsed(text)
    parts: list[Content] = []
    in_quote = False
    for run in runs:
        begins = Mark.QUOTE in run.marks and not in_quote
        in_quote = Mark.QUOTE in run.marks
        if begins:
            parts.append(Content.styled(_QUOTE_BAR, _STYLES[Mark.QUOTE]))
        parts.append(_render_run(run, view))
    return Content.assemble(*parts)


def _render_run(run: Run, view: RowView) -> Content:
    name = _name_of(run, view)
    text = run.text if name is None else name.name
    if Mark.SPOILER in run.marks and not view.is_revealed:
        # Blocks, not letters in the colour of their background: a terminal copies what is drawn, and may lack colours.
        return Content.styled("\n".join("█" * Content(line).cell_length for line in text.split("\n")), _HIDDEN)
    if Mark.QUOTE in run.marks:
        text = text.replace("\n", f"\n{_QUOTE_BAR}")
    spans = [Span(0, len(text), style) for mark, style in _STYLES.items() if mark in run.marks]
    if name is not None and name.is_me:
        spans.append(Span(0, len(text), _OF_ME))
    target = link_target(run.text) if Mark.LINK in run.marks else None
    if target is not None:
        spans.append(Span(0, len(text), Style(link=target)))
    return Content(text, spans=spans)


def _name_of(run: Run, view: RowView) -> MentionedName | None:
    """The name that a mention is shown as; None for other runs."""
    if not run.marks & (Mark.USER | Mark.CHANNEL):
        return None
    kind = "@" if Mark.USER in run.marks else "#"
    found = (name for name in view.names if (name.kind, name.id) == (kind, int(run.text)))
    return next(found, MentionedName(kind, 0, f"{kind}unknown", is_me=False))


def _attachment_line(file: Attachment) -> Content:
    """A file's name and size, and its address in full: a link's text says where it leads."""
    about = (f"file {one_line(file.filename, 64)}, {_format_size(file.size)}  ", "dim")
    address = one_line(file.url, 2_000)
    target = link_target(address) if address.startswith(("http://", "https://")) else None
    if target is None:
        return Content.assemble(about, address)
    spans = [Span(0, len(address), _STYLES[Mark.LINK]), Span(0, len(address), Style(link=target))]
    return Content.assemble(about, Content(address, spans=spans))


def _format_size(size: int) -> str:
    if size < 1_000:
        return f"{size} B"
    return f"{size / 1e6:.1f} MB" if size >= 999_500 else f"{round(size / 1e3)} kB"


def _message_lines(message: Message, view: RowView) -> list[Content]:
    if view.is_hidden:
        return [Content.styled(f"{BLOCKED_TEXT} (s: show)", "dim italic")]
    lines: list[Content] = []
    edited = ("  edited", "dim italic") if message.edited_timestamp is not None else ""
    if view.author:
        colour = _COLOURS[zlib.crc32(message.author.username.encode("utf-8", "replace")) % len(_COLOURS)]
        bot = (" bot", "dim") if message.author.bot else ""
        time = (f"  {_format_time(message.timestamp)}", "dim")
        lines.append(Content.assemble((view.author, f"bold {colour}"), bot, time, edited))
    if view.quote:
        lines.append(Content.styled(view.quote, "dim"))
    if message.content or not message.attachments:
        text = render_text(message.content, view)
        lines.append(text if view.author else Content.assemble(text, edited))
    lines += [_attachment_line(one) for one in message.attachments]
    if message.reactions:
        marks = [
            (f"{one_line(one.emoji.name or '?', 16)} {one.count}", "bold $text-accent" if one.me else "")
            for one in message.reactions
        ]
        lines.append(Content("  ").join(Content.styled(*mark) for mark in marks))
    return lines


def _draft_lines(draft: Draft, view: RowView) -> list[Content]:
    text = render_text(draft.content, view).stylize("dim")
    if not view.author:
        return [text]
    failed = draft.fate is DraftState.FAILED
    fate = _STATE_TEXTS[draft.fate] + (f": {one_line(draft.reason, 200)}" if failed else " …")
    hint = "  (t tries again, x discards)" if failed else ""
    head = Content.assemble((view.author, "bold dim"), (f"  {fate}{hint}", "$text-error" if failed else "dim"))
    return [head, text]


def _format_time(timestamp: str) -> str:
    at = local_time(timestamp)
    return f"{at:%H:%M}" if at is not None else "?"
