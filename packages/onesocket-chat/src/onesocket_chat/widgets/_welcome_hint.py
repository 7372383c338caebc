"""The hint of the first run."""

from __future__ import annotations

from textual.content import Content
from textual.message import Message
from textual.widgets import Static


class WelcomeHint(Static):
    """Names the keys that a newcomer needs, until the first message or Escape."""

    class Read(Message):
        """The user knows how it works: the hint is not needed any more."""

    def __init__(self) -> None:
        text = "Enter sends.  Shift-Tab messages  F1 all keys  Ctrl-K go anywhere  Escape hides this"
        super().__init__(Content.assemble(("New here?  ", "bold $text-accent"), text), markup=False, id="welcome")
