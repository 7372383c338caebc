"""Snowflakes: ids in the order in which they were given, with their time inside."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

DISCORD_EPOCH_MS = 1_420_070_400_000
"""Discord's: 2015-01-01 UTC."""

MAX_SNOWFLAKE = 2**63 - 1
"""What a signed 64-bit column holds."""


class SnowflakeGenerator:
    """Issues ids; each is larger than all before it, whatever the clock does."""

    def __init__(self, clock: Callable[[], float] = time.time, last: int = 0) -> None:
        """`clock` gives seconds since 1970; `last` is the largest id that exists."""
        self._clock = clock
        self._last = last

    def __repr__(self) -> str:
        return f"<Snowflakes last={self._last}>"

    def next(self) -> int:
        """Give out one more id."""
        # The low 22 bits only count here. Past their end the count runs on into the time, which stays in order.
        self._last = max(snowflake_at(self._clock()), self._last + 1)
        return self._last

    def now(self) -> float:
        """The time that ids are made from, in seconds since 1970."""
        return self._clock()


def snowflake_at(seconds: float) -> int:
    """Return the least id of that time (seconds since 1970)."""
    return max(0, int(seconds * 1000) - DISCORD_EPOCH_MS) << 22


def snowflake_time(snowflake: int) -> float:
    """When this id was given, in seconds since 1970."""
    return ((snowflake >> 22) + DISCORD_EPOCH_MS) / 1000


def iso_timestamp(seconds: float) -> str:
    """Write a time as Discord does: ISO 8601 with six digits and an offset."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")


def parse_snowflake(value: object) -> int | None:
    """Read an id from a path, a query or a body; None: it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if 0 <= value <= MAX_SNOWFLAKE else None
    if not isinstance(value, str) or not value.isascii() or not value.isdigit() or len(value) > 20:
        return None
    number = int(value)
    return number if number <= MAX_SNOWFLAKE else None
