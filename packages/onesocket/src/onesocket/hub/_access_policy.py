"""Who may connect: the local token, web pages, and names that point at us."""

from __future__ import annotations

import hmac
from typing import Final
from urllib.parse import parse_qs, urlsplit

from picows import WSUpgradeRequest, WSUpgradeResponse

from ._endpoint import is_ip_address
from ._options import HubOptions

_CLOSE_HEADERS: Final = {"Connection": "close"}


class AccessPolicy:
    """Looks at requests. A page in a browser sends its Origin; a name that was bent to our address is in Host."""

    def __init__(self, options: HubOptions) -> None:
        self._token = None if options.token is None else options.token.encode()
        self._origins = frozenset(options.allow_origins)
        self._hosts = frozenset(options.allow_hosts) | {options.listen.host.lower(), "localhost"}
        self._is_unix = bool(options.listen.path)

    def __repr__(self) -> str:
        return f"<Gate {'with' if self._token else 'without'} a token, origins={sorted(self._origins)}>"

    def is_valid_token(self, token: str) -> bool:
        """Whether this is the local token; without one, any is good. Takes the same time for every wrong one."""
        return self._token is None or hmac.compare_digest(token.encode(errors="replace"), self._token)

    def check_origin(self, request: WSUpgradeRequest) -> WSUpgradeResponse | None:
        """The refusal for a web page or a name that isn't allowed."""
        origin = request.headers.get("Origin")
        if origin is not None and "*" not in self._origins and origin.lower().rstrip("/") not in self._origins:
            return error_response(403, "this web page may not connect: start the hub with --allow-origin to let it")
        if not self._is_unix and not self._is_ours(request.headers.get("Host", "")):
            return error_response(
                403, "the Host header is a name that is not ours: start the hub with --allow-host to let it"
            )
        return None

    def check_token(self, request: WSUpgradeRequest) -> WSUpgradeResponse | None:
        """The refusal for whoever doesn't show the token."""
        if self._token is None or self.is_valid_token(_presented_token(request)):
            return None
        return error_response(401, "the local token is missing or wrong", {"WWW-Authenticate": "Bearer"})

    def _is_ours(self, header: str) -> bool:
        try:
            host = urlsplit(f"//{header}").hostname or ""
        except ValueError:
            return False
        return is_ip_address(host) or host in self._hosts or host.endswith(".localhost")


def path_of(request: WSUpgradeRequest) -> str:
    """Without the query."""
    return request.path.decode("ascii", "replace").partition("?")[0]


def query_of(request: WSUpgradeRequest) -> dict[str, str]:
    """The first value of each parameter."""
    query = request.path.decode("ascii", "replace").partition("?")[2]
    return {name: values[0] for name, values in parse_qs(query).items()}


def _presented_token(request: WSUpgradeRequest) -> str:
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() in ("bearer", "bot"):
        return credentials.strip()
    return query_of(request).get("token", "")


def error_response(status: int, text: str, headers: dict[str, str] | None = None) -> WSUpgradeResponse:
    """An HTTP error."""
    response: WSUpgradeResponse = WSUpgradeResponse.create_error_response(
        status, text.encode(), {"Content-Type": "text/plain; charset=utf-8", **_CLOSE_HEADERS, **(headers or {})}
    )
    return response


def ok_response(body: bytes, content_type: str) -> WSUpgradeResponse:
    """An HTTP answer."""
    headers = {"Content-Type": content_type, "Cache-Control": "no-store", **_CLOSE_HEADERS}
    response: WSUpgradeResponse = WSUpgradeResponse.create_ok_response(body, headers)
    return response
