"""Rejects requests of foreign web pages: a browser lets them send requests to loopback."""

from __future__ import annotations

from urllib.parse import urlsplit

from aiohttp import web

from onesocket.hub._endpoint import is_ip_address, is_loopback

from ._responses import error_response


async def reject_foreign_origins(request: web.Request) -> web.StreamResponse | None:
    """A hook: 403 for a page of another machine. Browsers send ``Origin``, clients and bots don't."""
    origin = request.headers.get("Origin")
    if origin is None or is_loopback(_host(origin)):
        return None
    return error_response(403, 0, "403: Forbidden: web pages of other hosts can't use this server")


def is_address(host: str) -> bool:
    """True if a ``Host`` header is an address or ``localhost``; any other name may be a foreign one."""
    name = _host(f"//{host}")
    return name == "localhost" or is_ip_address(name)


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
