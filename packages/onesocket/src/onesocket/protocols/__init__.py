"""Sans-IO protocols above WebSocket messages, and the base classes for protocols of your own."""

import importlib
from typing import TYPE_CHECKING, Any

from ._codec import CodecProtocol
from ._pace import Pace
from ._protocol import (
    Action,
    Deliver,
    Extend,
    Fail,
    NoMessage,
    Protocol,
    Ready,
    ReserveSlot,
    Send,
    Undecodable,
    WakeAt,
)
from ._rate_limiter import RateLimiter
from ._raw import Raw
from ._subscriptions import SubscriptionAnswer, Subscriptions
from ._token import TokenHeader, TokenQuery

if TYPE_CHECKING:
    from ._acknowledgement import Acknowledgement
    from ._heartbeat import Heartbeat
    from ._json import Json
    from ._login import Login
    from ._msgpack import Msgpack
    from ._requests import Requests
    from ._snapshot import LastValues, SnapshotHook

# Imported at first use: the codecs with msgspec, and the parts of a codec that most do without.
_LAZY = {
    "Acknowledgement": "._acknowledgement",
    "Heartbeat": "._heartbeat",
    "Json": "._json",
    "LastValues": "._snapshot",
    "Login": "._login",
    "Msgpack": "._msgpack",
    "Requests": "._requests",
    "SnapshotHook": "._snapshot",
}


def __getattr__(name: str) -> Any:
    """Import a codec, or a part of one."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_LAZY[name], __name__), name)
    return value


__all__ = [
    "Acknowledgement",
    "Action",
    "CodecProtocol",
    "Deliver",
    "Extend",
    "Fail",
    "Heartbeat",
    "Json",
    "LastValues",
    "Login",
    "Msgpack",
    "NoMessage",
    "Pace",
    "Protocol",
    "RateLimiter",
    "Raw",
    "Ready",
    "Requests",
    "ReserveSlot",
    "Send",
    "SnapshotHook",
    "SubscriptionAnswer",
    "Subscriptions",
    "TokenHeader",
    "TokenQuery",
    "Undecodable",
    "WakeAt",
]
