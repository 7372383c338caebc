"""Notices as Textual's toasts: shown as long as they last, on every screen, and withdrawn by their ids."""

from __future__ import annotations

from typing import Any, Final

from textual.app import App
from textual.notifications import Notification, Notify, SeverityLevel

from ... import Notice, NoticeLevel
from .model.text import harmless

_SEVERITY: Final[dict[NoticeLevel, SeverityLevel]] = {
    NoticeLevel.INFO: "information",
    NoticeLevel.WARNING: "warning",
    NoticeLevel.ERROR: "error",
}
_AS_LONG_AS_IT_LASTS: Final = 7 * 86_400.0
"""Seconds; Textual wants an end."""


class Toasts:
    """A sink for `Notices`.

    Textual takes toasts back only all at once, and changes none: so those that are still so are shown again, as new
    ones, since the old ones are still being removed then.
    """

    def __init__(self, app: App[Any]) -> None:
        self._app = app
        self._shown: dict[str, Notice] = {}

    def __repr__(self) -> str:
        return f"<Toasts {list(self._shown)}>"

    @property
    def shown(self) -> dict[str, str]:
        """What is shown, by the notices' ids."""
        return {notice_id: notice.text for notice_id, notice in self._shown.items()}

    def show(self, notice: Notice) -> None:
        """Show it; in place of the one with its id."""
        replaced = notice.id in self._shown
        self._shown[notice.id] = notice
        if replaced:
            self._show_all()
        else:
            self._app.post_message(Notify(_toast(notice)))

    def withdraw(self, notice_id: str) -> None:
        """It is over."""
        if self._shown.pop(notice_id, None) is not None:
            self._show_all()

    def _show_all(self) -> None:
        self._app.clear_notifications()
        for notice in self._shown.values():
            self._app.post_message(Notify(_toast(notice)))


def _toast(notice: Notice) -> Notification:
    return Notification(
        harmless(notice.text),
        title=harmless(notice.title),
        severity=_SEVERITY[notice.level],
        timeout=_AS_LONG_AS_IT_LASTS,
        markup=False,  # what a server said may look like markup
    )
