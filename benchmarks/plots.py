"""Bar charts as SVG, by hand: no dependency, and the same file for the same numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from .plan import SCENARIOS
from .record import Record, Spread
from .tables import BY_CLOCK, number

_WIDTH, _LABEL, _ROW, _TOP, _RIGHT = 760, 270, 24, 46, 90
_FONT = 'font-family="system-ui, sans-serif" font-size="13"'
_COLOURS = {"ours": "#2563eb", "theirs": "#94a3b8"}


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of a chart."""

    label: str
    value: Spread
    is_ours: bool


def chart(title: str, unit: str, bars: Sequence[Bar]) -> str:
    """Horizontal bars on a logarithmic scale, each with its quartiles."""
    smallest = 10 ** math.floor(math.log10(min(bar.value.low for bar in bars)))
    largest = max(bar.value.high for bar in bars)
    room = _WIDTH - _LABEL - _RIGHT
    decades = max(1e-9, math.log10(largest / smallest))

    def place(value: float) -> float:
        return _LABEL + room * math.log10(max(value, smallest) / smallest) / decades

    height = _TOP + _ROW * len(bars) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" {_FONT}>',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="22" font-weight="600" fill="#0f172a">{escape(title)}</text>',
        f'<text x="12" y="39" font-size="11" fill="#475569">{escape(unit)}; less is better; logarithmic</text>',
    ]
    tick = smallest
    while tick <= largest:
        x = place(tick)
        parts.append(f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{height - 8}" stroke="#e2e8f0"/>')
        tick *= 10
    for row, bar in enumerate(bars):
        y = _TOP + row * _ROW
        end, low, high = (place(value) for value in (bar.value.median, bar.value.low, bar.value.high))
        colour = _COLOURS["ours" if bar.is_ours else "theirs"]
        middle, width = y + _ROW / 2, max(1.0, end - _LABEL)
        parts += [
            f'<text x="{_LABEL - 8}" y="{middle + 4}" text-anchor="end" fill="#0f172a">{escape(bar.label)}</text>',
            f'<rect x="{_LABEL}" y="{y + 4}" width="{width:.1f}" height="{_ROW - 8}" fill="{colour}"/>',
            f'<line x1="{low:.1f}" y1="{middle}" x2="{high:.1f}" y2="{middle}" stroke="#0f172a"/>',
            f'<text x="{max(end, high) + 6:.1f}" y="{middle + 4}" fill="#0f172a">{number(bar.value.median)}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


def charts(record: Record) -> dict[str, str]:
    """File name to SVG: one for each scenario and loop."""
    drawn: dict[str, str] = {}
    for key, scenario in SCENARIOS.items():
        for loop in record.loops:
            cells = [cell for cell in record.cells if (cell.scenario, cell.loop) == (key, loop)]
            if not cells:
                continue
            in_ms, by_clock = key in {"recover", "fail-over"}, key == "recover" or key in BY_CLOCK
            bars = [
                Bar(
                    cell.subject,
                    Spread.of([value / (1000 if in_ms else 1) for value in (cell.wall if by_clock else cell.cpu)]),
                    is_ours=cell.subject.startswith(_OURS_BEGIN) or cell.subject.endswith(_OURS_END),
                )
                for cell in cells
            ]
            if key != "fan-out":
                bars.sort(key=lambda bar: bar.value.median)
            side = "server" if key == "broadcast" else "client"
            unit = f"CPU microseconds of the {side} process"
            if by_clock:
                unit = f"wall {'milliseconds' if in_ms else 'microseconds'}"
            drawn[f"{key}-{loop}.svg"] = chart(f"{scenario.title} ({loop})", unit, bars)
    return drawn


_OURS_BEGIN = ("onesocket", "connect()", "join,")
_OURS_END = ("× callback", "× iterator")
