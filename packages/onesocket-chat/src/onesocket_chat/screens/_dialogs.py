"""Modal dialogs: a prompt and a confirmation."""

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
    """The application of a widget or screen; Textual leaves the type of its result open."""
    return node.app  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


async def ask_dialog(node: DOMNode, dialog: ModalScreen[T]) -> T | None:
    """Show a dialog and return its answer; for workers."""
    answer: T | None = await app_of(node).push_screen_wait(dialog)
    return answer


class PromptDialog(ModalScreen[str | None]):
    """Asks for one line of text; the answer is None if the dialog was cancelled or left empty."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel")]

    def __init__(self, question: str, *, hint: str = "", value: str = "", most: int = 200) -> None:
        """`most`: characters of the answer."""
        super().__init__()
        self._question = question
        self._hint = hint
        self._value = value
        self._most = most

    def compose(self) -> ComposeResult:
        """Compose the question, the input and the hint."""
        with Vertical(classes="question"):
            yield Static(self._question, markup=False, classes="asked")
            yield Input(self._value, max_length=self._most)
            yield Static(self._hint, markup=False, classes="hint")

    @on(Input.Submitted)
    def answered(self, event: Input.Submitted) -> None:
        """Close the dialog with the text."""
        event.stop()
        self.dismiss(event.value.strip() or None)


class ConfirmDialog(ModalScreen[bool]):
    """Asks a question that is answered by yes or no."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "dismiss(True)", "Yes"),
        Binding("n,escape", "dismiss(False)", "No"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """Compose the question and its keys."""
        with Vertical(classes="question"):
            yield Static(self._question, markup=False, classes="asked")
            yield Static("y: yes    n: no", markup=False, classes="hint")
