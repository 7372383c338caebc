"""Close codes and HTTP statuses as typed errors: tables of verdicts by code, status and words, and the errors made."""

from __future__ import annotations

import re
from collections.abc import Collection, Container, Mapping
from http import HTTPStatus
from typing import Final

from .._record import record
from ..errors import (
    ClosedByPeer,
    ConnectionReset,
    HandshakeRejected,
    MessageTooBig,
    OnesocketError,
    PeerError,
    ServerBusy,
)
from ._verdict import Verdict

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

_POLICY_VIOLATION: Final = 1008
# 3000 to 3999 are registered by libraries and frameworks, 4000 to 4999 are private (RFC 6455, section 7.4.2).
_FIRST_PRIVATE_CODE: Final = 4000
_OWN_CODES: Final = range(3000, 5000)
_ANY: Final = range(2**16)
MIN_UPTIME: Final = 1.0
"""Seconds that a connection must have been ready for a 1008 to mean something else than "not you"."""

# What stands between words: "too_many_requests" and "TooManyRequests" are three words, too.
_BREAK: Final = re.compile(r"[\W_]|(?<=[a-z])(?=[A-Z])")
# Patterns that are compiled with their first use, and then kept by `re`: that takes milliseconds of each import.
# The words of services that close because of a limit, with 1008 or a code of their own.
_BUSY: Final = (
    r"(?i)too (many|much|fast|quick|often|frequent)|\brates?\b|limit|exceed|throttl|slow down|flood|spam|quota|overload"
    r"|busy|capacity|try again|later"
)
# ... because a connection has had its time, or had nothing to do, which the next one is free of ...
_TIME: Final = r"(idle|inactiv\w*|life ?time|duration|age|session time)"
_END: Final = r"(limit|max\w*|exceed\w*|reach\w*|time ?out)"
_LIFETIME: Final = (
    r"(?is)^(?!.*(too (many|much|fast)|\brate|token|jwt|credential))"
    rf".*(\b{_TIME}\b.{{0,40}}\b{_END}\b|\b{_END}\b.{{0,40}}\b{_TIME}\b)"
)
# ... because a connection of the same account is still counted ...
CONNECTION_LIMIT: Final = (
    r"(?i)\b(connections?|sessions?|sockets?|clients?|logins?)\b.{0,40}\b(limit|max\w*|many|exceed\w*)\b"
    r"|\b(limit|max\w*|many|exceed\w*|concurrent)\b.{0,40}\b(connections?|sessions?|sockets?|clients?|logins?)\b"
    r"|already (connected|logged in)"
)
# ... and because the token is none, or none any more.
_UNAUTHENTICATED: Final = (
    r"(?i)\b(un ?|not )(authori[sz]ed|authenticated)\b|\bauth\w* (failed|required|expired|error)|\bforbidden\b"
    r"|\b(invalid|expired|bad|wrong|revoked|missing)\b.{0,16}\b(token|jwt|credentials?|api.?key)\b"
    r"|\b(token|jwt|credentials?|api.?key)\b.{0,24}\b(invalid|expired|wrong|revoked|not valid)\b"
)


@record
class VerdictRule:
    """One row of a table of verdicts; the first row that matches counts.

    `words`: a pattern for the reason, or for the body of the HTTP answer. `without_source`: the verdict instead of
    NEW_TOKEN where no source gives tokens.
    """

    codes: Container[int]
    verdict: Verdict
    words: str | None = None
    without_source: Verdict = Verdict.FAIL

    def matches(self, code: int, words: str) -> bool:
        """True if the row is about this code, or status, and these words."""
        return code in self.codes and (self.words is None or re.search(self.words, words) is not None)

    @property
    def is_retryable(self) -> bool:
        """The same attempt may succeed later without a change."""
        verdict = self.without_source if self.verdict is Verdict.NEW_TOKEN else self.verdict
        return verdict is not Verdict.FAIL


CLOSE_RULES: Final = (
    VerdictRule(frozenset({1013}), Verdict.SLOW),
    VerdictRule(frozenset({_POLICY_VIOLATION, *_OWN_CODES}), Verdict.RETRY, _LIFETIME),
    VerdictRule(frozenset({_POLICY_VIOLATION, *_OWN_CODES}), Verdict.SLOW, _BUSY),
    VerdictRule(frozenset({_POLICY_VIOLATION, *_OWN_CODES}), Verdict.SLOW, CONNECTION_LIMIT),
    VerdictRule(frozenset({_POLICY_VIOLATION}), Verdict.NEW_TOKEN, _UNAUTHENTICATED),
    VerdictRule(frozenset({3000, 3003}), Verdict.NEW_TOKEN, without_source=Verdict.RETRY),
    VerdictRule(_OWN_CODES, Verdict.NEW_TOKEN, _UNAUTHENTICATED, without_source=Verdict.RETRY),
    # 1008: we are not wanted as we are; 1010: the server needs an extension that we don't offer.
    VerdictRule(frozenset({_POLICY_VIOLATION, 1010}), Verdict.FAIL),
    VerdictRule(_ANY, Verdict.RETRY),
)
STATUS_RULES: Final = (
    VerdictRule(frozenset({429}), Verdict.SLOW),
    VerdictRule(frozenset({401, 403}), Verdict.NEW_TOKEN),
    # Of the 4xx these pass by themselves: a slow request, a replayed one. All others are ours to mend.
    VerdictRule(frozenset({408, 425}), Verdict.RETRY),
    VerdictRule(frozenset({503}), Verdict.SLOW, CONNECTION_LIMIT),
    VerdictRule(range(500, 1000), Verdict.RETRY),
    VerdictRule(_ANY, Verdict.FAIL),
)

_WEBSOCKET_SCHEMES: Final = {"http": "ws", "https": "wss"}

# Seconds: a larger number means this one (RFC 9111, section 1.2.2).
_MAX_DELTA: Final = 2.0**31
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
    if fatal is not None and code in fatal:
        return ClosedByPeer(text, code=code, reason=reason, retryable=False)
    rule = _first(CLOSE_RULES, code, reason)
    if rule.verdict is Verdict.SLOW:
        return _server_busy(text, words=reason, code=code, reason=reason)
    # A list of the protocol's own says which codes are final.
    error = ClosedByPeer(text, code=code, reason=reason, retryable=rule.is_retryable or fatal is not None)
    error.refuses_token = rule.verdict is Verdict.NEW_TOKEN
    error.retryable_once_established = not error.retryable and code == _POLICY_VIOLATION
    return error


def _first(rules: tuple[VerdictRule, ...], code: int, words: str) -> VerdictRule:
    separated = _separated(words)
    return next(rule for rule in rules if rule.matches(code, separated))


def _separated(words: str) -> str:
    return _BREAK.sub(" ", words)


def _server_busy(
    text: str,
    *,
    words: str,
    retry_after: float | None = None,
    code: int | None = None,
    reason: str = "",
    status: int | None = None,
) -> ServerBusy:
    error = ServerBusy(text, retry_after=retry_after, code=code, reason=reason, status=status)
    error.is_connection_limit = re.search(CONNECTION_LIMIT, _separated(words)) is not None
    return error


def as_established(error: OnesocketError) -> OnesocketError:
    """Returns the error as it is meant for a connection that was up before: a 1008 may pass, so it's retried slowly."""
    if not isinstance(error, ClosedByPeer) or not error.retryable_once_established:
        return error
    busy = ServerBusy(str(error), code=error.code, reason=error.reason)
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
    rule = _first(STATUS_RULES, status, body)
    if rule.verdict is Verdict.SLOW:
        return _server_busy(text + _wait_text(retry_after), words=body, retry_after=retry_after, status=status)
    if status in _HINTS:
        text += f"; {_HINTS[status]}"
    elif 300 <= status < 400:
        text += f"; redirects are not followed (a token would go along): {_redirect_remedy(location)}"
    if rule.is_retryable:
        text += _wait_text(retry_after)
    return HandshakeRejected(text, status=status, retryable=rule.is_retryable, retry_after=retry_after)


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
