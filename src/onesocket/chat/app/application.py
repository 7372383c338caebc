"""The application: who is signed in, the toasts, and the end in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Final

from textual import on, work
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from ... import NoticeLevel, Notices, OnesocketError
from .credentials import Credentials, forget, load, save
from .screens.chat import ChatScreen
from .screens.questions import Confirm
from .screens.sign_in import SignInScreen
from .session import DEFAULT_SERVER, Server, Session, SessionOptions, sign_in
from .toasts import Toasts

_SIGN_IN: Final = "sign-in"


class ChatApp(App[None]):
    """The chat.

    Parameters:
        server: What the form begins with: ``host:port``, or a URL.
        user: The same for the name.
        remember: The file in which the token is kept for the next time; None: it stays in memory.
        handle_signals: Whether SIGINT and SIGTERM end it in order. It closes the line within `close_timeout`.
    """

    TITLE = "onesocket chat"
    CSS_PATH = "chat.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+q", "quit", "Quit", priority=True)]

    def __init__(
        self,
        server: str = DEFAULT_SERVER,
        user: str = "",
        *,
        remember: Path | None = None,
        options: SessionOptions | None = None,
        handle_signals: bool = False,
    ) -> None:
        super().__init__()
        self._server = server
        self._user = user
        self._remember = remember
        self._options = options or SessionOptions()
        self._handle_signals = handle_signals
        self.session: Session | None = None
        self.toasts = Toasts(self)
        self.notices = Notices(self.toasts)

    async def on_mount(self) -> None:
        """Begin with the form, or with who was signed in the last time."""
        if self._handle_signals:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self.call_later, self._leave)
        await self.push_screen(SignInScreen(self._server, self._user))
        if self._remember is not None:
            self._come_back(self._remember)

    async def on_unmount(self) -> None:
        """However it ends: the line is closed in order."""
        if self.session is not None:
            await self.session.aclose()

    # --- coming -----------------------------------------------------------------------------------------------------

    @on(SignInScreen.Wanted)
    def wanted(self, event: SignInScreen.Wanted) -> None:
        """Somebody filled in the form."""
        self._sign_in(event)

    @work(exclusive=True, group=_SIGN_IN)
    async def _sign_in(self, wanted: SignInScreen.Wanted) -> None:
        form = self.screen if isinstance(self.screen, SignInScreen) else None
        if form is None:
            return
        form.show_busy(busy=True)
        try:
            server = Server.parse(wanted.server)
            token = await sign_in(
                server,
                wanted.name,
                wanted.password,
                register=wanted.register,
                timeout=self._options.request_timeout,
            )
            if self._remember is not None:
                save(Credentials(server.api_url, wanted.name, token), self._remember)
        except OnesocketError as error:
            self._failed(str(error))
        except OSError as error:
            self._failed(f"the token can't be kept in {self._remember}: {error.strerror}")
        else:
            self._user = wanted.name
            await self._begin(server, token)
        finally:
            form.show_busy(busy=False)

    @work(exclusive=True, group=_SIGN_IN)
    async def _come_back(self, place: Path) -> None:
        try:
            kept = load(place)
            if kept is not None:
                self._user = kept.user
                await self._begin(Server.parse(kept.api_url), kept.token)
        except OnesocketError as error:
            self._failed(str(error))

    async def _begin(self, server: Server, token: str) -> None:
        # Known from here on: whoever ends the application ends it too.
        self.session = session = Session(server, token, self.notices, self._options)
        try:
            await session.join()
        except OnesocketError as error:  # the provider said it on the board
            if not error.retryable:  # and the form is still there
                self.session = None
                await session.aclose()  # which takes back what it said
                if self._remember is not None:
                    forget(self._remember)
                self._failed(str(error))
                return
        self.notices.withdraw("sign-in-failed")
        await self.push_screen(ChatScreen(session))

    def _failed(self, text: str) -> None:
        self.notices.post("sign-in-failed", NoticeLevel.ERROR, "Sign-in Failed", text)

    # --- going ------------------------------------------------------------------------------------------------------

    @work(exclusive=True, group=_SIGN_IN)
    async def sign_out(self) -> None:
        """Back to the form; the token is void then."""
        session, self.session = self.session, None
        if session is None:
            return
        if self._remember is not None:
            forget(self._remember)
        await session.sign_out()
        await session.aclose()
        self.notices.clear()
        while not isinstance(self.screen, SignInScreen):
            await self.pop_screen()

    async def action_quit(self) -> None:
        """End, unless something was not sent and somebody wants to wait for it."""
        self._ask_and_leave()

    @work(exclusive=True, group="leaving")
    async def _ask_and_leave(self) -> None:
        unsent = len(self.session.store.world.outbox) if self.session is not None else 0
        if unsent and not isinstance(self.screen, Confirm):
            what = "One message was" if unsent == 1 else f"{unsent} messages were"
            if not await self.push_screen_wait(Confirm(f"{what} not sent. Quit all the same?")):
                return
        self._leave()

    @work(exclusive=True, group="leaving")
    async def _leave(self) -> None:
        if self.session is not None:
            await self.session.aclose()
        self.exit()

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """What the command palette offers."""
        if isinstance(screen, ChatScreen):
            yield SystemCommand("New guild", "Make a guild, with one channel", screen.create_guild)
            yield SystemCommand("New channel", "In the guild of the active panel", screen.create_channel)
            yield SystemCommand("Invite", "Make a code by which others enter this guild", screen.create_invite)
            yield SystemCommand("Enter a guild", "By the code of an invite", screen.accept_invite)
            yield SystemCommand("Timeline", "What became of the connection", screen.action_timeline)
            yield SystemCommand("Sign out", "Close the line and make the token void", self.sign_out)
        yield SystemCommand("Theme", "Other colours", self.action_change_theme)
        yield SystemCommand("Quit", "End in order", self.action_quit)
