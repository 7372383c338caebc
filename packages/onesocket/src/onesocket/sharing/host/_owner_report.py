"""Report of an owner in listings: itself, its connection and the rates of its messages."""

from __future__ import annotations

import os
import time

from ...client._client import Client
from ...client._status import Status
from .._host_options import HostOptions, Own
from ._follower_set import FollowerSet
from ._ipc_frames import StatusReport
from ._next_owner import find_next_owner


class OwnerReport:
    """Measures the rates of messages, and makes the report for a process that asks."""

    def __init__(self, client: Client, options: HostOptions, key: str | None) -> None:
        """`key`: the `key=` that names the connection in listings."""
        self._client = client
        self._own = Own(options.own)
        self._key = key
        self._started = time.time()
        self._counts = 0, 0
        """Messages received and sent at the last measurement, and ..."""
        self._rates = 0.0, 0.0
        """... in each second before."""

    def __repr__(self) -> str:
        return f"<OwnerReport received/s={self._rates[0]:g} sent/s={self._rates[1]:g}>"

    def measure(self, elapsed: float) -> None:
        """Measure the rates, so many seconds after the last time."""
        stats, before = self._client.stats, self._counts
        self._counts = stats.received, stats.sent
        self._rates = (stats.received - before[0]) / elapsed, (stats.sent - before[1]) / elapsed

    def frame(self, followers: FollowerSet, status: Status, cluster: str | None) -> StatusReport:
        """Return the report. `cluster`: the part of this host in its cluster; None: it has none."""
        next_owner = find_next_owner(followers.attached)
        return StatusReport(
            pid=os.getpid(),
            started=self._started,
            followers=len(followers),
            dropped=followers.dropped,
            received_per_second=self._rates[0],
            sent_per_second=self._rates[1],
            status=status,
            own=self._own,
            next_owner=None if next_owner is None else next_owner.peer_pid,
            key=self._key,
            cluster=cluster,
        )
