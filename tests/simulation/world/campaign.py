"""Many seeds on all cores, with a progress line; the failing ones are printed, and each replays exactly."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TextIO

from .seed_run import SeedResult, minimise, run_seed

_SEEDS_PER_BLOCK = 200


@dataclass(slots=True)
class Summary:
    """The result of a campaign."""

    seeds: int = 0
    seconds: float = 0.0
    """Real seconds."""
    virtual_hours: float = 0.0
    dials: int = 0
    calls: int = 0
    faults: Counter[str] = field(default_factory=Counter[str])
    failing: list[tuple[int, tuple[str, ...]]] = field(default_factory=list[tuple[int, tuple[str, ...]]])
    """Each failing seed, and the promises it broke."""

    def add(self, other: Summary) -> None:
        """Take in what another one counted."""
        self.seeds += other.seeds
        self.virtual_hours += other.virtual_hours
        self.dials += other.dials
        self.calls += other.calls
        self.faults += other.faults
        self.failing += other.failing

    def __str__(self) -> str:
        faults = ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items()))
        rate = self.seeds / self.seconds if self.seconds else 0.0
        lines = [
            f"{self.seeds} seeds in {self.seconds:.0f} s ({rate:.0f}/s)",
            f"{self.virtual_hours:.0f} simulated hours, {self.dials} dials, {self.calls} calls",
            f"faults injected: {faults or 'none'}",
            f"failing seeds: {len(self.failing)}",
        ]
        lines += [f"  seed {seed}: {'; '.join(broken[:3])}" for seed, broken in self.failing[:10]]
        return "\n".join(lines)


def run_block(seeds: range) -> Summary:
    """Run some seeds in this process."""
    summary = Summary()
    log = logging.getLogger("onesocket")
    was_disabled, log.disabled = log.disabled, True  # thousands of failures are provoked; the client logs each
    try:
        for seed in seeds:
            _count(summary, run_seed(seed))
    finally:
        log.disabled = was_disabled
    return summary


def run_campaign(
    count: int,
    *,
    first: int = 0,
    processes: int | None = None,
    progress: TextIO | None = None,
) -> Summary:
    """Run `count` seeds from `first` on, on `processes` cores (default: all).

    `progress`: where a line is kept up to date while it runs.
    """
    processes = processes or os.cpu_count() or 1
    started = time.perf_counter()
    total = Summary()
    blocks = [
        range(start, min(start + _SEEDS_PER_BLOCK, first + count))
        for start in range(first, first + count, _SEEDS_PER_BLOCK)
    ]
    for block in _run_blocks(blocks, processes):
        total.add(block)
        total.seconds = time.perf_counter() - started
        if progress is not None:
            _show(progress, total, count)
    if progress is not None:
        progress.write("\n")
    return total


def _run_blocks(blocks: list[range], processes: int) -> Iterator[Summary]:
    if processes == 1 or len(blocks) == 1:
        yield from map(run_block, blocks)
        return
    # "spawn": a forked child would share the parent's event loop and test machinery.
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(run_block, blocks)


def _count(summary: Summary, result: SeedResult) -> None:
    summary.seeds += 1
    summary.virtual_hours += result.virtual_seconds / 3600
    summary.dials += result.dials
    summary.calls += result.calls
    summary.faults += result.faults
    if result.broken:
        summary.failing.append((result.seed, result.broken))


def _show(progress: TextIO, total: Summary, count: int) -> None:
    end = "\r" if progress.isatty() else "\n"
    every = max(1, count // 20)
    if end == "\r" or total.seeds % every < _SEEDS_PER_BLOCK:
        rate = total.seeds / total.seconds if total.seconds else 0.0
        progress.write(f"{total.seeds}/{count} seeds, {rate:.0f}/s, {len(total.failing)} failing{end}")
        progress.flush()


def main(arguments: list[str] | None = None) -> int:
    """The command: a campaign, or one seed again. Exit status 1 when a promise was broken."""
    import argparse  # noqa: PLC0415 - only the command needs it

    parser = argparse.ArgumentParser(prog="python -m tests.simulation.world", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5_000, help="how many (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first one (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=None, help="how many cores (default: all)")
    parser.add_argument("--replay", type=int, metavar="SEED", help="run this one seed again")
    parser.add_argument("--trace", action="store_true", help="with --replay: print every step")
    parser.add_argument(
        "--minimise", action="store_true", help="with --replay: leave out all that isn't needed to fail"
    )
    options = parser.parse_args(arguments)
    if options.replay is not None:
        skip = minimise(options.replay) if options.minimise else frozenset[str]()
        result = run_seed(options.replay, trace=options.trace, skip=skip)
        sys.stdout.write("".join(f"{line}\n" for line in (*result.trace, *(result.broken or ("every promise held",)))))
        return 1 if result.broken else 0
    summary = run_campaign(options.seeds, first=options.first, processes=options.processes, progress=sys.stderr)
    sys.stdout.write(f"{summary}\n")
    return 1 if summary.failing else 0
