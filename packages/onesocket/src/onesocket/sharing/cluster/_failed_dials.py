"""Attempts of a leader that did not reach the server, though another host might. Pure: the time is an argument."""

from __future__ import annotations

from typing import Final

from ...client._status import Status
from ...errors import ConnectFailed
from ...lifecycle._states import State

_FEWEST: Final = 3
"""Attempts that fail before another host tries."""
_MOST_DOUBLINGS: Final = 4
_ATTEMPT: Final = frozenset({State.CONNECTING, State.CLOSING})


class FailedDials:
    """Counts a leader's attempts in a row that the server did not answer: what it answers holds for all hosts."""

    __slots__ = ("_count", "_patience", "_since", "_state")

    def __init__(self, ttl: float, passes: int) -> None:
        """Make it, with a count of 0.

        Args:
            ttl: Of the lease, seconds.
            passes: Times that this host has left the lease to others since the connection was up. Each doubles the time
                until it does so again: where no host reaches the server, the lease goes round ever more slowly.
        """
        self._patience = ttl * 2 ** min(passes, _MOST_DOUBLINGS)
        self._count = 0
        self._since = 0.0
        """Time of the first one's end."""
        self._state = State.DISCONNECTED

    def __repr__(self) -> str:
        return f"<FailedDials {self._count}>"

    def note(self, status: Status, now: float) -> bool:
        """Note a status; True: another host should try, as three failed, and a lease has passed since the first one."""
        before, self._state = self._state, status.state
        if status.state in _ATTEMPT or (status.state is State.BACKING_OFF and before not in _ATTEMPT):
            return False
        error = status.last_error
        if status.state is not State.BACKING_OFF or not isinstance(error, ConnectFailed) or error.retry_after:
            self._count = 0
            return False
        if self._count == 0:
            self._since = now
        self._count += 1
        return self._count >= _FEWEST and now - self._since >= self._patience
