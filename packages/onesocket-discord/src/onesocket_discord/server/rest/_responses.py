"""HTTP responses in Discord's form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from aiohttp import web

from .._api_error import ApiError
from .._ports import Json
from ._rate_limiter import denied_decision

SERVER_NAME: Final = "onesocket"
"""The header `Server`: by default it would tell the versions of aiohttp and of Python."""
_encode = msgspec.json.Encoder().encode


async def name_server(_: web.BaseRequest, response: web.StreamResponse) -> None:
    """Set the header `Server` of an answer, before it is sent."""
    response.headers["Server"] = SERVER_NAME


def json_response(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Answer with JSON (None: 204), without a charset in the content type, which many libraries do not accept."""
    if body is None:
        return web.Response(status=204, headers=headers)
    return web.Response(body=_encode(body), status=status, headers=headers, content_type="application/json")


def error_response(status: int, code: int, text: str, *, headers: Mapping[str, str] | None = None) -> web.Response:
    """Answer with Discord's error body."""
    return json_response({"message": text, "code": code}, status=status, headers=headers)


def api_error_response(error: ApiError) -> web.Response:
    """Answer with the error of the service."""
    return json_response(error.body, status=error.status)


def rate_limited_response(
    retry_after: float, *, global_: bool = False, scope: str = "user", headers: Mapping[str, str] | None = None
) -> web.Response:
    """Answer 429 with `retry_after` in seconds."""
    body: Json = {
        "message": "You are being rate limited.",
        "retry_after": round(retry_after, 3),
        "global": global_,
        "code": 0,
    }
    # Libraries take a 429 without `Via` for a ban by the edge before the API, and give up at once.
    limit_headers = {
        "Via": "1.1 onesocket",
        "Retry-After": str(math.ceil(retry_after)),
        "X-RateLimit-Scope": "global" if global_ else scope,
    }
    if global_:
        limit_headers["X-RateLimit-Global"] = "true"
    return json_response(body, status=429, headers={**(headers or {}), **limit_headers})


def scripted_rate_limit_response(request: web.Request, retry_after: float, *, global_: bool = False) -> web.Response:
    """Answer 429 to this request, regardless of its bucket; a global one names no bucket, as at Discord."""
    resource = request.match_info.route.resource
    path = request.path if resource is None else resource.canonical
    route = f"{request.method} {path.removeprefix('/api').removeprefix('/v10')}"
    headers = None if global_ else denied_decision(route, retry_after).headers
    return rate_limited_response(retry_after, global_=global_, headers=headers)
