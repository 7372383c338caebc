"""A modal dialog with a line to type in and the entries that fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

T = TypeVar("T")


class PickerScreen(ModalScreen[T | None], Generic[T]):
    """Asks for one of several entries; the keys that move the choice work while one types."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel"),
        Binding("up", "move('cursor_up')", "Up", show=False),
        Binding("down", "move('cursor_down')", "Down", show=False),
        Binding("pageup", "move('page_up')", "Page up", show=False),
        Binding("pagedown", "move('page_down')", "Page down", show=False),
    ]

    def __init__(self, question: str, hint: str) -> None:
        super().__init__()
        self._question = question
        self._hint = hint
        self._entries: list[T] = []

    def compose(self) -> ComposeResult:
        """Compose the question, the line, the entries and the hint."""
        with Vertical(classes="timeline picker"):
            yield Static(self._question, markup=False, classes="asked")
            yield Input(max_length=200)
            yield OptionList(markup=False, compact=True)
            yield Static(self._hint, markup=False, classes="hint")

    def on_mount(self) -> None:
        """Keep the focus in the line."""
        self.options.can_focus = False
        self.query_one(Input).focus()

    @property
    def options(self) -> OptionList:
        """The list of the entries."""
        return self.query_one(OptionList)

    def show_entries(self, entries: Sequence[tuple[T, Content]], *, keep: bool = False) -> None:
        """Show these entries, the first one chosen; `keep`: behind those that are there."""
        options = self.options
        if not keep:
            options.clear_options()
            self._entries.clear()
        self._entries += [entry for entry, _ in entries]
        options.add_options(Option(text) for _, text in entries)
        if options.highlighted is None and self._entries:
            options.highlighted = 0

    def show_hint(self, text: str) -> None:
        """Replace the hint."""
        self.query_one(".hint", Static).update(Content(text))

    def action_move(self, how: str) -> None:
        """Move the choice."""
        getattr(self.options, f"action_{how}")()

    @on(OptionList.OptionSelected)
    def clicked(self, event: OptionList.OptionSelected) -> None:
        """Choose the clicked entry."""
        event.stop()
        self.choose(self._entries[event.option_index])

    @on(Input.Submitted)
    def submitted(self, event: Input.Submitted) -> None:
        """Handle Enter."""
        event.stop()
        self.enter(event.value)

    def enter(self, text: str) -> None:
        """Choose the highlighted entry; `text` is what was typed."""
        del text
        number = self.options.highlighted
        if number is not None:
            self.choose(self._entries[number])

    def choose(self, entry: T) -> None:
        """Close the dialog with this entry."""
        self.dismiss(entry)
