"""Limits on the rate of sending on one connection, and the sliding windows that keep to them. Sans-IO."""

from __future__ import annotations

import bisect
import math
from typing import Any, Final, Self

from .._record import record
from ..errors import InvalidOption
from ._rate_limiter import RateLimiter

_MIN_MARGIN: Final = 0.1
_MAX_MARGIN: Final = 2.0


@record
class Pace:
    """The peer's limit: at most `messages` in any `per` seconds, counted on each connection.

    The window that keeps this limit is a quarter longer (0.1 to 2 seconds), as the peer counts arrivals: a message that
    is delayed arrives closer to the next ones than it was sent.

    `pings`: the peer counts WebSocket PINGs and PONGs, too. Then a PING waits its turn as a message does, and one place
    of each window is kept free for the PONG, which no PING of the peer can be refused.
    """

    messages: int
    per: float = 1.0
    pings: bool = False

    def __post_init__(self) -> None:
        messages: Any = self.messages
        if not isinstance(messages, int) or isinstance(messages, bool) or messages < 1:
            raise InvalidOption(f"Pace: messages must be a whole number >= 1, not {messages!r}")
        per: Any = self.per
        if not isinstance(per, int | float) or isinstance(per, bool) or not math.isfinite(per) or per <= 0:
            raise InvalidOption(f"Pace: per must be a finite number of seconds > 0, not {per!r}")
        if self.pings not in (True, False):
            raise InvalidOption(f"Pace: pings must be True or False, not {self.pings!r}")
        if self.pings and messages == 1:
            raise InvalidOption("Pace: with pings=True, messages must be at least 2, as one place is kept for a PONG")


class SendWindow(RateLimiter):
    """A sliding window over the times of messages sent on the current connection."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._sent: list[float] = []
        """The times in order, booked ones in the future included."""

    @classmethod
    def of(cls, pace: Pace) -> Self:
        """Return the window that keeps this pace."""
        return cls(pace.messages - pace.pings, pace.per + min(max(pace.per / 4, _MIN_MARGIN), _MAX_MARGIN))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {len(self._sent)}/{self._limit}>"

    def begin(self) -> None:
        """Begin a new connection, on which no message was sent."""
        self._sent.clear()

    def record(self, at: float) -> None:
        """Count a message of that time, which may lie in the future."""
        bisect.insort(self._sent, at)

    def wait(self, now: float) -> float:
        """Seconds until one message more may be sent; 0: now."""
        self._forget(now)
        over = len(self._sent) - self._limit
        return 0.0 if over < 0 else max(self._sent[over] + self._seconds - now, 0.001)

    def take(self, now: float) -> float:
        """Count one message and return 0, or count none and return the seconds until one may be sent."""
        wait = self.wait(now)
        if not wait:
            self.record(now)
        return wait

    def _forget(self, now: float) -> None:
        past = 0
        for sent in self._sent:
            if sent > now - self._seconds:
                break
            past += 1
        del self._sent[:past]


class ConnectionPace(RateLimiter):
    """Keeps two paces: one of all messages of a connection, and one of its control messages, which count in both."""

    def __init__(self, pace: Pace | None, control_pace: Pace | None) -> None:
        self._messages = [SendWindow.of(pace)] if pace is not None else []
        self._control = [*self._messages, *([SendWindow.of(control_pace)] if control_pace is not None else [])]
        paces = (each for each in (pace, control_pace) if each is not None)
        self._pings = [window for window, each in zip(self._control, paces, strict=True) if each.pings]

    def __repr__(self) -> str:
        return f"<ConnectionPace {self._control!r}>"

    def begin(self) -> None:
        """Begin a new connection, on which no message was sent."""
        for window in self._control:
            window.begin()

    def take(self, now: float) -> float:
        """Count one message and return 0, or count none and return the seconds until one may be sent."""
        return _take(self._messages, now)

    def take_control(self, now: float) -> float:
        """As `take`, for a control message."""
        return _take(self._control, now)

    def book_control(self, now: float) -> float:
        """Count one control message at the time at which it may be sent; returns the seconds until then."""
        return _book(self._control, now)

    def book_ping(self, now: float) -> float:
        """As `book_control`, for a PING: 0 where the peer doesn't count them."""
        return _book(self._pings, now)

    def sent(self, now: float) -> None:
        """Count a control message that the protocol sends at once."""
        for window in self._control:
            window.record(now)


def check_pace(name: str, value: object) -> Pace | None:
    """`value` as a `Pace` or None; raises `InvalidOption`."""
    if value is not None and not isinstance(value, Pace):
        raise InvalidOption(f"{name} must be a Pace, such as Pace(5, per=1.0), or None, not {value!r}")
    return value


def make_limiter(pace: Pace | RateLimiter | None, control_pace: Pace | None) -> RateLimiter | None:
    """The limiter of a connection with these paces; None: it needs none. Raises `InvalidOption`."""
    if isinstance(pace, RateLimiter):
        if control_pace is not None:
            raise InvalidOption("control_pace can't be combined with a limiter of your own: define its take_control()")
        return pace
    if pace is None and control_pace is None:
        return None
    return ConnectionPace(check_pace("pace", pace), check_pace("control_pace", control_pace))


def _take(windows: list[SendWindow], now: float) -> float:
    wait = _longest_wait(windows, now)
    if not wait:
        for window in windows:
            window.record(now)
    return wait


def _book(windows: list[SendWindow], now: float) -> float:
    wait = _longest_wait(windows, now)
    for window in windows:
        window.record(now + wait)
    return wait


def _longest_wait(windows: list[SendWindow], now: float) -> float:
    return max([window.wait(now) for window in windows], default=0.0)
