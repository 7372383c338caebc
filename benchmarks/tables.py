"""The tables, as rows of text: for the terminal, and for the documents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from .plan import SCENARIOS
from .record import Record, Spread
from .subjects import (
    BARE,
    BARE_SERVER,
    CALLBACK,
    CLIENT,
    CLIENT_CALLBACK,
    CLUSTER_REDIS,
    FUTURE_MAP,
    HOST,
    LOOK_UP_AND_CALL,
)
from .targets import TARGETS

_COMPARED: Final = {
    "frames-256": "onesocket.wire, C twin",
    "connect": BARE,
    "join": "one shared Future",
    "request-256": FUTURE_MAP,
    "fan-out": "1 × callback",
    "keys": LOOK_UP_AND_CALL,
    "recover": "",
    "broadcast": BARE_SERVER,
    "shared-receive-256": CLIENT_CALLBACK,
    "shared-receive-8192": CLIENT_CALLBACK,
    "shared-send-256": CLIENT,
    "shared-latency-256": CLIENT,
    "shared-in-flight-256": CLIENT,
    "shared-echo-256": CLIENT,
    "between-processes": HOST,
    "between-processes-paced": HOST,
    "between-hosts": CLUSTER_REDIS,
    "between-hosts-paced": CLUSTER_REDIS,
    "engine-commands": "",
    "fail-over": "",
}
_OPERATIONS: Final = {
    "connect": "connection",
    "join": "caller",
    "request-256": "request",
    "recover": "recovery",
    "broadcast": "delivery",
    "engine-commands": "host and batch",
    "fail-over": "owner",
}
BY_CLOCK: Final = frozenset(
    {
        "between-processes",
        "between-processes-paced",
        "between-hosts",
        "between-hosts-paced",
        "engine-commands",
        "fail-over",
        "shared-latency-256",
        "shared-in-flight-256",
    }
)
"""Waiting for each other is the point: ratios and order are by the clock."""


@dataclass(slots=True)
class Table:
    """A head and rows of as many cells."""

    key: str
    title: str
    head: list[str]
    rows: list[list[str]] = field(default_factory=list)
    charts: list[str] = field(default_factory=list)
    """The loops of its charts."""

    def text(self) -> str:
        """Return the table as text for a terminal."""
        widths = [max(map(len, column)) for column in zip(self.head, *self.rows, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(width) if place == 0 else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in (self.head, *self.rows)
        ]
        return "\n".join([self.title, lines[0], "  ".join("-" * width for width in widths), *lines[1:]])

    def markdown(self) -> str:
        """Return the table as Markdown, below its charts."""
        images = [f"![{self.key} on {loop}](performance/{self.key}-{loop}.svg)" for loop in self.charts]
        rule = ["---"] + ["---:"] * (len(self.head) - 1)
        rows = ["| " + " | ".join(row) + " |" for row in (self.head, rule, *self.rows)]
        return "\n".join([*images, *([""] if images else []), *rows])


def number(value: float) -> str:
    """Three significant digits, never an exponent."""
    return f"{value:.0f}" if value >= 99.5 else f"{value:.3g}"


def spread(value: Spread | None, unit: str = "") -> str:
    """A median with its quartiles."""
    if value is None:
        return "–"
    return f"{number(value.median)}{unit} ({number(value.low)}–{number(value.high)})"


def target_table(record: Record) -> Table:
    """Every target, and what was measured."""
    table = Table("targets", "Targets (median ratio, quartiles)", ["target", "bound"])
    for loop in record.loops:
        table.head += [f"{loop}: ratio", "reached"]
    for target in TARGETS:
        row = [f"{target.number}. {target.text}", target.shown_bound]
        for loop in record.loops:
            ratio = target.measured(record, loop)
            row += [
                spread(ratio, target.unit),
                "–" if ratio is None else "yes" if target.is_reached(ratio) else "**no**",
            ]
        if any(cell != "–" for cell in row[2:]):
            table.rows.append(row)
    return table


def scenario_tables(record: Record) -> list[Table]:
    """Yield one table for each measured scenario."""
    return [_scenario_table(record, key) for key in SCENARIOS if any(cell.scenario == key for cell in record.cells)]


def _scenario_table(record: Record, key: str) -> Table:
    unit, scale = ("ms", 1e-3) if key in {"recover", "fail-over"} else ("µs", 1.0)
    compared = _COMPARED.get(key, CALLBACK)
    per = _OPERATIONS.get(key, "message")
    quantity = "wall" if key in BY_CLOCK else "cpu"
    if key == "engine-commands":
        unit = "commands"
    shows_cpu, shows_wall = (
        key not in {"fail-over", "engine-commands"},
        key in {"echo-256", "shared-echo-256", "recover", *BY_CLOCK},
    )
    shows_worst = key == "fail-over"
    table = Table(key, f"{SCENARIOS[key].title}: {unit} for each {per}", [""])
    measured = {cell.loop for cell in record.cells if cell.scenario == key}
    table.charts = [loop for loop in record.loops if loop in measured]
    for loop in record.loops:
        table.head += [f"{loop}: CPU {unit}"] if shows_cpu else []
        table.head += [f"{loop}: {'' if unit == 'commands' else 'wall '}{unit}"] if shows_wall else []
        table.head += [f"{loop}: worst"] if shows_worst else []
        table.head += [f"over {compared}"] if compared else []
    for name in dict.fromkeys(cell.subject for cell in record.cells if cell.scenario == key):
        row = [name]
        for loop in record.loops:
            cell = record.cell(key, name, loop)
            if shows_cpu:
                row.append(spread(Spread.of([value * scale for value in cell.cpu]) if cell else None))
            if shows_wall:
                row.append(spread(Spread.of([value * scale for value in cell.each or cell.wall]) if cell else None))
            if shows_worst:
                worst = max(cell.each, default=0.0) if cell else 0.0
                row.append(f"{number(worst * scale)} of {len(cell.each)}" if cell and cell.each else "–")
            if compared:
                ratio = record.ratio(key, name, compared, loop, quantity=quantity)
                row.append("–" if ratio is None else f"{number(ratio.median)}×")
        table.rows.append(row)
    if key not in {"fan-out", "recover"}:
        first = record.loops[0]
        table.rows.sort(key=lambda row: _median(record, key, row[0], first, quantity))
    return table


def _median(record: Record, key: str, name: str, loop: str, quantity: str) -> float:
    cell = record.cell(key, name, loop)
    return Spread.of(getattr(cell, quantity)).median if cell else float("inf")


def memory_table(record: Record) -> Table:
    """Return the table of memory for each idle client."""
    loops = list(dict.fromkeys(loop for sizes in record.memory.values() for loop in sizes))
    table = Table("memory", "Memory for each idle client: KiB", ["", *loops])
    for name, sizes in record.memory.items():
        table.rows.append([name, *(_kib(sizes.get(loop)) for loop in loops)])
    return table


def _kib(sizes: list[float] | None) -> str:
    return "–" if sizes is None else spread(Spread.of([size / 1024 for size in sizes]))


def import_table(record: Record) -> Table:
    """Return the table of import times by statement."""
    table = Table("imports", "import, by -X importtime", ["", "ms", "modules"])
    for name, cost in record.imports.items():
        table.rows.append([name, spread(Spread.of(cost["ms"])), str(int(cost["modules"][-1]))])
    return table


def environment_table(record: Record) -> Table:
    """Where and with what."""
    table = Table("environment", "Measured with", ["", "value"])
    table.rows += [[name, str(value)] for name, value in record.machine.items()]
    table.rows += [[name, value] for name, value in record.versions.items()]
    table.rows += [[f"not measured: {name}", why] for name, why in record.missing.items()]
    return table


def all_tables(record: Record) -> list[Table]:
    """Return all tables with rows."""
    makers: tuple[Callable[[Record], Table], ...] = (memory_table, import_table, environment_table)
    tables = [target_table(record), *scenario_tables(record), *(make(record) for make in makers)]
    return [table for table in tables if table.rows]
