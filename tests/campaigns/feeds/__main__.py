"""Eight readers in three processes on six fake venues that break: `python -m tests.campaigns.feeds --minutes 20`.

Prints what happened and a verdict; exits with 1 if anything is off: a message that is missing without a gap or came
twice, a book that isn't the venue's, a limit exceeded, a socket too many. Ctrl-C ends it early (130).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from onesocket.testing.services import BinanceVenue, SlackVenue
from tests.campaigns.harness.director import add_seed, run_command
from tests.campaigns.harness.probe import PROC, Sample
from tests.campaigns.harness.worker_process import Event, WorkerFailure, WorkerProcess

from .accounts import book_key
from .report import FeedsFindings, report
from .schedule import SERVICES, SLACK, FaultSchedule
from .venues import SoakVenue, make_venues, running

_PROCESSES: Final = (((1, 2), (3,)), ((4, 5), (6,)), ((7, 8), ()))
"""The readers of each process: on its event loop, and in threads."""
_WORKER: Final = Path(__file__).with_name("worker.py")
_FEED_EVERY: Final = 0.05
_FAULT_EVERY: Final = 0.8
_TICK: Final = 0.02
_STALL: Final = 0.1
_BOOKS_EVERY: Final = 5.0
CALM_EVERY: Final = 150.0
"""Seconds between two comparisons of everything."""
SETTLE_SECONDS: Final = 60.0
_REST_SECONDS: Final = 0.5
_CLOSE_SECONDS: Final = 30.0
_PROGRESS_EVERY: Final = 10.0


class FeedsCampaign:
    """One campaign."""

    def __init__(self, seconds: float, seed: int) -> None:
        self.findings = FeedsFindings(seed)
        self.stop = asyncio.Event()
        self.venues = make_venues(seed, self._report)
        self._seconds = seconds
        self._schedule = FaultSchedule(seed, _FAULT_EVERY)
        self._workers: list[WorkerProcess] = []
        self._feeding = asyncio.Event()
        self._started = time.monotonic()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> FeedsFindings:
        """All of it."""
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(running(self.venues))
            directory = stack.enter_context(tempfile.TemporaryDirectory(dir="/tmp", prefix="onesocket-feeds-"))
            stack.push_async_callback(self._end_workers)
            await self._start_workers(directory)
            self._started = time.monotonic()
            async with asyncio.TaskGroup() as group:
                background = [group.create_task(work) for work in (self._feed(), self._watch(), self._measure_stalls())]
                await self._play()
                for task in background:
                    task.cancel()
            await self._finish()
        return self.findings

    # --- processes --------------------------------------------------------------------------------------------------

    async def _start_workers(self, directory: str) -> None:
        accounts = [(service, _url_of(venue), _api_of(venue)) for service, venue in self.venues.items()]
        for number, (on_loop, in_threads) in enumerate(_PROCESSES, 1):
            given = {
                "seed": self.findings.seed,
                "directory": directory,
                "accounts": accounts,
                "on the loop": on_loop,
                "in threads": in_threads,
            }
            worker = await WorkerProcess.start(
                _WORKER, given, name=f"process {number}", on_event=self._heard, collect_errors=True
            )
            self._workers.append(worker)
        for worker in self._workers:
            await worker.until(lambda event: event["event"] == "ready")
        await asyncio.gather(*(worker.do("start") for worker in self._workers))

    async def _end_workers(self) -> None:
        for worker in self._workers:
            await worker.end()
            if worker.errors:
                self._report(f"{worker.name} wrote to stderr: {worker.errors[-3000:]}")

    async def _all(self, do: str, within: float = 20.0, **more: Any) -> list[Any]:
        return list(await asyncio.gather(*(worker.do(do, within=within, **more) for worker in self._workers)))

    def _heard(self, worker: WorkerProcess, event: Event) -> bool:
        if event["event"] != "wrong":
            return False
        self._report(f"{worker.name}: {event['text']}")
        return True

    def _report(self, text: str) -> None:
        self.findings.wrong.append(text)
        if len(self.findings.wrong) <= 100:
            print(f"  ! {self._elapsed():.1f} s  {text}", flush=True)

    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    # --- the run ----------------------------------------------------------------------------------------------------

    async def _play(self) -> None:
        calm_at, told = CALM_EVERY, 0.0
        await self._compare()
        await self._go_on()
        while not self.stop.is_set() and self._elapsed() < self._seconds:
            fault = self._schedule.next()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(fault["after"]):
                    await self.stop.wait()
                    break
            self._strike(fault)
            if self._elapsed() > told + _PROGRESS_EVERY:
                told = self._elapsed()
                numbers = sum(sum(venue.numbers.values()) for venue in self.venues.values())
                counts = sum(venue.venue.counts.upgraded for venue in self.venues.values())
                text = f"{told:5.0f} of {self._seconds:.0f} s  {numbers} messages, {counts} connections"
                print(f"{text}, {len(self.findings.wrong)} problems", flush=True)
            if self._elapsed() > calm_at:
                calm_at = self._elapsed() + CALM_EVERY
                await self._compare()
                await self._go_on()
        self.findings.seconds = self._elapsed()
        self.findings.interrupted = self.stop.is_set()
        await self._compare()

    def _strike(self, fault: dict[str, Any]) -> None:
        name, service = fault["fault"], fault["service"]
        self.findings.faults[f"{service}: {name}"] += 1
        if name == "rotate()":
            task = asyncio.create_task(self._rotate(self.venues[service], fault["reader"]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self.venues[service].strike(fault)

    async def _rotate(self, venue: SoakVenue, reader: int) -> None:
        worker = self._workers[reader % len(self._workers)]
        venue.declared += 1
        try:
            end = await worker.do("rotate", within=60.0, service=venue.service, reader=reader)
            self.findings.rotations[f"{venue.service}: {end}"] += 1
        except WorkerFailure as error:
            self._report(f"rotate() at {venue.service}: {error}")
        finally:
            venue.declared -= 1

    async def _feed(self) -> None:
        """Send messages at all venues, at a steady rate."""
        self._feeding.set()
        while True:
            await self._feeding.wait()
            for venue in self.venues.values():
                venue.feed()
            await asyncio.sleep(_FEED_EVERY)

    async def _measure_stalls(self) -> None:
        """Note when this process, in which the venues count arrivals, didn't run."""
        before = time.monotonic()
        while True:
            await asyncio.sleep(_TICK)
            now = time.monotonic()
            if now - before > _STALL:
                for venue in self.venues.values():
                    venue.stalled(before, now)
            before = now

    async def _watch(self) -> None:
        """Look at the sockets, and compare books while everything is in motion."""
        next_books = time.monotonic() + _BOOKS_EVERY
        while True:
            await asyncio.sleep(0.25)
            for venue in self.venues.values():
                venue.watch()
            if time.monotonic() > next_books:
                next_books = time.monotonic() + _BOOKS_EVERY
                for states in await self._all("state"):
                    self._check_books(states)

    def _check_books(self, states: dict[str, Any]) -> None:
        for reader, views in states.items():
            for service, view in views.items():
                for known in filter(None, view["books"].values()):
                    number, content = known
                    self.findings.books += 1
                    if content not in self.venues[service].digests.get(number, set()):
                        self._report(f"reader {reader}, {service}: the book of number {number} isn't the venue's")

    # --- comparisons --------------------------------------------------------------------------------------------------

    async def _compare(self) -> None:
        """Break and change nothing for a moment, and compare everything."""
        await self._all("busy", within=60.0, on=False)
        await asyncio.gather(*(venue.calm() for venue in self.venues.values()), *self._tasks)
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            await asyncio.sleep(_REST_SECONDS)
            self._feeding.clear()
            different = await self._until_equal(2.0)
            if not different or time.monotonic() > deadline:
                break
            self._feeding.set()
        for text in different[:10]:
            self._report(f"{SETTLE_SECONDS:g} s after the last fault: {text}")
        for venue in self.venues.values():
            venue.check()
        self.findings.comparisons += 1
        for worker, values in zip(self._workers, await self._all("sample"), strict=True):
            self.findings.samples.setdefault(worker.name, []).append(Sample(**values))

    async def _go_on(self) -> None:
        for venue in self.venues.values():
            venue.is_calm = False
        self._feeding.set()
        await self._all("busy", on=True)

    async def _until_equal(self, seconds: float) -> list[str]:
        deadline = time.monotonic() + seconds
        while True:
            states = {reader: views for answer in await self._all("state") for reader, views in answer.items()}
            self.findings.add_states(states)
            different = self._differences(states)
            if not different or time.monotonic() > deadline:
                return different
            await asyncio.sleep(0.1)

    def _differences(self, states: dict[str, Any]) -> list[str]:
        found: list[str] = []
        wanted: dict[str, set[str]] = {service: set() for service in SERVICES}
        for reader, views in states.items():
            for service, view in views.items():
                venue, book = self.venues[service], book_key(service)
                wanted[service].update([*view["last"], *([book] if book else [])])
                for key, last in view["last"].items():
                    if last != venue.numbers.get(key):
                        found.append(f"reader {reader}, {service}: {key} is {last}, not {venue.numbers.get(key)}")
                if book is not None:
                    known = next(iter(view["books"].values()), None)
                    if known is None or tuple(known) != venue.book():
                        found.append(f"reader {reader}, {service}: the book is {known}, not {venue.book()}")
                if service == SLACK and view["envelopes"] != max(venue.numbers.values(), default=0):
                    found.append(f"reader {reader}: envelope {view['envelopes']} of {venue.numbers}")
        for service, keys in wanted.items():
            venue = self.venues[service]
            if len(venue.venue.sessions) != 1:
                found.append(f"{service}: {venue.venue.sessions!r}")
            elif venue.venue.keys != keys:
                found.append(f"{service}: subscribed to {sorted(venue.venue.keys)}, wanted are {sorted(keys)}")
            found += [f"{service}: not acknowledged: {each}" for each in venue.open_envelopes()]
        return found

    async def _finish(self) -> None:
        for told in await self._all("outcomes"):
            self.findings.requests.update(told["requests"])
            slack = self.venues[SLACK]
            assert isinstance(slack.venue, SlackVenue)
            self.findings.add_envelopes(slack.venue, told["envelopes"], max(slack.numbers.values(), default=0))
        await self._all("close", within=_CLOSE_SECONDS)
        for worker in self._workers:
            status = await worker.ended()
            if status:
                self._report(f"{worker.name} ended with status {status}")
        await asyncio.sleep(0.2)
        for venue in self.venues.values():
            if venue.held() or venue.venue.sessions:
                self._report(f"{venue.service}: {venue.held()} are open after the end")
        self.findings.add_venues(self.venues)


def _url_of(venue: SoakVenue) -> str:
    return venue.venue.stream_url() if isinstance(venue.venue, BinanceVenue) else venue.venue.url


def _api_of(venue: SoakVenue) -> str:
    match venue.venue:
        case BinanceVenue():
            return venue.venue.depth_url
        case SlackVenue():
            return venue.venue.open_url
        case _:
            return ""


async def campaign(seconds: float, seed: int) -> FeedsFindings:
    """Run it; SIGINT ends it early and in order."""
    loop = asyncio.get_running_loop()
    run = FeedsCampaign(seconds, seed)
    loop.add_signal_handler(signal.SIGINT, run.stop.set)
    try:
        return await run.run()
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(prog="make soak-feeds", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    add_seed(parser)
    options = parser.parse_args(arguments)
    if options.minutes <= 0:
        parser.error("--minutes must be above 0")
    if not PROC.is_dir():
        print("the soak reads /proc, so it needs Linux", file=sys.stderr)
        return 1
    logging.getLogger("onesocket").setLevel(logging.CRITICAL)
    print(f"seed {options.seed}: 8 readers, 3 processes, 6 venues, {options.minutes:g} minutes", flush=True)
    findings = asyncio.run(campaign(options.minutes * 60, options.seed))
    print(f"\n{report(findings)}")
    if findings.problems():
        return 1
    return 130 if findings.interrupted else 0


if __name__ == "__main__":
    run_command(main)
