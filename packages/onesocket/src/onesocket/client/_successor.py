"""The successor of a connection, from its login until it takes over: it is subscribed, and catches up."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from ..lifecycle import _events as events
from ..lifecycle._events import Event
from ..protocols._rate_limiter import RateLimiter
from ..transports._transport import TransportConnection
from ..wire._handshake import Data
from ._connection_attempt import ConnectionAttempt
from ._frame_source import FrameSource


class Successor:
    """Sends the subscriptions and first frames on a new connection, and reports it as ready `overlap` seconds later.

    Where answers are declared, that time begins with the last of them. In its middle the old connection is probed: the
    successor is ready only if all that the server had sent there by then was delivered, so that there is no hole
    between what the two bring.
    """

    __slots__ = (
        "_connection",
        "_dispatch",
        "_epoch",
        "_first",
        "_has_caught_up",
        "_is_asked",
        "_is_over",
        "_old",
        "_overlap",
        "_timer",
        "_until",
        "is_clear",
        "pace",
        "source",
    )

    def __init__(
        self,
        epoch: int,
        connection: TransportConnection,
        *,
        first: Iterable[Data],
        source: FrameSource | None,
        pace: RateLimiter | None,
        overlap: float,
        old: ConnectionAttempt,
        dispatch: Callable[[Event], None],
    ) -> None:
        self._epoch = epoch
        self._connection = connection
        self._first = deque(first)
        self.source = source
        self.pace = pace
        self.is_clear = True
        """True if the socket has taken all that was written to the connection."""
        self._overlap = overlap
        self._old = old
        self._dispatch = dispatch
        self._timer: asyncio.TimerHandle | None = None
        self._is_asked = self._is_over = False
        self._has_caught_up = False
        """True: what is missing is only answers for keys that were wanted since then."""
        self._until = asyncio.get_running_loop().time() + 2 * overlap
        """Changes of the subscriptions don't delay it any more after this time."""
        dispatch(events.DeadlineExtended(epoch, 2 * overlap))

    def __repr__(self) -> str:
        return f"<Successor epoch={self._epoch} {'catching up' if self._timer is not None else 'subscribing'}>"

    @property
    def first(self) -> Iterable[Data]:
        """The first frames that are not sent yet."""
        return self._first

    def writable(self, now_writable: bool) -> None:  # noqa: FBT001 - an event
        """Note that the socket has taken all that was written, or takes no more for now."""
        self.is_clear = now_writable
        if now_writable:
            self.flush()

    def ask_source(self) -> None:
        """The source has changed: send its frames soon."""
        if not self._is_asked:
            self._is_asked = True
            asyncio.get_running_loop().call_soon(self._source_changed)

    def _source_changed(self) -> None:
        self._is_asked = False
        if self._is_over:
            return
        if self.source is not None:
            self.source.refresh()
        self.flush()

    def flush(self) -> None:
        """Send what is to be sent; then it catches up."""
        loop = asyncio.get_running_loop()
        has_sent = False
        while self.is_clear and (frame := self._peek()) is not None:
            wait = 0.0 if self.pace is None else self.pace.take_control(loop.time())
            if wait > 0:
                self._dispatch(events.DeadlineExtended(self._epoch, wait))
                self._call_later(wait, self._turn_came)
                return
            if not self._send(frame):
                return  # it is ending
            has_sent = True
        if self.source is not None and (wait := self.source.turn_in) > 0:
            self._dispatch(events.DeadlineExtended(self._epoch, wait))
            self.stop()  # the source asks when its turn comes
        elif self.is_clear and (self._timer is None or (has_sent and loop.time() < self._until)):
            if self.source is None:
                self._subscribed()
            else:
                self.stop()
                self.source.when_settled(self._subscribed)

    def received(self, message: Any) -> None:
        """Let the source look for an answer in a message."""
        if self.source is not None:
            self.source.received([message])

    def _subscribed(self) -> None:
        if self._is_over:
            return
        if self._has_caught_up:
            self._dispatch(events.ProtocolReady(self._epoch))
        else:
            self._call_later(self._overlap / 2, self._ask_old)

    def _turn_came(self) -> None:
        self._timer = None
        self.flush()

    def _peek(self) -> Data | None:
        frame = None if self.source is None else self.source.peek()
        return frame if frame is not None or not self._first else self._first[0]

    def _send(self, frame: Data) -> bool:
        try:
            if not self._connection.send(frame):
                return False
        except UnicodeError:
            pass  # it would be reported for every connection
        if self._first and frame is self._first[0]:
            self._first.popleft()
        elif self.source is not None:
            self.source.taken()
        return True

    def _ask_old(self) -> None:
        self._timer = None
        self._old.probe(self._old_answered)

    def _old_answered(self) -> None:
        if self._timer is None and not self._is_over:  # else subscriptions have changed meanwhile
            # While it is not read, messages may wait before the PONG.
            then = self._caught_up if self._old.is_reading else self._ask_old
            self._call_later(self._overlap / 2, then)

    def _caught_up(self) -> None:
        self._timer = None
        self._has_caught_up = True
        self.flush()

    def _call_later(self, seconds: float, call: Callable[[], None]) -> None:
        self.stop()
        self._timer = asyncio.get_running_loop().call_later(seconds, call)

    def end(self) -> None:
        """Do and report nothing more: it has taken over, also for a connection that was lost, or is lost itself."""
        self._is_over = True
        self.stop()

    def stop(self) -> None:
        """Stop its timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
