"""When to try again: the policy for an established line that was lost. Pure: chance and time are arguments."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Any, TypeGuard

from ..errors import InvalidOption, OnesocketError, UpstreamBusy


class Verdict(enum.Enum):
    """What a failure means for the next attempt."""

    FATAL = "fatal"
    """The same attempt would fail again until somebody changes something."""
    RETRY = "retry"
    BUSY = "busy"
    """The other side has no place for us now: slowly, and not before its date."""


def verdict(error: OnesocketError) -> Verdict:
    """What this failure means for the next attempt."""
    if not error.retryable:
        return Verdict.FATAL
    return Verdict.BUSY if isinstance(error, UpstreamBusy) else Verdict.RETRY


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconnectPolicy:
    """How an established line that was lost is resumed: exponential back-off with full jitter and a cap.

    The first attempt after a loss is made at once; the n-th further one in a row after a random part of
    ``initial * factor ** (n - 1)`` seconds, at most ``cap``. A `Retry-After` is obeyed even beyond the cap. The count
    starts anew only when a line has proved itself by staying up for `stable_after` seconds, so a server that accepts
    and closes is not hammered.
    """

    initial: float = 0.5
    """Seconds: the upper bound of the first delay that is not zero."""
    factor: float = 2.0
    cap: float = 60.0
    """Seconds: the upper bound of every delay (but for a `Retry-After`)."""
    stable_after: float = 10.0
    """Seconds that a line must be up before earlier failures are forgotten."""
    busy_delay: float = 30.0
    """Seconds: the least delay when the service has no place for us and names no date."""
    max_attempts: int | None = None
    """Failures in a row after which we give up with `RetriesExhausted` (None: never)."""

    def __post_init__(self) -> None:
        for name in ("initial", "cap", "stable_after", "busy_delay"):
            value: object = getattr(self, name)
            if not _is_number(value) or value < 0:
                raise InvalidOption(f"ReconnectPolicy: {name} must be a number of seconds >= 0, not {value!r}")
        if not _is_number(self.factor) or self.factor < 1:
            raise InvalidOption(f"ReconnectPolicy: factor must be a number >= 1, not {self.factor!r}")
        most: Any = self.max_attempts
        if most is not None and (not isinstance(most, int) or isinstance(most, bool) or most < 1):
            raise InvalidOption(f"ReconnectPolicy: max_attempts must be a whole number >= 1 or None, not {most!r}")

    def delay(self, failures: int, error: OnesocketError, roll: float) -> float:
        """Seconds to wait after the `failures`-th failure in a row; `roll` is a random number in [0, 1)."""
        if verdict(error) is Verdict.BUSY and error.retry_after is None:
            return min(self.busy_delay * (1 + roll), max(self.cap, self.busy_delay))
        jittered = 0.0 if failures <= 1 else roll * self._ceiling(failures - 2)
        return jittered if error.retry_after is None else error.retry_after + jittered

    def exhausted(self, failures: int) -> bool:
        """Whether this many failures in a row are enough."""
        return self.max_attempts is not None and failures >= self.max_attempts

    def _ceiling(self, exponent: int) -> float:
        try:
            return min(self.cap, self.initial * self.factor**exponent)
        except OverflowError:
            return self.cap


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
