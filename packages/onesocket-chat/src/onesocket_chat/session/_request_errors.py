"""Notices of failed requests: one id per kind, withdrawn when this kind succeeds or the connection is back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec

from onesocket import OnesocketError
from onesocket.notices import NoticeLevel, Notices
from onesocket_discord.rest import BadAnswer, Unauthorized

from ..model._models import from_json
from ._request_texts import request_error_text

T = TypeVar("T")

_TITLES: Final = {
    "send": "Not Sent",
    "history": "History Not Loaded",
    "search": "Not Searched",
    "edit": "Not Edited",
    "delete": "Not Deleted",
    "react": "No Reaction",
    "guild": "No Server",
    "channel": "No Channel",
    "invite": "No Invite",
    "join": "Not Joined",
    "direct": "No Conversation",
    "block": "Not Blocked",
    "unblock": "Not Unblocked",
    "kick": "Not Removed",
    "ban": "Not Banned",
    "bans": "Bans Not Listed",
    "lift-ban": "Ban Not Lifted",
    "report": "Not Reported",
    "read": "Not Marked as Read",
    "account": "Not Signed In",
    "logins": "Logins Not Listed",
    "end-login": "Login Not Ended",
    "everywhere": "Not Signed Out Everywhere",
    "password": "Password Not Changed",
    "unreadable": "Message Not Understood",
}


class RequestErrors:
    """Posts a notice for each kind of failed request, with the id ``request-…``.

    For a void token, `on_token_rejected` is called instead.
    """

    def __init__(self, notices: Notices, on_token_rejected: Callable[[], object] = lambda: None) -> None:
        self._notices = notices
        self._on_token_rejected = on_token_rejected
        self._temporary: set[str] = set()

    def __repr__(self) -> str:
        return f"<RequestErrors temporary={sorted(self._temporary)}>"

    async def guard(
        self, action: str, request: Awaitable[T], describe: Callable[[OnesocketError], str] = request_error_text
    ) -> T | None:
        """Await a request; a failure is reported with the text of `describe`, and None is returned."""
        try:
            answer = await request
        except OnesocketError as error:
            self.failed(action, error, describe(error))
            return None
        self.succeeded(action)
        return answer

    async def succeeds(self, action: str, request: Awaitable[object]) -> bool:
        """Await a request without an answer; returns True if it succeeded."""

        async def perform() -> bool:
            await request
            return True

        return await self.guard(action, perform()) or False

    def read(self, action: str, answer: object, kind: type[T]) -> T | None:
        """Convert the answer of a request; an unreadable one is reported, and None is returned."""
        try:
            return None if answer is None else from_json(answer, kind)
        except msgspec.ValidationError as error:
            self.failed(action, BadAnswer(f"the answer can't be read: {error}", status=200))
            return None

    def failed(self, action: str, error: OnesocketError, text: str = "") -> None:
        """Post a notice of a failed request, withdrawn later if the error is temporary; `text` replaces its own."""
        if isinstance(error, Unauthorized):
            self._on_token_rejected()
            return
        notice_id = f"request-{action}"
        if error.retryable:
            self._temporary.add(notice_id)
        level = NoticeLevel.WARNING if error.retryable else NoticeLevel.ERROR
        self._notices.post(notice_id, level, _TITLES[action], text or request_error_text(error))

    def succeeded(self, action: str) -> None:
        """Withdraw the notice of a kind of request that succeeded."""
        self._notices.withdraw(f"request-{action}")

    def connection_restored(self) -> None:
        """Withdraw the notices of temporary errors."""
        self._notices.withdraw(*self._temporary)
        self._temporary.clear()

    def dismiss(self) -> None:
        """Withdraw all notices."""
        self._notices.withdraw("invite-made", *(f"request-{action}" for action in _TITLES))
        self._temporary.clear()
