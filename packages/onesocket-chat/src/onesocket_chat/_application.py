"""The chat application: signing in and out, toasts, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from textual import events, on, work
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.theme import Theme
from textual.timer import Timer

from onesocket import OnesocketError
from onesocket.notices import NoticeLevel, Notices

from . import _private_file as private_file
from ._attention import Attention
from ._chat_config import ChatConfig, InvalidConfig
from ._credentials import Credentials, forget, load, save, state_directory
from ._input_order import InputOrder, InputSettled
from ._notice_expiry import NoticeExpiry
from ._toast_sink import ToastSink
from .screens._chat import ChatScreen
from .screens._dialogs import ConfirmDialog
from .screens._logins import LoginsScreen
from .screens._password import PasswordScreen
from .screens._sign_in import SignInScreen
from .session import DEFAULT_SERVER, ChatSession, DraftFiles, ServerAddress, SessionOptions, sign_in
from .session._sign_in_errors import needs_invite, sign_in_error_text
from .widgets._welcome_hint import WelcomeHint

_SIGN_IN_GROUP: Final = "sign-in"
_TERMINAL_CHECK_SECONDS: Final = 1.0
_ENDING_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()))


class ChatApp(App[None]):
    """The chat.

    Parameters:
        server: The server: ``host:port``, or a URL; a saved token of another one is not used. None: that of the saved
            token, else the default one.
        user: The name that the form proposes.
        remember: The file in which the token is saved for the next run; None: it stays in memory.
        drafts: The directory in which unsent texts are saved; None: below ``$XDG_STATE_HOME``.
        config: The theme and the keys; a theme that is chosen later is written to its file. An unknown theme raises
            `InvalidConfig`.
        handle_signals: True lets SIGINT, SIGTERM and SIGHUP end it in order, closing the connection within
            `close_timeout`.
    """

    TITLE = "onesocket chat"
    CSS_PATH = "chat.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "quit", "Quit", priority=True, id="quit"),
        Binding("ctrl+z", "suspend_process", "Suspend", show=False),
    ]

    def __init__(
        self,
        server: str | None = None,
        user: str = "",
        *,
        remember: Path | None = None,
        drafts: Path | None = None,
        options: SessionOptions | None = None,
        config: ChatConfig | None = None,
        handle_signals: bool = False,
    ) -> None:
        super().__init__()
        self.HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]
        self.VERTICAL_BREAKPOINTS = [(0, "-low"), (24, "-high")]
        self._server = server
        self._user = user
        self._remember = remember
        self._draft_files = DraftFiles(drafts or state_directory() / "drafts")
        self._options = options or SessionOptions()
        self._handle_signals = handle_signals
        self._terminal_check: Timer | None = None
        self._config = config or ChatConfig()
        if self._config.theme not in {"", *self.available_themes}:
            known = ", ".join(sorted(self.available_themes))
            raise InvalidConfig(f"{self._config.path}: no theme is called {self._config.theme!r}; there are {known}")
        self.theme = self._config.theme or self.theme
        self.set_keymap(self._config.keys)
        self._welcomed = state_directory() / "chat-welcomed"
        self.session: ChatSession | None = None
        self.toasts = ToastSink(self)
        self.notices = Notices(self.toasts)
        self.notices.add(NoticeExpiry(self, self.notices))
        self.input_order = InputOrder(self, super().on_event)
        self._attention = Attention(self, self._config, self._write_to_terminal)

    async def on_event(self, event: events.Event) -> None:
        """Queue input in its order; handle everything else at once."""
        if InputOrder.concerns(event):
            await self.input_order.take(event)
        elif isinstance(event, InputSettled):
            await self.input_order.settled(event)
        else:
            await super().on_event(event)

    async def on_mount(self) -> None:
        """Show the form, or restore the last sign-in."""
        self.theme_changed_signal.subscribe(self, self._theme_changed)
        self._attention.open()
        # At once, as the process stops before its next message. Textual leaves the type of these signals open.
        signals: Any = (self.app_suspend_signal, self.app_resume_signal)  # pyright: ignore[reportUnknownMemberType]
        for one, told in zip(signals, (self._suspended, self._resumed), strict=True):
            one.subscribe(self, told, immediate=True)
        if self._handle_signals:
            self._terminal_check = self.set_interval(_TERMINAL_CHECK_SECONDS, self._check_terminal)
            loop = asyncio.get_running_loop()
            for number in _ENDING_SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup leaves SIGHUP
                    loop.add_signal_handler(number, self.call_later, self._leave)
        await self.push_screen(SignInScreen(self._server or DEFAULT_SERVER, self._user))
        if self._remember is not None:
            self._restore_sign_in(self._remember)

    def _write_to_terminal(self, data: str) -> None:
        if self._driver is not None:
            self._driver.write(data)

    def _suspended(self, _: object) -> None:
        self._attention.close()

    def _resumed(self, _: object) -> None:
        self._attention.open()

    def _theme_changed(self, theme: Theme) -> None:
        """Remember a theme that was chosen."""
        try:
            self._config.remember_theme(theme.name)
        except (OSError, UnicodeDecodeError) as error:
            text = f"the theme can't be kept in {self._config.path}: {error}"
            self.notices.post("theme-not-kept", NoticeLevel.WARNING, "Theme Not Kept", text)

    async def on_unmount(self) -> None:
        """Close the connection in order, at any end."""
        self.input_order.close()
        self._attention.close()
        if self.session is not None:
            await self.session.aclose()
        self._draft_files.close()

    # --- signing in -------------------------------------------------------------------------------------------------

    @on(SignInScreen.SignInRequested)
    @work(exclusive=True, group=_SIGN_IN_GROUP)
    async def sign_in_requested(self, wanted: SignInScreen.SignInRequested) -> None:
        """Sign in with the submitted form."""
        form = self.screen if isinstance(self.screen, SignInScreen) else None
        if form is None:
            return
        form.show_busy(busy=True)
        try:
            server = ServerAddress.parse(wanted.server)
            token = await sign_in(
                server,
                wanted.name,
                wanted.password,
                register=wanted.register,
                invite=wanted.invite,
                timeout=self._options.request_timeout,
            )
            if self._remember is not None:
                save(Credentials(server.api_url, wanted.name, token), self._remember)
        except OnesocketError as error:
            self._failed(sign_in_error_text(error))
            if needs_invite(error):
                form.ask_for_invite()
        except OSError as error:
            self._failed(f"the token can't be kept in {self._remember}: {error.strerror}")
        else:
            self._user = wanted.name
            form.forget_password()
            await self._begin(server, token)
        finally:
            form.show_busy(busy=False)

    @work(exclusive=True, group=_SIGN_IN_GROUP)
    async def _restore_sign_in(self, path: Path) -> None:
        try:
            kept = load(path)
            if kept is None:
                return
            server = ServerAddress.parse(kept.api_url)
            if self._server is None or ServerAddress.parse(self._server) == server:
                self._user = kept.user
                await self._begin(server, kept.token)
        except OnesocketError as error:
            self._failed(str(error))

    async def _begin(self, server: ServerAddress, token: str, channels: Sequence[int] = ()) -> None:
        # Set from here on, so that the end of the application closes it.
        self.session = session = ChatSession(
            server,
            token,
            self.notices,
            self._options,
            draft_files=self._draft_files,
            on_token_rejected=self._on_token_rejected,
        )
        session.store.listen(lambda: self._attention.check(session.store.state))
        try:
            await session.join()
        except OnesocketError as error:  # the provider has posted a notice
            if session.is_token_rejected:  # which is being handled
                return
            if not error.retryable:  # and the form is still there
                self.session = None
                await session.aclose()  # which withdraws its notices
                self._forget()
                self._failed(str(error))
                return
        self.notices.withdraw("sign-in-failed")
        await self._uncover_form()
        is_first_run = not self._welcomed.exists()
        screen = ChatScreen(
            session, channels, is_first_run=is_first_run, keys=self._config.keys, on_shown=self._attention.show
        )
        await self.push_screen(screen)

    @on(WelcomeHint.Read)
    def welcomed(self) -> None:
        """Remember that the hint of the first run was read."""
        if not self._welcomed.exists():
            with contextlib.suppress(OSError):  # it is shown once more
                private_file.write(self._welcomed, b"")

    def action_dismiss_failure(self) -> None:
        """Withdraw the notice of a failed sign-in."""
        self.notices.withdraw("sign-in-failed")

    def _failed(self, text: str) -> None:
        self.notices.post("sign-in-failed", NoticeLevel.ERROR, "Sign-in Failed", text)

    # --- signing out ------------------------------------------------------------------------------------------------

    @work(exclusive=True, group=_SIGN_IN_GROUP)
    async def sign_out(self, *, everywhere: bool = False) -> None:
        """End this login, or with `everywhere` all logins of the account, and return to the form."""
        session = self.session
        if session is None or (everywhere and not await session.leaving(session.account.sign_out_everywhere())):
            return
        self.session = None
        self._forget()
        if not everywhere:
            await session.sign_out()
        await self._end(session)

    @on(LoginsScreen.SignOut)
    def sign_out_requested(self, event: LoginsScreen.SignOut) -> None:
        """End the login in use."""
        self.sign_out(everywhere=event.everywhere)

    @on(PasswordScreen.PasswordChangeRequested)
    @work(exclusive=True, group=_SIGN_IN_GROUP)
    async def password_change_requested(self, wanted: PasswordScreen.PasswordChangeRequested) -> None:
        """Change the password, and continue with the new token, as that of this session is void."""
        session, form = self.session, self.screen
        if session is None or not isinstance(form, PasswordScreen):
            return
        token = await session.leaving(session.account.change_password(wanted.old, wanted.new))
        if token is None:
            form.show_busy(busy=False)
            return
        channels = next(one for one in self.screen_stack if isinstance(one, ChatScreen)).open_channels
        self.notices.clear()
        self._keep(session.server, token)
        await session.aclose()
        await self._begin(session.server, token, channels)  # the form takes the keys until then

    def _keep(self, server: ServerAddress, token: str) -> None:
        """Save the token for the next run, if that is configured."""
        if self._remember is not None:
            try:
                save(Credentials(server.api_url, self._user, token), self._remember)
            except OSError as error:
                text = f"the new token can't be kept in {self._remember}: {error.strerror}"
                self.notices.post("token-not-kept", NoticeLevel.WARNING, "Token Not Kept", text)

    def _on_token_rejected(self, session: ChatSession, code: int) -> None:
        """The server no longer accepts the token: the login was ended elsewhere, or the password was changed."""
        self.call_later(self._sign_in_again, session, code)

    @work(exclusive=True, group=_SIGN_IN_GROUP)
    async def _sign_in_again(self, session: ChatSession, code: int) -> None:
        """Return to the form. Unsent texts wait for the same account."""
        if self.session is session:
            self.session = None
            self._forget()
            await self._end(session)
            text = (
                f"{session.server.name} no longer accepts your sign-in ({code}): sign in again, what you wrote is kept"
            )
            self._failed(text)

    async def _end(self, session: ChatSession) -> None:
        await session.aclose()
        self.notices.clear()
        form = next(one for one in self.screen_stack if isinstance(one, SignInScreen))
        form.begin_again(session.server.address, self._user)
        await self._uncover_form()
        self._attention.sign_out()

    async def _uncover_form(self) -> None:
        while not isinstance(self.screen, SignInScreen):
            await self.pop_screen()

    def _forget(self) -> None:
        if self._remember is not None:
            with contextlib.suppress(OSError):  # its token is void
                forget(self._remember)

    async def action_quit(self) -> None:
        """Quit, after a confirmation if there are unsent messages."""
        self._ask_and_leave()

    @work(exclusive=True, group="leaving")
    async def _ask_and_leave(self) -> None:
        unsent = len(self.session.store.state.outbox) if self.session is not None else 0
        if unsent and not isinstance(self.screen, ConfirmDialog):
            unsent_text = "One message was" if unsent == 1 else f"{unsent} messages were"
            if not await self.push_screen_wait(
                ConfirmDialog(f"{unsent_text} not sent and will wait for the next time. Quit?")
            ):
                return
        self._leave()

    @work(exclusive=True, group="leaving")
    async def _leave(self) -> None:
        if self.session is not None:
            await self.session.aclose()
        if self._handle_signals and _is_terminal_gone():
            os._exit(1)  # Textual's own end would wait for a terminal that takes nothing any more
        self.exit()

    def _check_terminal(self) -> None:
        """End without a terminal: the thread that reads the keys would spin, and drawing wait for ever."""
        if _is_terminal_gone() and self._terminal_check is not None:
            self._terminal_check.stop()
            self._leave()

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The commands of the command palette."""
        if isinstance(screen, ChatScreen):
            yield SystemCommand("New server", "Make a server, with one channel", screen.create_guild)
            yield SystemCommand("New channel", "In the server of the active panel", screen.create_channel)
            yield SystemCommand("Invite people", "Make a code by which others enter this server", screen.create_invite)
            yield SystemCommand("Use an invite", "Enter a server, by the code or the link", screen.accept_invite)
            yield SystemCommand("Banned people…", "Of this server; lift a ban, as far as you may", screen.show_bans)
            yield SystemCommand("Timeline", "The changes of the connection's state", screen.action_timeline)
            yield SystemCommand("Logins…", "Where you are signed in; end one, or all", screen.show_logins)
            yield SystemCommand("Change password…", "All other logins end with the old one", screen.change_password)
            yield SystemCommand("Sign out", "Close the connection and end this login", self.sign_out)
        yield SystemCommand("Theme", "Other colours", self.action_change_theme)
        yield SystemCommand("Quit", "End in order", self.action_quit)


def _is_terminal_gone() -> bool:
    """True if the terminal was closed; SIGHUP says so, unless it is ignored or the shell keeps it."""
    return sys.__stdin__ is None or not os.isatty(sys.__stdin__.fileno())
