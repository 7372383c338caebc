"""A process forks in the midst of it: its child keeps nothing of it, and joins anew."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from typing import Final

from ..findings import ChaosFindings
from ..harness import ChaosHarness
from ..size import RunSize

_WITHIN: Final = 10.0


async def run(findings: ChaosFindings, size: RunSize, chance: random.Random) -> None:
    """The owner forks; the child is fed by it, and after its death by the next."""
    times: list[float] = []
    async with ChaosHarness(findings) as harness:
        harness.server.on_message = None
        async with harness.feeding():
            members = await harness.start(2)
            await harness.join(members)
            for member in members:
                await member.do("begin_blocking")
            for number in range(size.forks):
                owner, epoch = await harness.owner()
                before = harness.server.counts.handshakes
                text = f"child {number}"
                child = (await owner.do("fork", text=text, timeout=_WITHIN))["child"]
                try:
                    await harness.event({"event": "child fed", "text": text, "epoch": epoch}, _WITHIN)
                    findings.require(
                        harness.server.counts.handshakes == before, "a forked child led to another handshake"
                    )
                    await harness.wait_received(members, "beside a forked child", within=_WITHIN)
                    begun = time.monotonic()
                    owner.signal(signal.SIGKILL)
                    rest = [member for member in members if member is not owner]
                    times += [
                        at - begun
                        for at in await harness.wait_received(rest, "after the parent", epoch=epoch, within=_WITHIN)
                    ]
                    await harness.event({"event": "child fed", "text": text, "pid": child, "epoch": epoch + 1}, _WITHIN)
                    await owner.ended()
                finally:
                    _end(child)
                (new_member,) = await harness.start()
                await harness.join([new_member])
                await new_member.do("begin_blocking")
                members = [*rest, new_member]
        harness.check_sockets()
        findings.figure("forks of the owner, whose child was fed on", size.forks)
        findings.times("the parent killed, every process received again after", times)


def _end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
