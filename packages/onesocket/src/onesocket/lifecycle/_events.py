"""What can happen to the one connection. Frozen; whatever comes from a socket or a timer carries its epoch."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ..errors import OnesocketError


class TimerKind(enum.StrEnum):
    """What the one timer of the machine is set for; a state has at most one."""

    OPEN = "open timeout"
    CLOSE = "close timeout"
    RETRY = "retry"
    STABLE = "stable"


@dataclass(frozen=True, slots=True)
class Connect:
    """Somebody wants the line; `wait` tells whether a caller waits for the outcome (and may be cancelled)."""

    wait: bool = True


@dataclass(frozen=True, slots=True)
class Reconnect:
    """The owner lifts a stop and wants a new line."""

    wait: bool = True


@dataclass(frozen=True, slots=True)
class CallerCancelled:
    """One of the callers that wait for an attempt was cancelled."""


@dataclass(frozen=True, slots=True)
class Disconnect:
    """The owner says no, until `Reconnect`."""


@dataclass(frozen=True, slots=True)
class Close:
    """The owner is done for good."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The upgrade was answered with 101; the protocol's login begins."""

    epoch: int


@dataclass(frozen=True, slots=True)
class ProtocolReady:
    """The protocol is logged in."""

    epoch: int


@dataclass(frozen=True, slots=True)
class ConnectionFailing:
    """The line can't go on, but its socket is still there: refused login, the peer's CLOSE, a violation, a zombie.

    `code` and `reason` are what the peer shall be told; `dead` says that there's nobody left to be told. `up_for`:
    seconds since it was ready, 0 if it never was.
    """

    epoch: int
    error: OnesocketError
    code: int = 1000
    reason: str = ""
    dead: bool = False
    up_for: float = 0.0


@dataclass(frozen=True, slots=True)
class ConnectionGone:
    """Nothing of this epoch is left: no socket, no task. The last that is heard of it.

    `roll` is a random number in [0, 1) that jitters the back-off: randomness is an argument here. `up_for`: as for
    `ConnectionFailing`.
    """

    epoch: int
    error: OnesocketError
    jitter: float = 1.0
    up_for: float = 0.0


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The timer that was set with this kind and epoch went off; `detail` says what the line was waiting for."""

    epoch: int
    kind: TimerKind
    detail: str = ""


Event = (
    Connect
    | Reconnect
    | CallerCancelled
    | Disconnect
    | Close
    | Opened
    | ProtocolReady
    | ConnectionFailing
    | ConnectionGone
    | TimerFired
)

CONNECTION_EVENTS = (Opened, ProtocolReady, ConnectionFailing, ConnectionGone)
EVENTS: tuple[type[Event], ...] = (
    Connect,
    Reconnect,
    CallerCancelled,
    Disconnect,
    Close,
    Opened,
    ProtocolReady,
    ConnectionFailing,
    ConnectionGone,
    TimerFired,
)
