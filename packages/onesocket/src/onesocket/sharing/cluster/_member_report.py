"""The part of a host in its cluster, as it is told: in listings, in metrics, and to observers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...client._cluster_status import ClusterRole, ClusterStatus
from ...errors import OnesocketError
from ._announcements import AnnouncedConnection, Announcement, announcement
from ._cluster_phase import ClusterPhase
from ._coordinator import START, Position
from ._counted_coordinator import ClusterCounters

if TYPE_CHECKING:
    from ._cluster_owner import ClusterOwner


class MemberReport:
    """Describes the owner of a host."""

    def __init__(self, owner: ClusterOwner, counters: ClusterCounters) -> None:
        """`counters`: of the host's operations on the engine, over all its owners."""
        self._owner = owner
        self._counters = counters

    def __repr__(self) -> str:
        return f"<MemberReport {self.part}>"

    @property
    def part(self) -> str:
        """Part of this host, and the leader's name."""
        match self._owner.phase_in_cluster:
            case ClusterPhase.FOLLOWING:
                leader = self._owner.follower.leader_name
                return f"follows {leader}" if leader else "looks for a leader"
            case ClusterPhase.LEADING:
                return "leads"
            case ClusterPhase.ALONE:
                return "alone"
            case ClusterPhase.OVER:
                return "lets go"

    @property
    def role(self) -> ClusterRole:
        """Role of this host."""
        match self._owner.phase_in_cluster:
            case ClusterPhase.FOLLOWING:
                return ClusterRole.FOLLOWER if self._owner.follower.leader_name else ClusterRole.CANDIDATE
            case ClusterPhase.LEADING:
                return ClusterRole.LEADER
            case ClusterPhase.ALONE:
                return ClusterRole.ALONE
            case ClusterPhase.OVER:
                return ClusterRole.CANDIDATE

    def status(self, lease_remaining: float) -> ClusterStatus:
        """Part of this host, for metrics; `lease_remaining`: seconds, if it leads."""
        counters, role = self._counters, self.role
        leads = role is ClusterRole.LEADER
        lag = None if self._owner.holds_connection else counters.lag
        return ClusterStatus(
            role=role,
            epoch=counters.epoch,
            lease_remaining=max(0.0, lease_remaining) if leads else None,
            renewal_duration=counters.renewal_duration if leads else None,
            lag_records=None if lag is None else lag.records,
            lag_seconds=None if lag is None else lag.seconds,
            leader_changes=counters.leader_changes,
            fenced_writes=counters.fenced_writes,
            engine_errors=counters.engine_errors,
        )

    def announcement(self, failure: OnesocketError | None) -> tuple[Announcement, Position]:
        """This member as observers see it, and the position up to which it has read.

        `failure`: the error that keeps it out.
        """
        owner = self._owner
        if not owner.holds_connection:
            return announcement(self.role, failure), owner.follower.position
        status = owner.status
        error = None if status.is_connected or status.last_error is None else type(status.last_error).__name__
        return announcement(self.role, connection=AnnouncedConnection(status.state.value, status.epoch, error)), START
