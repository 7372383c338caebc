"""Access control of the hub: the local token, the Origin of web pages, and the Host header."""

from __future__ import annotations

import hmac
from typing import Final
from urllib.parse import urlsplit

from .._printable import printable
from ..wire._http_response import HttpResponse
from ..wire._request_parser import HttpRequest
from ._endpoint import is_ip_address
from ._options import HubOptions

_USUAL_PORTS: Final = {"http": 80, "https": 443}
_MAX_SHOWN: Final = 200


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
        origin, host = request.headers.get("Origin"), request.headers.get("Host", "")
        is_own_host = self._is_own_host(host)
        if not self._is_unix and not is_own_host:
            name = _shown(_authority(host)[0] or host)
            return HttpResponse.text(
                403, f"the Host header is a name that is not ours, {name}: start the hub with --allow-host to let it"
            )
        if origin is None or self._is_allowed(origin) or (is_own_host and _is_origin_of(origin, host)):
            return None
        return HttpResponse.text(
            403, f"a page of the origin {_shown(origin)} may not connect: start the hub with --allow-origin to let it"
        )

    def check_token(self, request: HttpRequest) -> HttpResponse | None:
        """The HTTP error for a missing or wrong token, else None."""
        if self._token is None or self.is_valid_token(_presented_token(request)):
            return None
        return HttpResponse.text(401, "the local token is missing or wrong", {"WWW-Authenticate": "Bearer"})

    def _is_allowed(self, origin: str) -> bool:
        return "*" in self._origins or origin.lower().rstrip("/") in self._origins

    def _is_own_host(self, header: str) -> bool:
        host, _ = _authority(header)
        return is_ip_address(host) or host in self._hosts or host.endswith(".localhost")


def _is_origin_of(origin: str, host: str) -> bool:
    """True if `origin` is the address in the Host header, as libraries for programs send it."""
    scheme, _, authority = origin.rstrip("/").partition("://")
    usual = _USUAL_PORTS.get(scheme.lower())
    name, port = _authority(authority)
    own_name, own_port = _authority(host)
    return usual is not None and name == own_name and (port or usual) == (own_port or usual)


def _authority(text: str) -> tuple[str, int | None]:
    """Return the name and the port of ``HOST[:PORT]``; the name is "" if the text is something else."""
    try:
        parts = urlsplit(f"//{text}")
        port = parts.port
    except ValueError:
        return "", None
    return ("" if parts.path or parts.query or parts.fragment else parts.hostname or ""), port


def _shown(text: str) -> str:
    return printable(text[:_MAX_SHOWN]) or "(empty)"


def _presented_token(request: HttpRequest) -> str:
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() in ("bearer", "bot"):
        return credentials.strip()
    return request.query.get("token", "")
