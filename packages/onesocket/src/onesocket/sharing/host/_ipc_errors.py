"""Typed errors as they are sent between processes. Pure."""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec

from ... import errors
from ...errors import IpcError, OnesocketError

_ERROR_TYPES: Final[dict[str, type[OnesocketError]]] = {
    kind.__name__: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, OnesocketError)
}
_ERROR_FIELDS: Final[dict[str, tuple[type, ...]]] = {
    "retryable": (bool,),
    "refuses_token": (bool,),
    "retry_after": (int, float, type(None)),
    "status": (int,),
    "location": (str, type(None)),
    "code": (int,),
    "reason": (str,),
    "ours": (int,),
    "theirs": (int,),
    "option": (str,),
}
_DEFAULT_FIELDS: Final[dict[str, dict[str, int | str | None]]] = {
    "HandshakeRejected": {"status": 0},
    "ClosedByPeer": {"code": 1006, "reason": ""},
    "OptionConflict": {"option": ""},
    "ServerBusy": {"code": None, "reason": "", "status": None},
}
_MAX_TEXT: Final = 2_000


class SerializedError(msgspec.Struct, array_like=True, frozen=True):
    """Type, text and attributes of an error."""

    kind: str
    text: str
    state: dict[str, str | int | float | bool | None]


def serialize_error(error: BaseException) -> SerializedError:
    """Serialize an error. One of a type that is not in `onesocket.errors` is sent as its nearest base there."""
    kind = next((base.__name__ for base in type(error).__mro__ if base.__name__ in _ERROR_TYPES), "OnesocketError")
    if not isinstance(error, OnesocketError):
        return SerializedError(kind, f"the process that holds the connection failed: {type(error).__name__}", {})
    state = {
        name: getattr(error, name) for name, types in _ERROR_FIELDS.items() if type(getattr(error, name, ...)) in types
    }
    return SerializedError(kind, str(error)[:_MAX_TEXT], state)


def deserialize_error(serialized: Any) -> OnesocketError:
    """Make the error from its decoded msgpack form. Raises `IpcError` or `msgspec.ValidationError`."""
    failure = msgspec.convert(serialized, SerializedError)
    kind = _ERROR_TYPES.get(failure.kind)
    if kind is None:
        raise IpcError("a process sent an error of a type that no release has")
    error = kind.__new__(kind)
    error.args = (failure.text[:_MAX_TEXT],)
    error.__dict__.update(_DEFAULT_FIELDS.get(failure.kind, {}))
    for name, value in failure.state.items():
        if name not in _ERROR_FIELDS or type(value) not in _ERROR_FIELDS[name]:
            raise IpcError("a process sent an error with fields that no error has")
        if isinstance(value, float) and not math.isfinite(value):
            raise IpcError("a process sent an error with a number that is not finite")
        error.__dict__[name] = value
    return error
