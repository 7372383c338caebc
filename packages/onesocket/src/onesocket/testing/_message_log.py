"""The messages that a faulty server has received."""

from __future__ import annotations

from collections import deque


class MessageLog:
    """The messages received, bounded. The rule on overflow is `drop_oldest` or `drop_newest`."""

    def __init__(self, limit: int, overflow: str) -> None:
        self._messages: deque[str | bytes] = deque()
        self._limit = limit
        self._overflow = overflow
        self.dropped = 0

    def add(self, message: str | bytes) -> None:
        """Append a message, within the limit."""
        if len(self._messages) < self._limit:
            self._messages.append(message)
            return
        self.dropped += 1
        if self._overflow == "drop_oldest" and self._messages:
            self._messages.popleft()
            self._messages.append(message)

    def empty(self) -> MessageLog:
        """Return an empty log with the same limit and rule."""
        return MessageLog(self._limit, self._overflow)

    def list(self) -> list[str | bytes]:
        """Return a copy, oldest first."""
        return list(self._messages)
