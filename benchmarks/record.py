"""The results of a run: the JSON file, and the numbers derived from it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from .workload import Sample


@dataclass(frozen=True, slots=True)
class Spread:
    """A median and the quartiles around it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)


@dataclass(slots=True)
class Cell:
    """One subject in one scenario on one loop: microseconds for each operation, round by round."""

    scenario: str
    subject: str
    loop: str
    count: int
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    each: list[float] = field(default_factory=list)
    """By the clock, of all rounds, where the worst one matters."""

    def add(self, sample: Sample) -> None:
        """Add the results of one round."""
        self.cpu.append(sample.cpu / self.count * 1e6)
        self.wall.append(sample.wall / self.count * 1e6)
        self.each += [seconds * 1e6 for seconds in sample.each]


@dataclass(slots=True)
class Record:
    """One run."""

    machine: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    amount: dict[str, Any] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)
    memory: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """Subject to loop to bytes for each idle client."""
    imports: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """Statement to `ms` (of `-X importtime`) and `modules`."""

    def cell(self, scenario: str, subject: str, loop: str) -> Cell | None:
        """Return the cell, if it was measured."""
        wanted = (scenario, subject, loop)
        return next((cell for cell in self.cells if (cell.scenario, cell.subject, cell.loop) == wanted), None)

    @property
    def loops(self) -> list[str]:
        """On which loops."""
        measured = [*(cell.loop for cell in self.cells), *(loop for sizes in self.memory.values() for loop in sizes)]
        return list(dict.fromkeys(measured or ["asyncio"]))

    def ratio(self, scenario: str, above: str, below: str, loop: str, *, quantity: str = "cpu") -> Spread | None:
        """Return the ratio of two subjects' costs, round by round."""
        ones = self._costs(scenario, above, loop, quantity)
        others = self._costs(scenario, below, loop, quantity)
        if not ones or not others:
            return None
        return Spread.of([one / other for one, other in zip(ones, others, strict=True)])

    def cost(self, scenario: str, subject: str, loop: str, *, quantity: str = "cpu") -> Spread | None:
        """Return the cost of one subject, if it was measured."""
        costs = self._costs(scenario, subject, loop, quantity)
        return Spread.of(costs) if costs else None

    def _costs(self, scenario: str, subject: str, loop: str, quantity: str) -> list[float] | None:
        match scenario:
            case "memory":
                return self.memory.get(subject, {}).get(loop)
            case "imports":
                return self.imports.get(subject, {}).get("ms")
            case _:
                return getattr(self.cell(scenario, subject, loop), quantity, None)

    def write(self, path: Path) -> None:
        """Write the record as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_rounded(asdict(self)), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a record from JSON."""
        values = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**values, "cells": [Cell(**cell) for cell in values["cells"]]})


def _rounded(value: Any) -> Any:
    match value:
        case float():
            return float(f"{value:.5g}")
        case dict():
            return {key: _rounded(item) for key, item in value.items()}
        case list():
            return [_rounded(item) for item in value]
        case _:
            return value
