"""Bounded back-pressure: the feed waits for a while for a follower that would fall out of the ring. No I/O."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final

_BEGIN_AT: Final = 0.75
"""Share of the ring that a follower lags behind when the feed is held back, and ..."""
_END_AT: Final = 0.5
"""... when it goes on."""


class HoldPhase(enum.Enum):
    """Phase of the back-pressure."""

    FLOWING = "flowing"
    HOLDING = "holding"
    EXHAUSTED = "exhausted"
    """The time was over before all had caught up: the feed is not held back again until they have."""


class BackPressure:
    """Holds the feed back for at most `limit` seconds at a time; 0: never."""

    def __init__(self, limit: float, hold: Callable[[], object], release: Callable[[], object]) -> None:
        self._limit = limit
        self._hold = hold
        self._release = release
        self._held_at = 0.0
        self.phase = HoldPhase.FLOWING

    def __repr__(self) -> str:
        return f"<BackPressure {self.phase.value}>"

    def update(self, lag: float, now: float) -> None:
        """Hold or release. `lag`: the largest share of the ring by which a follower lags that reads."""
        match self.phase:
            case HoldPhase.FLOWING if lag >= _BEGIN_AT:
                self.phase, self._held_at = HoldPhase.HOLDING, now
                self._hold()
            case HoldPhase.HOLDING if lag <= _END_AT:
                self.end()
            case HoldPhase.HOLDING if now - self._held_at >= self._limit:
                self.phase = HoldPhase.EXHAUSTED
                self._release()
            case HoldPhase.EXHAUSTED if lag <= _END_AT:
                self.phase = HoldPhase.FLOWING
            case _:
                pass

    def end(self) -> None:
        """Let the feed go on."""
        if self.phase is HoldPhase.HOLDING:
            self._release()
        self.phase = HoldPhase.FLOWING
