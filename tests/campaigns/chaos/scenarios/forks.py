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
    async with ChaosHarness(findings) as stage:
        stage.server.on_message = None
        async with stage.feeding():
            players = await stage.start(2)
            await stage.join(players)
            for player in players:
                await player.do("begin_blocking")
            for number in range(size.forks):
                owner, epoch = await stage.owner()
                before = stage.server.counts.handshakes
                text = f"child {number}"
                child = (await owner.do("fork", text=text, timeout=_WITHIN))["child"]
                try:
                    await stage.event({"event": "child fed", "text": text, "epoch": epoch}, _WITHIN)
                    findings.require(
                        stage.server.counts.handshakes == before, "a forked child led to another handshake"
                    )
                    await stage.wait_received(players, "beside a forked child", within=_WITHIN)
                    begun = time.monotonic()
                    owner.signal(signal.SIGKILL)
                    rest = [player for player in players if player is not owner]
                    times += [
                        at - begun
                        for at in await stage.wait_received(rest, "after the parent", epoch=epoch, within=_WITHIN)
                    ]
                    await stage.event({"event": "child fed", "text": text, "pid": child, "epoch": epoch + 1}, _WITHIN)
                    await owner.ended()
                finally:
                    _end(child)
                (newcomer,) = await stage.start()
                await stage.join([newcomer])
                await newcomer.do("begin_blocking")
                players = [*rest, newcomer]
        stage.check_sockets()
        findings.figure("forks of the owner, whose child was fed on", size.forks)
        findings.times("the parent killed, everybody received again after", times)


def _end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
