"""An HTTP response, and the rate limits that it states."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

_MAX_WAIT = 86_400.0
"""Seconds; no limit of Discord's lasts longer, so longer ones are cut to this."""
_DEFAULT_BAN = 60.0
"""Seconds without a call after a 429 that names no time: a temporary ban, which calls prolong."""


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP answer; the names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The decoded body, None if there is none; raises `ValueError` when it is not JSON."""
        if not self.body:
            return None
        try:
            return msgspec.json.decode(self.body)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error

    def json_or_text(self) -> Any:
        """The decoded body; its text when it is not JSON."""
        try:
            return self.json()
        except ValueError:  # msgspec's own errors and broken UTF-8 are both ValueErrors
            return self.body[:2_000].decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Quota:
    """The state of one bucket: `remaining` of `limit` calls, for another `reset_after` seconds."""

    limit: int
    remaining: int
    reset_after: float


@dataclass(frozen=True, slots=True)
class RateLimitInfo:
    """The rate limits stated by one response."""

    bucket: str | None = None
    quota: Quota | None = None
    closed_for: float | None = None
    """Seconds during which nothing may be sent: into this bucket, or at all if `everywhere`."""
    is_global: bool = False
    unlimited: bool = False
    """True if the request succeeded and no limit is stated."""


def read_rate_limit_info(answer: Response) -> RateLimitInfo:
    """Read the headers, and the body of a 429; invalid values are ignored."""
    headers = answer.headers
    limit, remaining = _count(headers.get("x-ratelimit-limit")), _count(headers.get("x-ratelimit-remaining"))
    reset_after = _seconds(headers.get("x-ratelimit-reset-after"))
    quota = None
    if limit and remaining is not None and reset_after is not None:
        quota = Quota(limit, min(limit, remaining), reset_after)
    bucket = headers.get("x-ratelimit-bucket") if quota is not None else None
    if answer.status != 429:
        return RateLimitInfo(bucket, quota, unlimited=quota is None and 200 <= answer.status < 300)
    body = answer.json_or_text()
    fields: dict[str, Any] = body if isinstance(body, dict) else {}  # pyright: ignore[reportUnknownVariableType] - JSON
    waits = (_seconds(headers.get("retry-after")), _seconds(fields.get("retry_after")))
    # The header is in whole seconds, rounded up; the body is exact.
    wait = waits[1] if waits[1] is not None else waits[0]
    if wait is None and quota is not None:
        wait = quota.reset_after
    if wait is None and "retry-after" not in headers and "retry_after" not in fields:
        return RateLimitInfo(closed_for=_DEFAULT_BAN, is_global=True)
    everywhere = (
        fields.get("global") is True
        or headers.get("x-ratelimit-global", "").lower() == "true"
        or headers.get("x-ratelimit-scope") == "global"
        # Not from the API itself but from a proxy before it: this address is banned for a while.
        or (quota is None and not isinstance(body, dict))
    )
    return RateLimitInfo(bucket, quota, closed_for=1.0 if wait is None else wait, is_global=everywhere)


def retry_after(answer: Response) -> float | None:
    """The value of `Retry-After` in seconds."""
    return _seconds(answer.headers.get("retry-after"))


def is_invalid(answer: Response) -> bool:
    """True if it counts against the budget of invalid requests."""
    shared = answer.headers.get("x-ratelimit-scope") == "shared"
    return answer.status in (401, 403) or (answer.status == 429 and not shared)


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else None


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return min(seconds, _MAX_WAIT) if math.isfinite(seconds) and seconds >= 0 else None
