"""A modal dialog with a few actions to choose from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option


class MenuScreen(ModalScreen[str | None]):
    """Asks for one of several actions, given by name with their texts; the answer is the name, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Back")]

    def __init__(self, title: str, actions: Mapping[str, str]) -> None:
        super().__init__()
        self._title = title
        self._actions = actions

    def compose(self) -> ComposeResult:
        """Compose the title, the actions and the keys."""
        with Vertical(classes="question menu"):
            yield Static(self._title, markup=False, classes="asked")
            options = (Option(Content(text), id=name) for name, text in self._actions.items())
            yield OptionList(*options, markup=False, compact=True)
            yield Static("Enter does it, Escape: back", markup=False, classes="hint")

    def on_mount(self) -> None:
        """Go to the first action."""
        self.query_one(OptionList).focus()
        self.query_one(OptionList).highlighted = 0

    @on(OptionList.OptionSelected)
    def chosen(self, event: OptionList.OptionSelected) -> None:
        """Close the dialog with the action."""
        event.stop()
        self.dismiss(event.option_id)
