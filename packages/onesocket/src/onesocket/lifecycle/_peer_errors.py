"""Close codes and HTTP statuses, each turned into a typed error that says what helps; `retryable` is the verdict."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Final

from ..errors import (
    ClosedByPeer,
    ConnectionReset,
    HandshakeRejected,
    MessageTooBig,
    OnesocketError,
    PeerError,
    ServerBusy,
)

# RFC 6455, section 7.4.1, and the IANA registry of close codes.
CLOSE_CODES: Final[Mapping[int, str]] = {
    1000: "normal closure",
    1001: "going away",
    1002: "protocol error",
    1003: "unsupported data",
    1005: "no code given",
    1006: "abnormal closure",
    1007: "invalid text",
    1008: "policy violation",
    1009: "message too big",
    1010: "mandatory extension",
    1011: "internal error",
    1012: "service restart",
    1013: "try again later",
    1014: "bad gateway",
    3000: "unauthorized",
    3003: "forbidden",
    3008: "timeout",
}

# 1008: we are not wanted as we are; 1010: the server needs an extension that we don't offer.
FATAL_CLOSE_CODES: Final = frozenset({1008, 1010})
BUSY_CLOSE_CODES: Final = frozenset({1013})

_POLICY_VIOLATION: Final = 1008
# 3000 to 3999 are registered by libraries and frameworks, 4000 to 4999 are private (RFC 6455, section 7.4.2).
_FIRST_LIBRARY_CODE: Final = 3000
_FIRST_PRIVATE_CODE: Final = 4000
MIN_UPTIME: Final = 1.0
"""Seconds that a connection must have been ready for a 1008 to mean something else than "not you"."""

# What services say when they close because of a limit, with 1008 or a code of their own.
_BUSY_REASON: Final = re.compile(
    r"too (many|much|fast|quick|often|frequent)|\brates?\b|limit|exceed|throttl|slow down|flood|spam|quota|overload"
    r"|busy|capacity|try again|later",
    re.IGNORECASE,
)

_WEBSOCKET_SCHEMES: Final = {"http": "ws", "https": "wss"}

# Seconds: a larger number means this one (RFC 9111, section 1.2.2).
_MAX_DELTA: Final = 2.0**31
# The 4xx that pass by themselves: a slow request, a replayed one, too many of them. All other 4xx are ours to mend.
_TRANSIENT_4XX: Final = frozenset({408, 425})
_PROXY_HINT: Final = "check that proxies pass on HTTP/1.1 and the headers Upgrade and Connection"
_HINTS: Final[Mapping[int, str]] = {
    200: "is this really a WebSocket endpoint?",
    400: "the server did not like the request: check the path, the headers and the sub-protocols",
    304: "a cache has answered for the server: check proxies in between, and the headers",
    401: "the server wants other credentials: check the token and where it goes",
    403: "these credentials may not connect here: check the account's rights and the Origin header",
    404: "nothing there: check the path of the URL",
    426: f"the server saw no WebSocket request: {_PROXY_HINT}",
    431: "the headers are too large for the server, or for a proxy in between: check the token and headers=",
    501: f"the server can't serve this request: {_PROXY_HINT}",
    505: f"the server saw another version of HTTP: {_PROXY_HINT}",
}


def closed_by_peer(code: int, reason: str = "", *, fatal: Collection[int] | None = None) -> OnesocketError:
    """The error for a CLOSE frame; `fatal` is the protocol's own list of codes that no retry can help.

    Without such a list 1010 is final, and so is 1008 unless its reason speaks of a limit; but see `as_established`.
    """
    meaning = CLOSE_CODES.get(code, "private code" if code >= _FIRST_PRIVATE_CODE else "unassigned code")
    text = f"the server closed the connection with {code} ({meaning})" + (f": {reason}" if reason else "")
    is_final = code in (FATAL_CLOSE_CODES if fatal is None else fatal)
    has_own_word = fatal is not None and is_final
    says_busy = (code == _POLICY_VIOLATION or code >= _FIRST_LIBRARY_CODE) and _BUSY_REASON.search(reason) is not None
    if not has_own_word and (code in BUSY_CLOSE_CODES or says_busy):
        return ServerBusy(text)
    error = ClosedByPeer(text, code=code, reason=reason, retryable=not is_final)
    error.retryable_once_established = is_final and not has_own_word and code == _POLICY_VIOLATION
    return error


def as_established(error: OnesocketError) -> OnesocketError:
    """Returns the error as it is meant for a connection that was up before: a 1008 may pass, so it's retried slowly."""
    if not isinstance(error, ClosedByPeer) or not error.retryable_once_established:
        return error
    busy = ServerBusy(str(error))
    busy.__cause__ = error
    return busy


def connection_reset(detail: str = "") -> ConnectionReset:
    """The error for a connection that ended without a CLOSE frame."""
    return ConnectionReset("the connection was lost without a CLOSE frame" + (f" ({detail})" if detail else ""))


def message_too_big(text: str) -> MessageTooBig:
    """The error for a message over the limit of this side; `text` says which."""
    return MessageTooBig(f"{text}; raise max_size= if the server is meant to send such messages")


def handshake_rejected(
    status: int, headers: Mapping[str, str], body: str = "", *, location: str | None = None
) -> PeerError:
    """The error for an HTTP answer that is not 101.

    `headers` has names in lower case; `body` is an excerpt, and `location` the target of a redirect, both to be shown.
    """
    retry_after = parse_retry_after(headers.get("retry-after"), headers.get("date"))
    text = f"the server answered the upgrade with HTTP {status} {phrase_of(status)}".rstrip()
    if location is not None:
        text += f" and the target {location}"
    if body:
        text += f": {body}"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return ServerBusy(text + _wait_text(retry_after), retry_after=retry_after)
    if status in _HINTS:
        text += f"; {_HINTS[status]}"
    elif 300 <= status < 400:
        text += f"; redirects are not followed (a token would go along): {_redirect_remedy(location)}"
    retryable = status >= 500 or status in _TRANSIENT_4XX
    if retryable:
        text += _wait_text(retry_after)
    return HandshakeRejected(text, status=status, retryable=retryable, retry_after=retry_after)


def parse_retry_after(value: str | None, date: str | None = None) -> float | None:
    """Seconds named by a `Retry-After` header (RFC 9110, section 10.2.3); None if it is missing or broken.

    The form that names a point in time is read against the server's own `Date` header: no clock is needed, and a wrong
    clock on our side does no harm.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value), _MAX_DELTA)
    if date is None:
        return None
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - 3 ms of each program that imports a client

    try:
        return max(0.0, (parsedate_to_datetime(value) - parsedate_to_datetime(date)).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return None


def phrase_of(status: int) -> str:
    """Return the reason phrase of an HTTP status (RFC 9110, section 15); empty for one that is not registered."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _redirect_remedy(location: str | None) -> str:
    """Return what helps against a redirect; `location` is absolute."""
    scheme = (location or "").partition("://")[0].lower()
    if scheme in _WEBSOCKET_SCHEMES:
        return f"if a WebSocket is there, use that address with {_WEBSOCKET_SCHEMES[scheme]}:// instead of {scheme}://"
    return "use the address it points to"


def _wait_text(retry_after: float | None) -> str:
    return "" if retry_after is None else f" (try again in {retry_after:g} s)"
