"""The one connection of all hosts of a cluster, as seen by one process."""

from __future__ import annotations

import functools

from .._upstream import ConnectionSpec
from ..host._host_upstream import HostUpstream
from ._cluster_options import ClusterOptions
from ._cluster_owner import ClusterOwner
from ._coordinator import ClusterKey
from ._role_memory import RoleMemory


class ClusterUpstream(HostUpstream):
    """An `Upstream`: within the host as `HostUpstream`, whose owner is the host's member of the cluster."""

    def __init__(self, spec: ConnectionSpec, cluster: ClusterOptions) -> None:
        super().__init__(spec)
        key = ClusterKey.of(spec.key.digest(), prefix=cluster.prefix)
        self._owner_type = functools.partial(ClusterOwner, cluster=cluster, cluster_key=key, memory=RoleMemory())
        self._scope = f"cluster {cluster.prefix}"
