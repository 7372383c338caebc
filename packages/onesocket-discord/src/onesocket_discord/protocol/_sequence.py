"""Sequence numbers of a session: which dispatches were delivered, so that a replay delivers none twice."""

from __future__ import annotations

from typing import Self

from ._limits import MAX_SKIPPED_SEQUENCES


class Sequence:
    """The numbers of one session's dispatches."""

    def __init__(self) -> None:
        self.last: int | None = None
        """The highest so far; None before the first (which may be 0)."""
        self.has_lost = False
        """True if a skipped number was lost with its connection."""
        self._skipped: dict[int, None] = {}

    def __repr__(self) -> str:
        return f"<Sequence last={self.last} skipped={len(self._skipped)}>"

    @classmethod
    def after(cls, last: int | None, *, has_lost: bool) -> Self:
        """The numbers of a session that another host has received up to `last`."""
        sequence = cls()
        sequence.last, sequence.has_lost = last, has_lost
        return sequence

    @property
    def is_incomplete(self) -> bool:
        """True if numbers before the last one are missing."""
        return self.has_lost or bool(self._skipped)

    def is_new(self, number: int) -> bool:
        """Count this number as seen; returns False if it was seen before."""
        if self.last is None or number > self.last:
            self._remember(range(0 if self.last is None else self.last + 1, number))
            self.last = number
            return True
        if number in self._skipped:  # out of order, but not twice
            del self._skipped[number]
            return True
        return False

    def begin(self, number: int) -> None:
        """Begin with the number of READY: there are none before it."""
        self.is_new(number)
        for skipped in [skipped for skipped in self._skipped if skipped < number]:
            del self._skipped[skipped]

    def resume(self) -> int | None:
        """Return the number to resume after. Skipped numbers before it count as lost."""
        self.has_lost = self.has_lost or bool(self._skipped)
        self._skipped.clear()
        return self.last

    def _remember(self, skipped: range) -> None:
        for number in skipped[-MAX_SKIPPED_SEQUENCES:]:
            self._skipped[number] = None
        while len(self._skipped) > MAX_SKIPPED_SEQUENCES:
            del self._skipped[next(iter(self._skipped))]
