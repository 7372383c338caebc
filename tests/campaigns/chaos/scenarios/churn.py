"""Processes attach and detach, two hundred times a second; the others don't notice."""

from __future__ import annotations

import asyncio
import random
from typing import Final

from ..findings import ChaosFindings
from ..harness import ChaosHarness
from ..size import RunSize

RATE: Final = 200
PROCESSES: Final = 4
_LEFT_OPEN: Final = 8
"""Descriptors that may come and go with the moment."""


async def run(findings: ChaosFindings, size: RunSize, chance: random.Random) -> None:
    """One owner, one follower that stays, four processes that come and go."""
    times = int(size.seconds * RATE / PROCESSES)
    async with ChaosHarness(findings, heartbeat=1.0, stopped_after=5.0, attach_timeout=5.0) as harness:
        async with harness.feeding():
            (owner,) = await harness.start()
            await harness.join([owner])
            (stays,) = await harness.start()
            await harness.join([stays])
            guests = await harness.start(PROCESSES)
            before = await owner.do("figures")
            _, epoch = await harness.owner()
            answers = await asyncio.gather(
                *(
                    guest.do(
                        "join_and_leave",
                        times=times,
                        every=PROCESSES / RATE,
                        epoch=epoch,
                        within=30.0 + 3 * size.seconds,
                    )
                    for guest in guests
                )
            )
            await harness.wait_received([owner, stays], "after all that", within=10.0)
        after = await harness.settle([owner, stays])
        shared = await harness.shared()
        rate = PROCESSES * times / max(answer["seconds"] for answer in answers)
        findings.figure(
            "attached and detached", f"{PROCESSES * times} times; {RATE} a second asked for, {rate:.0f} reached"
        )
        findings.figure(
            "descriptors of the owner, before and after", f"{before['descriptors']}, {after[0]['descriptors']}"
        )
        findings.require(
            after[0]["descriptors"] <= before["descriptors"] + _LEFT_OPEN,
            f"the owner had {before['descriptors']} descriptors before and {after[0]['descriptors']} after",
        )
        findings.require(all(answer["gaps"] == 0 for answer in after), f"a process that stayed had gaps: {after}")
        findings.require(shared.followers == 1, f"{shared.followers} followers are left, 1 stayed")
        findings.require(harness.server.counts.handshakes == 1, f"{harness.server.counts.handshakes} handshakes")
        harness.check_sockets()
