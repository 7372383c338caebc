"""The text area for a message."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar, Final

from textual.binding import Binding, BindingType
from textual.events import Key
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widgets import TextArea

from ..model._mentions import MentionCompletion
from ._readline import Readline

_PLACEHOLDER: Final = "Message …"
_ACTIONS: Final = {
    "help": "help",
    "jump": "jump",
    "search": "search",
    "next-unread": "next_unread",
    "connection": "timeline",
    "channels": "channels",
    "people": "people",
    "connect": "connect",
    "next-panel": "next_panel",
    "close-panel": "close_panel",
}
"""Actions of the screen by their names in the configuration."""
_NO_TEXT: Final = re.compile(
    r"(?:shift\+)?(?:(?:ctrl|alt|meta|super)\+.+|f\d+|insert|page(?:up|down))"
    r"|shift\+(?:up|down|left|right|home|end|tab|enter|escape|backspace|delete)"
)
"""Keys that write nothing, and without which one can write: chosen ones go before what they do in the field."""


class Composer(TextArea):
    """A text area of a few lines; Enter sends them, Ctrl-J begins a new one.

    Both are handled with the other keys of this widget, one after the other in the order in which they were typed. A
    binding is handled by the application, which would be before or after the keys around it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "Send"),
        Binding("ctrl+j", "newline", "New line", show=False),
        # Textual's own would select everything, and the next key would replace it.
        Binding("f6", "screen.next_panel", show=False, id="next-panel"),
        Binding("f7", "screen.people", show=False, id="people"),
        Binding("ctrl+k", "screen.jump", "Go to", id="jump"),
        Binding("ctrl+w", "screen.close_panel", show=False, id="close-panel"),
    ]

    class Submitted(Message):
        """Enter was pressed. The text is the receiver's: the composer is empty, and may be written in already."""

        def __init__(self, composer: Composer, text: str) -> None:
            super().__init__()
            self.composer = composer
            self.text = text

    class LastWanted(Message):
        """Up was pressed where nothing is written: one's last message is to be edited."""

    def __init__(self, names: Callable[[], Iterable[str]] = tuple, keys: Mapping[str, str] | None = None) -> None:
        """`names`: returns the names that Tab completes behind an @; `keys`: those of the configuration, by action."""
        self._names = names
        self._chosen = _actions_of(keys or {})
        self._completion = MentionCompletion()
        self._readline = Readline(self)
        super().__init__(compact=True, soft_wrap=True, placeholder=_PLACEHOLDER, highlight_cursor_line=False)

    def on_key(self, event: Key) -> None:
        """Send, or begin a new line, before the next key is looked at."""
        if event.key in self._chosen:  # else Readline or Textual would take some of them
            self.screen.call_later(self.screen.run_action, self._chosen[event.key])
        elif event.key == "enter":
            self.action_submit()
        elif event.key == "ctrl+j":
            self.action_newline()
        elif event.key == "up" and not self.text:
            self.post_message(self.LastWanted())
        elif not ((event.key == "tab" and self._complete()) or self._readline.handle(event.key)):
            return
        event.stop()
        event.prevent_default()

    def action_submit(self) -> None:
        """Submit the text."""
        text = self.text.strip("\n")
        if text.strip():
            self.write("")
            self.post_message(self.Submitted(self, text))

    def action_newline(self) -> None:
        """Begin a new line."""
        self.insert("\n")

    def _complete(self) -> bool:
        """Complete the name behind an @; returns False if there is none."""
        row, column = self.cursor_location
        found = self._completion.complete(self.document.get_line(row)[:column], self._names())
        if found is not None:
            length, name = found
            self.replace(name, (row, column - length), (row, column), maintain_selection_offset=False)
        return found is not None

    def write(self, text: str) -> None:
        """Replace the text, with the cursor at its end."""
        self.load_text(text)
        self.move_cursor(self.document.end)

    def give_back(self, text: str) -> None:
        """Put a refused text back, before the text written since."""
        self.write("\n".join(filter(None, (text, self.text))))

    def render_line(self, y: int) -> Strip:
        """Draw a line; Textual's placeholder can't be wrapped where there is no column for it."""
        return super().render_line(y) if self.content_size.width > 0 else Strip.blank(0)

    def render_lines(self, crop: Region) -> list[Strip]:
        """Draw lines; Textual may refresh a screen once more before it has left out a widget that is removed."""
        return super().render_lines(crop) if self.is_attached else [Strip.blank(crop.width)] * crop.height


def _actions_of(keys: Mapping[str, str]) -> dict[str, str]:
    """The actions of the screen by the keys that were chosen for them."""
    chosen = ((key, action) for name, action in _ACTIONS.items() for key in keys.get(name, "").split(","))
    return {key: action for key, action in chosen if _NO_TEXT.fullmatch(key)}
