"""One WebSocket connection on asyncio: its client, its options, and the values it hands out."""

import importlib
from typing import TYPE_CHECKING, Any

from ..lifecycle import OutboxLimits, Outcome, ReconnectPolicy, State, Verdict
from ._client import Client
from ._delivery import Delivery
from ._gap import Gap, GapReason
from ._message_client import MessageClient
from ._queue import Overflow
from ._status import Change, ConnectionStats, Stats, Status
from ._subscription import Subscription

if TYPE_CHECKING:
    from ._durable_outbox import DurableOutbox, StoredMessage


def __getattr__(name: str) -> Any:
    """Import the names of a durable outbox, which most programs do without."""
    if name not in ("DurableOutbox", "StoredMessage"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module("._durable_outbox", __name__), name)
    return value


__all__ = [
    "Change",
    "Client",
    "ConnectionStats",
    "Delivery",
    "DurableOutbox",
    "Gap",
    "GapReason",
    "MessageClient",
    "OutboxLimits",
    "Outcome",
    "Overflow",
    "ReconnectPolicy",
    "State",
    "Stats",
    "Status",
    "StoredMessage",
    "Subscription",
    "Verdict",
]
