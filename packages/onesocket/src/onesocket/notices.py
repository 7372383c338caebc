"""Notices for a program's user: each has a stable id, is shown once while it holds, and withdrawn afterwards.

A sink is anything with `show(notice)` and `withdraw(notice_id)`. A Textual app adapts with one function::

    SEVERITY = {NoticeLevel.INFO: "information", NoticeLevel.WARNING: "warning", NoticeLevel.ERROR: "error"}

    class Feed(App):
        def on_mount(self) -> None:
            self.provider.notices.add(CallableSink(self.toast))

        def toast(self, notice: Notice) -> None:
            # The text may quote a server: no markup.
            self.notify(notice.text, title=notice.title, severity=SEVERITY[notice.level], markup=False)
"""

from __future__ import annotations

import enum
import inspect
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from .client._error_reporter import one_line
from .client._status import Change
from .errors import InvalidOption, MissingExtra, OnesocketError, ServerBusy, SessionExpired
from .lifecycle._states import State
from .wire._secrets import mask_secrets

if TYPE_CHECKING:
    from rich.console import Console

_log = logging.getLogger("onesocket")


class NoticeLevel(enum.StrEnum):
    """Severity of a notice."""

    INFO = "info"
    WARNING = "warning"
    """A problem that the library works on."""
    ERROR = "error"
    """A failure; the library does nothing more about it."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A fact that a user should know, for as long as it holds."""

    id: str
    """Stable: the same problem has the same id in every release."""
    level: NoticeLevel
    title: str
    text: str
    """One line, without control characters."""
    since: float
    """Time since when it holds: Unix time in seconds. A change of the text does not change it."""


class NoticeSink(Protocol):
    """Destination of notices. Both methods are called on the event loop and must not block.

    An exception of a sink is logged, and the other sinks are called.
    """

    def show(self, notice: Notice) -> object:
        """Show the notice; if one with this id is shown, replace its text."""
        ...

    def withdraw(self, notice_id: str) -> object:
        """Remove the notice with this id: it holds no longer."""
        ...


class Notices:
    """Board of the notices that hold now. It informs its sinks; it belongs to one event loop and to one provider.

    A notice is shown once for as long as it lasts; if its level, title or text changes, it is shown again, with the
    `since` it had. All sinks are called in the same order.
    """

    def __init__(self, *sinks: NoticeSink, clock: Callable[[], float] = time.time) -> None:
        self._sinks: list[NoticeSink] = []
        self._clock = clock
        self._active: dict[str, Notice] = {}
        self._pending: deque[Notice | str] = deque()
        self._is_notifying = False
        for sink in sinks:
            self.add(sink)

    def __repr__(self) -> str:
        return f"<Notices active={list(self._active)} sinks={len(self._sinks)}>"

    @property
    def active(self) -> tuple[Notice, ...]:
        """The notices that hold now, the oldest first."""
        return tuple(self._active.values())

    def add(self, sink: NoticeSink) -> Callable[[], None]:
        """Add a sink, and show it the active notices; returns the function that removes it."""
        if not callable(getattr(sink, "show", None)) or not callable(getattr(sink, "withdraw", None)):
            raise InvalidOption(
                f"a notice sink has show(notice) and withdraw(notice_id); {type(sink).__name__} has not"
                " (CallableSink adapts a function)"
            )
        self._sinks.append(sink)
        for notice in self.active:
            _notify(sink, notice)
        return lambda: self._sinks.remove(sink) if sink in self._sinks else None

    def post(self, notice_id: str, level: NoticeLevel, title: str, text: str) -> Notice:
        """Post a notice, or a new text of the one with this id; returns it."""
        old = self._active.get(notice_id)
        since = old.since if old is not None else self._clock()
        new = Notice(notice_id, level, one_line(title), one_line(text), since)
        if new != old:
            self._active[notice_id] = new
            self._notify_all(new)
        return new

    def withdraw(self, *notice_ids: str) -> None:
        """Withdraw the notices with these ids; ids that are not on the board are ignored."""
        for notice_id in notice_ids:
            if self._active.pop(notice_id, None) is not None:
                self._notify_all(notice_id)

    def clear(self) -> None:
        """Withdraw all notices."""
        self.withdraw(*self._active)

    def _notify_all(self, update: Notice | str) -> None:
        # A sink may post in turn: that waits for the end of this round, or the next sink would be called out of order.
        self._pending.append(update)
        if self._is_notifying:
            return
        self._is_notifying = True
        try:
            while self._pending:
                update = self._pending.popleft()
                for sink in tuple(self._sinks):
                    _notify(sink, update)
        finally:
            self._is_notifying = False


def _notify(sink: NoticeSink, update: Notice | str) -> None:
    try:
        if isinstance(update, Notice):
            sink.show(update)
        else:
            sink.withdraw(update)
    except Exception:  # noqa: BLE001 - an exception of one sink must not affect the others
        _log.exception("the notice sink %s failed", type(sink).__name__)


# --- sinks ------------------------------------------------------------------------------------------------------------


class LogSink:
    """Writes notices to a logger (default: ``onesocket``) at their level, and their end as INFO.

    To ``onesocket`` the client itself logs that a connection was lost, so that such a notice isn't written there again.
    """

    _LEVELS: Final = {
        NoticeLevel.INFO: logging.INFO,
        NoticeLevel.WARNING: logging.WARNING,
        NoticeLevel.ERROR: logging.ERROR,
    }

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger if logger is not None else _log
        self._titles: dict[str, str] = {}

    def show(self, notice: Notice) -> None:
        """Log the notice."""
        if self._logger is _log and notice.level is NoticeLevel.WARNING and notice.id in _CONNECTION_NOTICE_IDS:
            return
        self._titles[notice.id] = notice.title
        self._logger.log(self._LEVELS[notice.level], "%s: %s", notice.title, notice.text)

    def withdraw(self, notice_id: str) -> None:
        """Log that the notice is over."""
        title = self._titles.pop(notice_id, None)
        if title is not None:
            self._logger.info("%s: over", title)


class CallableSink:
    """Calls `show` with each notice, and `withdraw` (if given) with the id of each that is over.

    Both are plain functions: a coroutine function raises `InvalidOption`, as its result would not be awaited.
    """

    def __init__(self, show: Callable[[Notice], object], withdraw: Callable[[str], object] | None = None) -> None:
        for function in (show, withdraw):
            if inspect.iscoroutinefunction(function):
                raise InvalidOption("CallableSink takes plain functions, not coroutine functions")
        self._show = show
        self._withdraw = withdraw

    def show(self, notice: Notice) -> None:
        """Call `show`."""
        self._show(notice)

    def withdraw(self, notice_id: str) -> None:
        """Call `withdraw`, if given."""
        if self._withdraw is not None:
            self._withdraw(notice_id)


class RichSink:
    """Prints notices to a terminal, one line each (default: standard error).

    Raises `MissingExtra` if rich isn't installed.
    """

    _STYLES: Final = {NoticeLevel.INFO: "cyan", NoticeLevel.WARNING: "yellow", NoticeLevel.ERROR: "bold red"}

    def __init__(self, console: Console | None = None) -> None:
        try:
            from rich.console import Console  # noqa: PLC0415 - an extra
            from rich.text import Text  # noqa: PLC0415
        except ImportError as error:
            raise MissingExtra('RichSink needs rich: pip install "onesocket[cli]"') from error
        self._console = console if console is not None else Console(stderr=True)
        # A Text has no markup: "[red]" in a server's reason stays "[red]".
        self._text = Text
        self._titles: dict[str, str] = {}

    def show(self, notice: Notice) -> None:
        """Print the notice."""
        self._titles[notice.id] = notice.title
        self._console.print(self._text.assemble((notice.title, self._STYLES[notice.level]), f": {notice.text}"))

    def withdraw(self, notice_id: str) -> None:
        """Print that the notice is over."""
        self._console.print(self._text(f"{self._titles.pop(notice_id, notice_id)}: over", style="dim"))


# --- notices of a connection ------------------------------------------------------------------------------------------

CONNECTION_FAILED: Final = "connection-failed"
CONNECTION_LOST: Final = "connection-lost"
SERVICE_BUSY: Final = "service-busy"
SIGN_IN_FAILED: Final = "sign-in-failed"
SESSION_EXPIRED: Final = "session-expired"
_CONNECTION_NOTICE_IDS: Final = (CONNECTION_FAILED, CONNECTION_LOST, SERVICE_BUSY)
_SIGN_IN_NOTICE_IDS: Final = (SIGN_IN_FAILED, SESSION_EXPIRED)


class ConnectionNotices:
    """Posts the state of one connection to `service` on a board.

    `hide` returns the current secrets, which are masked in texts, as a peer may have echoed them.
    """

    def __init__(self, board: Notices, service: str, hide: Callable[[], Iterable[str]] = tuple) -> None:
        self.board = board
        self._service = service
        self._hide = hide

    def changed(self, change: Change, retry_in: float | None) -> None:
        """Post or withdraw notices after a change of state; `retry_in`: seconds until the next attempt, if any."""
        match change.new:
            case State.CONNECTED:
                self.board.withdraw(*_CONNECTION_NOTICE_IDS, *_SIGN_IN_NOTICE_IDS)
            case State.FAILED if change.error is not None and not isinstance(change.error, SessionExpired):
                self.failed(change.error)
            case State.BACKING_OFF if change.error is not None:
                self._lost(change.error, retry_in)
            case State.FAILED | State.DISCONNECTED | State.STOPPED | State.CLOSED:
                self.board.withdraw(*_CONNECTION_NOTICE_IDS)
            case _:
                pass  # under way: the notices still hold

    def failed(self, error: OnesocketError) -> None:
        """Post that connecting failed, and is not retried."""
        if isinstance(error, ServerBusy):
            self._post_connection(SERVICE_BUSY, NoticeLevel.ERROR, "Service Busy", self._busy(error))
        else:
            text = f"Failed to connect to {self._service}: {error}"
            self._post_connection(CONNECTION_FAILED, NoticeLevel.ERROR, "Connection Failed", text)

    def _lost(self, error: OnesocketError, retry_in: float | None) -> None:
        seconds = math.ceil(retry_in or 0.0)
        then = f"trying again in {seconds} s" if seconds else "trying again now"
        if isinstance(error, ServerBusy):
            self._post_connection(SERVICE_BUSY, NoticeLevel.WARNING, "Service Busy", f"{self._busy(error)}; {then}")
        else:
            text = f"Lost the connection to {self._service}: {error}; {then}"
            self._post_connection(CONNECTION_LOST, NoticeLevel.WARNING, "Connection Lost", text)

    def _busy(self, error: ServerBusy) -> str:
        return f"Not accepted by {self._service}: {error}"

    def sign_in_failed(self, error: OnesocketError) -> None:
        """Post that the auth callback failed."""
        text = f"Failed to sign in to {self._service}: {error}"
        self._post(SIGN_IN_FAILED, NoticeLevel.ERROR, "Sign-in Failed", text)

    def session_expired(self) -> None:
        """Post that the connection was closed because no user is signed in any more."""
        self.board.withdraw(*_CONNECTION_NOTICE_IDS, SIGN_IN_FAILED)
        text = f"Disconnected from {self._service}: no user is signed in any more"
        self._post(SESSION_EXPIRED, NoticeLevel.WARNING, "Session Expired", text)

    def auth_answered(self, *, signed_in: bool) -> None:
        """Withdraw the notices about signing in, after an answer of the auth callback."""
        self.board.withdraw(SIGN_IN_FAILED, *((SESSION_EXPIRED,) if signed_in else ()))

    def clear(self) -> None:
        """Withdraw all notices of the connection: it was closed on purpose."""
        self.board.withdraw(*_CONNECTION_NOTICE_IDS, *_SIGN_IN_NOTICE_IDS)

    def _post_connection(self, notice_id: str, level: NoticeLevel, title: str, text: str) -> None:
        self.board.withdraw(*(other for other in _CONNECTION_NOTICE_IDS if other != notice_id))
        self._post(notice_id, level, title, text)

    def _post(self, notice_id: str, level: NoticeLevel, title: str, text: str) -> None:
        self.board.post(notice_id, level, title, mask_secrets(text, self._hide()))
