"""The output of the demo: live on a terminal, row by row in a pipe, or one JSON object at the end."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.text import Text

from .report import Report, Row
from .scenario import Scenario
from .table import DEFAULT_WIDTH, StyledLine, Table, legend


class Reporter(Protocol):
    """The output of a running demo."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...
    def start(self, scenario: Scenario) -> None:
        """Show that a row starts."""
        ...

    def add(self, row: Row) -> None:
        """Show the result of a row."""
        ...

    def finish(self, report: Report) -> None:
        """Show the report; called after the `with` block."""
        ...


class JsonReporter:
    """Prints one JSON object at the end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        pass

    def start(self, scenario: Scenario) -> None:
        """Print nothing."""

    def add(self, row: Row) -> None:
        """Print nothing."""

    def finish(self, report: Report) -> None:
        """Print the report as JSON."""
        print(report.as_json())


class PlainReporter:
    """Prints aligned ASCII without escape codes: for pipes, files and dumb terminals."""

    def __init__(self, scenarios: Sequence[Scenario]) -> None:
        self._table = Table([scenario.name for scenario in scenarios], DEFAULT_WIDTH)

    def __enter__(self) -> Self:
        for line in self._table.header():
            _print(line)
        return self

    def __exit__(self, *_exc: object) -> None:
        pass

    def start(self, scenario: Scenario) -> None:
        """Print nothing: a pipe gets only complete rows."""

    def add(self, row: Row) -> None:
        """Print the row."""
        _print(self._table.line(row))

    def finish(self, report: Report) -> None:
        """Print the scenarios, the legend and the summary."""
        for line in _closing_words(report):
            _print([(line, "")])


class LiveReporter:
    """Shows a table that grows, with a progress bar below."""

    def __init__(self, scenarios: Sequence[Scenario]) -> None:
        # The texts hold no emoji names and no markup.
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

    def start(self, scenario: Scenario) -> None:
        """Show the title beside the progress bar."""
        self._progress.update(self._task, description=f"{scenario.name}: {scenario.title}")

    def add(self, row: Row) -> None:
        """Add the row to the table."""
        self._lines.append(_text(self._table.line(row)))
        self._progress.advance(self._task)

    def finish(self, report: Report) -> None:
        """Print the legend, dimmed, and the summary."""
        summary = list(report.summary())
        for line in _closing_words(report):
            style = "bold red" if line.startswith("BROKEN") else "" if line in summary else "dim"
            self._console.print(Text(line, style=style))

    def _render(self) -> Group:
        return Group(*self._lines, self._progress)


def reporter_for(scenarios: Sequence[Scenario], *, as_json: bool) -> Reporter:
    """Return the reporter for the kind of stdout."""
    if as_json:
        return JsonReporter()
    # The file itself is asked, as rich also takes FORCE_COLOR for a terminal, and a pipe must stay readable.
    if sys.stdout.isatty() and not Console().is_dumb_terminal:
        return LiveReporter(scenarios)
    return PlainReporter(scenarios)


def _next_steps() -> str:
    """Return the commands to go on with; the environment of the demo need not be on the PATH."""
    python, here = Path(sys.executable), Path.cwd()
    command = shlex.quote(str(python.relative_to(here) if python.is_relative_to(here) else python))
    return (
        f"Next: docs/get-started.md has the first connection. `{command} -m onesocket serve` runs a chat server "
        f"(docs/chat-server.md), and `{command} -m onesocket chat` the chat (docs/chat.md)."
    )


def _closing_words(report: Report) -> list[str]:
    rows = [f"{row.scenario.name}: {row.scenario.title}." for row in report.rows]
    return ["", *rows, "", *legend(), "", *report.summary(), "", _next_steps()]


def _text(line: StyledLine) -> Text:
    return Text.assemble(*line, no_wrap=True, overflow="ellipsis")


def _print(line: StyledLine) -> None:
    print("".join(text for text, _ in line), flush=True)
