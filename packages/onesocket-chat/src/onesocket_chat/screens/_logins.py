"""The list of the account's logins, and the commands that end them."""

from __future__ import annotations

from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from onesocket_discord.rest import Login

from ..model._safe_text import one_line
from ..session._session import ChatSession
from ..widgets._rows import format_time
from ._dialogs import ConfirmDialog, ask_dialog

_HINT = "x: end it    a: sign out everywhere    r: again    Escape: back"


class LoginsScreen(ModalScreen[None]):
    """Shows one row for each login, the last used first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Back"),
        Binding("x,delete", "end", "End"),
        Binding("a", "everywhere", "Sign out everywhere"),
        Binding("r", "load", "Again"),
    ]

    class SignOut(Message):
        """The login in use is to be ended; `everywhere`: all others, too."""

        def __init__(self, *, everywhere: bool) -> None:
            super().__init__()
            self.everywhere = everywhere

    def __init__(self, session: ChatSession) -> None:
        super().__init__()
        self._session = session
        self._logins: list[Login] = []

    def compose(self) -> ComposeResult:
        """Compose title, list and keys."""
        with Vertical(classes="timeline"):
            yield Static("Where you are signed in", markup=False, classes="asked")
            yield OptionList(markup=False, id="logins")
            yield Static("asking the server …", markup=False, classes="hint")

    def on_mount(self) -> None:
        """Load the logins."""
        self.query_one(OptionList).focus()
        self.action_load()

    @work(exclusive=True)
    async def action_load(self) -> None:
        """Load the logins again."""
        await self._show()

    def action_end(self) -> None:
        """End the highlighted login."""
        place = self.query_one(OptionList).highlighted
        if place is not None and place < len(self._logins):
            self._end(self._logins[place])

    @work(exclusive=True)
    async def action_everywhere(self) -> None:
        """End all logins."""
        if await ask_dialog(
            self, ConfirmDialog("Sign out everywhere, here too? What you wrote and did not send is kept.")
        ):
            self.post_message(self.SignOut(everywhere=True))

    @on(OptionList.OptionSelected)
    def selected(self, event: OptionList.OptionSelected) -> None:
        """Ignore Enter, which is too easily pressed for ending a login."""
        event.stop()

    @work(exclusive=True)
    async def _end(self, login: Login) -> None:
        if login.current:
            if await ask_dialog(self, ConfirmDialog("This is the login that you use here. Sign out?")):
                self.post_message(self.SignOut(everywhere=False))
            return
        dialog = ConfirmDialog(f"End the login of {_client_name(login)}, last used {_last_used(login)}?")
        if await ask_dialog(self, dialog) and await self._session.account.end_login(login):
            await self._show()

    async def _show(self) -> None:
        found = await self._session.account.logins()
        if found is not None:
            self._logins = found
            rows = self.query_one(OptionList)
            place = rows.highlighted or 0
            rows.set_options(Option(_row(login)) for login in found)
            rows.highlighted = min(place, len(found) - 1) if found else None
        self.query_one(".hint", Static).update(_HINT)


def _client_name(login: Login) -> str:
    return one_line(login.client or "", 80) or "an unnamed program"


def _last_used(login: Login) -> str:
    return format_time(login.last_used_at.isoformat())


def _row(login: Login) -> Content:
    used = ("this one, in use", "$text-success") if login.current else (f"last used {_last_used(login)}", "")
    since = (f"  signed in {format_time(login.created_at.isoformat())}", "dim")
    return Content.assemble((_client_name(login), "bold"), "\n", used, since)
