"""Web pages of others: a browser lets them send requests to loopback."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from aiohttp import web

from ._responses import error_response


async def reject_foreign_origins(request: web.Request) -> web.StreamResponse | None:
    """A hook: 403 for a page that isn't from this machine. Browsers say ``Origin``, clients and bots don't."""
    origin = request.headers.get("Origin")
    if origin is None:
        return None
    host = _host(origin)
    if host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback):
        return None
    return error_response(403, 0, "403: Forbidden: web pages of other hosts can't use this server")


def is_address(host: str) -> bool:
    """True if a ``ServerContext`` header is an address and no name: a name may be a stranger's, made to lead here."""
    name = _host(f"//{host}")
    return name == "localhost" or _is_address(name)


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
