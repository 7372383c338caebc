"""The number of calls that may fail before Discord bans the address. Sans-IO: time is an argument."""

from __future__ import annotations

from collections import deque

from ._errors import InvalidBudgetSpent

INVALID_LIMIT = 10_000
INVALID_WINDOW = 600.0
"""Seconds. Discord bans an address that gets more than 10 000 answers 401, 403 or 429 within ten minutes."""
_RESERVED_REQUESTS = 200
"""More than can be in flight at once, so that the last ones can't exceed the limit."""


class InvalidBudget:
    """Counts failed calls per address: pass one object to every `Rest` of the process for the same API."""

    def __init__(self, *, limit: int = INVALID_LIMIT - _RESERVED_REQUESTS, window: float = INVALID_WINDOW) -> None:
        self._limit = limit
        self._window = window
        self._times: deque[float] = deque()

    def __repr__(self) -> str:
        return f"<InvalidBudget {len(self._times)} of {self._limit}>"

    def note(self, now: float) -> None:
        """Count a call that was answered with 401, 403 or 429."""
        self._times.append(now)

    def check(self, now: float) -> None:
        """Raise `InvalidBudgetSpent` if another failure could be one too many."""
        while self._times and self._times[0] <= now - self._window:
            self._times.popleft()
        if len(self._times) >= self._limit:
            raise InvalidBudgetSpent(
                f"{len(self._times)} calls within {self._window:g} s were answered with 401, 403 or 429; more would "
                "get this address banned, so nothing is sent for a while: find out what fails, and mend that",
                retry_after=self._times[0] + self._window - now,
            )
