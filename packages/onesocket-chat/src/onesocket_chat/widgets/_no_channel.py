"""The sentence in place of the messages while no channel is open."""

from __future__ import annotations

from typing import Final

from textual.content import Content
from textual.widgets import Static

from ..model._chat_state import ChatState

_NO_SERVER: Final = Content.assemble(
    ("You are in no server yet", "bold"),
    "\n\nCtrl-P, Use an invite: enter one, with what\nsomebody gave you"
    "\nCtrl-P, New server: make one"
    "\nCtrl-K: write to somebody whom you know",
)
_NO_CHANNEL: Final = Content.assemble(
    ("No channel is open", "bold"), "\n\nCtrl-K: go to a channel or a person\nF4, Enter: open one of the list"
)


class NoChannel(Static):
    """Says in a sentence why there are no messages, and which keys lead to some."""

    def __init__(self) -> None:
        super().__init__(markup=False, id="no-channel")
        self.display = False

    def show(self, state: ChatState, *, is_needed: bool) -> None:
        """Show what is true of this state; `is_needed`: neither a channel nor the list takes the place."""
        self.display = is_needed
        if not is_needed:
            return
        if state.me is None or state.awaited:
            self.update("Loading …")
        else:
            self.update(_NO_CHANNEL if state.guilds else _NO_SERVER)
