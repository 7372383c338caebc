"""One WebSocket, however many ask for it."""

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__
from .client import (
    Client,
    Delivery,
    Gap,
    Outcome,
    Overflow,
    ReconnectPolicy,
    State,
    Status,
    Subscription,
    Verdict,
)
from .errors import OnesocketError
from .protocols import (
    Pace,
    Raw,
    SubscriptionAnswer,
    Subscriptions,
    TokenHeader,
    TokenQuery,
)

if TYPE_CHECKING:
    from . import blocking as blocking
    from . import instruments as instruments
    from . import recording as recording
    from .client._durable_outbox import DurableOutbox
    from .client._rotation import Rotation
    from .pool import Pool
    from .protocols import Acknowledgement, Heartbeat, Json, Login, Msgpack, Requests
    from .provider import Identity, Provider
    from .sharing import SharedClient, join

# Imported at first use: a program with one `Client` doesn't pay for the others.
_LAZY = {
    "Acknowledgement": ".protocols",
    "DurableOutbox": ".client._durable_outbox",
    "Heartbeat": ".protocols",
    "Identity": ".provider",
    "Json": ".protocols",
    "Login": ".protocols",
    "Msgpack": ".protocols",
    "Pool": ".pool",
    "Provider": ".provider",
    "Requests": ".protocols",
    "Rotation": ".client._rotation",
    "SharedClient": ".sharing",
    "join": ".sharing",
}


def __getattr__(name: str) -> Any:
    """Import the names that a program with one client doesn't need."""
    if name in ("blocking", "instruments", "recording"):
        value: Any = importlib.import_module(f".{name}", __name__)
    elif name in _LAZY:
        value = getattr(importlib.import_module(_LAZY[name], __name__), name)
    else:
        raise AttributeError(f"module 'onesocket' has no attribute {name!r}")
    globals()[name] = value
    return value


__all__ = [
    "Acknowledgement",
    "Client",
    "Delivery",
    "DurableOutbox",
    "Gap",
    "Heartbeat",
    "Identity",
    "Json",
    "Login",
    "Msgpack",
    "OnesocketError",
    "Outcome",
    "Overflow",
    "Pace",
    "Pool",
    "Provider",
    "Raw",
    "ReconnectPolicy",
    "Requests",
    "Rotation",
    "SharedClient",
    "State",
    "Status",
    "Subscription",
    "SubscriptionAnswer",
    "Subscriptions",
    "TokenHeader",
    "TokenQuery",
    "Verdict",
    "__version__",
    "join",
]
