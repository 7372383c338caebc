"""The report of the demo: its rows, in words and as JSON."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata

from .measurement import Measurement
from .scenario import Scenario


@dataclass(frozen=True, slots=True)
class Row:
    """The results of one scenario with both clients."""

    scenario: Scenario
    onesocket: Measurement
    baseline: Measurement

    @property
    def ok(self) -> bool:
        """True if onesocket kept every promise; the baseline doesn't count."""
        return not self.onesocket.broken


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The results of all rows."""

    rows: Sequence[Row]
    callers: int
    seed: int
    seconds: float

    @property
    def ok(self) -> bool:
        """True if onesocket kept every promise in every row."""
        return bool(self.rows) and all(row.ok for row in self.rows)

    def as_json(self) -> str:
        """Return the report as one JSON object."""
        rows = [
            {
                "name": row.scenario.name,
                "title": row.scenario.title,
                "ok": row.ok,
                "broken": list(row.onesocket.broken),
                "onesocket": row.onesocket.as_json(),
                "check_then_connect": {**row.baseline.as_json(), "notes": list(row.baseline.notes)},
            }
            for row in self.rows
        ]
        return json.dumps(
            {
                "ok": self.ok,
                "seed": self.seed,
                "callers": self.callers,
                "seconds": round(self.seconds, 3),
                "versions": versions(),
                "rows": rows,
            },
            indent=2,
        )

    def summary(self) -> Iterator[str]:
        """Yield the lines of a summary."""
        for row in self.rows:
            for promise in row.onesocket.broken:
                yield f"BROKEN in {row.scenario.name}: {promise}"
        yield self._result()
        yield self._comparison()
        for row in self.rows:
            if row.onesocket.notes and row.baseline.notes:
                yield (
                    f"{row.scenario.name}, without callers afterwards: onesocket {row.onesocket.notes[0]}, "
                    f"check-then-connect {row.baseline.notes[0]}."
                )
        yield f"{self.seconds:.1f} s; --seed {self.seed} repeats this run."

    def _result(self) -> str:
        broken = sum(not row.ok for row in self.rows)
        if broken:
            return f"onesocket: promises broken in {broken} of {len(self.rows)} rows."
        return (
            f"onesocket: every promise held in {len(self.rows)} rows: one handshake, at most one open, "
            "none closed early, no caller hangs, nothing left."
        )

    def _comparison(self) -> str:
        rows = [row.baseline for row in self.rows]
        return (
            f"check-then-connect: {sum(row.handshakes for row in rows)} handshakes where {len(rows)} are needed, "
            f"up to {max((row.most_open for row in rows), default=0)} open at once, "
            f"{sum(row.premature_closes for row in rows)} closed before established, "
            f"{sum(row.forgotten for row in rows)} forgotten open, {sum(row.hangs for row in rows)} hangs; "
            f"{sum(row.without_connection for row in rows)} of {sum(row.callers for row in rows)} calls returned "
            "without error and without a connection."
        )


def versions() -> dict[str, str]:
    """Return the versions of the libraries and of Python."""
    return {
        **{name: metadata.version(name) for name in ("onesocket", "websockets")},
        "python": platform.python_version(),
    }
