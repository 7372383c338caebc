"""What became of the connection, change by change."""

from __future__ import annotations

from collections import deque
from typing import Final

from onesocket.client import Change

MAX_CHANGES: Final = 500


class ConnectionTimeline:
    """The newest changes of state, the oldest first."""

    def __init__(self) -> None:
        self._changes: deque[Change] = deque(maxlen=MAX_CHANGES)
        self.total = 0
        """How many there were."""

    def __repr__(self) -> str:
        return f"<Timeline of {self.total} changes>"

    @property
    def changes(self) -> tuple[Change, ...]:
        """Those that are kept."""
        return tuple(self._changes)

    def add(self, change: Change) -> None:
        """One more."""
        self.total += 1
        self._changes.append(change)
