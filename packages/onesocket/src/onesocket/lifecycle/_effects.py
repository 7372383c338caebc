"""The effects that the machine asks its shell for. Frozen; the shell performs them in order."""

from __future__ import annotations

import enum
from typing import Final

from .._record import record
from ..errors import OnesocketError
from ._events import TimerKind
from ._states import State


class Outcome(enum.StrEnum):
    """The result of a `connect()`."""

    OPENED = "opened"
    """This call started the attempt."""
    JOINED = "joined"
    """An attempt was already in flight, and this call shared it."""
    ALREADY_CONNECTED = "already connected"
    """The connection was open and logged in."""
    NOT_AUTHENTICATED = "not authenticated"
    """A provider without a token: nothing was attempted."""


# --- to the caller ----------------------------------------------------------------------------------------------------


@record
class ReturnOutcome:
    """Return this outcome to the caller at once."""

    outcome: Outcome


@record
class RaiseError:
    """Raise this error in the caller at once."""

    error: OnesocketError


@record
class AwaitOutcome:
    """The caller waits for the attempt, and gets this outcome when the connection is ready."""

    outcome: Outcome


@record
class ReturnAtOnce:
    """The caller of `disconnect()` or `aclose()` returns at once: nothing is open."""


@record
class AwaitEnd:
    """The caller of `disconnect()` or `aclose()` waits until nothing is left of the connection."""


# --- to all callers that wait -----------------------------------------------------------------------------------------


@record
class ResolveCallers:
    """All callers that wait for the attempt get their outcome of `AwaitOutcome`."""


@record
class RejectCallers:
    """All callers that wait for the attempt get this error; `spares_retrying`: but for those that wait for the next."""

    error: OnesocketError
    spares_retrying: bool = False


@record
class ReleaseClosers:
    """All callers that wait for the end return: nothing of the connection is left."""


# --- to the connection ------------------------------------------------------------------------------------------------


@record
class Dial:
    """Start the attempt with this epoch."""

    epoch: int


@record
class DialSuccessor:
    """Start an attempt with this epoch beside the connection, for a rotation."""

    epoch: int


@record
class TakeOver:
    """The side connection, with this epoch, takes the place of the authoritative one, which takes its place."""

    epoch: int


@record
class CloseConnection:
    """Wind this epoch down: give up what has sent no upgrade request, await the upgrade, close with `code`."""

    epoch: int
    code: int
    reason: str


@record
class Abort:
    """End this epoch's socket now; with `code`, try to send a CLOSE frame first."""

    epoch: int
    code: int | None = None


# --- to the token source ----------------------------------------------------------------------------------------------


@record
class ReportRefusedToken:
    """Tell the token source, when it is asked for the next attempt, that its last token was refused with this error."""

    error: OnesocketError


# --- to the clock -----------------------------------------------------------------------------------------------------


@record
class SetTimer:
    """Set the timer (replacing what it was set for) to fire at `at`, in seconds of the clock behind `now`.

    `is_side`: the timer of the side connection.
    """

    kind: TimerKind
    epoch: int
    at: float
    is_side: bool = False


@record
class CancelTimer:
    """Stop the timer; `is_side`: that of the side connection."""

    is_side: bool = False


# --- to watchers ------------------------------------------------------------------------------------------------------


@record
class StateChanged:
    """The state changed; `cause` is the name of the event."""

    old: State
    new: State
    epoch: int
    cause: str
    error: OnesocketError | None


ANSWERS: Final = (ReturnOutcome, RaiseError, AwaitOutcome, ReturnAtOnce, AwaitEnd)
"""The effects that answer the call of which the event tells. A tuple: a union would be built at each look."""

Effect = (
    ReturnOutcome
    | RaiseError
    | AwaitOutcome
    | ReturnAtOnce
    | AwaitEnd
    | ResolveCallers
    | RejectCallers
    | ReleaseClosers
    | Dial
    | DialSuccessor
    | TakeOver
    | CloseConnection
    | Abort
    | ReportRefusedToken
    | SetTimer
    | CancelTimer
    | StateChanged
)
