"""The findings of one scenario."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class ChaosFindings:
    """Broken promises, and figures for the table."""

    title: str
    figures: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    wrong: list[str] = field(default_factory=list[str])
    seconds: float = 0.0

    def broken(self, text: str) -> None:
        """Record a broken promise."""
        self.wrong.append(text)

    def require(self, holds: bool, text: str) -> None:
        """Record a broken promise unless `holds`."""
        if not holds:
            self.broken(text)

    def figure(self, name: str, value: object) -> None:
        """Add a row to the table."""
        self.figures.append((name, str(value)))

    def times(self, name: str, seconds: Sequence[float]) -> None:
        """A distribution, in milliseconds."""
        if seconds:
            self.figure(name, distribution(seconds))


def distribution(seconds: Sequence[float]) -> str:
    """Median, 95th percentile and the longest."""
    ordered = sorted(seconds)
    late = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    return (
        f"median {statistics.median(ordered) * 1000:.0f} ms, 95 % within {late * 1000:.0f} ms, "
        f"the longest {ordered[-1] * 1000:.0f} ms ({len(ordered)})"
    )
