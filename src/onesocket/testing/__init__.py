"""For the tests of whoever uses onesocket: a counting, faulty server; virtual time; a server in memory.

Needs the extra `testing`: ``pip install "onesocket[testing]"``.
"""

from ..transports.memory import MemoryPeer, MemoryServer, MemoryTransport
from .counters import Counts
from .faults import ConnectionLimit, Fault
from .faulty_connection import FaultyConnection
from .faulty_server import FaultyServer
from .virtual_time import NothingWillHappen, run_virtual

__all__ = [
    "ConnectionLimit",
    "Counts",
    "Fault",
    "FaultyConnection",
    "FaultyServer",
    "MemoryPeer",
    "MemoryServer",
    "MemoryTransport",
    "NothingWillHappen",
    "run_virtual",
]
