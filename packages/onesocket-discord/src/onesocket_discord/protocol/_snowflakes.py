"""Snowflakes: ids that sort by time, and contain it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

DISCORD_EPOCH_MS = 1_420_070_400_000
"""Discord's: 2015-01-01 UTC."""

MAX_SNOWFLAKE = 2**63 - 1
"""The largest id that a signed 64-bit column holds."""


class SnowflakeGenerator:
    """Issues increasing ids, even when the clock goes back."""

    def __init__(self, clock: Callable[[], float] = time.time, last: int = 0) -> None:
        """`clock` gives seconds since 1970; `last` is the largest id that exists."""
        self._clock = clock
        self._last = last

    def __repr__(self) -> str:
        return f"<SnowflakeGenerator last={self._last}>"

    def next(self) -> int:
        """Issue an id."""
        # The low 22 bits are a counter; its overflow runs into the time, which keeps the order.
        self._last = max(snowflake_at(self._clock()), self._last + 1)
        return self._last

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
