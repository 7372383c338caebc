"""Access control of the hub: the local token, the Origin of web pages, and the Host header."""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from ..wire._http_response import HttpResponse
from ..wire._request_parser import HttpRequest
from ._endpoint import is_ip_address
from ._options import HubOptions


class AccessPolicy:
    """Checks requests: a browser names its page in Origin, and a foreign name for this address is in Host."""

    def __init__(self, options: HubOptions) -> None:
        self._token = None if options.token is None else options.token.encode()
        self._origins = frozenset(options.allow_origins)
        self._hosts = frozenset(options.allow_hosts) | {options.listen.host.lower(), "localhost"}
        self._is_unix = bool(options.listen.path)

    def __repr__(self) -> str:
        return f"<AccessPolicy {'with' if self._token else 'without'} a token, origins={sorted(self._origins)}>"

    def is_valid_token(self, token: str) -> bool:
        """True if this is the local token; without one, any is valid. Compares in constant time."""
        return self._token is None or hmac.compare_digest(token.encode(errors="replace"), self._token)

    def check_origin(self, request: HttpRequest) -> HttpResponse | None:
        """The HTTP error for a web page or a name that isn't allowed, else None."""
        origin = request.headers.get("Origin")
        if origin is not None and "*" not in self._origins and origin.lower().rstrip("/") not in self._origins:
            return HttpResponse.text(403, "this web page may not connect: start the hub with --allow-origin to let it")
        if not self._is_unix and not self._is_own_host(request.headers.get("Host", "")):
            return HttpResponse.text(
                403, "the Host header is a name that is not ours: start the hub with --allow-host to let it"
            )
        return None

    def check_token(self, request: HttpRequest) -> HttpResponse | None:
        """The HTTP error for a missing or wrong token, else None."""
        if self._token is None or self.is_valid_token(_presented_token(request)):
            return None
        return HttpResponse.text(401, "the local token is missing or wrong", {"WWW-Authenticate": "Bearer"})

    def _is_own_host(self, header: str) -> bool:
        try:
            host = urlsplit(f"//{header}").hostname or ""
        except ValueError:
            return False
        return is_ip_address(host) or host in self._hosts or host.endswith(".localhost")


def _presented_token(request: HttpRequest) -> str:
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() in ("bearer", "bot"):
        return credentials.strip()
    return request.query.get("token", "")
