"""All rate limits of one token, which grant calls in order. Sans-IO: time is an argument."""

from __future__ import annotations

from collections import deque

from ._bucket import Bucket, BucketKey, Ticket
from ._errors import TooManyWaiting
from ._rate_limit_info import RateLimitInfo
from ._route import Route

GLOBAL_LIMIT = 50
"""Calls per second, over all routes."""
_GLOBAL_WINDOW = 1.0
_MAX_UNANSWERED = 5
"""Calls that may be on their way before the API has answered at all, or since it last closed everything."""
_BUCKET_SWEEP_SIZE = 1_000
_MAX_ROUTES = 1_000


class RateLimits:
    """Learns the buckets from the answers; of Discord's limits only the global one is built in.

    Before the first answer, and after one that closed everything, few calls are sent at once: a banned address must not
    hammer. A slot of the global limit is taken from sending until a second after the answer: whenever the API counts,
    no more than `per_second` calls can have reached it within a second.
    """

    def __init__(self, *, per_second: int = GLOBAL_LIMIT, max_waiting: int = 1_000) -> None:
        self._per_second = per_second
        self._max_waiting = max_waiting
        self._buckets: dict[BucketKey, Bucket] = {}
        self._names: dict[tuple[str, str], str] = {}
        """The bucket's name, by kind of call."""
        self._busy: set[Bucket] = set()
        """Buckets with queued calls."""
        self._numbers = 0
        self._waiting = 0
        self._in_flight = 0
        self._recent: deque[float] = deque()
        self._blocked_until = 0.0
        self._answered = False
        self._sweep_at = _BUCKET_SWEEP_SIZE

    def __repr__(self) -> str:
        return f"<RateLimits waiting={self._waiting} in flight={self._in_flight} buckets={len(self._buckets)}>"

    def enter(self, route: Route, now: float) -> Ticket:
        """Queue one call. Raises `TooManyWaiting`."""
        if self._waiting >= self._max_waiting:
            raise TooManyWaiting(
                f"{route} was not sent: {self._waiting} calls are waiting for their turn already (max_waiting); "
                "make fewer at once"
            )
        self._numbers += 1
        name = self._names.get(route.key) or str(route)
        bucket = self._bucket((name, route.major), now)
        ticket = Ticket(self._numbers, route, bucket)
        self._join(bucket, ticket)
        return ticket

    def grant(self, now: float) -> list[Ticket]:
        """Start the requests that may be sent now, in the order of the calls."""
        granted: list[Ticket] = []
        ready = [bucket for bucket in self._busy if bucket.may_send(now)]
        while ready and self._global_opens(now) == now:
            first = min(ready, key=_head_number)
            granted.append(first.send())
            self._waiting -= 1
            self._in_flight += 1
            if first.head is None:
                self._busy.discard(first)
            if not first.may_send(now):
                ready.remove(first)
        return granted

    def wake_at(self, now: float) -> float | None:
        """The time at which `grant` should be called again, unless an event comes before."""
        opens = self._global_opens(now)
        times = [time for bucket in self._busy if (time := bucket.opens(now)) is not None]
        return max(min(times), opens) if times and opens is not None else None

    def opens_at(self, ticket: Ticket) -> float:
        """The earliest time at which a call can be sent; it may be much later."""
        return max(self._blocked_until, ticket.bucket.opens_at, ticket.not_before)

    def settle(self, ticket: Ticket, info: RateLimitInfo | None, now: float, *, again_at: float | None = None) -> None:
        """Record the end of an attempt: `info` from its answer, None without one.

        `again_at`: the call is sent again, not before then, and keeps its place in the queue.
        """
        if info is not None and info.bucket is not None and info.bucket != ticket.bucket.key[0]:
            self._rename(ticket, info.bucket, now)
        bucket = ticket.bucket
        bucket.in_flight.discard(ticket)
        self._in_flight -= 1
        self._recent.append(now + _GLOBAL_WINDOW)
        bucket.learn(info, now)
        if info is not None:
            closed = info.closed_for is not None and info.is_global
            self._answered = not closed and now >= self._blocked_until
            if info.closed_for is not None and closed:
                self._blocked_until = max(self._blocked_until, now + info.closed_for)
        if again_at is not None:
            ticket.not_before = again_at
            self._join(bucket, ticket)

    def leave(self, ticket: Ticket, now: float) -> None:
        """Remove a call whose caller has stopped waiting, queued or in flight."""
        if ticket.bucket.leave(ticket):
            self._waiting -= 1
            self._note_busy(ticket.bucket)
        elif ticket in ticket.bucket.in_flight:
            self.settle(ticket, None, now)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _global_opens(self, now: float) -> float | None:
        """The time at which the global limit admits one more call; None: after an answer."""
        while self._recent and self._recent[0] <= now:
            self._recent.popleft()
        if self._in_flight >= (self._per_second if self._answered else min(_MAX_UNANSWERED, self._per_second)):
            return None
        if self._in_flight + len(self._recent) < self._per_second:
            return max(now, self._blocked_until)
        # As many slots must become free as are taken too many.
        return max(self._recent[self._in_flight + len(self._recent) - self._per_second], self._blocked_until)

    def _join(self, bucket: Bucket, ticket: Ticket) -> None:
        bucket.join(ticket)
        self._waiting += 1
        self._busy.add(bucket)

    def _note_busy(self, bucket: Bucket) -> None:
        if bucket.head is None:
            self._busy.discard(bucket)
        else:
            self._busy.add(bucket)

    def _bucket(self, key: BucketKey, now: float) -> Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= self._sweep_at:
                self._buckets = {key: bucket for key, bucket in self._buckets.items() if not bucket.is_idle(now)}
                self._sweep_at = max(_BUCKET_SWEEP_SIZE, 2 * len(self._buckets))
            bucket = self._buckets[key] = Bucket(key)
        return bucket

    def _rename(self, ticket: Ticket, name: str, now: float) -> None:
        """Move calls of this kind, to any channel, to the bucket of this name."""
        route, old = ticket.route, ticket.bucket.key[0]
        if len(self._names) >= _MAX_ROUTES and route.key not in self._names:
            del self._names[next(iter(self._names))]
        self._names[route.key] = name
        for bucket in [bucket for bucket in self._buckets.values() if bucket.key[0] == old]:
            if bucket.holds(route.key):
                target = self._bucket((name, bucket.key[1]), now)
                bucket.hand_over(route.key, target)
                self._note_busy(bucket)
                self._note_busy(target)


def _head_number(bucket: Bucket) -> int:
    head = bucket.head
    return head.number if head is not None else 0
