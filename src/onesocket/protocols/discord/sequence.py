"""Sequence numbers: what was delivered already, so that a replay delivers nothing twice."""

from __future__ import annotations

from .limits import KEPT_HOLES


class Sequence:
    """The numbers of one session's dispatches."""

    def __init__(self) -> None:
        self.last: int | None = None
        """The highest so far; None before the first (which may be 0)."""
        self._holes: dict[int, None] = {}

    def __repr__(self) -> str:
        return f"<Sequence last={self.last} holes={len(self._holes)}>"

    def is_new(self, number: int) -> bool:
        """Whether this one wasn't seen yet; it counts as seen now."""
        if self.last is None or number > self.last:
            if self.last is not None:
                self._remember(range(self.last + 1, number))
            self.last = number
            return True
        if number in self._holes:  # out of order, but not twice
            del self._holes[number]
            return True
        return False

    def _remember(self, skipped: range) -> None:
        for number in skipped[-KEPT_HOLES:]:
            self._holes[number] = None
        while len(self._holes) > KEPT_HOLES:
            del self._holes[next(iter(self._holes))]
