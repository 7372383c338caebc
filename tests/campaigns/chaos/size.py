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
    kinds: int
    """Number of faults that processes of all kinds suffer."""
    forks: int
    seconds: float
    """Seconds of coming and going."""
    megabytes: int
    """Mebibytes that a process doesn't read."""
    bursts: int
    """Number of kinds of bursts."""
    shorter_bursts: int
    """How many times shorter than in a full run the bursts are."""

    @property
    def limit(self) -> float:
        """Seconds that all of it may take at most; on a quiet machine it's half of that."""
        return 250.0 + 5.0 * self.rounds + 3.0 * self.faults + 2.0 * self.kinds


FULL: Final = RunSize(rounds=100, faults=60, kinds=60, forks=10, seconds=5.0, megabytes=64, bursts=3, shorter_bursts=1)
QUICK: Final = RunSize(rounds=1, faults=5, kinds=2, forks=1, seconds=1.0, megabytes=16, bursts=1, shorter_bursts=8)
