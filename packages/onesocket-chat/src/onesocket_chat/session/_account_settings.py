"""The logins and the password of the account that is signed in."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Final

from onesocket import OnesocketError
from onesocket_discord.rest import Accounts, Login, RateLimited, RequestLost, RestError, RestTimeout

from ._request_errors import RequestErrors

USER_AGENT: Final = f"onesocket-chat/{version('onesocket')} ({platform.system() or 'unknown system'})"
"""The name under which the application's logins are listed."""


class AccountSettings:
    """Requests about the signed-in account. Failures become notices, and return None or False."""

    def __init__(self, accounts: Accounts, token: str, request_errors: RequestErrors) -> None:
        self._accounts = accounts
        self._token = token
        self._request_errors = request_errors

    def __repr__(self) -> str:
        return "<AccountSettings>"

    async def logins(self) -> list[Login] | None:
        """All logins, the one that was used last first."""
        return await self._request_errors.guard("logins", self._accounts.logins(self._token))

    async def end_login(self, login: Login) -> bool:
        """End another login."""
        return await self._request_errors.succeeds("end-login", self._accounts.end_logins(self._token, [login.id_hash]))

    async def sign_out_everywhere(self) -> bool:
        """End all logins, including this session's."""
        return await self._request_errors.succeeds("everywhere", self._accounts.sign_out_everywhere(self._token))

    async def change_password(self, old: str, new: str) -> str | None:
        """Change the password, which ends this session; returns the token for the next one."""
        change = self._accounts.change_password(self._token, old, new)
        return await self._request_errors.guard("password", change, _plain_text)


def _plain_text(error: OnesocketError) -> str:
    """A sentence for errors that the user can correct, else an empty text."""
    match error:
        case RateLimited():
            return f"too many tries: wait {error.retry_after or 60.0:.0f} s; your password is as it was"
        case RestError() if any("PASSWORD_DOES_NOT_MATCH" in problem for problem in error.problems):
            return "the old password is wrong; nothing was changed"
        case RequestLost() | RestTimeout(sent=True):
            return "no answer came: your password may be changed, so try the new one when you sign in again"
        case _:
            return ""
