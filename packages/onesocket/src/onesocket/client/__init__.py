"""One WebSocket connection on asyncio: its client, its options, and the values it hands out."""

from ..lifecycle import OutboxLimits, Outcome, ReconnectPolicy, State, Verdict
from ._client import Client
from ._delivery import Delivery
from ._durable_outbox import DurableOutbox, StoredMessage
from ._gap import Gap, GapReason
from ._message_client import MessageClient
from ._queue import Overflow
from ._status import Change, ConnectionStats, Stats, Status
from ._subscription import Subscription

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
