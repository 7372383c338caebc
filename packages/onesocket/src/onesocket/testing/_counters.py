"""Counters of the faulty server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

CounterName = Literal[
    "tcp_accepted",
    "handshakes",
    "upgraded",
    "refused",
    "premature_closes",
    "unclean_closes",
    "protocol_errors",
    "messages_received",
    "messages_sent",
    "pings",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Snapshot of the counters of a `FaultyServer` in the current window.

    The window starts with the server, or with the last `reset_counts()`.
    """

    tcp_accepted: int = 0
    """TCP connections accepted."""
    handshakes: int = 0
    """Upgrade requests that arrived complete, accepted or not."""
    upgraded: int = 0
    """Upgrade requests answered with a complete `101 Switching Protocols`, even one with wrong headers."""
    refused: int = 0
    """Upgrade requests with another response: an HTTP error, garbage, half a response."""
    open_now: int = 0
    """WebSockets open: from the 101 until CLOSE has gone both ways or the TCP connection has ended."""
    most_open: int = 0
    """The most WebSockets that were open at once: the high-water mark of `open_now`."""
    sockets_now: int = 0
    """Like `open_now`, but from the arrival of the upgrade *request* on: the stricter level."""
    most_sockets: int = 0
    """The high-water mark of `sockets_now`."""
    premature_closes: int = 0
    """TCP ended by the client after its upgrade request had arrived and before the server had answered it."""
    unclean_closes: int = 0
    """TCP ended by the client after the 101 without a CLOSE frame from it; ends by the server don't count."""
    protocol_errors: int = 0
    """Connections on which the client broke HTTP, TLS or RFC 6455, or sent too long a message."""
    messages_received: int = 0
    """Whole text and binary messages received."""
    messages_sent: int = 0
    """Whole text and binary messages sent, echoes included. Frames written raw or by a fault don't count."""
    pings: int = 0
    """PING frames received."""
    close_codes: Mapping[int, int] = field(default_factory=dict[int, int])
    """Close code to number of CLOSE frames received with it; a CLOSE frame without a code counts as 1005."""


class Counters:
    """Counts events, tracks the two levels and their high-water marks, and wakes waiting tasks.

    Not thread-safe: it belongs to the server's event loop.
    """

    def __init__(self) -> None:
        self._totals: dict[CounterName, int] = {}
        self._close_codes: dict[int, int] = {}
        self._open = self._most_open = 0
        self._sockets = self._most_sockets = 0
        self._waiters: list[tuple[Callable[[Counts], bool], asyncio.Future[Counts]]] = []
        self._batches = 0

    def count(self, *names: CounterName, open_by: int = 0, sockets_by: int = 0, close_code: int | None = None) -> None:
        """Record one event."""
        for name in names:
            self._totals[name] = self._totals.get(name, 0) + 1
        if close_code is not None:
            self._close_codes[close_code] = self._close_codes.get(close_code, 0) + 1
        self._open += open_by
        self._sockets += sockets_by
        self._most_open = max(self._most_open, self._open)
        self._most_sockets = max(self._most_sockets, self._sockets)
        self._wake()

    @contextmanager
    def batch(self) -> Generator[None, None, None]:
        """Let waiting tasks see all events of the block at once."""
        self._batches += 1
        try:
            yield
        finally:
            self._batches -= 1
            self._wake()

    def reset(self) -> None:
        """Start a fresh window: totals at zero, high-water marks at the present level."""
        self._totals.clear()
        self._close_codes.clear()
        self._most_open = self._open
        self._most_sockets = self._sockets
        self._wake()

    def snapshot(self) -> Counts:
        """Return the counts as they are now."""
        return Counts(
            **self._totals,
            open_now=self._open,
            most_open=self._most_open,
            sockets_now=self._sockets,
            most_sockets=self._most_sockets,
            close_codes=dict(self._close_codes),
        )

    async def wait_until(self, predicate: Callable[[Counts], bool], seconds: float | None) -> Counts:
        """Wait for a snapshot that satisfies `predicate`, and return it.

        Raises TimeoutError, with the counts in its text, after `seconds`.
        """
        now = self.snapshot()
        if predicate(now):
            return now
        future: asyncio.Future[Counts] = asyncio.get_running_loop().create_future()
        waiter = (predicate, future)
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            raise TimeoutError(f"not seen within {seconds} s; the counts are {self.snapshot()}") from None
        finally:
            self._waiters.remove(waiter)

    def _wake(self) -> None:
        if self._batches or not self._waiters:
            return
        now = self.snapshot()
        for predicate, future in self._waiters:
            if future.done():
                continue
            try:
                if predicate(now):
                    future.set_result(now)
            except Exception as error:  # noqa: BLE001
                # An error of a predicate is raised in the waiting task, and doesn't break the connection.
                future.set_exception(error)
