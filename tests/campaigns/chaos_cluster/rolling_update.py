"""``python -m tests.campaigns.chaos_cluster.rolling_update``: a deployment of three hubs is updated, host by host.

In two orders: each host's hub is replaced in its place (a compose file, systemd); or a new host is ready before an old
one ends (a Kubernetes deployment with `maxSurge: 1`). The upstream server counts, and a program on each host tells how
long it received nothing. Exits with 1 if there were two sockets, or a hub did not end in order.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from tests.campaigns.chaos.findings import ChaosFindings
from tests.campaigns.harness.director import run_command
from tests.campaigns.harness.report import write_document

from .cluster_faults import FEED_EVERY
from .cluster_harness import ClusterHarness
from .deployment import Deployment, Pod
from .engine_process import NATS, REDIS
from .network import Network, new_network

_HOSTS: Final = 3
_OLD: Final = "0.1.0"
_NEW: Final = "0.2.0"


class Timeline:
    """The events of an update, in the order of their times."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._events: list[tuple[float, str]] = []

    def note(self, text: str, at: float | None = None) -> None:
        """Note an event, of now or of a time."""
        self._events.append((time.monotonic() if at is None else at, text))

    def begin(self) -> None:
        """Forget what was, and count from now."""
        self._begun = time.monotonic()
        self._events.clear()

    def lines(self) -> list[str]:
        """The events as text, from `begin` on."""
        return [f"{at - self._begun:8.3f} s  {text}" for at, text in sorted(self._events) if at >= self._begun]


async def replace_in_place(deployment: Deployment, pod: Pod) -> None:
    """End the old hub, and start the new one on the same host."""
    await deployment.terminate(pod)
    pod.version = _NEW
    await deployment.start_hub(pod)


async def replace_by_surge(deployment: Deployment, pod: Pod) -> None:
    """Start the new hub on a new host, and end the old one once that is ready."""
    await deployment.add_host(_NEW)
    await deployment.terminate(pod)
    await deployment.remove_host(pod)


ORDERS: Final[dict[str, Callable[[Deployment, Pod], Awaitable[None]]]] = {
    "in place, as a compose file or systemd does": replace_in_place,
    "a new host before an old one ends, as a Kubernetes deployment with maxSurge: 1 does": replace_by_surge,
}


async def update(network: Network, engine: str, order: str) -> tuple[list[str], ChaosFindings]:
    """One rolling update; returns its timeline."""
    findings = ChaosFindings(order)
    timeline = Timeline()
    async with ClusterHarness(findings, network, engine) as harness:
        server = harness.server
        async with harness.feeding(FEED_EVERY), Deployment(harness, timeline.note) as deployment:
            for _ in range(_HOSTS):
                await deployment.add_host(_OLD)
            timeline.begin()
            before = server.counts.handshakes
            for pod in list(deployment.pods):
                since = time.monotonic()
                await ORDERS[order](deployment, pod)
                until = await deployment.all_receive()
                silences = (f"{each} {each.silence(since, until) * 1000:.0f} ms" for each in deployment.pods)
                timeline.note(f"longest silence of a reader: {'; '.join(silences)}")
            for what, times in (("is accepted", server.begun), ("has ended", server.ended)):
                for number, at in times.items():
                    timeline.note(f"server: connection {number} {what}", at)
        counts = server.counts
        census = harness.census
        if census is not None:
            findings.require(census.peak <= 1, f"{census.peak} sockets at once in the kernels' tables")
        summary = (
            f"{counts.handshakes - before} connections for {_HOSTS} replaced hubs; sockets at once: "
            f"{counts.most_sockets} by the server's count"
            + ("" if census is None else f", {census.peak} in the kernels' tables ({census.listings} listings)")
        )
    return [*timeline.lines(), summary, *findings.wrong], findings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(prog="make rolling-update", description=__doc__)
    parser.add_argument("--engine", choices=[REDIS, NATS], default=REDIS)
    parser.add_argument("--loopback", action="store_true", help="no network namespaces")
    parser.add_argument("--write-docs", action="store_true", help="write the timelines into docs/cluster.md")
    options = parser.parse_args(arguments)
    network = new_network(loopback=options.loopback)
    parts: list[str] = []
    wrong = 0
    for order in ORDERS:
        lines, findings = asyncio.run(asyncio.wait_for(update(network, options.engine, order), 300.0))
        wrong += len(findings.wrong)
        parts.append("\n".join([f"{order}:", *lines]))
        print(f"{parts[-1]}\n", flush=True)
    if options.write_docs:
        title = f"`make rolling-update`, {options.engine}, Python {sys.version.split()[0]}; {network.title}:"
        write_document("rolling-update", "\n".join([title, "```text", "\n\n".join(parts), "```"]), "cluster")
    return 1 if wrong else 0


if __name__ == "__main__":
    run_command(main)
