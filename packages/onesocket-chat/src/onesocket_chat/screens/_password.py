"""The form to change the account's password."""

from __future__ import annotations

from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from onesocket.errors import UsageError

from ..session._session import ChatSession

_MIN_PASSWORD_LENGTH: Final = 8
"""Characters of a password."""
_FIELDS: Final = {"old": "Old password", "new": "New password", "again": "New password, again"}
_HINT: Final = "Enter: go on    Escape: back"


class PasswordScreen(ModalScreen[None]):
    """A form with the old password and the new one, twice; open until the change succeeded, or until Escape."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "back", "Back")]

    class PasswordChangeRequested(Message):
        """The password is to be changed."""

        def __init__(self, old: str, new: str) -> None:
            super().__init__()
            self.old = old
            self.new = new

    def __init__(self, session: ChatSession) -> None:
        super().__init__()
        self._session = session
        self._is_busy = False

    def compose(self) -> ComposeResult:
        """Compose the form."""
        with Vertical(classes="question form"):
            yield Static("Change the password", markup=False, classes="asked")
            for name, label in _FIELDS.items():
                yield Static(label, markup=False, classes="label")
                yield Input(id=name, password=True, max_length=256)
            yield Static(_HINT, markup=False, classes="hint")

    def on_mount(self) -> None:
        """Focus the old password."""
        self.query_one("#old", Input).focus()

    def show_busy(self, *, busy: bool) -> None:
        """Ignore keys during a request; after a refusal, begin with the old password again."""
        self._is_busy = busy
        self.query_one(".hint", Static).update("asking the server …" if busy else _HINT)
        if not busy:
            self._again("old")

    def action_back(self) -> None:
        """Close the form without a change."""
        if not self._is_busy:
            self._session.request_errors.succeeded("password")
            self.dismiss(None)

    @on(Input.Changed)
    def changed(self) -> None:
        """Withdraw the notice about the last attempt: its cause is being corrected."""
        self._session.request_errors.succeeded("password")

    @on(Input.Submitted)
    def submitted(self, event: Input.Submitted) -> None:
        """Go to the next field; from the last one, request the change."""
        event.stop()
        if self._is_busy:
            return
        if event.input.id != "again":
            self.focus_next(Input)
            return
        old, new, again = (self.query_one(f"#{name}", Input).value for name in _FIELDS)
        if len(new) < _MIN_PASSWORD_LENGTH:
            self._refuse(f"the new password needs at least {_MIN_PASSWORD_LENGTH} characters", "new", "again")
        elif new != again:
            self._refuse("the new password is not the same both times", "again")
        elif not old:
            self._refuse("the old password is missing", "old")
        else:
            self.show_busy(busy=True)
            self.post_message(self.PasswordChangeRequested(old, new))

    def _refuse(self, text: str, *fields: str) -> None:
        self._session.request_errors.failed("password", UsageError(text))
        self._again(*fields)

    def _again(self, *fields: str) -> None:
        with self.prevent(Input.Changed):
            for name in fields:
                self.query_one(f"#{name}", Input).value = ""
        self.query_one(f"#{fields[0]}", Input).focus()
