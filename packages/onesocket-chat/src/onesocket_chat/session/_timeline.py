"""The changes of the connection's state."""

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
        """The number of changes so far."""

    def __repr__(self) -> str:
        return f"<ConnectionTimeline of {self.total} changes>"

    @property
    def changes(self) -> tuple[Change, ...]:
        """The newest changes."""
        return tuple(self._changes)

    def add(self, change: Change) -> None:
        """Add a change."""
        self.total += 1
        self._changes.append(change)
