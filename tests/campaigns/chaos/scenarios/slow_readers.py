"""Processes that don't read: bounded, told what they missed, and without effect on others."""

from __future__ import annotations

import asyncio
import random
import signal
from typing import Final

from tests.campaigns.harness.probe import resident_bytes
from tests.campaigns.harness.worker_process import WorkerProcess

from ..findings import ChaosFindings
from ..harness import ChaosHarness
from ..size import RunSize

_PADDING: Final = 32 * 1024
_BUFFER: Final = 2**20
_MAX_GROWTH: Final = 12.0
"""MiB that the owner may need more: the two buffers, and what the allocator keeps."""


async def run(findings: ChaosFindings, size: RunSize, chance: random.Random) -> None:
    """One is stopped, one has a stream that holds its feed back; two others read."""
    messages = size.megabytes * 2**20 // _PADDING
    async with ChaosHarness(findings, buffer=_BUFFER, heartbeat=1.0, stopped_after=5.0, attach_timeout=5.0) as harness:
        harness.padding = "." * _PADDING
        (owner,) = await harness.start()
        await harness.join([owner])
        reads, stopped, neglects = await harness.start(3)
        await harness.join([reads, stopped, neglects])
        await neglects.do("leave_unread")
        harness.feed_once()
        await _wait_received(harness, [owner, reads, stopped])
        memory = resident_bytes(owner.pid) / 2**20
        stopped.signal(signal.SIGSTOP)
        most = memory
        for number in range(messages):
            harness.feed_once()
            if number % 16 == 15:
                # As fast as those two read, and no faster: what the *server* can't get rid of is not the question.
                await _wait_received(harness, [owner, reads])
                most = max(most, resident_bytes(owner.pid) / 2**20)
        shared = await harness.shared()
        stopped.signal(signal.SIGCONT)
        await neglects.do("catch_up")
        await _wait_resumed(harness, [stopped, neglects])
        fast, slow = await harness.settle([owner, reads]), await harness.settle([stopped, neglects])
        findings.require(all(one["gaps"] == 0 for one in fast), f"those who read had gaps: {fast}")
        findings.require(all(one["missed"] > 0 for one in slow), f"those who didn't were told of no gap: {slow}")
        findings.require(slow[0]["gaps"] == 1, f"the one that was stopped was told of {slow[0]['gaps']} gaps")
        findings.require(bool(shared.dropped), "nothing was dropped for the one that was stopped")
        findings.require(most - memory <= _MAX_GROWTH, f"the owner grew by {most - memory:.0f} MiB")
        findings.require(harness.server.counts.handshakes == 1, f"{harness.server.counts.handshakes} handshakes")
        for one in slow:
            total = one["received"] + one["missed"]
            findings.require(total == harness.number, f"{one['received']} + {one['missed']} of {harness.number}")
        findings.figure(f"sent while they didn't read, MiB ({messages} messages)", size.megabytes)
        findings.figure("received by those who read", ", ".join(f"{one['received']}" for one in fast))
        findings.figure(
            "received by those who didn't, and told as missed",
            ", ".join(f"{one['received']} + {one['missed']}" for one in slow),
        )
        findings.figure(f"memory of the owner, MiB more (buffer: {_BUFFER // 2**20})", f"{most - memory:.1f}")
        harness.check_sockets()


async def _wait_received(harness: ChaosHarness, members: list[WorkerProcess]) -> None:
    """They have received the last message."""
    asked = [member.tell("until", number=harness.number - 1, epoch=0) for member in members]
    await asyncio.gather(*(member.result(order, 20.0) for member, order in zip(members, asked, strict=True)))


async def _wait_resumed(harness: ChaosHarness, members: list[WorkerProcess]) -> None:
    """They read again: the first messages after the gap arrive."""
    harness.padding = ""
    asked = [member.tell("until", number=harness.number, epoch=0) for member in members]
    async with harness.feeding(0.01):
        await asyncio.gather(*(member.result(order, 20.0) for member, order in zip(members, asked, strict=True)))
    await _wait_received(harness, harness.members)
