"""The heartbeat of one connection: when the next is due, and whether the last was answered."""

from __future__ import annotations

from ._limits import HEARTBEAT_LATE_TOLERANCE, MAX_HEARTBEAT_INTERVAL, MIN_HEARTBEAT_INTERVAL


class Heartbeat:
    """Times are on the clock behind `now`, in seconds."""

    def __init__(self, interval: float, roll: float, now: float) -> None:
        """`roll`: a random number in [0, 1). The first beat comes early by chance, so that not all come at once."""
        self.interval = min(max(interval, MIN_HEARTBEAT_INTERVAL), MAX_HEARTBEAT_INTERVAL)
        self.due = now + self.interval * roll
        self.latency: float | None = None
        """Seconds from the last answered beat to its answer."""
        self.excused = False
        """True if the answer could not come through lately, so that its absence proves nothing."""
        self._unanswered: float | None = None

    def __repr__(self) -> str:
        return f"<Heart interval={self.interval:g} due={self.due:g} answered={self._unanswered is None}>"

    def is_timed_out(self, now: float) -> bool:
        """True if the last beat's answer is missing, though it could have come; a call much too late proves nothing."""
        return self._unanswered is not None and not self.excused and now - self.due < HEARTBEAT_LATE_TOLERANCE

    def beat(self, now: float) -> None:
        """The scheduled one is sent."""
        self.excused = False
        self._unanswered = now
        # Late ones aren't made up for.
        self.due = max(self.due, now) + self.interval

    def answered(self, now: float) -> None:
        """An ACK came."""
        if self._unanswered is not None:
            self.latency = now - self._unanswered
        self._unanswered = None
