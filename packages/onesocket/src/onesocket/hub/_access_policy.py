"""Access control of the hub: the local token, the Origin of web pages, and the Host header."""

from __future__ import annotations

import hmac
from typing import Final
from urllib.parse import parse_qs, urlsplit

from picows import WSUpgradeRequest, WSUpgradeResponse

from ._endpoint import is_ip_address
from ._options import HubOptions

_CLOSE_HEADERS: Final = {"Connection": "close"}


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

    def check_origin(self, request: WSUpgradeRequest) -> WSUpgradeResponse | None:
        """The HTTP error for a web page or a name that isn't allowed, else None."""
        origin = request.headers.get("Origin")
        if origin is not None and "*" not in self._origins and origin.lower().rstrip("/") not in self._origins:
            return error_response(403, "this web page may not connect: start the hub with --allow-origin to let it")
        if not self._is_unix and not self._is_own_host(request.headers.get("Host", "")):
            return error_response(
                403, "the Host header is a name that is not ours: start the hub with --allow-host to let it"
            )
        return None

    def check_token(self, request: WSUpgradeRequest) -> WSUpgradeResponse | None:
        """The HTTP error for a missing or wrong token, else None."""
        if self._token is None or self.is_valid_token(_presented_token(request)):
            return None
        return error_response(401, "the local token is missing or wrong", {"WWW-Authenticate": "Bearer"})

    def _is_own_host(self, header: str) -> bool:
        try:
            host = urlsplit(f"//{header}").hostname or ""
        except ValueError:
            return False
        return is_ip_address(host) or host in self._hosts or host.endswith(".localhost")


def path_of(request: WSUpgradeRequest) -> str:
    """The request's path without the query."""
    return request.path.decode("ascii", "replace").partition("?")[0]


def query_of(request: WSUpgradeRequest) -> dict[str, str]:
    """The first value of each query parameter."""
    query = request.path.decode("ascii", "replace").partition("?")[2]
    return {name: values[0] for name, values in parse_qs(query).items()}


def _presented_token(request: WSUpgradeRequest) -> str:
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() in ("bearer", "bot"):
        return credentials.strip()
    return query_of(request).get("token", "")


def error_response(status: int, text: str, headers: dict[str, str] | None = None) -> WSUpgradeResponse:
    """An HTTP error that closes the connection."""
    response: WSUpgradeResponse = WSUpgradeResponse.create_error_response(
        status, text.encode(), {"Content-Type": "text/plain; charset=utf-8", **_CLOSE_HEADERS, **(headers or {})}
    )
    return response


def ok_response(body: bytes, content_type: str) -> WSUpgradeResponse:
    """An HTTP 200 that closes the connection."""
    headers = {"Content-Type": content_type, "Cache-Control": "no-store", **_CLOSE_HEADERS}
    response: WSUpgradeResponse = WSUpgradeResponse.create_ok_response(body, headers)
    return response
