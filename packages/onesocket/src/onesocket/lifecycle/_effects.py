"""What is to be done about it. Frozen; the shell performs them in order and decides nothing."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ..errors import OnesocketError
from ._events import TimerKind
from ._states import State


class Outcome(enum.StrEnum):
    """What a `connect()` came to."""

    OPENED = "opened"
    """This call started the attempt."""
    JOINED = "joined"
    """An attempt was already in flight, and this call shared it."""
    ALREADY_CONNECTED = "already connected"
    """The line was up."""
    NOT_AUTHENTICATED = "not authenticated"
    """A provider without a token: nothing was attempted."""


# --- to whoever asked -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReturnOutcome:
    """Give the asker this outcome at once."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class RaiseError:
    """Raise this in the asker at once."""

    error: OnesocketError


@dataclass(frozen=True, slots=True)
class AwaitOutcome:
    """The asker waits for the attempt, and gets this outcome when it's ready."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class ReturnAtOnce:
    """The one who asked for the end has it already."""


@dataclass(frozen=True, slots=True)
class AwaitEnd:
    """The one who asked for the end waits until nothing is left of the line."""


# --- to everybody who waits -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ResolveCallers:
    """Everybody who waits for the attempt gets the outcome noted at `AwaitOutcome`."""


@dataclass(frozen=True, slots=True)
class RejectCallers:
    """Everybody who waits for the attempt gets this error."""

    error: OnesocketError


@dataclass(frozen=True, slots=True)
class ReleaseClosers:
    """Everybody who waits for the end is let go: nothing of the line is left."""


# --- to the line ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Dial:
    """Start the attempt with this epoch."""

    epoch: int


@dataclass(frozen=True, slots=True)
class CloseConnection:
    """Wind this epoch down: give up what has sent no upgrade request, await the upgrade, close with `code`."""

    epoch: int
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Abort:
    """A deadline passed: end this epoch's socket now, whatever it's doing; with `code`, try to say why."""

    epoch: int
    code: int | None = None


# --- to the clock ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Set the one timer (replacing what it was set for) to go off at `at`, in seconds of the clock behind `now`."""

    kind: TimerKind
    epoch: int
    at: float


@dataclass(frozen=True, slots=True)
class CancelTimer:
    """Stop the timer."""


# --- to those who watch ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The state changed; `cause` is the name of the input."""

    old: State
    new: State
    epoch: int
    cause: str
    error: OnesocketError | None


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
    | CloseConnection
    | Abort
    | SetTimer
    | CancelTimer
    | StateChanged
)
