"""Tools for tests of programs that use onesocket: a counting, faulty server; virtual time; a server in memory.

Needs the extra `testing`: ``pip install "onesocket[testing]"``.
"""

from ..transports._memory import MemoryPeer, MemoryServer, MemoryTransport
from ._cassette import Cassette, CassetteMode
from ._counters import Counts
from ._faults import ConnectionLimit, Fault, MessageLimit
from ._faulty_connection import FaultyConnection
from ._faulty_server import FaultyServer
from ._heartbeat_demand import HeartbeatDemand
from ._memory_replay import MemoryReplay
from ._subscription_ledger import SubscriptionLedger
from ._test_peer import LoopbackTestPeer, PeerFeature, TransportTestPeer
from ._threaded_server import ThreadedServer
from ._transport_checks.check import TransportCheck
from ._transport_suite import check_transport, skipped_checks, transport_checks
from ._virtual_time import DeadlockError, run_virtual

__all__ = [
    "Cassette",
    "CassetteMode",
    "ConnectionLimit",
    "Counts",
    "DeadlockError",
    "Fault",
    "FaultyConnection",
    "FaultyServer",
    "HeartbeatDemand",
    "LoopbackTestPeer",
    "MemoryPeer",
    "MemoryReplay",
    "MemoryServer",
    "MemoryTransport",
    "MessageLimit",
    "PeerFeature",
    "SubscriptionLedger",
    "ThreadedServer",
    "TransportCheck",
    "TransportTestPeer",
    "check_transport",
    "run_virtual",
    "skipped_checks",
    "transport_checks",
]
