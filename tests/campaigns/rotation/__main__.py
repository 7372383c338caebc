"""Rotates a connection many times: `python -m tests.campaigns.rotation`.

A server sends numbered messages on every open connection and keeps a ledger of those that it gets. It exits with 1 if a
reader misses or doubles a message, or gets one out of order or a gap; if a sent message is missing or doubled at the
server; or if there were more than two connections, or two outside of the time of a rotation.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from onesocket import Client, Gap, Json, Rotation
from onesocket.testing import FaultyServer

_DEADLINE = 30.0


@dataclass
class RotationLedger:
    """Counters of one run, and its problems."""

    published: int = 0
    read: int = 0
    sent: int = 0
    problems: list[str] = field(default_factory=list[str])

    def see(self, message: Any) -> None:
        """Take what the reader got."""
        if isinstance(message, Gap):
            self.problems.append(f"{message!r} behind message {self.read}")
            return
        number = message["number"]
        if self.read and number != self.read + 1:
            self.problems.append(f"message {number} behind {self.read}")
        self.read = number


async def _publish(server: FaultyServer, ledger: RotationLedger, pause: float) -> None:
    while True:
        ledger.published += 1
        await server.send(json.dumps({"number": ledger.published}))
        await asyncio.sleep(pause)


async def _send(client: Client[Any], ledger: RotationLedger, pause: float) -> None:
    while True:
        await client.send({"order": ledger.sent})
        ledger.sent += 1
        await asyncio.sleep(pause)


async def _run(rotations: int, overlap: float, pause: float) -> tuple[RotationLedger, FaultyServer]:
    ledger = RotationLedger()
    rotation = Rotation(identity=lambda message: message["number"], overlap=overlap)
    async with FaultyServer(echo=False, received_limit=1_000_000) as server:
        async with Client(server.url, protocol=Json(), rotation=rotation) as client:
            client.on(None, ledger.see, gaps=True)
            tasks = [asyncio.create_task(_publish(server, ledger, pause))]
            tasks.append(asyncio.create_task(_send(client, ledger, pause)))
            for number in range(rotations):
                async with asyncio.timeout(_DEADLINE):
                    await client.rotate()
                if client.epoch != number + 2 or server.counts.open_now != 1:
                    ledger.problems.append(f"rotation {number}: {server.counts.open_now} open, epoch {client.epoch}")
            for task in tasks:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            await asyncio.sleep(4 * overlap)
            if ledger.read != ledger.published:
                ledger.problems.append(f"{ledger.published} messages published, and the last one read is {ledger.read}")
        arrived = Counter(json.loads(data)["order"] for data in server.received)
    missing = [number for number in range(ledger.sent) if not arrived[number]]
    doubled = [number for number, count in arrived.items() if count > 1]
    ledger.problems += [f"orders missing: {missing}"] * bool(missing) + [f"orders doubled: {doubled}"] * bool(doubled)
    if server.counts.most_open != 2:
        ledger.problems.append(f"most open at once: {server.counts.most_open}")
    return ledger, server


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it and print its result."""
    parser = argparse.ArgumentParser(prog="make rotation", description="Rotate a connection many times.")
    parser.add_argument("--rotations", type=int, default=1_000)
    parser.add_argument("--overlap", type=float, default=0.05, help="seconds (default: 0.05)")
    parser.add_argument("--pause", type=float, default=0.002, help="seconds between messages (default: 0.002)")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    ledger, server = asyncio.run(_run(options.rotations, options.overlap, options.pause))
    print(
        f"{options.rotations} rotations in {time.monotonic() - began:.0f} s: {ledger.read} messages read, "
        f"{ledger.sent} sent, {server.counts.upgraded} connections, at most {server.counts.most_open} at once, "
        f"{len(ledger.problems)} problems"
    )
    for problem in ledger.problems[:20]:
        print(problem)
    return bool(ledger.problems)


if __name__ == "__main__":
    raise SystemExit(main())
