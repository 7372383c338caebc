"""A deployment of hubs, one on each host, of one version or another, as a compose file or a manifest starts them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Self

from onesocket.sharing.host import listing
from tests.campaigns.harness.worker_process import Event, WorkerProcess

from .cluster_harness import ClusterHarness
from .cluster_host import ClusterHost

_READER: Final = Path(__file__).with_name("hub_reader.py")
_READY: Final = 60.0
"""Seconds; a busy machine takes long for a new process."""
_GRACE: Final = 20.0
"""Seconds from SIGTERM to SIGKILL, as the manifest and the compose file have it."""
_FIRST_PORT: Final = 8730
# The command `onesocket`, of another release: what members tell each other.
_COMMAND: Final = (
    "import runpy, sys; import onesocket._version as v; v.__version__ = sys.argv.pop(1); "
    "runpy.run_module('onesocket', run_name='__main__')"
)


class Pod:
    """A hub on a host of its own, and a program there that reads from it."""

    def __init__(self, host: ClusterHost, version: str) -> None:
        self.host = host
        self.version = version
        self.hub: WorkerProcess
        self.reader: WorkerProcess
        self.fed: list[float] = []
        """Times at which its reader got a message."""

    def __str__(self) -> str:
        return f"host {self.host.number}, {self.version}"

    @property
    def part(self) -> str:
        """Part of the host in the cluster."""
        found = [one.cluster for one in listing(str(self.host.directory)) if one.cluster]
        return found[0].split()[0] if found else "takes no part"

    def silence(self, since: float, until: float) -> float:
        """The longest time without a message, from the last one before `since`, or its first one, to `until`."""
        first = max((number for number, at in enumerate(self.fed) if at <= since), default=0)
        times = [at for at in self.fed[first:] if at < until]
        return max((after - at for at, after in pairwise([*times, until])), default=0.0)


class Deployment:
    """Hubs on hosts of a harness; `note` gets each event for the timeline."""

    def __init__(self, harness: ClusterHarness, note: Callable[[str], object]) -> None:
        self._harness = harness
        self._note = note
        self.pods: list[Pod] = []
        self._processes: list[WorkerProcess] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for process in self._processes:
            await process.end()

    async def _run(self, starting: Coroutine[Any, Any, WorkerProcess]) -> WorkerProcess:
        process = await starting
        self._processes.append(process)
        return process

    async def add_host(self, version: str) -> Pod:
        """A new host, with a hub that is ready and a reader that receives."""
        number = max((pod.host.number for pod in self.pods), default=0) + 1
        network = await self._harness.network.add_host(number)
        directory = self._harness.base / f"host{number}"
        directory.mkdir(mode=0o700)
        host = ClusterHost(number, network, directory, None)
        self._harness.hosts.append(host)
        pod = Pod(host, version)
        await self.start_hub(pod)
        given = {"url": f"ws://127.0.0.1:{self._port(pod)}/"}
        pod.reader = await self._run(
            WorkerProcess.start(
                _READER, given, name=f"reader {number}", on_event=_take(pod), collect_errors=True, prefix=network.enter
            )
        )
        self.pods.append(pod)
        await self.all_receive()
        return pod

    async def start_hub(self, pod: Pod) -> None:
        """Start the hub of this version, and wait until it is ready."""
        harness = self._harness
        engine = harness.engine.url(harness.network.engine, harness.engine.port)
        arguments = ("--cluster", engine, "--listen", f"127.0.0.1:{self._port(pod)}", harness.server.url)
        command = (*pod.host.network.enter, sys.executable, "-c", _COMMAND, pod.version, "share", *arguments)
        environment = {**os.environ, "ONESOCKET_RUNTIME_DIR": str(pod.host.directory)}
        pod.hub = await self._run(WorkerProcess.run(command, f"hub {pod.host.number}", environment=environment))
        await pod.hub.wait_for(lambda: any(line.startswith("ready") for line in pod.hub.output), "start", _READY)
        self._note(f"{pod}: ready")

    async def terminate(self, pod: Pod) -> None:
        """SIGTERM, and the end of the hub within the time of grace."""
        self._note(f"{pod}: SIGTERM; it {await asyncio.to_thread(lambda: pod.part)}")
        pod.hub.signal(signal.SIGTERM)
        status = await pod.hub.ended(_GRACE)
        self._note(f"{pod}: ended with status {status}")
        self._harness.findings.require(status == 0, f"{pod} ended with status {status}")

    async def remove_host(self, pod: Pod) -> None:
        """Remove a host whose hub has ended."""
        self.pods.remove(pod)
        await pod.reader.end()
        self._harness.hosts.remove(pod.host)
        await pod.host.network.remove()
        await pod.host.close()

    async def all_receive(self) -> float:
        """Wait until the reader on each host has a message from now; returns the time."""
        now = time.monotonic()
        for pod in self.pods:
            await pod.reader.wait_for(lambda pod=pod: bool(pod.fed) and pod.fed[-1] > now, "message", _READY)  # type: ignore[misc]
        return time.monotonic()

    @staticmethod
    def _port(pod: Pod) -> int:
        return _FIRST_PORT + pod.host.number


def _take(pod: Pod) -> Callable[[WorkerProcess, Event], bool]:
    def take(_: WorkerProcess, event: Event) -> bool:
        if event["event"] != "fed":
            return False
        pod.fed.append(event["at"])
        return True

    return take
