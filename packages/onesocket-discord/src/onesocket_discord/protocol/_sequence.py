"""Sequence numbers: what was delivered already, so that a replay delivers nothing twice."""

from __future__ import annotations

from ._limits import MAX_SKIPPED_SEQUENCES


class Sequence:
    """The numbers of one session's dispatches."""

    def __init__(self) -> None:
        self.last: int | None = None
        """The highest so far; None before the first (which may be 0)."""
        self.has_lost = False
        """True if a number was overtaken, and its line lost before it came."""
        self._skipped: dict[int, None] = {}

    def __repr__(self) -> str:
        return f"<Sequence last={self.last} holes={len(self._skipped)}>"

    def is_new(self, number: int) -> bool:
        """True if this one wasn't seen yet; it counts as seen now."""
        if self.last is None or number > self.last:
            self._remember(range(0 if self.last is None else self.last + 1, number))
            self.last = number
            return True
        if number in self._skipped:  # out of order, but not twice
            del self._skipped[number]
            return True
        return False

    def begin(self, number: int) -> None:
        """READY has this number: there are none before it."""
        self.is_new(number)
        for hole in [hole for hole in self._skipped if hole < number]:
            del self._skipped[hole]

    def resume(self) -> int | None:
        """The number to resume after. What it has overtaken won't come any more."""
        self.has_lost = self.has_lost or bool(self._skipped)
        self._skipped.clear()
        return self.last

    def _remember(self, skipped: range) -> None:
        for number in skipped[-MAX_SKIPPED_SEQUENCES:]:
            self._skipped[number] = None
        while len(self._skipped) > MAX_SKIPPED_SEQUENCES:
            del self._skipped[next(iter(self._skipped))]
