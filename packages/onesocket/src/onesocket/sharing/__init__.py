"""One upstream for many tasks, threads, event loops and processes."""

from ..errors import ForkedCopy, OptionConflict
from ._host_options import HostOptions, OnStopped
from ._join import JoinRequest, join
from ._registry import offer_loop
from ._shared_client import SharedClient

__all__ = [
    "ForkedCopy",
    "HostOptions",
    "JoinRequest",
    "OnStopped",
    "OptionConflict",
    "SharedClient",
    "join",
    "offer_loop",
]
