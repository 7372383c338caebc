"""The identify budget of one token: identifies per day, and their spacing per bucket.

Times are those of the event loop's clock; a lock makes it safe for event loops in several threads.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from ..protocol._errors import IdentifyBudgetExhausted
from ..protocol._limits import IDENTIFY_PERIOD, IDENTIFY_RESET, IDENTIFY_TOTAL
from ..protocol._session_state import SpentIdentifies

IDENTIFY_RESERVE_SHARE = 0.02
"""The default reserve, as a share of the day's identifies: 20 of 1 000."""


@dataclass(frozen=True, slots=True)
class SessionStartLimit:
    """The `session_start_limit` of `/gateway/bot`."""

    total: int = IDENTIFY_TOTAL
    remaining: int = IDENTIFY_TOTAL
    reset_after: float = IDENTIFY_RESET
    """Seconds."""
    max_concurrency: int = 1


class IdentifyBudget:
    """Counts and spaces the identifies of one token."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limit = SessionStartLimit()
        self._remaining = self._limit.remaining
        self._reset_at: float | None = None
        self._pending = 0
        """Reserved slots that are not used yet."""
        self._next_slot: dict[int, float] = {}

    def __repr__(self) -> str:
        return f"<IdentifyBudget {self._remaining}/{self._limit.total} pending={self._pending}>"

    def learn(self, limit: SessionStartLimit, now: float) -> None:
        """Replace the count by the server's."""
        with self._lock:
            self._limit = limit
            self._remaining = limit.remaining
            self._reset_at = now + limit.reset_after

    def check(self, now: float, reserve: int | None) -> None:
        """Raise `IdentifyBudgetExhausted` if only the reserve is left."""
        with self._lock:
            self._check(now, reserve)

    def reserve(self, shard: int, now: float, reserve: int | None) -> float:
        """Reserve the next slot of this shard's bucket; returns its time. Raises `IdentifyBudgetExhausted`."""
        with self._lock:
            self._check(now, reserve)
            bucket = self.bucket(shard)
            slot = max(now, self._next_slot.get(bucket, now))
            self._next_slot[bucket] = slot + IDENTIFY_PERIOD
            self._pending += 1
            return slot

    def sent(self, shard: int, now: float) -> None:
        """Count a reserved slot as used."""
        with self._lock:
            self._pending -= 1
            self._remaining -= 1
            if self._reset_at is None:
                self._reset_at = now + self._limit.reset_after
            bucket = self.bucket(shard)
            self._next_slot[bucket] = max(self._next_slot.get(bucket, now), now + IDENTIFY_PERIOD)

    def release(self, shard: int, slot: float) -> None:
        """Give a reserved slot back."""
        with self._lock:
            self._pending -= 1
            bucket = self.bucket(shard)
            if self._next_slot.get(bucket) == slot + IDENTIFY_PERIOD:  # it is the last one
                self._next_slot[bucket] = slot

    def spent(self, shard: int, now: float, wall: float) -> SpentIdentifies:
        """The identifies used so far, and the next slot of this shard's bucket, for another host; `wall`: its time."""
        with self._lock:
            reset_at = None if self._reset_at is None else self._reset_at - now + wall
            next_slot = self._next_slot.get(self.bucket(shard), now)
            return SpentIdentifies(self._remaining - self._pending, reset_at, next_slot - now + wall)

    def restore(self, spent: SpentIdentifies, shard: int, now: float, wall: float) -> None:
        """Count those of another host as well. A clock that differs can't delay by more than the periods are long."""
        with self._lock:
            if spent.reset_at is not None and spent.reset_at > wall:
                reset_at = now + min(spent.reset_at - wall, IDENTIFY_RESET)
                self._reset_at = reset_at if self._reset_at is None else min(self._reset_at, reset_at)
                self._remaining = min(self._remaining, spent.remaining)
            bucket = self.bucket(shard)
            slot = now + min(spent.next_slot - wall, IDENTIFY_PERIOD)
            self._next_slot[bucket] = max(self._next_slot.get(bucket, slot), slot)

    def bucket(self, shard: int) -> int:
        """The bucket of a shard, as far as the server has told how many there are."""
        return shard % self._limit.max_concurrency

    def _check(self, now: float, reserve: int | None) -> None:
        if self._reset_at is not None and now >= self._reset_at:
            self._remaining = self._limit.total
            self._reset_at = None
        kept = int(self._limit.total * IDENTIFY_RESERVE_SHARE) if reserve is None else reserve
        if self._remaining - self._pending > kept:
            return
        wait = self._limit.reset_after if self._reset_at is None else self._reset_at - now
        raise IdentifyBudgetExhausted(
            f"{self._remaining} of {self._limit.total} identifies are left for the next {wait:.0f} s, and {kept} are "
            "kept: beyond the last one Discord resets the bot's token. identify_reserve= sets the number to keep",
            retry_after=wait,
        )
