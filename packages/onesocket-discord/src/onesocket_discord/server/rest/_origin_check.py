"""Rejects requests of foreign web pages: a browser lets them send requests to any address."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from aiohttp import web

from onesocket.errors import InvalidOption
from onesocket.hub._endpoint import is_ip_address, is_loopback

from ._responses import error_response

_PORTS = {"http": 80, "https": 443}


class OriginPolicy:
    """Decides by ``Origin``, which browsers send and bots don't, which web pages may use the server.

    These may: pages of this machine (loopback, any port), those of the server's own address, and named origins.
    """

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        """`allowed`: origins such as ``https://chat.example``. Raises `InvalidOption`."""
        self._allowed = frozenset(_named_origin(one) for one in allowed)

    def __repr__(self) -> str:
        return f"<OriginPolicy allowed={sorted(self._allowed)}>"

    def allows(self, origin: str | None, host: str) -> bool:
        """True for no page at all (None), and for a page that may use the server as `host`.

        The server's own page counts where `host` is an address: a foreign page can bring its own name to lead here.
        """
        if origin is None or is_loopback(_host_of(origin)) or origin.lower() in self._allowed:
            return True
        return is_ip_address(_host_of(origin)) and self.is_same_host(origin, host)

    def allows_gateway(self, origin: str | None, host: str) -> bool:
        """As `allows`, and a page of the same name: without a token there is nothing to be had."""
        return self.allows(origin, host) or (origin is not None and self.is_same_host(origin, host))

    def is_same_host(self, origin: str, host: str) -> bool:
        """True if the origin's host and port are those of this ``Host`` header."""
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        return bool(host) and _netloc(parts.netloc, parts.scheme) == _netloc(host, parts.scheme)

    async def hook(self, request: web.Request) -> web.StreamResponse | None:
        """A hook: 403 for a page that may not use the server."""
        if self.allows(request.headers.get("Origin"), request.headers.get("Host", "")):
            return None
        return error_response(403, 0, "403: Forbidden: web pages of other hosts can't use this server")


def is_address(host: str) -> bool:
    """True if a ``Host`` header is an address or ``localhost``; any other name may be a foreign one."""
    name = _host_of(f"//{host}")
    return name == "localhost" or is_ip_address(name)


def _named_origin(text: str) -> str:
    try:
        parts = urlsplit(text)
        valid = parts.scheme in _PORTS and bool(parts.hostname) and not (parts.path.strip("/") or parts.query)
    except ValueError:
        valid = False
    if not valid:
        raise InvalidOption(f"an origin is a web page's scheme and host, such as https://chat.example, not {text!r}")
    return text.rstrip("/").lower()


def _netloc(netloc: str, scheme: str) -> str:
    return netloc.lower().removesuffix(f":{_PORTS.get(scheme.lower())}")


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
