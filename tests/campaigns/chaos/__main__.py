"""``python -m tests.campaigns.chaos``: checks what `scope="host"` promises, with real processes, counted by the server.

Exits with 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from tests.campaigns.harness.director import add_seed, run_command
from tests.campaigns.harness.probe import load_note
from tests.campaigns.harness.report import write_document
from tests.campaigns.harness.worker_process import OrderRefused, WorkerFailure

from . import report
from .findings import ChaosFindings
from .scenarios import LONG_RUN, SCENARIOS, ChaosScenario
from .size import FULL, QUICK, RunSize


async def run_scenario(
    scenario: ChaosScenario, size: RunSize, seed: int, *, at_most: float = math.inf
) -> ChaosFindings:
    """Run one scenario, within its deadline and `at_most` seconds.

    Its random numbers are its own: alone it makes the same choices as among the others.
    """
    findings = ChaosFindings(scenario.title)
    started = time.monotonic()
    deadline = min(scenario.deadline(size), at_most)
    try:
        async with asyncio.timeout(deadline):
            await scenario.play(findings, size, random.Random(f"{seed} {scenario.name}"))
    except OrderRefused as error:
        findings.broken(str(error))
    except WorkerFailure as error:
        findings.broken(f"{error}{load_note()}")
    except TimeoutError as error:
        findings.broken(f"not done within {deadline:g} s {error}{load_note()}")
    findings.seconds = time.monotonic() - started
    return findings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    names = [scenario.name for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="all scenarios, but short, in less than a minute")
    parser.add_argument("--rounds", type=int, help="how often the owner is killed, stopped and asked to leave, each")
    parser.add_argument("--faults", type=int, help="how many faults processes of all kinds suffer")
    add_seed(parser)
    parser.add_argument("--only", action="append", choices=names, help="this scenario alone (may be repeated)")
    parser.add_argument("--write-docs", action="store_true", help="write the table into docs/chaos.md")
    options = parser.parse_args(arguments)
    size = QUICK if options.quick else FULL
    if options.rounds is not None:
        if options.rounds < 1:
            parser.error("--rounds must be 1 or more")
        size = replace(size, rounds=options.rounds)
    if options.faults is not None:
        if options.faults < 1:
            parser.error("--faults must be 1 or more")
        size = replace(size, kinds=options.faults)
    if not hasattr(os, "fork"):
        print("scope='host' needs Linux or macOS, and so does this campaign", file=sys.stderr)
        return 1
    print(f"seed {options.seed}, rounds {size.rounds}", flush=True)
    played: list[ChaosFindings] = []
    end = time.monotonic() + size.limit
    for scenario in SCENARIOS:
        if options.only and scenario.name not in options.only:
            continue
        print(f"       {scenario.title} …", flush=True)
        played.append(asyncio.run(run_scenario(scenario, size, options.seed, at_most=end - time.monotonic())))
    print(f"\n{report.table(played)}\n\n{report.verdict(played)}")
    if options.write_docs:
        part, more = ("chaos-long", f"--faults {size.kinds} ") if options.only == [LONG_RUN] else ("chaos", "")
        command = f'make {part} ARGS="{more}--seed {options.seed}"'
        write_document(part, report.document(played, command), page="chaos")
    return 1 if any(one.wrong for one in played) else 0


if __name__ == "__main__":
    run_command(main)
