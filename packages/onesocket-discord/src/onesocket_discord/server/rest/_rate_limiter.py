"""Rate limits: a number of requests per bucket and fixed window."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from .._window_table import RateLimit, WindowTable

_MAX_BUCKETS = 20_000
_MAX_ATTEMPT_WINDOWS = 100_000

DEFAULT_LIMIT = RateLimit(200, 1.0)
"""For each route and user, and each channel or guild in its path."""

ACCOUNT_LIMIT = RateLimit(1000, 1.0)
"""For each account, whatever ids its paths hold: those may be made up."""

SIGN_IN_LIMIT = RateLimit(5, 60.0)
"""For each name and address."""

ADDRESS_LIMIT = RateLimit(50, 60.0)
"""Signing in and registering, for each address."""


@dataclass(frozen=True, slots=True)
class RateLimitDecision:
    """The decision about one request, and the state of its bucket."""

    allowed: bool
    limit: int
    remaining: int
    reset_after: float
    """Seconds until the window ends."""
    reset: float
    """The end of the window, in seconds since 1970."""
    bucket: str

    @property
    def headers(self) -> dict[str, str]:
        """Discord's headers."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": f"{self.reset:.3f}",
            "X-RateLimit-Reset-After": f"{self.reset_after:.3f}",
            "X-RateLimit-Bucket": self.bucket,
        }


class RateLimiter:
    """Counts requests in fixed windows, in bounded tables (see `WindowTable`).

    Each limit of attempts to sign in has a table of its own: names that are made up fill none of addresses.
    """

    def __init__(
        self,
        usual: RateLimit = DEFAULT_LIMIT,
        *,
        account: RateLimit = ACCOUNT_LIMIT,
        sign_in: RateLimit = SIGN_IN_LIMIT,
        address: RateLimit = ADDRESS_LIMIT,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.usual = usual
        self.account = account
        self.sign_in = sign_in
        self.address = address
        self._clock = clock
        self._wall = wall
        self._buckets = WindowTable(_MAX_BUCKETS)
        self._accounts = WindowTable(_MAX_BUCKETS)
        self._attempts = {limit: WindowTable(_MAX_ATTEMPT_WINDOWS) for limit in (sign_in, address)}

    def __repr__(self) -> str:
        attempts = sum(map(len, self._attempts.values()))
        return f"<RateLimiter {len(self._buckets)} buckets, {attempts} attempts>"

    def take(self, route: str, client: Hashable, limit: RateLimit) -> RateLimitDecision:
        """Count one request of `client` to `route`."""
        return self._take(self._buckets, route, client, limit)

    def take_account(self, user_id: int) -> RateLimitDecision:
        """Count one request of this account to any route."""
        return self._take(self._accounts, "", user_id, self.account)

    def count_attempt(self, what: str, client: Hashable, limit: RateLimit) -> RateLimitDecision:
        """Count one attempt of `client` to sign in or to register; `limit` is one of this object's."""
        return self._take(self._attempts[limit], what, client, limit)

    def release(self, what: str, client: Hashable, limit: RateLimit) -> None:
        """Uncount an attempt that succeeded."""
        window = self._attempts[limit].find((what, client), self._clock())
        if window is not None and window.used > 0:
            window.used -= 1

    def _take(self, table: WindowTable, route: str, client: Hashable, limit: RateLimit) -> RateLimitDecision:
        now = self._clock()
        window = table.open((route, client), now, limit.window)
        window.used += 1
        left = window.ends - now
        return RateLimitDecision(
            allowed=window.used <= limit.requests,
            limit=limit.requests,
            remaining=max(0, limit.requests - window.used),
            reset_after=left,
            reset=self._wall() + left,
            bucket=_bucket_id(route),
        )


def denied_decision(route: str, retry_after: float) -> RateLimitDecision:
    """Deny a request for `retry_after` seconds, as if the bucket of this route were empty."""
    return RateLimitDecision(
        allowed=False,
        limit=DEFAULT_LIMIT.requests,
        remaining=0,
        reset_after=retry_after,
        reset=time.time() + retry_after,
        bucket=_bucket_id(route),
    )


def _bucket_id(route: str) -> str:
    return hashlib.sha256(route.encode()).hexdigest()[:32]
