"""Notices as Textual's toasts: shown as long as they last, on every screen, and withdrawn by their ids."""

from __future__ import annotations

from typing import Any, Final

from textual.app import App
from textual.notifications import Notification, Notify, SeverityLevel
from textual.widgets._toast import ToastHolder

from onesocket.notices import Notice, NoticeLevel

from .model._safe_text import sanitize

_SEVERITY: Final[dict[NoticeLevel, SeverityLevel]] = {
    NoticeLevel.INFO: "information",
    NoticeLevel.WARNING: "warning",
    NoticeLevel.ERROR: "error",
}
_NO_TIMEOUT: Final = 7 * 86_400.0
"""Seconds; Textual requires a timeout."""

_MAX_TEXT_LENGTH: Final = 300
"""Characters of one toast, so that a server's long text leaves room for others."""
_TOAST_HEIGHT: Final = 9
"""Lines of a toast at most, with its margin; the style sheet says so too."""
_ROOMY: Final = (100, 24)
"""Columns and lines from which toasts have a title of their own and room around them."""
_BRIEF_LENGTH: Final = 66
"""Characters of a toast in a smaller terminal: two lines of the width in the style sheet, with what wrapping takes."""
_NEEDED_WHOLE: Final = "sign-in-failed"
"""Shown on the form, where it covers no messages."""


class ToastSink:
    """A sink for `Notices`.

    Textual removes toasts only all at once, and can't change one: so the valid ones are shown again, as new toasts,
    since the old ones are still being removed then. Of a removed toast Textual leaves the holder, one line high; it is
    removed here, or the toasts would sink until none is on the screen.
    """

    def __init__(self, app: App[Any]) -> None:
        self._app = app
        self._shown: dict[str, Notice] = {}
        self._on_screen: list[Notice] = []

    def __repr__(self) -> str:
        return f"<ToastSink {list(self._shown)}>"

    @property
    def shown(self) -> dict[str, str]:
        """The displayed toasts, by notice id."""
        return {notice_id: notice.text for notice_id, notice in self._shown.items()}

    @property
    def _most(self) -> int:
        """Number of notices that fit on the screen, each with a few lines; the newest are shown."""
        return max(1, self._app.size.height // _TOAST_HEIGHT)

    def show(self, notice: Notice) -> None:
        """Show a notice as the newest, in place of the one with its id."""
        self._shown.pop(notice.id, None)
        self._shown[notice.id] = notice
        self._app.call_later(self._refresh)

    def withdraw(self, notice_id: str) -> None:
        """Remove a notice's toast."""
        if self._shown.pop(notice_id, None) is not None:
            self._app.call_later(self._refresh)

    def _refresh(self) -> None:
        """Show the current notices, all at once: a toast that is not mounted yet can't be removed."""
        wanted = list(self._shown.values())[-self._most :]
        if wanted == self._on_screen:
            return
        new = wanted[len(self._on_screen) :]
        if wanted[: len(self._on_screen)] != self._on_screen:
            new = wanted
            self._app.clear_notifications()
            for screen in self._app.screen_stack:
                screen.query(ToastHolder).remove()
        self._on_screen = wanted
        for notice in new:
            self._app.post_message(Notify(_toast(notice, self._text_length(notice))))

    def _text_length(self, notice: Notice) -> int:
        size = self._app.size
        if notice.id == _NEEDED_WHOLE or (size.width >= _ROOMY[0] and size.height >= _ROOMY[1]):
            return _MAX_TEXT_LENGTH
        return max(10, min(_BRIEF_LENGTH, 2 * size.width - 14))


def _shorten(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _toast(notice: Notice, most: int) -> Notification:
    title, text = sanitize(notice.title), sanitize(notice.text)
    if most < _MAX_TEXT_LENGTH:
        title, text = "", f"{title}: {text}"
    return Notification(
        _shorten(text, most),
        title=title,
        severity=_SEVERITY[notice.level],
        timeout=_NO_TIMEOUT,
        markup=False,  # a server's text may look like markup
    )
