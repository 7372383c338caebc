"""Snowflakes: ids that sort by time, and contain it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

DISCORD_EPOCH_MS = 1_420_070_400_000
"""Discord's: 2015-01-01 UTC."""

MAX_SNOWFLAKE = 2**63 - 1
"""The largest id that a signed 64-bit column holds."""


NODES = 1024
"""Numbers of servers that issue ids beside each other."""
_COUNTER_BITS = 12


class SnowflakeGenerator:
    """Issues increasing ids, even when the clock goes back: time, the number of the server, and a counter."""

    def __init__(
        self, clock: Callable[[], float] = time.time, last: int = 0, node: Callable[[], int] = lambda: 0
    ) -> None:
        """`clock` gives seconds since 1970, `node` this server's number; `last` is the largest id that exists."""
        self._clock = clock
        self._last = last
        self._node = node

    def __repr__(self) -> str:
        return f"<SnowflakeGenerator last={self._last}>"

    def next(self, after: int = 0) -> int:
        """Issue an id, larger than those before and than `after`."""
        node = self._node() << _COUNTER_BITS
        floor = max(self._last, after)
        first = snowflake_at(self._clock()) | node
        if first <= floor:
            # The least id of this server above the floor; where the counter is used up, one of the next millisecond.
            first = floor >> 22 << 22 | node
            if first <= floor < first + (1 << _COUNTER_BITS) - 1:
                first = floor + 1
            elif first <= floor:
                first += 1 << 22
        self._last = first
        return first

    def now(self) -> float:
        """The time of the clock, in seconds since 1970."""
        return self._clock()


def snowflake_at(seconds: float) -> int:
    """Return the least id of that time (seconds since 1970)."""
    return max(0, int(seconds * 1000) - DISCORD_EPOCH_MS) << 22


def snowflake_time(snowflake: int) -> float:
    """The time of this id, in seconds since 1970."""
    return ((snowflake >> 22) + DISCORD_EPOCH_MS) / 1000


def iso_timestamp(seconds: float) -> str:
    """Write a time as Discord does: ISO 8601 with six digits and an offset."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")


def parse_snowflake(value: object, largest: int = MAX_SNOWFLAKE) -> int | None:
    """Parse an id from a path, a query or a body; None if it is invalid."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if 0 <= value <= largest else None
    if not isinstance(value, str) or not value.isascii() or not value.isdigit() or len(value) > 20:
        return None
    number = int(value)
    return number if number <= largest else None
