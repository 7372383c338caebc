"""``python -m tests.campaigns.chaos``: what `scope="host"` promises, with real processes, counted by the server.

Exits with 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from . import report
from .findings import ChaosFindings
from .member_process import ChaosFailure, JoinRefused
from .scenarios import SCENARIOS, ChaosScenario
from .size import FULL, QUICK, RunSize


async def run_scenario(act: ChaosScenario, size: RunSize, seed: int, *, at_most: float = math.inf) -> ChaosFindings:
    """One act, within its deadline and `at_most` seconds.

    Its random numbers are its own: alone it does what it did among the others.
    """
    findings = ChaosFindings(act.title)
    started = time.monotonic()
    deadline = min(act.deadline(size), at_most)
    try:
        async with asyncio.timeout(deadline):
            await act.play(findings, size, random.Random(f"{seed} {act.name}"))
    except (ChaosFailure, JoinRefused) as error:
        findings.broken(str(error))
    except TimeoutError as error:
        findings.broken(f"not done within {deadline:g} s {error}")
    findings.seconds = time.monotonic() - started
    return findings


def _terminated(*_: object) -> None:
    raise SystemExit(143)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    names = [act.name for act in SCENARIOS]
    parser = argparse.ArgumentParser(prog="make proof", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small one, in less than a minute")
    parser.add_argument("--rounds", type=int, help="how often the owner is killed, stopped, asked to leave, each")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="repeats the choices")
    parser.add_argument("--only", action="append", choices=names, help="this act alone (may be repeated)")
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/proof.md")
    options = parser.parse_args(arguments)
    size = QUICK if options.quick else FULL
    if options.rounds is not None:
        if options.rounds < 1:
            parser.error("--rounds must be 1 or more")
        size = replace(size, rounds=options.rounds)
    if not hasattr(os, "fork"):
        print("scope='host' needs Linux or macOS, and so does its proof", file=sys.stderr)
        return 1
    print(f"seed {options.seed}, rounds {size.rounds}", flush=True)
    played: list[ChaosFindings] = []
    end = time.monotonic() + size.limit
    for act in SCENARIOS:
        if options.only and act.name not in options.only:
            continue
        print(f"       {act.title} …", flush=True)
        played.append(asyncio.run(run_scenario(act, size, options.seed, at_most=end - time.monotonic())))
    print(f"\n{report.table(played)}\n\n{report.verdict(played)}")
    if options.write_docs:
        report.write(played, f'make proof ARGS="--seed {options.seed}"')
    return 1 if any(act.wrong for act in played) else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _terminated)  # the processes shall not survive this one
    sys.exit(main())
