"""Counters of a hub."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Final

_RATE_WINDOW: Final = 10
"""Seconds over which a rate is measured."""


class Meter:
    """Counts a total, and measures its recent rate."""

    __slots__ = ("_recent", "total")

    def __init__(self) -> None:
        self.total = 0
        self._recent: deque[list[int]] = deque(maxlen=_RATE_WINDOW + 1)

    def __repr__(self) -> str:
        return f"<Meter {self.total}>"

    def add(self, number: int) -> None:
        """Add to the total."""
        self.total += number
        second = int(time.monotonic())
        if self._recent and self._recent[-1][0] == second:
            self._recent[-1][1] += number
        else:
            self._recent.append([second, number])

    @property
    def per_second(self) -> float:
        """The rate over the last complete seconds."""
        now = int(time.monotonic())
        return sum(number for second, number in self._recent if now - _RATE_WINDOW <= second < now) / _RATE_WINDOW


@dataclass(slots=True)
class HubCounters:
    """Counters since the start of the hub."""

    received: Meter = field(default_factory=Meter)
    """Messages from upstream."""
    received_bytes: int = 0
    sent: Meter = field(default_factory=Meter)
    """Messages sent upstream."""
    sent_bytes: int = 0
    delivered: int = 0
    """Messages written to clients, each counted for each client."""
    delivered_bytes: int = 0
    accepted: int = 0
    """Clients that connected."""
    refused: int = 0
    """Requests that were refused."""
    cut_off: int = 0
    """Clients that didn't read and were cut off."""
    not_sent: int = 0
    """Messages of clients that were not sent upstream, or may not have been; each connected sender gets an error."""
