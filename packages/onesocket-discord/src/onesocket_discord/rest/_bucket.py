"""One bucket of the API's rate limits. Sans-IO: time is an argument.

A bucket never exceeds a limit, however slow the network is: the end of a window is computed from the arrival of the
answer, so it is never too early, and requests that are unanswered at that end count into the next window as well.
"""

from __future__ import annotations

import enum
import heapq
from dataclasses import dataclass, field

from ._rate_limit_info import Quota, RateLimitInfo
from ._route import Route

_ROUNDING_MARGIN = 0.001
"""Seconds; the API rounds its times to milliseconds."""
BucketKey = tuple[str, str]


class LimitState(enum.Enum):
    """The knowledge of a bucket's limit."""

    UNKNOWN = enum.auto()
    """One call at a time is sent, until an answer states the limit."""
    UNLIMITED = enum.auto()
    LIMITED = enum.auto()


@dataclass(eq=False, slots=True)
class Ticket:
    """A queued call; it keeps its `number` when it is sent again."""

    number: int
    route: Route
    bucket: Bucket
    not_before: float = 0.0


@dataclass(eq=False, slots=True)
class Bucket:
    """A queue with a rate limit."""

    key: BucketKey
    opens_at: float = 0.0
    """The time until which a 429 has closed it."""
    in_flight: set[Ticket] = field(default_factory=set[Ticket])
    _waiting: list[tuple[int, Ticket]] = field(default_factory=list[tuple[int, Ticket]])
    _state: LimitState = LimitState.UNKNOWN
    _limit: int = 0
    _remaining: int = 0
    _reset_at: float | None = None
    """The end of the last known window; None without one."""
    _window: float = 0.0
    """The longest known time to a reset: how long an unanswered call may count."""

    def join(self, ticket: Ticket) -> None:
        """Queue a call, in the order of the numbers."""
        ticket.bucket = self
        heapq.heappush(self._waiting, (ticket.number, ticket))

    def leave(self, ticket: Ticket) -> bool:
        """Remove a queued call; returns False if it was not queued."""
        before = len(self._waiting)
        self._waiting = [pair for pair in self._waiting if pair[1] is not ticket]
        heapq.heapify(self._waiting)
        return len(self._waiting) < before

    @property
    def head(self) -> Ticket | None:
        """The next call."""
        return self._waiting[0][1] if self._waiting else None

    def is_idle(self, now: float) -> bool:
        """True if the bucket holds no state that matters."""
        resting = now >= self.opens_at and (self._reset_at is None or now >= self._reset_at)
        return resting and not self._waiting and not self.in_flight

    def may_send(self, now: float) -> bool:
        """True if the next call may be sent now."""
        self._roll_over(now)
        opens = self.opens(now)
        return opens is not None and opens <= now

    def opens(self, now: float) -> float | None:
        """The time at which the next call may be sent; None if that depends on an answer, or without a call."""
        head = self.head
        if head is None or (head.route.in_order and any(ticket.route.in_order for ticket in self.in_flight)):
            return None
        earliest = max(now, self.opens_at, head.not_before)
        if self._state is LimitState.UNLIMITED:
            return earliest
        if self._state is LimitState.UNKNOWN:
            return None if self.in_flight else earliest
        if self._remaining > 0:
            return earliest
        return None if self._reset_at is None else max(earliest, self._reset_at)

    def send(self) -> Ticket:
        """Remove the next call from the queue, and count it as in flight."""
        _, ticket = heapq.heappop(self._waiting)
        self.in_flight.add(ticket)
        self._remaining -= 1
        return ticket

    def holds(self, route: tuple[str, str]) -> bool:
        """True if calls of this kind are queued or in flight."""
        return any(ticket.route.key == route for ticket in (*self.in_flight, *(ticket for _, ticket in self._waiting)))

    def hand_over(self, route: tuple[str, str], other: Bucket) -> None:
        """Move the calls of this kind, queued and in flight, to the bucket to which they belong."""
        staying: list[tuple[int, Ticket]] = []
        for number, ticket in self._waiting:
            if ticket.route.key == route:
                other.join(ticket)
            else:
                staying.append((number, ticket))
        heapq.heapify(staying)
        self._waiting = staying
        moved = {ticket for ticket in self.in_flight if ticket.route.key == route}
        self.in_flight -= moved
        other.in_flight |= moved
        for ticket in moved:
            ticket.bucket = other
        other._remaining -= len(moved)

    def learn(self, info: RateLimitInfo | None, now: float) -> None:
        """Update the limit after a call; `info` is None without an answer."""
        if info is not None and info.quota is not None:
            self._learn_quota(info.quota, now)
        elif self._state is LimitState.LIMITED:
            # It may have been counted, in an unknown window.
            self._reset_at = max(self._reset_at or 0.0, now + self._window)
        elif info is not None and info.unlimited:
            self._state = LimitState.UNLIMITED
        if info is not None and info.closed_for is not None and not info.is_global:
            self.opens_at = max(self.opens_at, now + info.closed_for + _ROUNDING_MARGIN)

    def _learn_quota(self, quota: Quota, now: float) -> None:
        if self._state is not LimitState.LIMITED:
            self._remaining = quota.remaining - len(self.in_flight)
        else:
            self._remaining = min(self._remaining, quota.remaining)
        self._limit = quota.limit
        self._state = LimitState.LIMITED
        self._window = max(self._window, quota.reset_after)
        self._reset_at = max(self._reset_at or 0.0, now + quota.reset_after + _ROUNDING_MARGIN)

    def _roll_over(self, now: float) -> None:
        if self._state is LimitState.LIMITED and self._reset_at is not None and now >= self._reset_at:
            self._reset_at = None
            self._remaining = self._limit - len(self.in_flight)
