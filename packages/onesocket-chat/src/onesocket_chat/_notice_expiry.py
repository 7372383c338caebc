"""Withdraws notices of what happened once, after a time to read them; those of what lasts stay until it is over."""

from __future__ import annotations

from typing import Any, Final

from textual.app import App
from textual.timer import Timer

from onesocket.notices import Notice, NoticeLevel, Notices

_FAILURE_SECONDS: Final = 20.0
_INFO_SECONDS: Final = 60.0
"""Longer, as there may be a code to write down."""
_ONCE: Final = ("request-", "theme-not-kept", "token-not-kept")
"""Beginnings of the ids of failures that do not last."""


class NoticeExpiry:
    """A sink for `Notices` that withdraws them from the board, by timers of the application."""

    def __init__(self, app: App[Any], notices: Notices) -> None:
        self._app = app
        self._notices = notices
        self._timers: dict[str, Timer] = {}

    def __repr__(self) -> str:
        return f"<NoticeExpiry {list(self._timers)}>"

    def show(self, notice: Notice) -> None:
        """Begin the time of a notice, anew if its text changed."""
        self._stop(notice.id)
        seconds = _INFO_SECONDS if notice.level is NoticeLevel.INFO else _FAILURE_SECONDS
        if notice.level is NoticeLevel.INFO or notice.id.startswith(_ONCE):
            self._timers[notice.id] = self._app.set_timer(seconds, lambda: self._notices.withdraw(notice.id))

    def withdraw(self, notice_id: str) -> None:
        """Forget the time of a notice that is gone."""
        self._stop(notice_id)

    def _stop(self, notice_id: str) -> None:
        timer = self._timers.pop(notice_id, None)
        if timer is not None:
            timer.stop()
