"""All keys, on one screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

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
            ("Ctrl-P", "commands: servers, channels, invites, logins, password, colours, sign out"),
            ("F2", "the next channel with something new"),
            ("F3", "the connection: its state, numbers and changes"),
            ("F4, F7", "the channels, the people; from there, back"),
            ("F5", "connect now"),
            ("F6, F8", "next panel, close the panel"),
            ("Ctrl-W", "close the panel, if nothing is written in it"),
            ("Tab, Shift-Tab", "the next part of the screen, the one before"),
            ("Ctrl-Q", "quit; Ctrl-Z, where nothing is written in: suspend, fg comes back"),
        ),
    ),
    (
        "Channels and people",
        (
            ("Enter, Space", "open; open a channel beside what is open"),
            ("Enter", "on a person: a conversation"),
            ("m", "on a person: block, remove, ban, as far as you may"),
        ),
    ),
    (
        "Writing",
        (
            ("Enter, Ctrl-J", "send; new line"),
            ("Shift-Tab", "to the messages, the newest first; Tab: back"),
            ("↑", "where nothing is written: edit your last message"),
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
            ("m", "report it; block, remove or ban its author, as far as you may"),
            ("s", "show what is covered"),
            ("Space, Shift-↑ ↓", "select"),
            ("y", "copy what is selected, or this message"),
            ("t, x", "one that was not sent: try again, discard"),
        ),
    ),
)
"""The keys by place: each with what it does."""


_DEFAULTS: Final = {
    "Everywhere": {
        "help": "F1, ?",
        "jump": "Ctrl-K",
        "search": "Ctrl-R, /",
        "next-unread": "F2",
        "connection": "F3",
        "channels": "F4",
        "people": "F7",
        "connect": "F5",
        "next-panel": "F6",
        "close-panel": "F8",
        "quit": "Ctrl-Q",
    },
    "Channels and people": {"more": "m"},
    "Messages": {
        "reply": "r",
        "edit": "e",
        "delete": "d",
        "react": "+",
        "more": "m",
        "retry": "t",
        "discard": "x",
        "reveal": "s",
        "select": "Space",
        "copy": "y",
    },
}
"""The keys, in the table above, of the actions whose keys can be chosen, by their names in the configuration."""


class HelpScreen(ModalScreen[None]):
    """Lists all keys; `chosen`: those of the configuration, by action."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,f1,question_mark,enter,q", "dismiss(None)", "Back")]

    def __init__(self, chosen: Mapping[str, str]) -> None:
        super().__init__()
        self._chosen = chosen

    def compose(self) -> ComposeResult:
        """Compose a scrollable text."""
        with Vertical(classes="timeline"):
            yield Static("Keys", markup=False, classes="asked")
            with VerticalScroll():
                yield Static(_table(self._chosen), markup=False)
            yield Static("Escape: back", markup=False, classes="hint")


def _table(chosen: Mapping[str, str]) -> Content:
    sections = [
        (title, [(_shown(keys, _DEFAULTS.get(title, {}), chosen), text) for keys, text in entries])
        for title, entries in KEYS
    ]
    width = max(Content(keys).cell_length for _, entries in sections for keys, _ in entries)
    lines: list[Content] = []
    for title, entries in sections:
        lines += [Content("")] if lines else []
        lines.append(Content.styled(title, "bold $text-accent"))
        for keys, text in entries:
            lines.append(Content.assemble((keys + " " * (width - Content(keys).cell_length), "bold"), f"  {text}"))
    return Content("\n").join(lines)


def _shown(keys: str, defaults: Mapping[str, str], chosen: Mapping[str, str]) -> str:
    """The keys of one line, with those that the configuration puts in their places."""
    parts = keys.split(", ")
    for name, default in defaults.items():
        own = default.split(", ")
        if name in chosen and own[0] in parts:
            at = parts.index(own[0])
            parts[at : at + len(own)] = [_name(key) for key in chosen[name].split(",")]
    return ", ".join(parts)


def _name(key: str) -> str:
    """A key's name as people write it: ``Ctrl-G`` for ``ctrl+g``."""
    return "-".join(part if len(part) == 1 and "+" not in key else part.capitalize() for part in key.split("+"))
