"""Many processes, threads and tasks join at once: one handshake."""

from __future__ import annotations

import asyncio
import random
from typing import Final

from ..findings import ChaosFindings
from ..harness import ChaosHarness
from ..size import RunSize

PROCESSES: Final = 8
THREADS: Final = 4
TASKS: Final = 8
_WITHIN: Final = 50.0


async def run(findings: ChaosFindings, size: RunSize, chance: random.Random) -> None:
    """All of them, at once."""
    total = PROCESSES * THREADS * TASKS
    async with ChaosHarness(findings, heartbeat=1.0, stopped_after=5.0, attach_timeout=5.0) as harness:
        members = await harness.start(PROCESSES)
        harness.server.on_message = None  # these aren't numbered
        orders = [member.tell("join_from_threads", threads=THREADS, tasks=TASKS, timeout=_WITHIN) for member in members]
        await harness.server.wait_until(lambda counts: counts.messages_received >= total, _WITHIN)
        at_once = harness.server.counts
        await harness.wait_events(
            lambda: sum(event["event"] == "in" for event in harness.events) >= total,
            "message of each task",
            _WITHIN,
        )
        await harness.server.broadcast("go home")
        answers = await asyncio.gather(
            *(member.result(order, _WITHIN) for member, order in zip(members, orders, strict=True))
        )
        counts = await harness.server.wait_until(lambda counts: counts.sockets_now == 0, 10.0)
        for text in (text for answer in answers for text in answer["failed"]):
            findings.broken(text)
        joined, received = (sum(answer[name] for answer in answers) for name in ("joined", "received"))
        findings.require(joined == total, f"{joined} of {total} joined")
        findings.require(received == total, f"{received} of {total} received the one message")
        findings.require(at_once.handshakes == 1, f"{at_once.handshakes} handshakes for {total} joins at once")
        findings.figure("joined at once", total)
        findings.figure("handshakes", at_once.handshakes)
        findings.figure("each received one message and sent one", f"{received} and {counts.messages_received}")
        harness.check_sockets()
