"""The events of the state machine. Frozen; each event of a socket or a timer carries its epoch."""

from __future__ import annotations

import enum
from typing import Final

from .._record import record
from ..errors import OnesocketError
from ._verdict import Verdict


class TimerKind(enum.StrEnum):
    """The purposes of the machine's timer; a state has at most one, and so has a side connection (OPEN or CLOSE)."""

    OPEN = "open timeout"
    CLOSE = "close timeout"
    RETRY = "retry"
    STABLE = "stable"


@record
class EarlierConnection:
    """The end of a connection that another process had, for the one that resumes it.

    `wait`: seconds until the date that the server named for the next attempt. `failures`: those in a row that the other
    process counted, the loss of the connection among them; `error`: the last one. `away`: seconds since the first one.
    `back_off`: seconds until the attempt that it would have made.
    """

    wait: float = 0.0
    failures: int = 1
    away: float = 0.0
    back_off: float = 0.0
    error: OnesocketError | None = None


@record
class Connect:
    """`connect()` was called; `wait`: the caller waits for the outcome (and may be cancelled).

    `retry`: a failed attempt is followed by the next, and the caller waits on; None: as the policy's `first` says.
    `resumes`: the connection that the attempt resumes, if another process had it.
    """

    wait: bool = True
    retry: bool | None = None
    resumes: EarlierConnection | None = None


@record
class Reconnect:
    """`reconnect()` was called; `wait` and `retry`: as for `Connect`."""

    wait: bool = True
    retry: bool | None = None


@record
class Rotate(Connect):
    """`rotate()` was called: a successor takes the place of the present connection; without one, as `Connect`."""


@record
class CallerCancelled:
    """A caller that waited for an attempt was cancelled; `retries`: it would have waited for further ones."""

    retries: bool = False


@record
class Disconnect:
    """`disconnect()` was called: no connection until `Reconnect`."""


@record
class Close:
    """`aclose()` was called."""


@record
class Opened:
    """The upgrade was answered with 101; the protocol's login begins."""

    epoch: int


@record
class DeadlineExtended:
    """The login has to wait for its turn: the deadline of the attempt moves by so many seconds."""

    epoch: int
    seconds: float


@record
class ProtocolReady:
    """The protocol is logged in; of a successor: it has caught up, too."""

    epoch: int


@record
class ConnectionFailing:
    """The connection can't go on, but its socket exists: refused login, the peer's CLOSE, a violation, silence.

    `code` and `reason` go into the CLOSE frame; `dead`: the peer does not answer any more, so no CLOSE frame is sent.
    `up_for`: seconds since the connection was ready, 0 if it never was. `by_peer`: the peer closed it. `verdict`: that
    of the policy's hook; None: it had none. `is_fresh_token`: the token isn't the one that was refused before.
    """

    epoch: int
    error: OnesocketError
    code: int = 1000
    reason: str = ""
    dead: bool = False
    up_for: float = 0.0
    by_peer: bool = False
    verdict: Verdict | None = None
    is_fresh_token: bool = True


@record
class ConnectionGone:
    """No socket and no task of this epoch is left: its last event.

    `jitter` is a random number in [0, 1) for the back-off: randomness is an argument here. `up_for`, `verdict` and
    `is_fresh_token`: as for `ConnectionFailing`.
    """

    epoch: int
    error: OnesocketError
    jitter: float = 1.0
    up_for: float = 0.0
    verdict: Verdict | None = None
    is_fresh_token: bool = True


@record
class TimerFired:
    """The timer that was set with this kind and epoch fired; `detail`: the phase that the attempt was in.

    `verdict`: as for `ConnectionFailing`.
    """

    epoch: int
    kind: TimerKind
    detail: str = ""
    verdict: Verdict | None = None


Event = (
    Connect
    | Reconnect
    | Rotate
    | CallerCancelled
    | Disconnect
    | Close
    | Opened
    | DeadlineExtended
    | ProtocolReady
    | ConnectionFailing
    | ConnectionGone
    | TimerFired
)

# Tuples: a union would be built at each look.
CALLS: Final = (Connect, Reconnect)
FAILURES: Final = (ConnectionFailing, ConnectionGone)
CONNECTION_EVENTS: Final = (Opened, DeadlineExtended, ProtocolReady, ConnectionFailing, ConnectionGone)
EVENTS: tuple[type[Event], ...] = Event.__args__
