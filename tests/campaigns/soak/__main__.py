"""Keeps many clients on a server that breaks something every second: `python -m tests.campaigns.soak --minutes 15`.

Prints what happened and a verdict; exits with 1 if anything is off: a socket too many, a message that is not accounted
for, or tasks, file descriptors or memory that grew. Ctrl-C ends it early, and the verdict is about what was run (130).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

from tests.campaigns.harness.director import add_seed, run_command
from tests.campaigns.harness.probe import PROC, Sample, sample
from tests.campaigns.harness.worker_process import WorkerProcess
from tests.campaigns.soak.director import Director
from tests.campaigns.soak.report import SoakFindings, report
from tests.campaigns.soak.soak_client import SoakClient

SAMPLES: Final = 4
"""How often it's measured: after warm-up, at the end, and between."""
_SETTLE_SECONDS: Final = 30.0
REST_SECONDS: Final = 2.0
_END_SECONDS: Final = 120.0
_ORDER_SECONDS: Final = 60.0
_SERVER: Final = Path(__file__).with_name("server.py")


@contextlib.asynccontextmanager
async def server_process(seed: int) -> AsyncIterator[tuple[WorkerProcess, str]]:
    """Run the server; yields its process and its URL."""
    process = await WorkerProcess.start(_SERVER, seed)
    try:
        ready = await process.until(lambda event: event["event"] == "ready")
        yield process, str(ready["url"])
    finally:
        await process.end()


class SoakCampaign:
    """One campaign."""

    def __init__(
        self, server: WorkerProcess, url: str, *, seconds: float, clients: int, rate: float, seed: int
    ) -> None:
        self.findings = SoakFindings(seed=seed, clients=clients, rate=rate)
        self.stop = asyncio.Event()
        self._server = server
        self._seconds = seconds
        self._busy = asyncio.Event()
        self._director = Director(seed, clients)
        capacity = int(seconds * rate * 3) + 5_000
        self._clients = [
            SoakClient(number, url, seed=seed, rate=rate, capacity=capacity, busy=self._busy)
            for number in range(clients)
        ]
        self._started = time.monotonic()
        self._live = sys.stdout.isatty()
        self._told = -10

    async def run(self) -> SoakFindings:
        """All of it, within bounds."""
        before = sample()
        self._busy.set()
        for client in self._clients:
            client.start()
        marks = self._marks()
        while not self.stop.is_set() and self._elapsed() < self._seconds:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self.stop.wait()
                    break
            await self._break_something()
            if marks and self._elapsed() >= marks[0]:
                marks.pop(0)
                await self._measure()
        self.findings.seconds = self._elapsed()
        self.findings.interrupted = self.stop.is_set()
        await self._measure()
        await self._close(before)
        return self.findings

    def _marks(self) -> list[float]:
        warm = min(120.0, self._seconds / 5)
        return [warm + (self._seconds - warm) * part / (SAMPLES - 1) for part in range(SAMPLES - 1)]

    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    async def _break_something(self) -> None:
        order = self._director.next()
        await self._server.do(within=_ORDER_SECONDS, **order)
        self.findings.faults[order["do"]] += 1
        if order["do"] == "stop reading":
            # Somebody has to run into it: a few messages would just wait in the kernel.
            for number in order["clients"][:3]:
                self._clients[number].flood()
        self._progress(order["label"])

    def _progress(self, label: str) -> None:
        second = int(self._elapsed())
        if not self._live and second < self._told + 10:
            return
        self._told = second
        up = sum(client.client.state.name == "CONNECTED" for client in self._clients)
        messages = sum(client.record.used for client in self._clients)
        echoes = sum(client.echoes for client in self._clients)
        text = f"{second:4} of {self._seconds:.0f} s  {up} of {len(self._clients)} connected  "
        text += f"{messages} messages, {echoes} echoes  {label}"
        print(f"\r{text[:118]:<118}" if self._live else text, end="" if self._live else "\n", flush=True)

    async def _measure(self) -> None:
        """Nothing is broken and nothing is sent for a moment: what is held then is held for good."""
        self._busy.clear()
        await self._server.do("calm", within=_ORDER_SECONDS)
        deadline = time.monotonic() + _SETTLE_SECONDS
        settled_since = time.monotonic()
        while time.monotonic() < deadline:
            if not all(client.is_settled for client in self._clients):
                settled_since = time.monotonic()
            elif time.monotonic() - settled_since > REST_SECONDS:
                break
            await asyncio.sleep(0.1)
        else:
            restless = [client for client in self._clients if not client.is_settled]
            self.findings.wrong.append(
                f"not settled {_SETTLE_SECONDS:g} s after the last fault: {restless[0].client!r}"
            )
        self.findings.samples.append((self._elapsed(), sample()))
        self._busy.set()

    async def _close(self, before: Sample) -> None:
        self._busy.clear()
        await asyncio.gather(*(client.stop() for client in self._clients))
        await asyncio.sleep(REST_SECONDS)
        told = await self._server.do("report", within=_ORDER_SECONDS)
        self.findings.after, self.findings.before = sample(), before
        self.findings.take(self._clients, told)


async def campaign(*, seconds: float, clients: int, rate: float, seed: int) -> SoakFindings:
    """Run it against a server process of its own; SIGINT ends it early and in order."""
    loop = asyncio.get_running_loop()
    async with server_process(seed) as (server, url):
        soak = SoakCampaign(server, url, seconds=seconds, clients=clients, rate=rate, seed=seed)
        loop.add_signal_handler(signal.SIGINT, soak.stop.set)
        try:
            async with asyncio.timeout(seconds + SAMPLES * (_SETTLE_SECONDS + REST_SECONDS) + _END_SECONDS):
                return await soak.run()
        finally:
            loop.remove_signal_handler(signal.SIGINT)


class WarningLog(logging.Handler):
    """Counts records of other loggers from WARNING on, as asyncio's for a write to a lost connection."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.counts: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        """Count it."""
        self.counts[f"{record.name}: {record.getMessage()[:200]}"] += 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(prog="make soak-clients", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--rate", type=float, default=4.0, help="messages per second and client")
    add_seed(parser)
    options = parser.parse_args(arguments)
    if options.minutes <= 0 or options.clients < 1 or options.rate <= 0:
        parser.error("--minutes, --clients and --rate must be above 0")
    if not PROC.is_dir():
        print("the soak reads /proc, so it needs Linux", file=sys.stderr)
        return 1
    logging.getLogger("onesocket").setLevel(logging.CRITICAL)  # errors are what this is about; the ledger has them
    print(f"seed {options.seed}: {options.clients} clients, {options.minutes:g} minutes", flush=True)
    remarks = WarningLog()
    logging.getLogger().addHandler(remarks)
    try:
        findings = asyncio.run(
            campaign(seconds=options.minutes * 60, clients=options.clients, rate=options.rate, seed=options.seed)
        )
    finally:
        logging.getLogger().removeHandler(remarks)
    findings.wrong += [f"logged {count} times: {text}" for text, count in remarks.counts.items()]
    print(f"\n{report(findings)}")
    if findings.problems():
        return 1
    return 130 if findings.interrupted else 0


if __name__ == "__main__":
    run_command(main)
