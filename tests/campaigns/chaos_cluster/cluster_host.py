"""One host of the campaign: its network, its runtime directory and its processes."""

from __future__ import annotations

from pathlib import Path

from tests.campaigns.harness.worker_process import WorkerProcess

from .engine_proxy import EngineProxy
from .network import HostNetwork, Link


class ClusterHost:
    """A host; its member of the cluster is one of its processes."""

    def __init__(self, number: int, network: HostNetwork, directory: Path, proxy: EngineProxy | None) -> None:
        self.number = number
        self.network = network
        self.directory = directory
        self.proxy = proxy
        """Between it and the engine, if there is one."""
        self.members: list[WorkerProcess] = []
        """Processes of this host that have joined, and have not ended."""

    def __repr__(self) -> str:
        return f"<ClusterHost {self.number} {self.members}>"

    async def set_engine_link(self, *, up: bool) -> None:
        """Unplug the cable to the engine, or plug it in again."""
        if self.proxy is not None:
            self.proxy.set_plugged(plugged=up)
        await self.network.set_link(Link.ENGINE, up=up)

    async def close(self) -> None:
        """Let go of it; its processes have ended."""
        if self.proxy is not None:
            await self.proxy.aclose()
        self.network.close()
