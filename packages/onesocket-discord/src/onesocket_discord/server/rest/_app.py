"""The HTTP application: passes each request through hooks, authentication and rate limits to its route."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web
from aiohttp.typedefs import Middleware

from ...protocol._snowflakes import parse_snowflake
from .._address_counter import AddressCounter
from .._api_error import ApiError, unauthorized
from .._login_guard import LoginGuard, UnknownTokenLimit
from .._ports import Account, Json
from .._requests import RequestObserver
from .._trusted_proxies import RequestSource, TrustedProxies
from ..service import ChatService
from ._attachments import add_attachment_route
from ._page import StaticPage
from ._rate_limiter import RateLimiter
from ._request_context import RateLimitExceeded, RequestContext, RouteSettings
from ._request_observation import note_account, request_noter
from ._responses import api_error_response, error_response, json_response, name_server, rate_limited_response
from ._route import RouteDefinition
from ._routes import ROUTES

log = logging.getLogger(__name__)

RequestHook = Callable[[web.Request], Awaitable[web.StreamResponse | None]]
"""Runs first: a response ends the request, None passes it on."""

PREFIXES = ("/api/v10", "/api")

_MAX_BODY_SIZE = 1024 * 1024
_RESPONSE_TIMEOUT = 20.0
_CLIENT_RETRY_AFTER = 1.0
_STATUS_TEXTS = {
    401: "401: Unauthorized",
    404: "404: Not Found",
    405: "405: Method Not Allowed",
    413: "Request entity too large",
}
_MAJOR_PARAMETERS = ("channel_id", "guild_id")
"""Path parameters with rate limits of their own, as at Discord."""


def make_app(
    service: ChatService,
    *,
    gateway_url: Callable[[], str],
    session_start_limit: Callable[[Account], Awaitable[Json]],
    hooks: Sequence[RequestHook] = (),
    loses: Callable[[web.Request], bool] = lambda _: False,
    limiter: RateLimiter | None = None,
    proxies: TrustedProxies | None = None,
    guard: LoginGuard | None = None,
    answer_timeout: float = _RESPONSE_TIMEOUT,
    page: StaticPage | None = None,
    health: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None,
    observers: Sequence[RequestObserver] = (),
    max_per_client: int | None = None,
    sharer: Callable[[web.Request, web.StreamResponse], Awaitable[None]] | None = None,
) -> web.Application:
    """Assemble the application: the API under ``/api/v10`` and ``/api``, the page, and ``/healthz``.

    `gateway_url` and `session_start_limit` are called for each request that needs them; `hooks` may change at any
    time. If `loses` returns True for a request that was done, its connection is reset instead of an answer. A client
    that doesn't read an answer within `answer_timeout` seconds is disconnected. `observers` are told of each request.
    `max_per_client`: requests at the same time of one client behind a trusted proxy. `sharer` lets pages of other
    origins read answers (see `OriginPolicy`).
    """
    settings = RouteSettings(
        gateway_url, session_start_limit, limiter or RateLimiter(), proxies or TrustedProxies(), guard or LoginGuard()
    )
    middlewares = [_response_sender(answer_timeout, loses), _error_handler(hooks, page)]
    if max_per_client is not None:
        middlewares.insert(0, _client_limiter(max_per_client, settings.source_of))
    if observers:
        middlewares.insert(0, request_noter(observers, settings.source_of))
    app = web.Application(middlewares=middlewares, client_max_size=_MAX_BODY_SIZE)
    app.on_response_prepare.append(name_server)
    if sharer is not None:
        app.on_response_prepare.append(sharer)
    if health is not None:
        app.router.add_get("/healthz", health)
    add_attachment_route(app.router, service)
    if page is not None:
        page.add_routes(app.router)
    for prefix in PREFIXES:
        for route in ROUTES:
            app.router.add_route(route.method, prefix + route.path, _endpoint(route, service, settings))
    return app


_Endpoint = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _response_sender(timeout: float, loses: Callable[[web.Request], bool]) -> Middleware:
    """Send the response with a deadline: aiohttp waits forever for a client that doesn't read."""

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
            pass  # the client has left; aiohttp handles it
        return response

    return sender


def _client_limiter(limit: int, source_of: Callable[[web.Request], RequestSource]) -> Middleware:
    """Limit the requests that each client behind a trusted proxy has under way: the connections are the proxy's."""
    clients = AddressCounter(limit, TrustedProxies())

    @web.middleware
    async def limiter(request: web.Request, handler: _Endpoint) -> web.StreamResponse:
        source = source_of(request)
        if not source.is_forwarded:
            return await handler(request)
        network = clients.enter(source.address)
        if network is None:
            return rate_limited_response(_CLIENT_RETRY_AFTER, global_=True)
        try:
            return await handler(request)
        finally:
            clients.leave(network)

    return limiter


def _error_handler(hooks: Sequence[RequestHook], page: StaticPage | None) -> Middleware:
    @web.middleware
    async def outermost(request: web.Request, handler: _Endpoint) -> web.StreamResponse:
        try:
            for hook in tuple(hooks):
                response = await hook(request)
                if response is not None:
                    return response
            return await handler(request)
        except ApiError as error:
            if error.status == 404 and page is not None and page.is_opened(request):
                return page.not_found()
            return api_error_response(error)
        except RateLimitExceeded as error:
            return rate_limited_response(error.grant.reset_after, headers=error.grant.headers)
        except UnknownTokenLimit as error:
            return rate_limited_response(error.retry_after, global_=True)
        except web.HTTPException as error:
            if error.status == 404 and page is not None and page.is_opened(request):
                return page.not_found()
            return _http_error_response(error)
        except Exception as error:
            # Without the request: it holds tokens and messages.
            log.exception("%s failed", request.method, exc_info=error)
            return error_response(500, 0, "500: Internal Server Error")

    return outermost


def _endpoint(route: RouteDefinition, service: ChatService, settings: RouteSettings) -> _Endpoint:
    route_name = f"{route.method} {route.path}"
    handler = route.bind(service)

    async def endpoint(request: web.Request) -> web.StreamResponse:
        account: Account | None = None
        client: tuple[object, ...]
        if route.open:
            client = (settings.source_of(request).network,)
        else:
            account = await _authenticate(request, service, settings)
            note_account(account)
            everything = settings.limiter.take_account(account.user_id)
            if not everything.allowed:
                return rate_limited_response(everything.reset_after, global_=True)
            client = (account.user_id, *(_major_id(request, name) for name in _MAJOR_PARAMETERS))
        grant = settings.limiter.take(route_name, client, settings.limiter.usual)
        if not grant.allowed:
            raise RateLimitExceeded(grant)
        context = RequestContext(request, service, settings, account)
        try:
            body = await handler(context)
            response = body if isinstance(body, web.Response) else json_response(body, status=route.status)
        except ApiError as error:
            response = api_error_response(error)
        response.headers.update(grant.headers)
        return response

    return endpoint


def _major_id(request: web.Request, name: str) -> int | None:
    """The id by this name in the path; None without one, and for text that is none, of any length."""
    return parse_snowflake(request.match_info.get(name))


async def _authenticate(request: web.Request, service: ChatService, settings: RouteSettings) -> Account:
    """Return the account of the request's token; a bot's has the prefix ``Bot``.

    Raises `ApiError` (401), and `UnknownTokenLimit`.
    """
    token = request.headers.get("Authorization", "")
    bare = token.removeprefix("Bot ")
    network = settings.source_of(request).network
    account = await settings.guard.authenticate(service, bare, network) if bare else None
    if account is None or account.bot != (bare != token):
        raise unauthorized()
    return account


def _http_error_response(error: web.HTTPException) -> web.Response:
    kept = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
    text = _STATUS_TEXTS.get(error.status, f"{error.status}: {error.reason}")
    return error_response(error.status, 40005 if error.status == 413 else 0, text, headers=kept)
