"""Errors and snapshots on their way between processes. Pure."""

from __future__ import annotations

import math
from typing import Final

from ... import errors
from ...client.gap import Gap, GapReason
from ...client.status import Status
from ...errors import OnesocketError
from ...lifecycle.states import State
from .. import errors as sharing_errors
from . import errors as own_errors
from .errors import WireError
from .frames import Failure, Missing, SharedStatus

_KINDS: Final[dict[str, type[OnesocketError]]] = {
    kind.__name__: kind
    for module in (errors, sharing_errors, own_errors)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, OnesocketError)
}
_STATE: Final[dict[str, tuple[type, ...]]] = {
    "retryable": (bool,),
    "retry_after": (int, float, type(None)),
    "status": (int,),
    "code": (int,),
    "reason": (str,),
    "ours": (int,),
    "theirs": (int,),
    "option": (str,),
}
_REQUIRED: Final[dict[str, dict[str, int | str]]] = {
    "UpgradeRefused": {"status": 0},
    "ClosedByPeer": {"code": 1006, "reason": ""},
    "OptionConflict": {"option": ""},
}
_LONGEST_TEXT: Final = 2_000


def failure_of(error: BaseException) -> Failure:
    """An error, to be sent. One of a kind that others may not know goes as the nearest kind that all know."""
    kind = next((base.__name__ for base in type(error).__mro__ if base.__name__ in _KINDS), "OnesocketError")
    if not isinstance(error, OnesocketError):
        return Failure(kind, f"the process that holds the connection failed: {type(error).__name__}", {})
    state = {name: getattr(error, name) for name, types in _STATE.items() if type(getattr(error, name, ...)) in types}
    return Failure(kind, str(error)[:_LONGEST_TEXT], state)


def error_of(failure: Failure) -> OnesocketError:
    """The error that was sent; raises `WireError` for what is none."""
    kind = _KINDS.get(failure.kind)
    if kind is None:
        raise WireError("a process sent an error that no release has")
    error = kind.__new__(kind)
    error.args = (failure.text[:_LONGEST_TEXT],)
    error.__dict__.update(_REQUIRED.get(failure.kind, {}))
    for name, value in failure.state.items():
        if name not in _STATE or type(value) not in _STATE[name]:
            raise WireError("a process sent an error with fields that no error has")
        if isinstance(value, float) and not math.isfinite(value):
            raise WireError("a process sent an error with a number that is none")
        error.__dict__[name] = value
    return error


def shared_of(status: Status, *, state: State, epoch: int) -> SharedStatus:
    """A snapshot, to be sent, with the state and epoch as all processes count them."""
    return SharedStatus(
        url=status.url,
        state=state.name,
        epoch=epoch,
        attempt=status.attempt,
        error=None if status.last_error is None else failure_of(status.last_error),
        connected_at=status.connected_at,
        last_connected_at=status.last_connected_at,
        retry_in=status.retry_in,
        rtt=status.rtt,
        callers=status.callers,
        outbox=status.outbox,
        subprotocol=status.subprotocol,
        last_loss=None if status.last_loss is None else failure_of(status.last_loss),
        last_lost_at=status.last_lost_at,
    )


def status_of(shared: SharedStatus, *, outbox: int = 0, subscribers: int = 0) -> Status:
    """A snapshot as it's shown here; raises `WireError`."""
    state = State.__members__.get(shared.state)
    if state is None:
        raise WireError("a process sent a state that there is not")
    return Status(
        url=shared.url,
        state=state,
        epoch=shared.epoch,
        attempt=shared.attempt,
        last_error=None if shared.error is None else error_of(shared.error),
        last_loss=None if shared.last_loss is None else error_of(shared.last_loss),
        last_lost_at=shared.last_lost_at,
        connected_at=shared.connected_at,
        last_connected_at=shared.last_connected_at,
        retry_in=shared.retry_in,
        rtt=shared.rtt,
        callers=shared.callers,
        outbox=outbox,
        inbox=0,
        subscribers=subscribers,
        is_held=False,
        subprotocol=shared.subprotocol,
    )


def missing_of(gap: Gap, epoch: int) -> Missing:
    """A gap marker, to be sent."""
    return Missing(gap.reason.name, epoch, gap.missed, None if gap.error is None else failure_of(gap.error))


def gap_of(missing: Missing) -> Gap:
    """The gap marker that was sent; raises `WireError`."""
    reason = GapReason.__members__.get(missing.reason)
    if reason is None:
        raise WireError("a process sent a gap marker that there is not")
    return Gap(reason, missing.epoch, missing.missed, None if missing.error is None else error_of(missing.error))
