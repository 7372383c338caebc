"""Ours: `join(url, scope="cluster")` in every process, each as a host of its own; the address is ENGINE|DIRECTORY."""

from __future__ import annotations

from typing import Any

from onesocket.sharing.host import HostOptions

from .onesocket_host import UNUSED_URL, HostConsumer, HostProducer


def shared(address: str) -> tuple[str, dict[str, Any]]:
    """Return URL and options of `join` in each process."""
    engine, _, directory = address.rpartition("|")
    return UNUSED_URL, {
        "scope": "cluster",
        "cluster": engine,
        "host_options": HostOptions(directory=directory),
        "ping_interval": None,
    }


class _ClusterMember:
    """Joins a cluster instead of a host's processes."""

    address: str

    def shared(self) -> tuple[str, dict[str, Any]]:
        """As the function."""
        return shared(self.address)


class ClusterProducer(_ClusterMember, HostProducer):
    """The host that leads, as the first one."""


class ClusterConsumer(_ClusterMember, HostConsumer):
    """A host that follows, with a callback."""
