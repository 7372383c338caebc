"""The table of the chaos campaign."""

from __future__ import annotations

import datetime as dt
import os
import platform
from collections.abc import Sequence

from .findings import ChaosFindings


def table(scenarios: Sequence[ChaosFindings]) -> str:
    """All scenarios with their figures."""
    width = max((len(name) for one in scenarios for name, _ in one.figures), default=0)
    lines: list[str] = []
    for one in scenarios:
        lines.append(f"{'kept  ' if not one.wrong else 'BROKEN'} {one.title} ({one.seconds:.1f} s)")
        lines += [f"         {name:<{width}}  {value}" for name, value in one.figures]
        lines += [f"   !     {text}" for text in one.wrong]
    return "\n".join(lines)


def verdict(scenarios: Sequence[ChaosFindings]) -> str:
    """The result of all scenarios in one line."""
    wrong = sum(bool(one.wrong) for one in scenarios)
    seconds = sum(one.seconds for one in scenarios)
    if wrong:
        return f"promises broken in {wrong} of {len(scenarios)} scenarios ({seconds:.0f} s)"
    return f"every promise held in {len(scenarios)} scenarios ({seconds:.0f} s)"


def document(scenarios: Sequence[ChaosFindings], command: str) -> str:
    """The summary for the page of the campaign."""
    today = dt.datetime.now(dt.UTC).date()
    return (
        f"`{command}` on {today}, {os.cpu_count()} shared cores, Python {platform.python_version()}, "
        f"{platform.system()}:\n```text\n{table(scenarios)}\n{verdict(scenarios)}\n```"
    )
