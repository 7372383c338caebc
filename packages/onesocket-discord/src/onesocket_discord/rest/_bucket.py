"""One bucket of the API's rate limits. Sans-IO: time is an argument.

It never sends too much, however slow the network is, because two numbers are on the safe side. The end of a window is
reckoned from when its answer *came*, so it is never too early. And after that end whoever is still unanswered counts
into the next window: it may have got there.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from ._rate_limit_info import Quota, RateLimitInfo
from ._route import Route

_ROUNDING_MARGIN = 0.001
"""Seconds; the API rounds its times to milliseconds."""
BucketKey = tuple[str, str]


@dataclass(eq=False, slots=True)
class Ticket:
    """One call's place in the queue; it keeps its `number` when it has to be sent again."""

    number: int
    route: Route
    bucket: Bucket
    not_before: float = 0.0


@dataclass(eq=False, slots=True)
class Bucket:
    """Until its limit is known one call at a time goes through: a scout."""

    key: BucketKey
    opens_at: float = 0.0
    """A 429 closed it until then."""
    in_flight: set[Ticket] = field(default_factory=set[Ticket])
    _waiting: list[tuple[int, Ticket]] = field(default_factory=list[tuple[int, Ticket]])
    _limit: int | None = None
    _unlimited: bool = False
    _remaining: int = 0
    _reset_at: float | None = None
    """When every window that an answer told us of is over; None: there is none."""
    _window: float = 0.0
    """The longest time to a reset ever seen: how long a call without an answer may weigh."""

    def join(self, ticket: Ticket) -> None:
        """Queue up, in the order of the numbers."""
        ticket.bucket = self
        heapq.heappush(self._waiting, (ticket.number, ticket))

    def leave(self, ticket: Ticket) -> bool:
        """Give up a place in the queue; whether there was one."""
        before = len(self._waiting)
        self._waiting = [pair for pair in self._waiting if pair[1] is not ticket]
        heapq.heapify(self._waiting)
        return len(self._waiting) < before

    @property
    def head(self) -> Ticket | None:
        """Whose turn is next."""
        return self._waiting[0][1] if self._waiting else None

    def is_idle(self, now: float) -> bool:
        """True if forgetting it loses nothing."""
        resting = now >= self.opens_at and (self._reset_at is None or now >= self._reset_at)
        return resting and not self._waiting and not self.in_flight

    def may_send(self, now: float) -> bool:
        """True if the head may go now."""
        self._roll_over(now)
        opens = self.opens(now)
        return opens is not None and opens <= now

    def opens(self, now: float) -> float | None:
        """When the head may go, as far as is known; None: once an answer has come (or nobody waits)."""
        head = self.head
        if head is None or (head.route.in_order and any(ticket.route.in_order for ticket in self.in_flight)):
            return None
        earliest = max(now, self.opens_at, head.not_before)
        if self._unlimited:
            return earliest
        if self._limit is None:
            return None if self.in_flight else earliest
        if self._remaining > 0:
            return earliest
        return None if self._reset_at is None else max(earliest, self._reset_at)

    def send(self) -> Ticket:
        """Take the head out; it flies."""
        _, ticket = heapq.heappop(self._waiting)
        self.in_flight.add(ticket)
        self._remaining -= 1
        return ticket

    def holds(self, route: tuple[str, str]) -> bool:
        """True if calls of this kind wait or fly here."""
        return any(ticket.route.key == route for ticket in (*self.in_flight, *(ticket for _, ticket in self._waiting)))

    def hand_over(self, route: tuple[str, str], other: Bucket) -> None:
        """Move the calls of this kind to the bucket that they turned out to belong to; those that fly weigh there."""
        staying: list[tuple[int, Ticket]] = []
        for number, ticket in self._waiting:
            if ticket.route.key == route:
                other.join(ticket)
            else:
                staying.append((number, ticket))
        heapq.heapify(staying)
        self._waiting = staying
        flying = {ticket for ticket in self.in_flight if ticket.route.key == route}
        self.in_flight -= flying
        other.in_flight |= flying
        for ticket in flying:
            ticket.bucket = other
        other._remaining -= len(flying)

    def learn(self, news: RateLimitInfo | None, now: float) -> None:
        """One of our calls came to its end; None: without an answer."""
        if news is not None and news.quota is not None:
            self._learn_quota(news.quota, now)
        elif self._limit is not None:
            # It may have been counted, in a window that we know nothing of.
            self._reset_at = max(self._reset_at or 0.0, now + self._window)
        elif news is not None and news.unlimited:
            self._unlimited = True
        if news is not None and news.closed_for is not None and not news.is_global:
            self.opens_at = max(self.opens_at, now + news.closed_for + _ROUNDING_MARGIN)

    def _learn_quota(self, quota: Quota, now: float) -> None:
        if self._limit is None:
            self._remaining = quota.remaining - len(self.in_flight)
        else:
            self._remaining = min(self._remaining, quota.remaining)
        self._limit = quota.limit
        self._unlimited = False
        self._window = max(self._window, quota.reset_after)
        self._reset_at = max(self._reset_at or 0.0, now + quota.reset_after + _ROUNDING_MARGIN)

    def _roll_over(self, now: float) -> None:
        if self._limit is not None and self._reset_at is not None and now >= self._reset_at:
            self._reset_at = None
            self._remaining = self._limit - len(self.in_flight)
