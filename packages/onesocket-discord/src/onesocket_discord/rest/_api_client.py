"""The generic part of `Rest`: any call, from its method, route and parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NoReturn, Self
from urllib.parse import quote, urlencode

import aiohttp
import msgspec

from onesocket.client._pickling import not_picklable
from onesocket.errors import EncodeError, InvalidOption
from onesocket.transports._proxy import ProxyOption
from onesocket.urls import parse_url

from ..protocol._api import API_URL, USER_AGENT
from ._http_transport import HttpTransport, Request
from ._invalid_budget import InvalidBudget
from ._rate_limits import RateLimits
from ._requester import Requester
from ._route import IDEMPOTENT, make_route

_MAX_REASON_LENGTH = 512
TokenType = Literal["Bot", "Bearer"]


class ApiClient:
    """A client for HTTP APIs of Discord's kind, with rate limits, typed errors and deadlines."""

    def __init__(
        self,
        token: str | None = None,
        *,
        api_url: str = API_URL,
        token_type: TokenType | None = "Bot",  # noqa: S107 - a scheme
        timeout: float = 60.0,
        session: aiohttp.ClientSession | None = None,
        proxy: ProxyOption = True,
        max_retries: int = 4,
        user_agent: str | None = None,
        max_waiting: int = 1_000,
        invalid_budget: InvalidBudget | None = None,
        secrets: tuple[str, ...] = (),
    ) -> None:
        address = parse_url(api_url, schemes=("http", "https"), what="API URL")
        if address.authorization is not None or "?" in address.url:
            raise InvalidOption("api_url takes neither a user nor a query; the token is given as token=")
        headers = {"User-Agent": _header(user_agent or USER_AGENT, "user_agent"), "Accept": "application/json"}
        if token is not None:
            headers["Authorization"] = _authorization(token, token_type)
            secrets = (*secrets, token)
        self._api_url = address.url.rstrip("/")
        self._exchange = HttpTransport(self._api_url, headers.items(), session, proxy=proxy)
        self._requester = Requester(
            self._exchange,
            timeout=timeout,
            max_retries=max_retries,
            limits=RateLimits(max_waiting=max_waiting),
            budget=invalid_budget,
            secrets=secrets,
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._api_url}>"

    def __reduce__(self) -> NoReturn:
        """Raise `UsageError`: a client of an API can't be pickled or copied."""
        raise not_picklable(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End every call (`ClientClosed`) and close the connections; a given session stays open."""
        self._requester.close()
        await self._exchange.aclose()

    async def request(
        self,
        method: str,
        route: str,
        *,
        params: Mapping[str, object] | None = None,
        json: Any = None,
        query: Mapping[str, object] | None = None,
        reason: str | None = None,
        idempotent: bool | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Any call: ``request("PUT", "/guilds/{guild_id}/bans/{user_id}", params={...})``; returns the decoded body.

        `reason`: for the audit log. `idempotent`: allows a retry after a broken connection or a 5xx; by
        default for GET, PUT and DELETE. `timeout`: seconds for the whole call, waiting included.
        Raises `RestError` for a refusal, `ConnectionFailure`, `RestTimeout`, and `UsageError` before anything is sent.
        """
        checked = make_route(method, route, params or {})
        request = Request(
            method=method,
            target=checked.path + _query(query),
            what=str(checked),
            body=None if json is None else _encoded(json, str(checked)),
            reason=None if reason is None else _reason(reason),
            idempotent=method in IDEMPOTENT if idempotent is None else idempotent,
        )
        return await self._requester.call(request, checked, timeout=timeout)


def _header(text: str, name: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise InvalidOption(f"{name} must be printable ASCII")
    return text


def _authorization(token: str, token_type: TokenType | None) -> str:
    if token_type not in ("Bot", "Bearer", None):
        raise InvalidOption(f"token_type must be 'Bot', 'Bearer' or None, not {token_type!r}")
    if not isinstance(token, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without a type checker
        raise InvalidOption(f"the token must be a str or None, not {type(token).__name__}")
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidOption(
            "the token is empty or holds white space or other characters that no token has; "
            "give it alone, without 'Bot ' (that is token_type)"
        )
    return token if token_type is None else f"{token_type} {token}"


def _encoded(value: Any, what: str) -> bytes:
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise EncodeError(f"{what}: this body can't be sent as JSON: {type(error).__name__}") from error


def _query(query: Mapping[str, object] | None) -> str:
    pairs: list[tuple[str, str]] = []
    for name, value in (query or {}).items():
        match value:
            case None:
                continue
            case bool():
                pairs.append((name, "true" if value else "false"))
            case str() | int():
                pairs.append((name, str(value)))
            case _:
                raise InvalidOption(
                    f"the query value {name!r} must be str, int, bool or None, not {type(value).__name__}"
                )
    try:
        return "?" + urlencode(pairs) if pairs else ""
    except UnicodeError:
        raise InvalidOption("the query can't be sent as UTF-8") from None


def _reason(reason: str) -> str:
    if not 0 < len(reason) <= _MAX_REASON_LENGTH:
        raise InvalidOption(f"the reason has {len(reason)} characters; the audit log takes 1 to {_MAX_REASON_LENGTH}")
    try:
        return quote(reason, safe=" ")
    except UnicodeError:
        raise InvalidOption("the reason can't be sent as UTF-8") from None
