"""Notes each HTTP request at its end, without what is secret in it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware

from .._ports import Account
from .._requests import CONTROL_ROUTE, UNKNOWN_ROUTE, RequestObserver, RequestRecord, known_method
from .._trusted_proxies import RequestSource

_account: Final[ContextVar[int | None]] = ContextVar("onesocket_request_account", default=None)
"""Of the request that this task handles."""
_PREFIXES: Final = ("/api/v10", "/api")


def note_account(account: Account) -> None:
    """Note the account of the token of the request that is handled."""
    _account.set(account.user_id)


def request_noter(
    observers: Sequence[RequestObserver], source_of: Callable[[web.Request], RequestSource]
) -> Middleware:
    """Return a middleware that tells observers of each request; the outermost one, around the sending of the answer."""

    @web.middleware
    async def noter(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        start = time.perf_counter()
        _account.set(None)
        response = await handler(request)
        source = source_of(request)
        route, path = _route_and_path(request)
        record = RequestRecord(
            address=source.address,
            scheme=source.scheme,
            method=known_method(request.method),
            route=route,
            path=path,
            status=response.status,
            size=response.body_length,
            seconds=time.perf_counter() - start,
            account=_account.get(),
        )
        for observer in observers:
            observer(record)
        return response

    return noter


def _route_and_path(request: web.Request) -> tuple[str, str]:
    """The route, and the same with the ids of this request."""
    resource = request.match_info.route.resource
    if resource is None:
        route = CONTROL_ROUTE if request.path.startswith("/control/") else UNKNOWN_ROUTE
        return route, route
    route = resource.canonical
    prefix = next((one for one in _PREFIXES if route.startswith(f"{one}/")), "")
    route = path = route.removeprefix(prefix)
    for name, value in request.match_info.items():
        is_id = name == "id" or name.endswith("_id")  # the code of an invite may be all digits
        if is_id and value.isascii() and value.isdigit() and len(value) <= 20:
            path = path.replace(f"{{{name}}}", value)
    return route, path
