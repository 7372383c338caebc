"""A run of the campaign on one engine, and its figures."""

from __future__ import annotations

from typing import Final

from tests.campaigns.chaos.findings import ChaosFindings

from .cluster_faults import FEED_EVERY, HAND_OVER, LEADER_KILLED, LEADER_OFF, QUICK, TARGET, ClusterFaults
from .cluster_harness import LEASE, MARGIN, ClusterHarness
from .network import Network

_MOST_IN_WINDOWS: Final = 2
_PROGRESS: Final = 25


async def play(findings: ChaosFindings, network: Network, engine: str, seed: int, faults: int, *, quick: bool) -> None:
    """Deal the faults, and check what was promised."""
    async with ClusterHarness(findings, network, engine) as harness:
        campaign = ClusterFaults(harness, findings, f"{seed} {engine}", has_links=network.has_links)
        async with harness.feeding(FEED_EVERY):
            await campaign.begin()
            for number in range(len(QUICK) if quick else faults):
                await campaign.complete()
                if number % _PROGRESS == 0:
                    print(f"       {number} faults", flush=True)
                await _deal(campaign, harness, number, QUICK[number] if quick else campaign.choose())
            await harness.settle(harness.all_members)
        for host in list(harness.hosts):
            await harness.shut_down(host)
        counts = await harness.server.wait_until(lambda counts: counts.sockets_now == 0, 10.0)
        findings.figure("lease, margin (s)", f"{LEASE:g}, {MARGIN:g}")
        for name, times in sorted(campaign.times.items()):
            times_of = name if HAND_OVER in name else f"{name} ({campaign.seen[name]}), every process received after"
            findings.times(times_of.replace(" (0)", ""), times)
        killed = [at for name in (LEADER_KILLED, LEADER_OFF) for at in campaign.times.get(name, [])]
        if killed:
            in_time = sum(at <= TARGET for at in killed)
            findings.figure("within lease + 0.5 s after a leader was killed", f"{in_time} of {len(killed)}")
        findings.figure("faults", sum(campaign.seen.values()))
        findings.figure("processes", len(harness.members))
        if harness.late_joins:
            findings.figure("attempts to join that the engine didn't answer in time", harness.late_joins)
        findings.figure("handshakes", counts.handshakes)
        findings.figure(f"messages from the server, one each {FEED_EVERY * 1000:g} ms", harness.number)
        harness.check_deliveries()
        _check_sockets(findings, harness)


async def _deal(campaign: ClusterFaults, harness: ClusterHarness, number: int, what: str) -> None:
    """One fault; what it broke is named with it."""
    known = len(harness.findings.wrong)
    found = harness.findings.wrong
    try:
        await campaign.deal(what)
    finally:
        found[known:] = [f"fault {number + 1}, {what}: {text}" for text in found[known:]]
        for text in found[known:]:
            print(f"   !     {text}", flush=True)


def _check_sockets(findings: ChaosFindings, harness: ClusterHarness) -> None:
    counts = harness.server.counts
    findings.figure("sockets at once by the server's count, with those of hosts that are gone", counts.most_sockets)
    findings.require(counts.protocol_errors == 0, f"{counts.protocol_errors} errors of protocol")
    census = harness.census
    if census is None:
        return
    found = "; ".join(census.overlaps)
    findings.figure("sockets at once in the kernel's tables, at most", f"{census.peak} ({census.listings} listings)")
    findings.require(census.peak <= 1, f"{census.peak} sockets at once in the kernel's tables, 1 allowed: {found}")
    for name, most in sorted(census.windows.items()):
        findings.figure(f"counted apart: {name}; sockets at once, at most", most)
        findings.require(most <= _MOST_IN_WINDOWS, f"{most} sockets at once, while {name}")
