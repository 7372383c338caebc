"""Errors and snapshots on their way between processes. Pure."""

from __future__ import annotations

import math
from typing import Final

from ... import errors
from ...client._gap import Gap, GapReason
from ...client._status import Status
from ...errors import OnesocketError
from ...lifecycle._states import State
from .. import _errors as sharing_errors  # pyright: ignore[reportPrivateUsage] - of this distribution
from . import _errors as own_errors  # pyright: ignore[reportPrivateUsage] - of this distribution
from ._errors import WireError
from ._ipc_frames import GapMarker, SerializedError, SharedStatus

_ERROR_TYPES: Final[dict[str, type[OnesocketError]]] = {
    kind.__name__: kind
    for module in (errors, sharing_errors, own_errors)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, OnesocketError)
}
_ERROR_FIELDS: Final[dict[str, tuple[type, ...]]] = {
    "retryable": (bool,),
    "retry_after": (int, float, type(None)),
    "status": (int,),
    "code": (int,),
    "reason": (str,),
    "ours": (int,),
    "theirs": (int,),
    "option": (str,),
}
_DEFAULT_FIELDS: Final[dict[str, dict[str, int | str]]] = {
    "HandshakeRejected": {"status": 0},
    "ClosedByPeer": {"code": 1006, "reason": ""},
    "OptionConflict": {"option": ""},
}
_MAX_TEXT: Final = 2_000


def serialize_error(error: BaseException) -> SerializedError:
    """An error, to be sent. One of a kind that others may not know goes as the nearest kind that all know."""
    kind = next((base.__name__ for base in type(error).__mro__ if base.__name__ in _ERROR_TYPES), "OnesocketError")
    if not isinstance(error, OnesocketError):
        return SerializedError(kind, f"the process that holds the connection failed: {type(error).__name__}", {})
    state = {
        name: getattr(error, name) for name, types in _ERROR_FIELDS.items() if type(getattr(error, name, ...)) in types
    }
    return SerializedError(kind, str(error)[:_MAX_TEXT], state)


def deserialize_error(failure: SerializedError) -> OnesocketError:
    """The error that was sent; raises `WireError` for what is none."""
    kind = _ERROR_TYPES.get(failure.kind)
    if kind is None:
        raise WireError("a process sent an error that no release has")
    error = kind.__new__(kind)
    error.args = (failure.text[:_MAX_TEXT],)
    error.__dict__.update(_DEFAULT_FIELDS.get(failure.kind, {}))
    for name, value in failure.state.items():
        if name not in _ERROR_FIELDS or type(value) not in _ERROR_FIELDS[name]:
            raise WireError("a process sent an error with fields that no error has")
        if isinstance(value, float) and not math.isfinite(value):
            raise WireError("a process sent an error with a number that is none")
        error.__dict__[name] = value
    return error


def serialize_status(status: Status, *, state: State, epoch: int) -> SharedStatus:
    """A snapshot, to be sent, with the state and epoch as all processes count them."""
    return SharedStatus(
        url=status.url,
        state=state.name,
        epoch=epoch,
        attempt=status.attempt,
        error=None if status.last_error is None else serialize_error(status.last_error),
        connected_at=status.connected_at,
        last_connected_at=status.last_connected_at,
        retry_in=status.retry_in,
        rtt=status.rtt,
        callers=status.callers,
        outbox=status.outbox,
        subprotocol=status.subprotocol,
        last_loss=None if status.last_loss is None else serialize_error(status.last_loss),
        last_lost_at=status.last_lost_at,
    )


def deserialize_status(shared: SharedStatus, *, outbox: int = 0, subscribers: int = 0) -> Status:
    """A snapshot as it's shown here; raises `WireError`."""
    state = State.__members__.get(shared.state)
    if state is None:
        raise WireError("a process sent a state that there is not")
    return Status(
        url=shared.url,
        state=state,
        epoch=shared.epoch,
        attempt=shared.attempt,
        last_error=None if shared.error is None else deserialize_error(shared.error),
        last_loss=None if shared.last_loss is None else deserialize_error(shared.last_loss),
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


def serialize_gap(gap: Gap, epoch: int) -> GapMarker:
    """A gap marker, to be sent."""
    return GapMarker(gap.reason.name, epoch, gap.missed, None if gap.error is None else serialize_error(gap.error))


def deserialize_gap(missing: GapMarker) -> Gap:
    """The gap marker that was sent; raises `WireError`."""
    reason = GapReason.__members__.get(missing.reason)
    if reason is None:
        raise WireError("a process sent a gap marker that there is not")
    return Gap(
        reason, missing.epoch, missing.missed, None if missing.error is None else deserialize_error(missing.error)
    )
