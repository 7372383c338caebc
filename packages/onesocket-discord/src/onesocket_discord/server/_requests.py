"""Records of requests, made at their end, for the request log and for metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One request that was answered: nothing of its query, its headers and its body, where secrets are."""

    address: str
    """The client's address: that of the connection, or the one that a trusted proxy has named."""
    scheme: str | None = None
    """``http`` or ``https``, as a trusted proxy says; None: none says so."""
    method: str
    """``OTHER`` for one that is no usual method."""
    route: str
    """The route's path with its parameters' names, such as ``/channels/{channel_id}``, or a word in parentheses."""
    path: str
    """As `route`, with those parameters filled in that are numbers: codes of invites stay out."""
    status: int
    size: int = 0
    """Bytes of the answer with its head; 0 for one of the gateway."""
    seconds: float = 0.0
    """From the request's head to the answer's last byte."""
    account: int | None = None
    """The id of the token's account."""


RequestObserver = Callable[[RequestRecord], None]
"""Is called with each request; doesn't block and doesn't fail."""

GATEWAY_ROUTE: Final = "(gateway)"
"""Requests for an upgrade."""
CONTROL_ROUTE: Final = "(control)"
UNKNOWN_ROUTE: Final = "(unknown)"
"""Paths without a route: they may hold anything."""
MALFORMED_ROUTE: Final = "(malformed)"


def known_method(method: str) -> str:
    """The method, or ``OTHER``: a client can make up any word."""
    return method if method in _METHODS else "OTHER"
