"""Counts what the readers of one client have missed."""

from __future__ import annotations


class Losses:
    """Counters of gaps and of dropped messages."""

    __slots__ = ("dropped", "gaps", "overflows", "undecodable", "undelivered")

    def __init__(self) -> None:
        self.gaps = 0
        """Times that the connection was away."""
        self.undecodable = 0
        """Messages that the protocol could not read."""
        self.undelivered = 0
        """Those of them that were not delivered: an owner delivers messages that are decoded elsewhere."""
        self.overflows = 0
        """Times that a reader was too slow, or came too late for all that had waited."""
        self.dropped = 0
        """Messages dropped for such readers, each counted for each reader."""

    def __repr__(self) -> str:
        return f"<Losses gaps={self.gaps} undecodable={self.undecodable} overflows={self.overflows}>"

    def overflow(self, dropped: int) -> None:
        """Count one more gap of a slow reader."""
        self.overflows += 1
        self.dropped += dropped
