"""Heartbeats made of messages: ours, with the peer's answers, and replies to those of the peer. Sans-IO."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from typing import Any, Final

from .._record import record
from ..errors import InvalidOption, PingTimeout, UsageError
from ..wire._handshake import Data
from ._plain_function import is_plain_function, kind_of
from ._protocol import Action, Fail, Send, WakeAt

Encode = Callable[[Any], Data]
_log = logging.getLogger("onesocket")
_LATE: Final = 0.25
"""Seconds: a check that comes later proves nothing, as the program was busy and the answer may wait in the socket."""
_ANSWER: Final = object()
_CLOSE_CODE: Final = 4000
"""Neither 1000 nor 1001: the peer may keep the session of a connection that was not closed in order."""


@record
class Heartbeat:
    """Messages that show life, sent by the client, by the peer, or by both; none of them reaches the subscribers.

    >>> Heartbeat({"op": "ping"}, 20, timeout=10, answer=lambda message: message.get("op") == "pong")
    Heartbeat(message={'op': 'ping'}, interval=20, ...)
    >>> Heartbeat(reply=lambda message: {"pong": message["ping"]} if "ping" in message else None)
    Heartbeat(message=None, ...)
    """

    message: Any = None
    """The message to send, or a function without arguments that returns one; None: the client sends none by itself."""
    interval: float | None = None
    """Seconds between two of them, the first one so long after the login."""
    timeout: float | None = None
    """Seconds without an answer until the connection counts as dead (`PingTimeout`); None: no answer is awaited."""
    answer: Callable[[Any], bool] | None = None
    """True for the peer's answers."""
    reply: Callable[[Any], Any] | None = None
    """The message that a heartbeat of the peer wants to have back; None for other messages."""
    raw: bool = False
    """True if these are frames (str or bytes) beside the codec: `message` is sent, and the functions called, as is."""

    def __post_init__(self) -> None:
        if (self.message is None) != (self.interval is None):
            raise InvalidOption("Heartbeat: message and interval go together: what to send, and after how many seconds")
        if self.message is None and self.reply is None:
            raise InvalidOption("Heartbeat: give a message with its interval, or reply=, or both")
        for name in ("interval", "timeout"):
            value: Any = getattr(self, name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (is_number and math.isfinite(value) and value > 0):
                raise InvalidOption(f"Heartbeat: {name} must be a finite number of seconds > 0, not {value!r}")
        if self.timeout is not None and (self.answer is None or self.message is None):
            raise InvalidOption("Heartbeat: timeout needs a message, and answer= to know its answers")
        for name in ("answer", "reply"):
            function: object = getattr(self, name)
            if function is not None and not is_plain_function(function):
                raise InvalidOption(f"Heartbeat: {name} must be a plain function of a message, not {kind_of(function)}")
        if callable(self.message) and not is_plain_function(self.message):
            raise InvalidOption("Heartbeat: message must be one, or a plain function that returns one")
        raw: Any = self.raw
        if not isinstance(raw, bool):
            raise InvalidOption(f"Heartbeat: raw must be True or False, not {raw!r}")
        if raw and not callable(self.message) and not isinstance(self.message, str | bytes | None):
            raise InvalidOption("Heartbeat: with raw=True, message must be str or bytes, or a function of one")


class HeartbeatSchedule:
    """The heartbeats of the present connection.

    One message is sent in a `wake`, as its place in the pace is booked for it. Of replies that wait for a place, only
    the newest is sent, as of PONGs (RFC 6455, section 5.5.3).
    """

    def __init__(self, heartbeat: Heartbeat) -> None:
        self.heartbeat = heartbeat
        self._has_logged = False
        self._due: float | None = None
        self._deadline: float | None = None
        self._reply: Data | None = None
        self._sends_at: float | None = None
        """The time from which a `wake` that sends is asked for; None: none is."""
        self._found: Any = None
        """The reply to the heartbeat that was found, or `_ANSWER`; None: there is none."""
        self._excused = False
        """True if an answer may be behind what is not read yet."""

    def __repr__(self) -> str:
        return f"<HeartbeatSchedule due={self._due} deadline={self._deadline}>"

    @property
    def filters(self) -> bool:
        """True if some messages of the peer are heartbeats or answers."""
        return self.heartbeat.answer is not None or self.heartbeat.reply is not None

    @property
    def has_found(self) -> bool:
        """True if a heartbeat or answer was found, and not taken yet."""
        return self._found is not None

    def reset(self) -> None:
        """Begin with a new connection, on which heartbeats of the peer may come before the login is complete."""
        self._due = self._deadline = self._reply = self._sends_at = self._found = None
        self._excused = False

    def begin(self, now: float) -> Iterable[Action]:
        """Send heartbeats from now on: the login is complete."""
        if self.heartbeat.interval is not None:
            self._due = now + self.heartbeat.interval
        return self._wake_again(now)

    def unread(self) -> None:
        """Excuse a missing answer: it may be behind messages that are not read yet."""
        self._excused = True

    def is_heartbeat(self, message: Any) -> bool:
        """True for a heartbeat of the peer, or an answer; keeps what is to be done about it for `take`."""
        heartbeat = self.heartbeat
        if heartbeat.answer is not None and self._call(heartbeat.answer, message):
            self._found = _ANSWER
        elif heartbeat.reply is not None:
            self._found = self._call(heartbeat.reply, message)
        return self._found is not None

    def take(self, now: float, encode: Encode) -> Iterable[Action]:
        """Take the heartbeat or answer that was found."""
        found, self._found = self._found, None
        if found is _ANSWER:
            self._deadline = None
        elif found is not None:
            encoded = self._encoded(lambda: found, encode)
            if isinstance(encoded, Fail):
                return (encoded,)
            self._reply = encoded
        return self._wake_again(now)

    def wake(self, now: float, encode: Encode) -> Iterable[Action]:
        """Send what is due, and look for the answer."""
        may_send = self._sends_at is not None
        if self._deadline is not None and self._deadline <= now and not self._is_excused(now):
            text = f"no answer to a heartbeat within {self.heartbeat.timeout:g} s: the connection is open, but dead"
            return (Fail(PingTimeout(text), _CLOSE_CODE, "no answer to a heartbeat", dead=True),)
        actions: list[Action] = []
        if may_send and self._due is not None and self._due <= now:  # first, as replies may be due all the time
            actions.append(self._beat(now, encode))
        elif may_send and self._reply is not None:
            actions.append(Send(self._reply))
            self._reply = None
        return (*actions, self._next(now))

    def _is_excused(self, now: float) -> bool:
        """Excuse a missing answer once more, if its absence proves nothing."""
        timeout, deadline = self.heartbeat.timeout or 0.0, self._deadline or now
        if not self._excused and now - deadline < _LATE:
            return False
        self._deadline = now + (timeout if self._excused else min(timeout, _LATE))
        self._excused = False
        return True

    def _beat(self, now: float, encode: Encode) -> Action:
        message, interval, timeout = self.heartbeat.message, self.heartbeat.interval or 0.0, self.heartbeat.timeout
        beat = self._encoded(message if callable(message) else lambda: message, encode)
        if isinstance(beat, Fail):
            return beat
        self._due = now + interval
        self._excused = False
        if timeout is not None and self._deadline is None:
            self._deadline = now + timeout
        return Send(beat)

    def _encoded(self, make: Callable[[], Any], encode: Encode) -> Data | Fail:
        try:
            return _as_frame(make()) if self.heartbeat.raw else encode(make())
        except Exception as error:  # noqa: BLE001 - the caller's own function may raise anything
            return Fail.of_function("a function of heartbeat=", error)

    def _wake_again(self, now: float) -> Iterable[Action]:
        # A place that is booked is kept: the flood of a peer's heartbeats can't move it.
        return () if self._sends_at is not None and self._sends_at <= now else (self._next(now),)

    def _next(self, now: float) -> WakeAt:
        sends_at = self._due if self._reply is None else now
        if self._deadline is not None and (sends_at is None or self._deadline < sends_at):
            self._sends_at = None
            return WakeAt(self._deadline)
        self._sends_at = sends_at
        return WakeAt(sends_at, sends=True)

    def _call(self, function: Callable[[Any], Any], message: Any) -> Any:
        """Call a function of the program; None where it fails: the message is none of its own."""
        try:
            return function(message)
        except Exception:  # noqa: BLE001 - the caller's own function may raise anything
            if not self._has_logged:
                self._has_logged = True
                _log.exception("a function of heartbeat= failed on a message, which is taken for no heartbeat")
            return None


def _as_frame(message: Any) -> Data:
    if not isinstance(message, str | bytes):
        raise UsageError(f"a heartbeat with raw=True is str or bytes, not {type(message).__name__}")
    return message
