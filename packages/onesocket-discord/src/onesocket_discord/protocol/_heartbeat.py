"""The heartbeats of one connection: their times, and the acknowledgement of the last one."""

from __future__ import annotations

from ._limits import HEARTBEAT_LATE_TOLERANCE, MAX_HEARTBEAT_INTERVAL, MIN_HEARTBEAT_INTERVAL


class Heartbeat:
    """Schedules heartbeats. Times are in seconds on the clock of `now`."""

    def __init__(self, interval: float, jitter: float, now: float) -> None:
        """`jitter`: a random number in [0, 1), the part of the interval before the first heartbeat."""
        self.interval = min(max(interval, MIN_HEARTBEAT_INTERVAL), MAX_HEARTBEAT_INTERVAL)
        self.due = now + self.interval * jitter
        self.latency: float | None = None
        """Seconds from the last acknowledged heartbeat to its ACK."""
        self.excused = False
        """True if an ACK could not be received lately, so that its absence proves nothing."""
        self._unanswered: float | None = None

    def __repr__(self) -> str:
        return f"<Heartbeat interval={self.interval:g} due={self.due:g} answered={self._unanswered is None}>"

    def is_timed_out(self, now: float) -> bool:
        """True if the last ACK is missing although it could have been received; a late call proves nothing."""
        return self._unanswered is not None and not self.excused and now - self.due < HEARTBEAT_LATE_TOLERANCE

    def beat(self, now: float) -> None:
        """Count the due heartbeat as sent, and schedule the next one."""
        self.excused = False
        self._unanswered = now
        # Missed heartbeats are not sent later.
        self.due = max(self.due, now) + self.interval

    def answered(self, now: float) -> None:
        """Count an ACK."""
        if self._unanswered is not None:
            self.latency = now - self._unanswered
        self._unanswered = None
