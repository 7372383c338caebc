"""One connection for all processes of a user on one machine: `scope="host"`."""

from ...errors import (
    ForeignUser,
    HandOverRefused,
    IpcError,
    NoOwner,
    NoRuntimeDirectory,
    OutOfResources,
    OwnerLost,
    OwnerSilent,
    TokenMismatch,
    VersionMismatch,
)
from .._host_options import HostOptions, OnStopped, Own
from ._hand_over import hand_over
from ._host_upstream import HostUpstream
from ._listing import Listing, listing

__all__ = [
    "ForeignUser",
    "HandOverRefused",
    "HostOptions",
    "HostUpstream",
    "IpcError",
    "Listing",
    "NoOwner",
    "NoRuntimeDirectory",
    "OnStopped",
    "OutOfResources",
    "Own",
    "OwnerLost",
    "OwnerSilent",
    "TokenMismatch",
    "VersionMismatch",
    "hand_over",
    "listing",
]
