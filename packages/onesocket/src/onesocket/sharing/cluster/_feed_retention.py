"""Bounds of what the feed keeps for late readers, counted by its writer. Pure: the time is an argument."""

from __future__ import annotations

from collections import deque

from ..._record import record
from ...client._options import check_seconds
from ...errors import InvalidOption
from ._coordinator import START, Position


@record(kw_only=True)
class Retention:
    """How much of the feed an engine keeps: a member that was away for less misses nothing. The first bound counts."""

    records: int = 10_000
    size: int = 64 * 2**20
    """Bytes of all payloads."""
    seconds: float = 60.0

    def __post_init__(self) -> None:
        for name in ("records", "size"):
            value: object = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InvalidOption(f"{name} must be a whole number above 0, not {value!r}")
        check_seconds("seconds", self.seconds)


class FeedRetention:
    """Counts the records of one epoch, and says up to where the feed may be trimmed.

    What earlier epochs left, whose sizes it does not know, is dropped as a whole: when the first bound is met, or after
    `seconds` of the epoch.
    """

    def __init__(self, retention: Retention, epoch: int, now: float) -> None:
        self._retention = retention
        self._kept: deque[tuple[int, int, float]] = deque([(0, 0, now)])
        self._size = 0
        self.epoch = epoch
        self._oldest = START

    def __repr__(self) -> str:
        return f"<FeedRetention records={len(self._kept)} bytes={self._size}>"

    def add(self, number: int, size: int, now: float) -> Position:
        """Count a record, unless it is counted already; returns the oldest position to keep (`START`: keep all)."""
        if number > self._kept[-1][0]:
            self._kept.append((number, size, now))
            self._size += size
        bounds = self._retention
        while len(self._kept) > 1 and (
            len(self._kept) > bounds.records or self._size > bounds.size or now - self._kept[0][2] > bounds.seconds
        ):
            self._size -= self._kept.popleft()[1]
            self._oldest = Position(self.epoch, self._kept[0][0])
        return self._oldest
