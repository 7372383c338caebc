"""A hub: one upstream connection for programs in any language, on a local WebSocket endpoint (``onesocket share``)."""

from ..errors import CannotListen, HubRunning
from ._discovery import HubListing, hubs
from ._endpoint import Endpoint
from ._hub import Hub
from ._json_requests import JsonRequests
from ._merge import Interest, JsonField, JsonMerge, Merge, MergedRaw, load_merge
from ._options import HubOptions
from ._raw_frontend import RawFrontend

__all__ = [
    "CannotListen",
    "Endpoint",
    "Hub",
    "HubListing",
    "HubOptions",
    "HubRunning",
    "Interest",
    "JsonField",
    "JsonMerge",
    "JsonRequests",
    "Merge",
    "MergedRaw",
    "RawFrontend",
    "hubs",
    "load_merge",
]
