"""Identifies: counted for the day, and spaced within their bucket, for all shards that use one token.

Its clock is that of the event loop; a lock makes it safe for loops in several threads.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from ..protocol._errors import IdentifyBudgetExhausted
from ..protocol._limits import IDENTIFY_PERIOD, IDENTIFY_RESET, IDENTIFY_TOTAL

IDENTIFY_RESERVE_SHARE = 0.02
"""Of a day's identifies so many are kept unless told otherwise: 20 of 1 000."""


@dataclass(frozen=True, slots=True)
class SessionStartLimit:
    """The `session_start_limit` of `/gateway/bot`."""

    total: int = IDENTIFY_TOTAL
    remaining: int = IDENTIFY_TOTAL
    reset_after: float = IDENTIFY_RESET
    """Seconds."""
    max_concurrency: int = 1


class IdentifyBudget:
    """One token's identifies."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limit = SessionStartLimit()
        self._remaining = self._limit.remaining
        self._reset_at: float | None = None
        self._pending = 0
        """Turns that were reserved and not used yet."""
        self._next_turn: dict[int, float] = {}

    def __repr__(self) -> str:
        return f"<IdentifyBudget {self._remaining}/{self._limit.total} pending={self._pending}>"

    def learn(self, limit: SessionStartLimit, now: float) -> None:
        """Replace the count by the server's."""
        with self._lock:
            self._limit = limit
            self._remaining = limit.remaining
            self._reset_at = now + limit.reset_after

    def check(self, now: float, keep: int | None) -> None:
        """Raise `IdentifyBudgetExhausted` if one more would use an identify that is to be kept."""
        with self._lock:
            self._check(now, keep)

    def reserve(self, shard: int, now: float, keep: int | None) -> float:
        """The time of the next free turn of this shard's bucket; it is taken. Raises `IdentifyBudgetExhausted`."""
        with self._lock:
            self._check(now, keep)
            bucket = self._bucket(shard)
            turn = max(now, self._next_turn.get(bucket, now))
            self._next_turn[bucket] = turn + IDENTIFY_PERIOD
            self._pending += 1
            return turn

    def sent(self, shard: int, now: float) -> None:
        """A reserved turn was used."""
        with self._lock:
            self._pending -= 1
            self._remaining -= 1
            if self._reset_at is None:
                self._reset_at = now + self._limit.reset_after
            bucket = self._bucket(shard)
            self._next_turn[bucket] = max(self._next_turn.get(bucket, now), now + IDENTIFY_PERIOD)

    def release(self, shard: int, turn: float) -> None:
        """A reserved turn isn't used."""
        with self._lock:
            self._pending -= 1
            bucket = self._bucket(shard)
            if self._next_turn.get(bucket) == turn + IDENTIFY_PERIOD:  # nobody stands behind it
                self._next_turn[bucket] = turn

    def _bucket(self, shard: int) -> int:
        return shard % self._limit.max_concurrency

    def _check(self, now: float, keep: int | None) -> None:
        if self._reset_at is not None and now >= self._reset_at:
            self._remaining = self._limit.total
            self._reset_at = None
        kept = int(self._limit.total * IDENTIFY_RESERVE_SHARE) if keep is None else keep
        if self._remaining - self._pending > kept:
            return
        wait = self._limit.reset_after if self._reset_at is None else self._reset_at - now
        raise IdentifyBudgetExhausted(
            f"{self._remaining} of {self._limit.total} identifies are left for the next {wait:.0f} s, and {kept} are "
            "kept: beyond the last one Discord resets the bot's token. identify_reserve= says how many to keep",
            retry_after=wait,
        )
