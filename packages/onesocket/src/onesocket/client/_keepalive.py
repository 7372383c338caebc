"""Liveness of one connection: PINGs, the round trip, and the detection of a dead peer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from ..errors import PingTimeout
from ..protocols._rate_limiter import RateLimiter
from ..transports._transport import TransportConnection


class Keepalive:
    """Sends a PING every `interval` seconds; the peer is dead if no byte is read within `timeout` seconds after one.

    Any byte counts, as a PONG may queue behind megabytes of data. While *we* don't read, silence proves nothing. A PING
    may queue behind megabytes, too: as long as the peer's system takes them, the PING gets another `timeout`.
    `pace`: a PING waits for its place, where the peer counts PINGs.
    """

    def __init__(
        self,
        connection: TransportConnection,
        *,
        interval: float,
        timeout: float,
        on_rtt: Callable[[float], None],
        on_dead: Callable[[PingTimeout], None],
        pace: RateLimiter | None = None,
    ) -> None:
        self._connection = connection
        self._interval = interval
        self._timeout = timeout
        self._on_rtt = on_rtt
        self._on_dead = on_dead
        self._pace = pace
        self._count = 0
        self._unanswered: dict[bytes, float] = {}
        self._deadlines: deque[asyncio.TimerHandle] = deque()
        self._loop = asyncio.get_running_loop()
        self._next = self._loop.call_later(interval, self._take_turn)

    def __repr__(self) -> str:
        return f"<Keepalive pings={self._count} unanswered={len(self._unanswered)}>"

    def stop(self) -> None:
        """Send no more PINGs."""
        self._next.cancel()
        while self._deadlines:
            self._deadlines.popleft().cancel()

    def pong(self, payload: bytes) -> None:
        """Measure the round trip, if this PONG answers a PING of ours (RFC 6455, section 5.5.3)."""
        sent_at = self._unanswered.pop(payload, None)
        if sent_at is not None:
            self._on_rtt(self._loop.time() - sent_at)

    def _take_turn(self) -> None:
        wait = 0.0 if self._pace is None else self._pace.book_ping(self._loop.time())
        if wait > 0:
            self._next = self._loop.call_later(wait, self._ping)
        else:
            self._ping()

    def _ping(self) -> None:
        self._count += 1
        payload = self._count.to_bytes(4, "big")
        self._unanswered[payload] = self._loop.time()
        # Each PING is judged on its own: so silence is found in time even when the time-out is the longer of the two.
        self._expect_pong(payload)
        self._next = self._loop.call_later(self._interval, self._take_turn)
        self._connection.ping(payload)

    def _expect_pong(self, payload: bytes) -> None:
        activity, backlog = self._connection.activity, self._connection.backlog
        self._deadlines.append(self._loop.call_later(self._timeout, self._check_pong, payload, activity, backlog))

    def _check_pong(self, payload: bytes, seen: int, backlog: int | None) -> None:
        self._deadlines.popleft()
        is_silent = self._connection.activity == seen and self._connection.is_reading
        if is_silent and self._connection.backlog != backlog is not None:
            self._expect_pong(payload)  # it was sent behind bytes that were still on their way
            return
        self._unanswered.pop(payload, None)
        if is_silent:
            self.stop()
            self._on_dead(
                PingTimeout(
                    f"nothing came for {self._timeout:g} s after a PING (ping_timeout): the connection is open, "
                    "but the peer does not answer"
                )
            )
