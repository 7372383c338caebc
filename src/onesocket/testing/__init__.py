"""For the tests of whoever uses onesocket: a counting, faulty server; virtual time; a server in memory.

Needs the extra `testing`: ``pip install "onesocket[testing]"``.
"""

from ..transports.memory import MemoryPeer, MemoryServer, MemoryTransport
from .counters import Counts
from .faults import ConnectionLimit, Fault, MessageLimit
from .faulty_connection import FaultyConnection
from .faulty_server import FaultyServer
from .other_side import Feature, LoopbackSide, MemorySide, OtherSide
from .subscription_ledger import SubscriptionLedger
from .transport_checks.check import TransportCheck
from .transport_suite import check_transport, checks_left_out, transport_checks
from .virtual_time import NothingWillHappen, run_virtual

__all__ = [
    "ConnectionLimit",
    "Counts",
    "Fault",
    "FaultyConnection",
    "FaultyServer",
    "Feature",
    "LoopbackSide",
    "MemoryPeer",
    "MemoryServer",
    "MemorySide",
    "MemoryTransport",
    "MessageLimit",
    "NothingWillHappen",
    "OtherSide",
    "SubscriptionLedger",
    "TransportCheck",
    "check_transport",
    "checks_left_out",
    "run_virtual",
    "transport_checks",
]
