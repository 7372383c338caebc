"""What a user should see: notices with stable ids, shown once while they last and withdrawn when they are over.

A sink is anything with `show(notice)` and `withdraw(notice_id)`. A Textual app adapts with one function::

    SEVERITY = {NoticeLevel.INFO: "information", NoticeLevel.WARNING: "warning", NoticeLevel.ERROR: "error"}

    class Feed(App):
        def on_mount(self) -> None:
            self.provider.notices.add(CallableSink(self.toast))

        def toast(self, notice: Notice) -> None:
            # The text may hold what a server said: no markup.
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
    """How much it matters."""

    INFO = "info"
    WARNING = "warning"
    """Something is amiss, and is being seen to."""
    ERROR = "error"
    """It failed; nothing more happens by itself."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that a user should know, for as long as it is so."""

    id: str
    """Stable: the same trouble has the same id, in every release."""
    level: NoticeLevel
    title: str
    text: str
    """One line, without control characters."""
    since: float
    """Since when it is so: Unix time, seconds. A change of the text does not change it."""


class NoticeSink(Protocol):
    """Where notices are shown (a port). Both calls come from the event loop and must not block.

    What a sink raises is logged and harms nobody.
    """

    def show(self, notice: Notice) -> object:
        """Show it; if one with this id is being shown, this is its new text."""
        ...

    def withdraw(self, notice_id: str) -> object:
        """What this notice said is no longer so."""
        ...


class Notices:
    """The board of what is so now. It tells its sinks; it belongs to one event loop and to one provider.

    A notice is shown once for as long as it lasts: the same id with the same level, title and text is no news. If one
    of these differs, it is shown again, with the `since` it had. Every sink hears everything in the same order.
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
        """What is so now, the longest standing first."""
        return tuple(self._active.values())

    def add(self, sink: NoticeSink) -> Callable[[], None]:
        """Tell this sink too, at once of what is active; returns the function that takes it off again."""
        if not callable(getattr(sink, "show", None)) or not callable(getattr(sink, "withdraw", None)):
            raise InvalidOption(
                f"a notice sink has show(notice) and withdraw(notice_id); {type(sink).__name__} has not"
                " (CallableSink makes one of a function)"
            )
        self._sinks.append(sink)
        for notice in self.active:
            _notify(sink, notice)
        return lambda: self._sinks.remove(sink) if sink in self._sinks else None

    def post(self, notice_id: str, level: NoticeLevel, title: str, text: str) -> Notice:
        """Say that this is so, and return what is on the board."""
        old = self._active.get(notice_id)
        since = old.since if old is not None else self._clock()
        new = Notice(notice_id, level, one_line(title), one_line(text), since)
        if new != old:
            self._active[notice_id] = new
            self._notify_all(new)
        return new

    def withdraw(self, *notice_ids: str) -> None:
        """Say that these are no longer so; what is not on the board is passed over."""
        for notice_id in notice_ids:
            if self._active.pop(notice_id, None) is not None:
                self._notify_all(notice_id)

    def clear(self) -> None:
        """Withdraw everything."""
        self.withdraw(*self._active)

    def _notify_all(self, news: Notice | str) -> None:
        # A sink may post in turn: that waits until all have heard this, or the next sink would hear it backwards.
        self._pending.append(news)
        if self._is_notifying:
            return
        self._is_notifying = True
        try:
            while self._pending:
                news = self._pending.popleft()
                for sink in tuple(self._sinks):
                    _notify(sink, news)
        finally:
            self._is_notifying = False


def _notify(sink: NoticeSink, news: Notice | str) -> None:
    try:
        if isinstance(news, Notice):
            sink.show(news)
        else:
            sink.withdraw(news)
    except Exception:  # noqa: BLE001 - whatever a sink raises harms nobody else
        _log.exception("the notice sink %s failed", type(sink).__name__)


# --- sinks ----------------------------------------------------------------------------------------------------------


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
        """Log it."""
        if self._logger is _log and notice.level is NoticeLevel.WARNING and notice.id in _CONNECTION_NOTICE_IDS:
            return
        self._titles[notice.id] = notice.title
        self._logger.log(self._LEVELS[notice.level], "%s: %s", notice.title, notice.text)

    def withdraw(self, notice_id: str) -> None:
        """Log that it is over."""
        title = self._titles.pop(notice_id, None)
        if title is not None:
            self._logger.info("%s: over", title)


class CallableSink:
    """Calls `show` with each notice, and `withdraw` (if given) with the id of each that is over.

    Both are plain functions: a coroutine function raises `InvalidOption`, as nobody would await it.
    """

    def __init__(self, show: Callable[[Notice], object], withdraw: Callable[[str], object] | None = None) -> None:
        for function in (show, withdraw):
            if inspect.iscoroutinefunction(function):
                raise InvalidOption("CallableSink takes plain functions, not coroutine functions")
        self._show = show
        self._withdraw = withdraw

    def show(self, notice: Notice) -> None:
        """Call the one."""
        self._show(notice)

    def withdraw(self, notice_id: str) -> None:
        """Call the other."""
        if self._withdraw is not None:
            self._withdraw(notice_id)


class RichSink:
    """Prints notices to a terminal, one line each (default: standard error).

    Raises `MissingExtra` if rich isn't installed.
    """

    _STYLES: Final = {NoticeLevel.INFO: "cyan", NoticeLevel.WARNING: "yellow", NoticeLevel.ERROR: "bold red"}

    def __init__(self, console: Console | None = None) -> None:
        try:
            from rich.console import Console  # noqa: PLC0415 - an extra; only who prints needs it
            from rich.text import Text  # noqa: PLC0415
        except ImportError as error:
            raise MissingExtra('RichSink needs rich: pip install "onesocket[cli]"') from error
        self._console = console if console is not None else Console(stderr=True)
        # A Text is shown letter by letter: "[red]" in a server's reason stays "[red]".
        self._text = Text
        self._titles: dict[str, str] = {}

    def show(self, notice: Notice) -> None:
        """Print it."""
        self._titles[notice.id] = notice.title
        self._console.print(self._text.assemble((notice.title, self._STYLES[notice.level]), f": {notice.text}"))

    def withdraw(self, notice_id: str) -> None:
        """Print that it is over."""
        self._console.print(self._text(f"{self._titles.pop(notice_id, notice_id)}: over", style="dim"))


# --- what a connection gives notice of --------------------------------------------------------------------------------

CONNECTION_FAILED: Final = "connection-failed"
CONNECTION_LOST: Final = "connection-lost"
SERVICE_BUSY: Final = "service-busy"
SIGN_IN_FAILED: Final = "sign-in-failed"
SESSION_EXPIRED: Final = "session-expired"
_CONNECTION_NOTICE_IDS: Final = (CONNECTION_FAILED, CONNECTION_LOST, SERVICE_BUSY)
_SIGN_IN_NOTICE_IDS: Final = (SIGN_IN_FAILED, SESSION_EXPIRED)


class ConnectionNotices:
    """Says on a board how one connection to `service` is doing. Errors speak for themselves: their texts are redacted.

    `hide` gives the secrets of the moment, which are struck out of what a peer may have echoed.
    """

    def __init__(self, board: Notices, service: str, hide: Callable[[], Iterable[str]] = tuple) -> None:
        self.board = board
        self._service = service
        self._hide = hide

    def changed(self, change: Change, retry_in: float | None) -> None:
        """The client changed its state; the next attempt is `retry_in` seconds away, if there is to be one."""
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
                pass  # under way: what was so until now is still so

    def failed(self, error: OnesocketError) -> None:
        """There is no line, and nothing more is done about it."""
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
        return f"No place at {self._service}: {error}"

    def sign_in_failed(self, error: OnesocketError) -> None:
        """Nobody could say who is signed in."""
        text = f"Failed to sign in to {self._service}: {error}"
        self._post(SIGN_IN_FAILED, NoticeLevel.ERROR, "Sign-in Failed", text)

    def session_expired(self) -> None:
        """Somebody was signed in, and the line came down because nobody is any more."""
        self.board.withdraw(*_CONNECTION_NOTICE_IDS, SIGN_IN_FAILED)
        text = f"Disconnected from {self._service}: nobody is signed in any more"
        self._post(SESSION_EXPIRED, NoticeLevel.WARNING, "Session Expired", text)

    def auth_answered(self, *, signed_in: bool) -> None:
        """The question of who is signed in was answered."""
        self.board.withdraw(SIGN_IN_FAILED, *((SESSION_EXPIRED,) if signed_in else ()))

    def clear(self) -> None:
        """The owner said no: nothing of this matters any more."""
        self.board.withdraw(*_CONNECTION_NOTICE_IDS, *_SIGN_IN_NOTICE_IDS)

    def _post_connection(self, notice_id: str, level: NoticeLevel, title: str, text: str) -> None:
        self.board.withdraw(*(other for other in _CONNECTION_NOTICE_IDS if other != notice_id))
        self._post(notice_id, level, title, text)

    def _post(self, notice_id: str, level: NoticeLevel, title: str, text: str) -> None:
        self.board.post(notice_id, level, title, mask_secrets(text, self._hide()))
