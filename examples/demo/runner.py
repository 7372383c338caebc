"""Plays the rows one after the other and says whether every promise held."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence

from .measurement import measure
from .report import Report, Row
from .reporter import Reporter
from .scenario import Scenario


async def run_all(scenarios: Sequence[Scenario], *, callers: int, seed: int, screen: Reporter) -> Report:
    """Play every row with both clients.

    Each row has its own random numbers, so that a row alone repeats what it did among the others.
    """
    started = time.monotonic()
    rows: list[Row] = []
    for scenario in scenarios:
        screen.begins(scenario)
        ours = await measure(scenario.ours, callers, _random_for(seed, scenario), promises=True)
        theirs = await measure(scenario.theirs, callers, _random_for(seed, scenario), promises=False)
        row = Row(scenario, ours, theirs)
        rows.append(row)
        screen.played(row)
    return Report(rows=rows, callers=callers, seed=seed, seconds=time.monotonic() - started)


def run(scenarios: Sequence[Scenario], *, callers: int, seed: int, screen: Reporter) -> int:
    """Play, show, and return the exit status: 0 only if every promise held."""
    with screen:
        report = asyncio.run(run_all(scenarios, callers=callers, seed=seed, screen=screen))
    screen.ends(report)
    return 0 if report.ok else 1


def _random_for(seed: int, scenario: Scenario) -> random.Random:
    return random.Random(f"{seed} {scenario.name}")
