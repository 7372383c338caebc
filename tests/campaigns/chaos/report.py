"""The table."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from .findings import ChaosFindings

PAGE: Final = Path(__file__).resolve().parents[3] / "docs" / "proof.md"
_BEGIN: Final = "<!-- measured -->"
_END: Final = "<!-- /measured -->"


def table(acts: Sequence[ChaosFindings]) -> str:
    """All acts with their figures."""
    width = max((len(name) for act in acts for name, _ in act.figures), default=0)
    lines: list[str] = []
    for act in acts:
        lines.append(f"{'kept  ' if not act.wrong else 'BROKEN'} {act.title} ({act.seconds:.1f} s)")
        lines += [f"         {name:<{width}}  {value}" for name, value in act.figures]
        lines += [f"   !     {text}" for text in act.wrong]
    return "\n".join(lines)


def verdict(acts: Sequence[ChaosFindings]) -> str:
    """In a line."""
    wrong = sum(bool(act.wrong) for act in acts)
    seconds = sum(act.seconds for act in acts)
    if wrong:
        return f"promises broken in {wrong} of {len(acts)} acts ({seconds:.0f} s)"
    return f"every promise held in {len(acts)} acts ({seconds:.0f} s)"


def write(acts: Sequence[ChaosFindings], command: str) -> None:
    """Replace the measured block of the page."""
    today = dt.datetime.now(dt.UTC).date()
    block = (
        f"{_BEGIN}\n`{command}` on {today}, {os.cpu_count()} shared cores, Python {platform.python_version()}, "
        f"{platform.system()}:\n```text\n{table(acts)}\n{verdict(acts)}\n```\n{_END}"
    )
    text = PAGE.read_text()
    PAGE.write_text(re.sub(f"{_BEGIN}.*{_END}", lambda _: block, text, flags=re.DOTALL))
