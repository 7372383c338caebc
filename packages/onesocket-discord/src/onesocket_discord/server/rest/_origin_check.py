"""Rejects requests of foreign web pages: a browser lets them send requests to any address."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from onesocket.hub._endpoint import is_ip_address, is_loopback

from .._public_url import PublicUrl, parse_origin
from ._responses import error_response

_PORTS: Final = {"http": 80, "https": 443}
_SHARED_PATH: Final = "/api/"
_PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, X-Audit-Log-Reason",
    "Access-Control-Max-Age": "600",
}
_EXPOSED: Final = (
    "Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-RateLimit-Reset-After, "
    "X-RateLimit-Bucket, X-RateLimit-Global, X-RateLimit-Scope"
)


class OriginPolicy:
    """Decides by ``Origin``, which browsers send and bots don't, which web pages may use the server.

    These may: pages of this machine (loopback, any port), those of the server's own address, and named origins. With a
    public address that address takes the place of this machine's other ports: its users' machines are others.
    """

    def __init__(self, allowed: Iterable[str] = (), public: PublicUrl | None = None) -> None:
        """`allowed`: origins such as ``https://chat.example``. Raises `InvalidOption`."""
        self._allowed = frozenset(parse_origin(one, "--origin", "a web page's scheme and host") for one in allowed)
        self._is_public = public is not None
        if public is not None:
            self._allowed |= {public.origin}

    def __repr__(self) -> str:
        return f"<OriginPolicy allowed={sorted(self._allowed)}>"

    def allows(self, origin: str | None, host: str, scheme: str | None = None) -> bool:
        """True for no page at all (None), and for a page that may use the server as `host`.

        The server's own page counts where `host` is an address: a foreign page can bring its own name to lead here.
        `scheme`: that of the request, if a trusted proxy says so; then it has to be that of its own page.
        """
        if origin is None or origin.lower() in self._allowed:
            return True
        name = _host_of(origin)
        if not self._is_public and is_loopback(name):
            return True
        return (is_ip_address(name) or name == "localhost") and self._is_same_host(origin, host, scheme)

    def allows_gateway(self, origin: str | None, host: str, scheme: str | None = None) -> bool:
        """As `allows`; without a public address a page of the same name, too, which has nothing without a token."""
        return self.allows(origin, host, scheme) or (
            origin is not None and not self._is_public and self._is_same_host(origin, host, scheme)
        )

    def hook(
        self, scheme_of: Callable[[web.Request], str | None]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse | None]]:
        """Return a hook that answers 403 to a page that may not use the server."""

        async def check(request: web.Request) -> web.StreamResponse | None:
            if self._allows_request(request, scheme_of):
                return None
            return error_response(403, 0, "403: Forbidden: web pages of other hosts can't use this server")

        return check

    def preflight_hook(
        self, scheme_of: Callable[[web.Request], str | None]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse | None]]:
        """Return a hook that answers what a browser asks before a request with a token of such a page (CORS)."""

        async def answer(request: web.Request) -> web.StreamResponse | None:
            asks = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
            if asks and self._is_shared(request) and self._allows_request(request, scheme_of):
                return web.Response(status=204, headers=_PREFLIGHT)
            return None

        return answer

    def sharer(
        self, scheme_of: Callable[[web.Request], str | None]
    ) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
        """Return what lets those pages read an answer of the API, which is of another origin than theirs (CORS).

        It is called before an answer is sent, whatever has made it. Cookies play no part.
        """

        async def share(request: web.Request, response: web.StreamResponse) -> None:
            if not self._is_shared(request):
                return
            if self._allows_request(request, scheme_of):
                response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
                response.headers["Access-Control-Expose-Headers"] = _EXPOSED
            response.headers["Vary"] = "Origin"

        return share

    def _is_shared(self, request: web.Request) -> bool:
        """True for a request of any page to the API."""
        return "Origin" in request.headers and request.path.startswith(_SHARED_PATH)

    def _allows_request(self, request: web.Request, scheme_of: Callable[[web.Request], str | None]) -> bool:
        return self.allows(request.headers.get("Origin"), request.headers.get("Host", ""), scheme_of(request))

    def _is_same_host(self, origin: str, host: str, scheme: str | None) -> bool:
        """True if the origin's host and port are those of this ``Host`` header."""
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        if scheme is not None and parts.scheme != scheme:
            return False
        return bool(host) and _netloc(parts.netloc, parts.scheme) == _netloc(host, parts.scheme)


def is_address(host: str) -> bool:
    """True if a ``Host`` header is an address or ``localhost``; any other name may be a foreign one."""
    name = _host_of(f"//{host}")
    return name == "localhost" or is_ip_address(name)


def _netloc(netloc: str, scheme: str) -> str:
    return netloc.lower().removesuffix(f":{_PORTS.get(scheme.lower())}")


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
