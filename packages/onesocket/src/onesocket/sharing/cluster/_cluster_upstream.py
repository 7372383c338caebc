"""The one connection of all hosts of a cluster, as seen by one process."""

from __future__ import annotations

import functools

from ...client._cluster_status import ClusterStatus
from .._upstream import ConnectionSpec
from ..host._host_upstream import HostUpstream
from ._cluster_options import ClusterOptions
from ._cluster_owner import ClusterOwner
from ._coordinator import ClusterKey
from ._role_memory import RoleMemory


class ClusterUpstream(HostUpstream):
    """An `Upstream`: within the host as `HostUpstream`, whose owner is the host's member of the cluster."""

    _scope = "cluster"

    def __init__(self, spec: ConnectionSpec, cluster: ClusterOptions) -> None:
        super().__init__(spec)
        key = ClusterKey.of(spec.key.digest(), prefix=cluster.prefix)
        self._memory = RoleMemory()
        self._owner_type = functools.partial(ClusterOwner, cluster=cluster, cluster_key=key, memory=self._memory)
        self._engine = f"{getattr(cluster.engine, 'place', cluster.engine)} {cluster.prefix}"

    @property
    def cluster_status(self) -> ClusterStatus:
        """Part of this host in the cluster, for metrics; without a role if another process is the host's member."""
        owner, counters = self._owner, self._memory.counters
        if isinstance(owner, ClusterOwner):
            return owner.cluster_status
        return ClusterStatus(
            leader_changes=counters.leader_changes,
            fenced_writes=counters.fenced_writes,
            engine_errors=counters.engine_errors,
        )
