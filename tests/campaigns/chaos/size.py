"""Amounts of work in a run of the campaign."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class RunSize:
    """Amounts of work in a run."""

    rounds: int
    """Number of times that the owner is killed, stopped and continued, and asked to leave, each."""
    faults: int
    """Number of faults that the injector server deals."""
    forks: int
    seconds: float
    """Seconds of coming and going."""
    megabytes: int
    """Mebibytes that a process doesn't read."""

    @property
    def limit(self) -> float:
        """Seconds that all of it may take at most; on a quiet machine it's half of that."""
        return 100.0 + 5.0 * self.rounds + 3.0 * self.faults


FULL: Final = RunSize(rounds=100, faults=60, forks=10, seconds=5.0, megabytes=64)
QUICK: Final = RunSize(rounds=3, faults=12, forks=2, seconds=1.0, megabytes=16)
