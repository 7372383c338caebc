"""Rate limits: so many requests in a bucket, then wait for the next window."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

_MAX_BUCKETS = 10_000
_MAX_ATTEMPT_WINDOWS = 100_000


@dataclass(frozen=True, slots=True)
class RateLimit:
    """`requests` in `window` seconds."""

    requests: int
    window: float


DEFAULT_LIMIT = RateLimit(200, 1.0)
"""For each route and user: enough for every honest client, too little to hurt."""

SIGN_IN_LIMIT = RateLimit(5, 60.0)
"""For each name and address."""

ADDRESS_LIMIT = RateLimit(50, 60.0)
"""Signing in and registering, for each address."""


@dataclass(frozen=True, slots=True)
class RateLimitDecision:
    """What became of one request, and what is left."""

    allowed: bool
    limit: int
    remaining: int
    reset_after: float
    """Seconds until the window ends."""
    reset: float
    """When that is, in seconds since 1970."""
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
    """Counts requests in fixed windows. Remembers a bounded number of buckets, the ones used last.

    Brakes on signing in have a table of their own, which no flood of other requests can empty.
    """

    def __init__(
        self,
        usual: RateLimit = DEFAULT_LIMIT,
        *,
        sign_in: RateLimit = SIGN_IN_LIMIT,
        address: RateLimit = ADDRESS_LIMIT,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.usual = usual
        self.sign_in = sign_in
        self.address = address
        self._clock = clock
        self._wall = wall
        self._buckets = _WindowTable(_MAX_BUCKETS)
        self._attempts = _WindowTable(_MAX_ATTEMPT_WINDOWS)

    def __repr__(self) -> str:
        return f"<Limiter {len(self._buckets)} buckets, {len(self._attempts)} brakes>"

    def take(self, route: str, who: Hashable, limit: RateLimit) -> RateLimitDecision:
        """Count one request of `who` to `route`."""
        return self._take(self._buckets, route, who, limit)

    def count_attempt(self, what: str, who: Hashable, limit: RateLimit) -> RateLimitDecision:
        """Count one attempt of `who` to sign in or to register."""
        return self._take(self._attempts, what, who, limit)

    def release(self, what: str, who: Hashable) -> None:
        """Take back what `brake` counted: the attempt was a good one."""
        window = self._attempts.get((what, who))
        if window is not None and window.used > 0:
            window.used -= 1

    def _take(self, table: _WindowTable, route: str, who: Hashable, limit: RateLimit) -> RateLimitDecision:
        now = self._clock()
        window = table.get((route, who))
        if window is None or now >= window.ends:
            window = _Window(now + limit.window)
        table.put((route, who), window)
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
    """Make a refusal for `retry_after` seconds, as if the bucket of this route were empty."""
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


@dataclass(slots=True)
class _Window:
    ends: float
    used: int = 0


class _WindowTable:
    """Windows by what they count, bounded: those not used for longest are forgotten."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._windows: OrderedDict[Hashable, _Window] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def get(self, key: Hashable) -> _Window | None:
        return self._windows.get(key)

    def put(self, key: Hashable, window: _Window) -> None:
        self._windows[key] = window
        self._windows.move_to_end(key)
        if len(self._windows) > self._most:
            self._windows.popitem(last=False)
