"""Short questions on top of everything else."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.dom import DOMNode
from textual.screen import ModalScreen
from textual.widgets import Input, Static

T = TypeVar("T")


def app_of(node: DOMNode) -> App[Any]:
    """The application that a widget or screen is in; Textual leaves open of what type its result is."""
    return node.app  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


async def ask_dialog(node: DOMNode, question: ModalScreen[T]) -> T | None:
    """Ask, and wait for the answer; for workers."""
    answer: T | None = await app_of(node).push_screen_wait(question)
    return answer


class PromptDialog(ModalScreen[str | None]):
    """One line of text; None if it was cancelled or left empty."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel")]

    def __init__(self, question: str, *, hint: str = "", value: str = "") -> None:
        super().__init__()
        self._question = question
        self._hint = hint
        self._value = value

    def compose(self) -> ComposeResult:
        """The question, a line, the hint."""
        with Vertical(classes="question"):
            yield Static(self._question, markup=False, classes="asked")
            yield Input(self._value, max_length=200)
            yield Static(self._hint, markup=False, classes="hint")

    @on(Input.Submitted)
    def answered(self, event: Input.Submitted) -> None:
        """Hand it over."""
        event.stop()
        self.dismiss(event.value.strip() or None)


class ConfirmDialog(ModalScreen[bool]):
    """Yes or no."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "dismiss(True)", "Yes"),
        Binding("n,escape", "dismiss(False)", "No"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """The question and its keys."""
        with Vertical(classes="question"):
            yield Static(self._question, markup=False, classes="asked")
            yield Static("y: yes    n: no", markup=False, classes="hint")
