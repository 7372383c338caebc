"""The timer of a protocol: one `wake`, at the time that it named, or when the pace has a place for its message."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable

from ..protocols._protocol import Action, Protocol, WakeAt
from ..protocols._rate_limiter import RateLimiter
from ..transports._transport import TransportConnection
from ._user_code import USER_ERRORS


class WakeTimer:
    """Calls `wake` of a protocol on one connection, and `unread` before it, where the peer's silence proves nothing."""

    __slots__ = (
        "_backlog",
        "_connection",
        "_handle",
        "_has_place",
        "_loop",
        "_pace",
        "_perform",
        "_protocol",
        "_read_at_message",
        "_read_at_wake",
    )

    def __init__(
        self,
        protocol: Protocol,
        pace: RateLimiter | None,
        perform: Callable[[Callable[[], Iterable[Action]]], None],
    ) -> None:
        self._protocol = protocol
        self._pace = pace
        self._perform = perform
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.TimerHandle | None = None
        self._connection: TransportConnection | None = None
        self._has_place = False
        """True while the protocol is called for a message whose place in the pace is booked."""
        self._read_at_message = 0
        """`connection.parts` at the last whole message: what was read since is a part of the next."""
        self._read_at_wake = 0
        self._backlog: int | None = None
        """`connection.backlog` at the last call."""

    def __repr__(self) -> str:
        return f"<WakeTimer {'off' if self._handle is None else 'on'}>"

    def begin(self, connection: TransportConnection) -> None:
        """Begin with a connection, on which no message was sent."""
        self._connection = connection
        if self._pace is not None:
            self._pace.begin()

    def set(self, action: WakeAt) -> None:
        """Replace the time of the next call; None: there is none."""
        self.stop()
        if action.at is not None:
            wake = self._take_turn if action.sends and self._pace is not None else self._wake
            self._handle = self._loop.call_at(action.at, wake)

    def stop(self) -> None:
        """Call it no more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def release(self) -> None:
        """End, and drop the references to the attempt, which refers to this timer: no cycle is left."""
        self.stop()
        self._perform = _perform_nothing
        self._connection = None

    def sent(self) -> None:
        """Count a message of the protocol in the pace, unless its place was booked."""
        if not self._has_place and self._pace is not None:
            self._pace.sent(self._loop.time())
        self._has_place = False

    def message_read(self, connection: TransportConnection) -> None:
        """Note that a whole message was read."""
        self._read_at_message = connection.parts

    def _take_turn(self) -> None:
        wait = 0.0 if self._pace is None else self._pace.book_control(self._loop.time())
        if wait > 0:
            self._handle = self._loop.call_later(wait, self._wake_with_place)
        else:
            self._wake_with_place()

    def _wake_with_place(self) -> None:
        self._has_place = True
        self._wake()
        self._has_place = False

    def _wake(self) -> None:
        self._handle = None
        connection = self._connection
        if connection is not None and self._is_under_way(connection):
            with contextlib.suppress(*USER_ERRORS):
                self._protocol.unread()
        self._perform(lambda: self._protocol.wake(self._loop.time()))

    def _is_under_way(self, connection: TransportConnection) -> bool:
        """Return True if messages may be unread, or one moved since the last call: in arrival, or sent and unread."""
        read, self._read_at_wake = self._read_at_wake, connection.parts
        backlog, self._backlog = self._backlog, connection.backlog
        is_arriving = connection.parts > max(read, self._read_at_message)
        return is_arriving or not connection.is_reading or connection.backlog != backlog is not None


def _perform_nothing(_actions: Callable[[], Iterable[Action]]) -> None:
    pass
