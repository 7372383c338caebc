"""The outage that a leader tells of, for the leader after it. Pure: the time is an argument."""

from __future__ import annotations

from typing import Final

from ...client._status import Status
from ...errors import OnesocketError
from ...lifecycle._events import EarlierConnection
from ...lifecycle._states import State

_AWAY: Final = frozenset({State.CONNECTING, State.BACKING_OFF, State.CLOSING})


class HeardOutage:
    """Keeps failures in a row, their beginning, and the time of the next attempt, as the leaders tell them.

    So the attempts of one leader after another are not more than those of one.
    """

    __slots__ = ("_date", "_due", "_error", "_failures", "_since")

    def __init__(self) -> None:
        self._failures = 1
        """Including the loss of the connection, which the end of its leader is."""
        self._error: OnesocketError | None = None
        self._since: float | None = None
        """Time of the first of them; None: there was none before the end of the leader."""
        self._due = 0.0
        """Time of the next attempt."""
        self._date = 0.0
        """Time that the server named for it."""

    def __repr__(self) -> str:
        return f"<HeardOutage failures={self._failures}>"

    def begin(self, earlier: EarlierConnection, now: float) -> None:
        """Note the date that the last owner of this host knew of."""
        self._date = max(self._date, now + earlier.wait)

    def note(self, status: Status, now: float) -> None:
        """Note a status of the leader, which may be this host."""
        error = status.last_error
        if status.state not in _AWAY or not status.attempt:
            self._failures, self._error, self._since, self._due = status.attempt + 1, None, None, 0.0
            if status.state is State.CONNECTED:
                self._date = 0.0
            return
        self._failures, self._error = status.attempt, error
        if self._since is None:
            self._since = now
        self._due = 0.0
        if status.state is State.BACKING_OFF and status.retry_in is not None:
            self._due = now + status.retry_in
            if error is not None and error.retry_after is not None:
                self._date = self._due

    def earlier(self, now: float) -> EarlierConnection:
        """The outage as the next leader resumes it."""
        return EarlierConnection(
            wait=max(0.0, self._date - now),
            failures=self._failures,
            away=0.0 if self._since is None else now - self._since,
            back_off=max(0.0, self._due - now),
            error=self._error,
        )
