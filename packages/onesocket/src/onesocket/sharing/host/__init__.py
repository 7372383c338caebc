"""One connection for all processes of a user on one machine: `scope="host"`."""

from ...errors import (
    ForeignUser,
    IpcError,
    NoRuntimeDirectory,
    OutOfResources,
    OwnerLost,
    OwnerSilent,
    TokenMismatch,
    VersionMismatch,
)
from .._host_options import HostOptions, OnStopped
from ._host_upstream import HostUpstream
from ._listing import Listing, listing

__all__ = [
    "ForeignUser",
    "HostOptions",
    "HostUpstream",
    "IpcError",
    "Listing",
    "NoRuntimeDirectory",
    "OnStopped",
    "OutOfResources",
    "OwnerLost",
    "OwnerSilent",
    "TokenMismatch",
    "VersionMismatch",
    "listing",
]
