"""One connection for all processes of a user on one machine: `scope="host"`."""

from .errors import (
    NoRuntimeDirectory,
    OtherRelease,
    OtherToken,
    OtherUser,
    OutOfResources,
    OwnerLost,
    OwnerSilent,
    WireError,
)
from .listing import Listing, listing
from .options import HostOptions, OnStopped
from .upstream import HostUpstream

__all__ = [
    "HostOptions",
    "HostUpstream",
    "Listing",
    "NoRuntimeDirectory",
    "OnStopped",
    "OtherRelease",
    "OtherToken",
    "OtherUser",
    "OutOfResources",
    "OwnerLost",
    "OwnerSilent",
    "WireError",
    "listing",
]
