"""Signing up and in on onesocket's own chat server; Discord has no such thing for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import InvalidOption
from .caller import Caller
from .errors import BadAnswer
from .shapes import Json, an_object

if TYPE_CHECKING:  # imported when it is needed: it may not be installed
    import aiohttp


class Accounts:
    """For people: ``Rest(await Accounts(api_url).login(name, password), api_url=api_url, token_type=None)``."""

    def __init__(self, api_url: str, *, timeout: float = 30.0, session: aiohttp.ClientSession | None = None) -> None:
        self._api_url = api_url
        self._timeout = timeout
        self._session = session

    def __repr__(self) -> str:
        return "<Accounts>"

    async def register(self, username: str, password: str) -> str:
        """Make an account; gives its token."""
        return await self._token("/auth/register", {"username": username, "password": password}, password)

    async def login(self, login: str, password: str) -> str:
        """Sign in; gives a token. Raises `RestError` when the name or the password is wrong."""
        return await self._token("/auth/login", {"login": login, "password": password}, password)

    async def logout(self, token: str) -> None:
        """Make the token void."""
        async with Caller(
            token, api_url=self._api_url, token_type=None, timeout=self._timeout, session=self._session
        ) as caller:
            await caller.request("POST", "/auth/logout", json={}, idempotent=True)

    async def _token(self, route: str, body: Json, password: str) -> str:
        if not all(isinstance(value, str) and value for value in body.values()):
            raise InvalidOption("the name and the password must be texts, and not empty")
        async with Caller(
            api_url=self._api_url, timeout=self._timeout, session=self._session, secrets=(password,)
        ) as caller:
            answer = an_object(await caller.request("POST", route, json=body), route)
        token = answer.get("token")
        if not isinstance(token, str) or not token:
            raise BadAnswer(f"{route}: the answer holds no token; is api_url that of a chat server?", status=200)
        return token
