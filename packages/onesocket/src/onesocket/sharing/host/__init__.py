"""One connection for all processes of a user on one machine: `scope="host"`."""

from .._host_options import HostOptions, OnStopped
from ._errors import (
    ForeignUser,
    NoRuntimeDirectory,
    OutOfResources,
    OwnerLost,
    OwnerSilent,
    TokenMismatch,
    VersionMismatch,
    WireError,
)
from ._host_upstream import HostUpstream
from ._listing import Listing, listing

__all__ = [
    "ForeignUser",
    "HostOptions",
    "HostUpstream",
    "Listing",
    "NoRuntimeDirectory",
    "OnStopped",
    "OutOfResources",
    "OwnerLost",
    "OwnerSilent",
    "TokenMismatch",
    "VersionMismatch",
    "WireError",
    "listing",
]
