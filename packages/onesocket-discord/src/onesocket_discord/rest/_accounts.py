"""Accounts of people on the local chat server; Discord offers no such API to programs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import aiohttp

from onesocket.errors import InvalidOption
from onesocket.transports._proxy import ProxyOption

from ._api_client import ApiClient
from ._errors import BadAnswer
from ._validation import Json, expect_list, expect_object

_MAX_HASHES: Final = 100
_FIELD_NAMES: Final = {
    "username": "the name",
    "login": "the name",
    "password": "the password",
    "new_password": "the new password",
    "invite": "the invite",
}


@dataclass(frozen=True, slots=True)
class Login:
    """One login of an account, with a hash of its token."""

    id_hash: str
    """The id of the login, for `Accounts.end_logins`."""
    client: str | None
    """The User-Agent of the program that signed in, if it sent one."""
    created_at: datetime
    last_used_at: datetime
    """Approximate: the server updates it once an hour."""
    current: bool
    """True for the login of the request."""


class Accounts:
    """Signs people in: ``Rest(await Accounts(api_url).login(name, password), api_url=api_url, token_type=None)``.

    `user_agent`: the name by which this program's logins are listed. No error shows a password or a token.
    """

    def __init__(
        self,
        api_url: str,
        *,
        timeout: float = 30.0,
        session: aiohttp.ClientSession | None = None,
        proxy: ProxyOption = True,
        user_agent: str | None = None,
    ) -> None:
        self._api_url = api_url
        self._timeout = timeout
        self._session = session
        self._proxy: ProxyOption = proxy
        self._user_agent = user_agent

    def __repr__(self) -> str:
        return "<Accounts>"

    async def register(self, username: str, password: str, invite: str | None = None) -> str:
        """Register an account; returns its token. `invite`: the code of an invite, where the server asks for one.

        Raises `RestError`; one of its `problems` begins with ``invite`` where that is missing or not valid any more.
        """
        body = {"username": username, "password": password}
        return await self._token("POST", "/auth/register", body if invite is None else {**body, "invite": invite})

    async def login(self, login: str, password: str) -> str:
        """Sign in; returns a token. Raises `RestError` when the name or the password is wrong."""
        return await self._token("POST", "/auth/login", {"login": login, "password": password})

    async def logout(self, token: str) -> None:
        """End the login of the token."""
        await self._request("POST", "/auth/logout", {}, token, idempotent=True)

    async def logins(self, token: str) -> list[Login]:
        """The logins of the token's account, the last used first."""
        route = "/auth/sessions"
        answer = expect_object(await self._request("GET", route, None, token), route)
        try:
            return [_login(one) for one in expect_list(answer.get("user_sessions"), route)]
        except (LookupError, TypeError, ValueError, AttributeError):
            raise BadAnswer(
                f"{route}: the answer holds no logins; is api_url that of a chat server?", status=200
            ) from None

    async def end_logins(self, token: str, hashes: Collection[str]) -> None:
        """End the logins with these `id_hash`es, and close their connections.

        Unknown hashes are ignored. Raises `InvalidOption` unless there are 1 to 100.
        """
        wanted: list[Any] = [] if isinstance(hashes, str) else list(hashes)
        if not 0 < len(wanted) <= _MAX_HASHES or not all(isinstance(one, str) for one in wanted):
            raise InvalidOption(f"hashes must be a collection of 1 to {_MAX_HASHES} id_hashes, as logins() gives them")
        await self._request("POST", "/auth/sessions/logout", {"session_id_hashes": wanted}, token, idempotent=True)

    async def sign_out_everywhere(self, token: str) -> None:
        """End all logins of the token's account, this one included."""
        await self._request("POST", "/auth/sessions/logout", {}, token, idempotent=True)

    async def change_password(self, token: str, old: str, new: str) -> str:
        """Change the password, which ends all logins of the account; returns a new token.

        Raises `RestError` when `old` is wrong or `new` is too short (8 characters), and `RateLimited` after too many
        tries. If the answer is lost (`RequestLost`, `RestTimeout`), either password may be valid.
        """
        return await self._token("PATCH", "/users/@me", {"password": old, "new_password": new}, token)

    async def _token(self, method: str, route: str, body: Json, token: str | None = None) -> str:
        if not all(isinstance(value, str) and value for value in body.values()):
            names = " and ".join(_FIELD_NAMES[name] for name in body)
            raise InvalidOption(f"{names} must be texts, and not empty")
        answer = expect_object(await self._request(method, route, body, token), route)
        new = answer.get("token")
        if not isinstance(new, str) or not new:
            raise BadAnswer(f"{route}: the answer holds no token; is api_url that of a chat server?", status=200)
        return new

    async def _request(
        self, method: str, route: str, body: Json | None, token: str | None, *, idempotent: bool | None = None
    ) -> Any:
        secrets = tuple(str(body[name]) for name in ("password", "new_password") if body and name in body)
        async with ApiClient(
            token,
            api_url=self._api_url,
            token_type=None,
            timeout=self._timeout,
            session=self._session,
            proxy=self._proxy,
            user_agent=self._user_agent,
            secrets=secrets,
        ) as client:
            return await client.request(method, route, json=body, idempotent=idempotent)


def _login(body: Json) -> Login:
    client = body["client_info"].get("user_agent")
    return Login(
        id_hash=_checked_text(body["id_hash"]),
        client=None if client is None else _checked_text(client),
        created_at=datetime.fromisoformat(_checked_text(body["created_at"])),
        last_used_at=datetime.fromisoformat(_checked_text(body["approx_last_used_time"])),
        current=body["current"] is True,
    )


def _checked_text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} instead of a text")
    return value
