"""The port of a limit on the rate of sending on one connection. Sans-IO: time is given."""

from __future__ import annotations

import abc


class RateLimiter(abc.ABC):
    """Limit on the rate of sending on one connection; `Pace` describes the usual one.

    A base class for other limits: only `take` has to be defined. The defaults of the other methods treat a control
    message (subscription, `on_ready` message) as any other, and let messages of the protocol itself (`Send`) pass.
    """

    @abc.abstractmethod
    def take(self, now: float) -> float:
        """Count one message and return 0, or count none and return the seconds until one may be sent."""

    def take_control(self, now: float) -> float:
        """As `take`, for a control message: a subscription, or one that the protocol has for a new connection."""
        return self.take(now)

    def book_control(self, now: float) -> float:
        """Keep a place for a message of the protocol itself; returns the seconds until its time has come."""
        del now
        return 0.0

    def book_ping(self, now: float) -> float:
        """As `book_control`, for a PING."""
        del now
        return 0.0

    def begin(self) -> None:  # noqa: B027 - a protocol may keep its own count
        """Begin a new connection, on which no message was sent."""

    def sent(self, now: float) -> None:  # noqa: B027 - see above
        """Count a message that the protocol itself has sent without a booked place."""
