"""One measurement: its order and its result."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Workload:
    """So many operations of one scenario, with messages of so many bytes."""

    scenario: str
    count: int
    size: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """Seconds for the whole of it: of the client process's CPU (all threads), and by the clock on the wall."""

    cpu: float
    wall: float
    each: tuple[float, ...] = ()
    """By the clock, for each operation, where the worst one matters."""
