"""The result of the demo: its rows, for people in plain words and for machines in JSON."""

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
    """One scenario, played with both clients."""

    scenario: Scenario
    ours: Measurement
    theirs: Measurement

    @property
    def ok(self) -> bool:
        """Whether every promise held; the other client has no say in it."""
        return not self.ours.broken


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All rows."""

    rows: Sequence[Row]
    callers: int
    seed: int
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether every promise held in every row."""
        return bool(self.rows) and all(row.ok for row in self.rows)

    def as_json(self) -> str:
        """One JSON object."""
        rows = [
            {
                "name": row.scenario.name,
                "title": row.scenario.title,
                "ok": row.ok,
                "broken": list(row.ours.broken),
                "onesocket": row.ours.as_json(),
                "check_then_connect": {**row.theirs.as_json(), "notes": list(row.theirs.notes)},
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
        """A few lines in plain words."""
        for row in self.rows:
            for promise in row.ours.broken:
                yield f"BROKEN in {row.scenario.name}: {promise}"
        yield self._verdict()
        yield self._comparison()
        for row in self.rows:
            if row.ours.notes and row.theirs.notes:
                yield (
                    f"{row.scenario.name}, left alone afterwards: onesocket {row.ours.notes[0]}, "
                    f"check-then-connect {row.theirs.notes[0]}."
                )
        yield f"{self.seconds:.1f} s; --seed {self.seed} repeats the same crowd."

    def _verdict(self) -> str:
        broken = sum(not row.ok for row in self.rows)
        if broken:
            return f"onesocket: promises broken in {broken} of {len(self.rows)} rows."
        return (
            f"onesocket: every promise held in {len(self.rows)} rows: one handshake, at most one open, "
            "none closed early, nobody hangs, nothing left."
        )

    def _comparison(self) -> str:
        rows = [row.theirs for row in self.rows]
        return (
            f"check-then-connect: {sum(row.handshakes for row in rows)} handshakes where {len(rows)} would do, "
            f"up to {max((row.most_open for row in rows), default=0)} open at once, "
            f"{sum(row.premature_closes for row in rows)} closed before established, "
            f"{sum(row.forgotten for row in rows)} forgotten open, {sum(row.hangs for row in rows)} hangs; "
            f"{sum(row.without_connection for row in rows)} of {sum(row.callers for row in rows)} calls returned "
            "without error and without a line."
        )


def versions() -> dict[str, str]:
    """What took part."""
    return {
        **{name: metadata.version(name) for name in ("onesocket", "picows", "websockets")},
        "python": platform.python_version(),
    }
