"""Limits on the rate of sending on one connection, and the sliding window that keeps to one. Sans-IO: time is given."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Self

from ..errors import InvalidOption
from ._protocol import RateLimiter as PacePort

_MIN_MARGIN: Final = 0.1
_MAX_MARGIN: Final = 2.0


@dataclass(frozen=True, slots=True)
class Pace:
    """The peer's limit: at most `messages` in any `per` seconds, counted on each connection.

    The window that keeps this limit is a quarter longer (0.1 to 2 seconds), as the peer counts arrivals: a message that
    is delayed arrives closer to the next ones than it was sent.
    """

    messages: int
    per: float = 1.0

    def __post_init__(self) -> None:
        messages: Any = self.messages
        if not isinstance(messages, int) or isinstance(messages, bool) or messages < 1:
            raise InvalidOption(f"Pace: messages must be a whole number >= 1, not {messages!r}")
        per: Any = self.per
        if not isinstance(per, int | float) or isinstance(per, bool) or not math.isfinite(per) or per <= 0:
            raise InvalidOption(f"Pace: per must be a finite number of seconds > 0, not {per!r}")


class SendWindow(PacePort):
    """A sliding window over the times of messages sent on the current connection."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._sent: list[float] = []

    @classmethod
    def of(cls, pace: Pace) -> Self:
        """Return the window that keeps this pace."""
        return cls(pace.messages, pace.per + min(max(pace.per / 4, _MIN_MARGIN), _MAX_MARGIN))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {len(self._sent)}/{self._limit}>"

    def begin(self) -> None:
        """Begin a new connection, on which no message was sent."""
        self._sent.clear()

    def record(self, now: float) -> None:
        """Count a message that the protocol itself sends at once."""
        self._sent.append(now)

    def take(self, now: float) -> float:
        """Count one message and return 0, or count none and return the seconds until one may be sent."""
        self._forget(now)
        over = len(self._sent) - self._limit
        if over < 0:
            self._sent.append(now)
            return 0.0
        return max(self._sent[over] + self._seconds - now, 0.001)

    def _forget(self, now: float) -> None:
        past = 0
        for sent in self._sent:
            if sent > now - self._seconds:
                break
            past += 1
        del self._sent[:past]
