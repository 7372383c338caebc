"""All keys, on one screen."""

from __future__ import annotations

from typing import ClassVar, Final

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

KEYS: Final = (
    (
        "Everywhere",
        (
            ("F1, ?", "these keys (? where nothing is written)"),
            ("Ctrl-K", "go to a channel or a person"),
            ("Ctrl-R, /", "search messages (/ where nothing is written)"),
            ("Ctrl-P", "commands: guilds, channels, invites, logins, password, colours, sign out"),
            ("F2", "the next channel with something new"),
            ("F3", "the connection: its state, numbers and changes"),
            ("F4, F7", "the channels, the people; from there, back"),
            ("F5", "connect now"),
            ("F6, Ctrl-W", "next panel, close the panel"),
            ("Tab, Shift-Tab", "the next part of the screen, the one before"),
            ("Ctrl-Q", "quit"),
        ),
    ),
    (
        "Channels and people",
        (
            ("Enter, Space", "open; open a channel beside what is open"),
            ("Enter", "on a person: a conversation"),
        ),
    ),
    (
        "Writing",
        (
            ("Enter, Ctrl-J", "send; new line"),
            ("Tab", "complete the name behind an @"),
            ("Escape", "leave a reply or an edit; then: dismiss error messages"),
            ("Ctrl-A, Ctrl-E", "to the beginning, the end of the line"),
            ("Ctrl-B, Ctrl-F", "a character back, forward; Alt-B, Alt-F: a word"),
            ("Ctrl-W, Alt-D", "cut the word before, behind the cursor"),
            ("Ctrl-U, Alt-K", "cut to the beginning, the end of the line"),
            ("Ctrl-Y", "put back what was cut"),
            ("Ctrl-D, Ctrl-Z", "delete a character; undo"),
        ),
    ),
    (
        "Messages",
        (
            ("↑ ↓, Page Up", "back and forward; at the top older ones are loaded"),
            ("End", "to the newest message, however far back it is"),
            ("Enter", "on a reply: to the message that it replies to"),
            ("r, e, d", "reply, edit, delete"),
            ("+", "react, or take it back"),
            ("s", "show what is covered"),
            ("t, x", "one that was not sent: try again, discard"),
        ),
    ),
)
"""The keys by place: each with what it does."""


class HelpScreen(ModalScreen[None]):
    """Lists all keys."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,f1,question_mark,enter,q", "dismiss(None)", "Back")]

    def compose(self) -> ComposeResult:
        """Compose a scrollable text."""
        with Vertical(classes="timeline"):
            yield Static("Keys", markup=False, classes="asked")
            with VerticalScroll():
                yield Static(_table(), markup=False)
            yield Static("Escape: back", markup=False, classes="hint")


def _table() -> Content:
    width = max(cell_len(keys) for _, entries in KEYS for keys, _ in entries)
    lines: list[Content] = []
    for title, entries in KEYS:
        lines += [Content("")] if lines else []
        lines.append(Content.styled(title, "bold $text-accent"))
        for keys, text in entries:
            lines.append(Content.assemble((keys + " " * (width - cell_len(keys)), "bold"), f"  {text}"))
    return Content("\n").join(lines)
