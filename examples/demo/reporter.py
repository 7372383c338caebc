"""How the demo is shown while it runs: live on a terminal, line by line in a pipe, not at all for machines."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.text import Text

from .report import Report, Row
from .scenario import Scenario
from .table import DEFAULT_WIDTH, StyledLine, Table, legend


class Reporter(Protocol):
    """What the demo tells while it runs."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...
    def begins(self, scenario: Scenario) -> None:
        """This row is being played."""
        ...

    def played(self, row: Row) -> None:
        """This row is there."""
        ...

    def ends(self, report: Report) -> None:
        """All rows are there. Called after the block."""
        ...


class JsonReporter:
    """One JSON object at the end, and nothing else."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        pass

    def begins(self, scenario: Scenario) -> None:
        """Nothing."""

    def played(self, row: Row) -> None:
        """Nothing."""

    def ends(self, report: Report) -> None:
        """The object."""
        print(report.as_json())


class PlainReporter:
    """Aligned ASCII, each line once, without any escape code: for pipes, files and dumb terminals."""

    def __init__(self, scenarios: Sequence[Scenario]) -> None:
        self._table = Table([scenario.name for scenario in scenarios], DEFAULT_WIDTH)

    def __enter__(self) -> Self:
        for line in self._table.header():
            _print(line)
        return self

    def __exit__(self, *_exc: object) -> None:
        pass

    def begins(self, scenario: Scenario) -> None:
        """Nothing: a pipe sees only what is there."""

    def played(self, row: Row) -> None:
        """Its line."""
        _print(self._table.line(row))

    def ends(self, report: Report) -> None:
        """What happened, what the columns mean, and the summary."""
        for line in _closing_words(report):
            _print([(line, "")])


class LiveReporter:
    """A table that grows, with a bar under it."""

    def __init__(self, scenarios: Sequence[Scenario]) -> None:
        # Our texts hold no emoji names and no markup; what looks like either is meant as it stands.
        self._console = Console(highlight=False, emoji=False, markup=False)
        dash = "─" if self._console.encoding.startswith("utf") else "-"
        self._table = Table([scenario.name for scenario in scenarios], self._console.width, dash=dash)
        self._lines = [_text(line) for line in self._table.header()]
        self._progress = Progress(
            SpinnerColumn("line"), BarColumn(20), MofNCompleteColumn(), TextColumn("{task.description}", markup=False)
        )
        self._task = self._progress.add_task("", total=len(scenarios))
        self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=10)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.update(self._task, visible=False)
        self._live.stop()

    def begins(self, scenario: Scenario) -> None:
        """Its title stands beside the bar."""
        self._progress.update(self._task, description=f"{scenario.name}: {scenario.title}")

    def played(self, row: Row) -> None:
        """Its line joins the table."""
        self._lines.append(_text(self._table.line(row)))
        self._progress.advance(self._task)

    def ends(self, report: Report) -> None:
        """The legend, dimmed, and the summary."""
        summary = list(report.summary())
        for line in _closing_words(report):
            style = "bold red" if line.startswith("BROKEN") else "" if line in summary else "dim"
            self._console.print(Text(line, style=style))

    def _render(self) -> Group:
        return Group(*self._lines, self._progress)


def reporter_for(scenarios: Sequence[Scenario], *, as_json: bool) -> Reporter:
    """The screen for where stdout goes."""
    if as_json:
        return JsonReporter()
    # Asked of the file itself: rich also takes FORCE_COLOR for a terminal, and a pipe must stay readable.
    if sys.stdout.isatty() and not Console().is_dumb_terminal:
        return LiveReporter(scenarios)
    return PlainReporter(scenarios)


_NEXT_STEPS: Final = (
    "Next: `onesocket serve` runs a chat server (docs/chat-server.md), and `onesocket chat` the chat (docs/chat.md).",
)


def _closing_words(report: Report) -> list[str]:
    rows = [f"{row.scenario.name}: {row.scenario.title}." for row in report.rows]
    return ["", *rows, "", *legend(), "", *report.summary(), "", *_NEXT_STEPS]


def _text(line: StyledLine) -> Text:
    return Text.assemble(*line, no_wrap=True, overflow="ellipsis")


def _print(line: StyledLine) -> None:
    print("".join(text for text, _ in line), flush=True)
