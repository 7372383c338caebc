"""The form to sign in with: server, name and password."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Button, Footer, Input, Static


class SignInScreen(Screen[None]):
    """A form with server, name and password."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f2", "go(True)", "Register"),
        Binding("f3", "go(False)", "Sign in"),
        Binding("escape", "app.dismiss_failure", "Dismiss", show=False),
    ]

    class SignInRequested(Message):
        """The sign-in form was submitted."""

        def __init__(self, server: str, name: str, password: str, *, register: bool, invite: str = "") -> None:
            super().__init__()
            self.server = server
            self.name = name
            self.password = password
            self.register = register
            self.invite = invite

    def __init__(self, server: str, user: str) -> None:
        super().__init__()
        self._server = server
        self._user = user

    def compose(self) -> ComposeResult:
        """Compose the form."""
        with Vertical(id="sign-in"):
            yield Static("onesocket chat", classes="asked")
            yield Static("Server", classes="label")
            yield Input(self._server, id="server", max_length=300)
            yield Static("Name", classes="label")
            yield Input(self._user, id="name", max_length=64)
            yield Static("Password", classes="label")
            yield Input(id="password", password=True, max_length=256)
            with Vertical(id="invited"):
                yield Static("Invite", classes="label")
                yield Input(id="invite", max_length=200)
            with Horizontal(id="buttons"):
                yield Button("Sign in", id="go", variant="primary")
                yield Button("Register", id="register")
        yield Footer()

    def on_mount(self) -> None:
        """Focus the first empty field."""
        self.query_one("#invited").display = False
        self.query_one("#password" if self._user else "#name", Input).focus()

    def begin_again(self, server: str, user: str) -> None:
        """Show the form after the end of a login of `user`."""
        self._server = server
        self.query_one("#server", Input).value = server
        self.query_one("#name", Input).value = user
        self.forget_password()
        self.query_one("#password", Input).focus()

    def forget_password(self) -> None:
        """Clear the password field."""
        self.query_one("#password", Input).value = ""

    def ask_for_invite(self) -> None:
        """Show the field for an invite, which most servers don't ask for."""
        self.query_one("#invited").display = True
        self.query_one("#invite", Input).focus()

    def show_busy(self, *, busy: bool) -> None:
        """Disable the buttons during a request."""
        for button in self.query(Button):
            button.disabled = busy

    @on(Input.Submitted)
    def submitted(self, event: Input.Submitted) -> None:
        """Go to the next field; from the last one, sign in."""
        event.stop()
        if event.input.id == "password":
            self.action_go(register=False)
        elif event.input.id == "invite":
            self.action_go(register=True)
        else:
            self.focus_next(Input)

    @on(Button.Pressed)
    def pressed(self, event: Button.Pressed) -> None:
        """Register or sign in, by the button."""
        event.stop()
        self.action_go(register=event.button.id == "register")

    def action_go(self, register: bool) -> None:  # noqa: FBT001 - from a key binding
        """Post `SignInRequested` with the fields' values."""
        fields = ("server", "name", "password", "invite")
        server, name, password, invite = (self.query_one(f"#{one}", Input).value for one in fields)
        wanted = self.SignInRequested(server, name.strip(), password, register=register, invite=invite.strip())
        self.post_message(wanted)
