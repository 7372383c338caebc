"""One connection for programs in any language: a hub with a local WebSocket endpoint (``onesocket share``)."""

from .endpoint import Endpoint
from .errors import CannotListen, HubRunning
from .hub import Hub
from .merging import Interest, JsonMerge, Merge, MergedRaw, load_merge
from .options import HubOptions
from .presence import HubListing, hubs
from .raw_desk import RawDesk

__all__ = [
    "CannotListen",
    "Endpoint",
    "Hub",
    "HubListing",
    "HubOptions",
    "HubRunning",
    "Interest",
    "JsonMerge",
    "Merge",
    "MergedRaw",
    "RawDesk",
    "hubs",
    "load_merge",
]
