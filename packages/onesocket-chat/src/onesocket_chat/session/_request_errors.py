"""Failed requests, as notices: each kind has its own id, and goes when the same succeeds or the line is back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from onesocket import OnesocketError
from onesocket.notices import NoticeLevel, Notices
from onesocket_discord.rest import Unauthorized

_TITLES: Final = {
    "send": "Not Sent",
    "history": "History Not Loaded",
    "edit": "Not Edited",
    "delete": "Not Deleted",
    "react": "No Reaction",
    "guild": "No Guild",
    "channel": "No Channel",
    "invite": "No Invite",
    "join": "Not Joined",
    "direct": "No Conversation",
    "read": "Not Marked as Read",
    "account": "Not Signed In",
    "logins": "Logins Not Listed",
    "end-login": "Login Not Ended",
    "everywhere": "Not Signed Out Everywhere",
    "password": "Password Not Changed",
    "unreadable": "Message Not Understood",
}


class RequestErrors:
    """Says on a board what the HTTP API would not do. The ids are ``request-…``.

    That the token is void concerns more than one request: then `void` is called instead.
    """

    def __init__(self, board: Notices, void: Callable[[], object] = lambda: None) -> None:
        self._board = board
        self._void = void
        self._temporary: set[str] = set()

    def __repr__(self) -> str:
        return f"<Complaints temporary={sorted(self._temporary)}>"

    def failed(self, action: str, error: OnesocketError, text: str = "") -> None:
        """Post a notice of a failed request, withdrawn later if the error is temporary; `text` replaces its own."""
        if isinstance(error, Unauthorized):
            self._void()
            return
        notice_id = f"request-{action}"
        if error.retryable:
            self._temporary.add(notice_id)
        level = NoticeLevel.WARNING if error.retryable else NoticeLevel.ERROR
        self._board.post(notice_id, level, _TITLES[action], text or str(error))

    def succeeded(self, action: str) -> None:
        """It works now."""
        self._board.withdraw(f"request-{action}")

    def connection_restored(self) -> None:
        """What failed for want of a line is no longer so."""
        self._board.withdraw(*self._temporary)
        self._temporary.clear()

    def dismiss(self) -> None:
        """They were read."""
        self._board.withdraw(*(f"request-{action}" for action in _TITLES))
        self._temporary.clear()
