"""Where a message is written."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import TextArea


class Composer(TextArea):
    """A few lines; Enter sends them, Ctrl-J begins a new one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "Send", priority=True),
        Binding("ctrl+j", "newline", "New line", show=False, priority=True),
    ]

    class Submitted(Message):
        """Enter was pressed."""

        def __init__(self, composer: Composer, text: str) -> None:
            super().__init__()
            self.composer = composer
            self.text = text

    def __init__(self) -> None:
        super().__init__(compact=True, soft_wrap=True, placeholder="Message …", highlight_cursor_line=False)

    def action_submit(self) -> None:
        """Hand over what was written; whoever takes it clears it."""
        text = self.text.strip("\n")
        if text.strip():
            self.post_message(self.Submitted(self, text))

    def action_newline(self) -> None:
        """Begin a new line."""
        self.insert("\n")

    def write(self, text: str) -> None:
        """Replace what is written, with the cursor at its end."""
        self.load_text(text)
        self.move_cursor(self.document.end)
