"""Frozen snapshot of a host's part in a cluster, for metrics."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING

from .._record import record

if TYPE_CHECKING:
    from ._instruments import Source


class ClusterRole(enum.StrEnum):
    """Role of a host in a cluster."""

    LEADER = "leader"
    """The host with the lease, and the connection."""
    FOLLOWER = "follower"
    """A host that uses the connection of another one."""
    CANDIDATE = "candidate"
    """A host that knows of no leader, or has lost its lease."""
    ALONE = "alone"
    """A host that holds the connection without a lease, as the engine is away."""


@record(kw_only=True)
class ClusterStatus:
    """One host's part in a cluster at one moment. Counters are those of this process; durations are seconds."""

    role: ClusterRole | None = None
    """None: another process is this host's member."""
    epoch: int = 0
    """The newest epoch of the cluster that it has heard of; 0: none."""
    lease_remaining: float | None = None
    """Time until the lease ends, as this host counts it; None: it does not lead."""
    renewal_duration: float | None = None
    """Time that the last renewal of the lease took; None: there was none, or it does not lead."""
    lag_records: int | None = None
    """Records of the feed that it had not read at its last announcement; None: not known, or it leads."""
    lag_seconds: float | None = None
    """Time since the first of those was written; None: not known, or it leads."""
    leader_changes: int = 0
    fenced_writes: int = 0
    engine_errors: Mapping[str, int] = field(default_factory=dict[str, int])
    """By the name of the error."""


def cluster_status_of(source: Source) -> ClusterStatus | None:
    """Returns the part of a source in a cluster; None: it has none."""
    status: ClusterStatus | None = getattr(source, "cluster_status", None)
    return status
