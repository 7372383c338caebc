"""One HTTP request, with its parameters checked on access."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from ...protocol._snowflakes import parse_snowflake
from .._api_error import ApiError, invalid_field, unauthorized
from .._field_reader import as_list, as_object
from .._login_guard import LoginGuard
from .._ports import Account, Json
from .._trusted_proxies import RequestSource, TrustedProxies
from .._window_table import RateLimit
from ..service import ChatService
from ..service._attachments import UploadedFile
from ._form import read_form
from ._rate_limiter import RateLimitDecision, RateLimiter

_BODY_TIMEOUT = 20.0
"""Seconds for a body to arrive."""
_FORM_TIMEOUT = 300.0
"""Seconds for a form with files to arrive."""
_MAX_DEPTH = 64

_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class RouteSettings:
    """The server's settings for the routes."""

    gateway_url: Callable[[], str]
    session_start_limit: Callable[[Account], Awaitable[Json]]
    limiter: RateLimiter
    proxies: TrustedProxies
    guard: LoginGuard

    def source_of(self, request: web.Request) -> RequestSource:
        """The client of a request."""
        return self.proxies.source_of(str(request.remote), lambda name: request.headers.getall(name, ()))


class RateLimitExceeded(Exception):
    """The request is over a rate limit; `grant` says which one, and until when."""

    def __init__(self, grant: RateLimitDecision) -> None:
        super().__init__(grant)
        self.grant = grant


class RequestContext:
    """The account, the ids in the path, the query and the body of a request; each is checked on access."""

    def __init__(
        self, request: web.Request, service: ChatService, settings: RouteSettings, account: Account | None
    ) -> None:
        self.request = request
        self.service = service
        self.settings = settings
        self._account = account
        self._form: tuple[bytes, list[UploadedFile]] | None = None

    @property
    def account(self) -> Account:
        """The account of the token. Raises `ApiError` (401) on a route without one."""
        if self._account is None:
            raise unauthorized()
        return self._account

    def id(self, name: str) -> int:
        """Read an id from the path. `ApiError` (50035) if it is none."""
        return _snowflake(name, self.request.match_info[name])

    def path_user_id(self) -> int:
        """The ``user_id`` of the path; the account's own for ``@me``, or without one."""
        text = self.request.match_info.get("user_id", "@me")
        return self.account.user_id if text == "@me" else _snowflake("user_id", text)

    @property
    def reason(self) -> str | None:
        """The reason for the audit log, which is percent-encoded in a header."""
        return unquote(self._header("X-Audit-Log-Reason")).replace("\0", "")[:512] or None

    def text(self, name: str) -> str:
        """Read a text from the path."""
        return self.request.match_info[name]

    def query_id(self, name: str, default: int | None) -> int | None:
        """Read an id from the query."""
        text = self.request.query.get(name)
        return default if text is None else _snowflake(name, text)

    def query_int(self, name: str, default: int, most: int) -> int:
        """Read a number from 1 to `most` from the query."""
        text = self.request.query.get(name)
        if text is None:
            return default
        if not text.isascii() or not text.lstrip("-").isdigit() or len(text) > 10:
            raise invalid_field(name, "NUMBER_TYPE_COERCE", f'Value "{text[:40]}" is not int.')
        number = int(text)
        if number < 1:
            raise invalid_field(name, "NUMBER_TYPE_MIN", "int value should be greater than or equal to 1.")
        if number > most:
            raise invalid_field(name, "NUMBER_TYPE_MAX", f"int value should be less than or equal to {most}.")
        return number

    async def body(self) -> Any:
        """Read the JSON body; of a multipart form its ``payload_json``."""
        if self.request.content_type == "multipart/form-data":
            payload, _ = await self._read_form()
            return _parse_body(payload)
        async with _reading(_BODY_TIMEOUT):
            raw = await self.request.read()
        await self._check_token()
        return _parse_body(raw)

    async def files(self) -> list[UploadedFile]:
        """Read the files of a multipart form."""
        return (await self._read_form())[1] if self.request.content_type == "multipart/form-data" else []

    async def no_files(self) -> None:
        """Refuse files where they have no place. `ApiError` (50035)."""
        if await self.files():
            raise invalid_field("files", "ATTACHMENTS_UNSUPPORTED", "Files have no place here.")

    async def _read_form(self) -> tuple[bytes, list[UploadedFile]]:
        if self._form is None:
            async with _reading(_FORM_TIMEOUT):
                self._form = await read_form(self.request)
            await self._check_token()
        return self._form

    async def _check_token(self) -> None:
        """Raise `ApiError` (401) if the token became void while the body arrived, which takes as long as one likes."""
        if self._account is not None and await self.service.authenticate(self.token) is None:
            raise unauthorized()

    @property
    def token(self) -> str:
        """The request's token."""
        return self.request.headers["Authorization"].removeprefix("Bot ")

    @property
    def client(self) -> str:
        """The client program, by its User-Agent."""
        return self._header("User-Agent")

    def _header(self, name: str) -> str:
        """Read a header; bytes in it that are no UTF-8, which no database takes, are shown as ``?``."""
        return self.request.headers.get(name, "").encode(errors="replace").decode()

    @property
    def network(self) -> str:
        """The part of the client's address by which limits count."""
        return self.settings.source_of(self.request).network

    def count_attempt(self, what: str, who: str, limit: RateLimit) -> None:
        """Count this attempt to sign in or to register. Raises `RateLimitExceeded`."""
        grant = self.settings.limiter.count_attempt(what, who, limit)
        if not grant.allowed:
            raise RateLimitExceeded(grant)


@asynccontextmanager
async def _reading(timeout: float) -> AsyncGenerator[None, None]:
    """Turn what reading a body raises into `ApiError`."""
    try:
        async with asyncio.timeout(timeout):
            yield
    except TimeoutError:
        raise ApiError(408, 0, "408: Request Timeout") from None
    except (
        web.RequestPayloadError,
        HttpProcessingError,
        ConnectionError,
        ValueError,
        AssertionError,
        RuntimeError,
    ) as error:
        # Broken chunks, a broken Content-Encoding, a form without boundary, a part without name or with a broken
        # head; a client that left.
        raise _invalid_json() from error


def _snowflake(name: str, text: str) -> int:
    number = parse_snowflake(text)
    if number is None:
        raise invalid_field(name, "NUMBER_TYPE_COERCE", f'Value "{text[:40]}" is not snowflake.')
    return number


def _parse_body(raw: bytes) -> Any:
    if not raw:
        return {}
    try:
        body = _decode(raw)
    except (ValueError, RecursionError) as error:  # also of text that is no UTF-8
        raise _invalid_json() from error
    if raw.count(b"[") + raw.count(b"{") > _MAX_DEPTH and _depth(body) > _MAX_DEPTH:
        raise _invalid_json()
    return body


def _depth(body: Any) -> int:
    depth = 0
    level: list[Any] = [body]
    while level:
        depth += 1
        level = [item for one in level for item in as_list(one) or (as_object(one) or {}).values()]
    return depth


def _invalid_json() -> ApiError:
    return ApiError(400, 50109, "The request body contains invalid JSON.")
