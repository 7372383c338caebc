"""The application: every request passes the hooks, the token, the limits, and comes to its route."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web
from aiohttp.typedefs import Middleware

from ..ports import Account, Json
from ..refusal import Refused, unauthorized
from ..service import Service
from .accounts import ROUTES as ACCOUNTS
from .answers import answer, rate_limited, refuse, refused
from .call import Call, Route, Settings, TooMany
from .channels import ROUTES as CHANNELS
from .commands import ROUTES as COMMANDS
from .guilds import ROUTES as GUILDS
from .limits import Limiter
from .messages import ROUTES as MESSAGES
from .proxies import Proxies

log = logging.getLogger(__name__)

Hook = Callable[[web.Request], Awaitable[web.StreamResponse | None]]
"""Runs before everything else: a response ends the request, None lets it through."""

PREFIXES = ("/api/v10", "/api")
ROUTES = (*ACCOUNTS, *GUILDS, *CHANNELS, *MESSAGES, *COMMANDS)

_LARGEST_BODY = 1024 * 1024
_ANSWER_TIMEOUT = 20.0
_WORDS = {
    401: "401: Unauthorized",
    404: "404: Not Found",
    405: "405: Method Not Allowed",
    413: "Request entity too large",
}
_MAJOR = ("channel_id", "guild_id")
"""Discord counts each channel and each guild by itself."""


def make_app(
    service: Service,
    *,
    gateway_url: Callable[[], str],
    session_start_limit: Callable[[Account], Json],
    hooks: Sequence[Hook] = (),
    loses: Callable[[web.Request], bool] = lambda _: False,
    limiter: Limiter | None = None,
    proxies: Proxies | None = None,
    answer_timeout: float = _ANSWER_TIMEOUT,
) -> web.Application:
    """Assemble the application, under ``/api/v10`` and ``/api``.

    `gateway_url` and `session_start_limit` are asked for each request that needs them; `hooks` is read for each
    request, so whoever keeps the list may change it. If `loses` says so of a request that was done, its connection is
    reset instead of an answer. Who doesn't take an answer within `answer_timeout` seconds is
    dropped.
    """
    settings = Settings(gateway_url, session_start_limit, limiter or Limiter(), proxies or Proxies())
    app = web.Application(
        middlewares=[_sender(answer_timeout, loses), _outermost(hooks)], client_max_size=_LARGEST_BODY
    )
    for prefix in PREFIXES:
        for route in ROUTES:
            app.router.add_route(route.method, prefix + route.path, _endpoint(route, service, settings))
    return app


_Endpoint = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _sender(timeout: float, loses: Callable[[web.Request], bool]) -> Middleware:
    """Send the answer here, where it has a deadline: aiohttp waits for ever for a client that doesn't read."""

    @web.middleware
    async def sender(request: web.Request, handler: _Endpoint) -> web.StreamResponse:
        response = await handler(request)
        if loses(request) and request.transport is not None:
            request.transport.abort()
        try:
            async with asyncio.timeout(timeout):
                await response.prepare(request)
                await response.write_eof()
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            pass  # it has left; aiohttp notices by itself
        return response

    return sender


def _outermost(hooks: Sequence[Hook]) -> Middleware:
    @web.middleware
    async def outermost(request: web.Request, handler: _Endpoint) -> web.StreamResponse:
        try:
            for hook in tuple(hooks):
                response = await hook(request)
                if response is not None:
                    return response
            return await handler(request)
        except Refused as error:
            return refused(error)
        except TooMany as error:
            return rate_limited(error.grant.reset_after, headers=error.grant.headers)
        except web.HTTPException as error:
            return _http_error(error)
        except Exception as error:
            # Without the request: it holds tokens, and what people write.
            log.exception("%s failed", request.method, exc_info=error)
            return refuse(500, 0, "500: Internal Server Error")

    return outermost


def _endpoint(route: Route, service: Service, settings: Settings) -> _Endpoint:
    where = f"{route.method} {route.path}"

    async def endpoint(request: web.Request) -> web.StreamResponse:
        account = None if route.open else await _account(request, service)
        who: tuple[object, ...] = (settings.proxies.client_of(request) if account is None else account.user_id,)
        who += tuple(request.match_info.get(name) for name in _MAJOR)
        grant = settings.limiter.take(where, who, route.limit or settings.limiter.usual)
        if not grant.allowed:
            raise TooMany(grant)
        call = Call(request, service, settings, account)
        try:
            body = await route.handler(call)
            response = body if isinstance(body, web.Response) else answer(body)
        except Refused as error:
            response = refused(error)
        response.headers.update(grant.headers)
        return response

    return endpoint


async def _account(request: web.Request, service: Service) -> Account:
    """Find whose token it is. Bots say ``Bot`` before it, people don't."""
    token = request.headers.get("Authorization", "")
    bare = token.removeprefix("Bot ")
    account = await service.authenticate(bare) if bare else None
    if account is None or account.bot != (bare != token):
        raise unauthorized()
    return account


def _http_error(error: web.HTTPException) -> web.Response:
    kept = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
    text = _WORDS.get(error.status, f"{error.status}: {error.reason}")
    return refuse(error.status, 40005 if error.status == 413 else 0, text, headers=kept)
