"""The conditions under which ``onesocket connect`` ends without a signal: `--wait`, `--count` and `--stay`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Final

import typer

from ._usage import fail

DEFAULT_WAIT: Final = 1.0
"""Seconds: an answer that takes longer than a second is worth an option."""

WaitArgument = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="SECONDS",
        help="How long to wait for messages after the end of stdin. Default: 1 after lines of a pipe or file; 0 after "
        "those of a terminal, or none; with --count or --stay without end.",
    ),
]
CountArgument = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="End after N messages; with status 1 if fewer came.")
]
StayArgument = Annotated[
    bool, typer.Option("--stay", help="Stay connected when stdin ends, until --wait is over or --count is reached.")
]


@dataclass(frozen=True, slots=True)
class EndRule:
    """The options of one run that say when it ends."""

    stay: bool = False
    wait: float | None = None
    count: int | None = None

    def __post_init__(self) -> None:
        """Refuse a time that can't be awaited."""
        if self.wait is not None and not math.isfinite(self.wait):
            fail(f"--wait wants a number of seconds, not {self.wait}; --stay waits without end")

    def patience(self, *, sent: bool, typed: bool) -> float | None:
        """Seconds to wait for messages after the end of stdin; None: without end.

        `sent`: there was a line. `typed`: stdin is a terminal, where the end is given once the answers are read.
        """
        if self.wait is not None:
            return self.wait
        if self.stay or self.count is not None:
            return None
        return DEFAULT_WAIT if sent and not typed else 0.0
