"""Rate limits: a number of requests per bucket and fixed window."""

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
    """A number of `requests` in `window` seconds."""

    requests: int
    window: float


DEFAULT_LIMIT = RateLimit(200, 1.0)
"""For each route and user."""

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
    """Counts requests in fixed windows. Remembers a bounded number of buckets, the ones used last.

    Attempts to sign in have a table of their own, which other requests can't empty.
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
        return f"<RateLimiter {len(self._buckets)} buckets, {len(self._attempts)} attempts>"

    def take(self, route: str, client: Hashable, limit: RateLimit) -> RateLimitDecision:
        """Count one request of `client` to `route`."""
        return self._take(self._buckets, route, client, limit)

    def count_attempt(self, what: str, client: Hashable, limit: RateLimit) -> RateLimitDecision:
        """Count one attempt of `client` to sign in or to register."""
        return self._take(self._attempts, what, client, limit)

    def release(self, what: str, client: Hashable) -> None:
        """Uncount an attempt that succeeded."""
        window = self._attempts.get((what, client))
        if window is not None and window.used > 0:
            window.used -= 1

    def _take(self, table: _WindowTable, route: str, client: Hashable, limit: RateLimit) -> RateLimitDecision:
        now = self._clock()
        window = table.get((route, client))
        if window is None or now >= window.ends:
            window = _Window(now + limit.window)
        table.put((route, client), window)
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


@dataclass(slots=True)
class _Window:
    ends: float
    used: int = 0


class _WindowTable:
    """Windows by route and client; at the limit, the least recently used one is dropped."""

    def __init__(self, max_windows: int) -> None:
        self._max_windows = max_windows
        self._windows: OrderedDict[Hashable, _Window] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def get(self, key: Hashable) -> _Window | None:
        return self._windows.get(key)

    def put(self, key: Hashable, window: _Window) -> None:
        self._windows[key] = window
        self._windows.move_to_end(key)
        if len(self._windows) > self._max_windows:
            self._windows.popitem(last=False)
