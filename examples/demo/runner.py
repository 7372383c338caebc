"""Runs the rows of the demo one after the other."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence

from .measurement import measure
from .report import Report, Row
from .reporter import Reporter
from .scenario import Scenario


async def run_all(scenarios: Sequence[Scenario], *, callers: int, seed: int, reporter: Reporter) -> Report:
    """Run every row with both clients.

    Each row has its own random numbers, so that a row alone repeats its part of a whole run.
    """
    started = time.monotonic()
    rows: list[Row] = []
    for scenario in scenarios:
        reporter.start(scenario)
        onesocket = await measure(scenario.onesocket, callers, _random_for(seed, scenario), promises=True)
        baseline = await measure(scenario.baseline, callers, _random_for(seed, scenario), promises=False)
        row = Row(scenario, onesocket, baseline)
        rows.append(row)
        reporter.add(row)
    return Report(rows=rows, callers=callers, seed=seed, seconds=time.monotonic() - started)


def run(scenarios: Sequence[Scenario], *, callers: int, seed: int, reporter: Reporter) -> int:
    """Run and show all rows; return the exit status: 0 only if every promise held."""
    with reporter:
        report = asyncio.run(run_all(scenarios, callers=callers, seed=seed, reporter=reporter))
    reporter.finish(report)
    return 0 if report.ok else 1


def _random_for(seed: int, scenario: Scenario) -> random.Random:
    return random.Random(f"{seed} {scenario.name}")
