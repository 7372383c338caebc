"""``--trace``: shows states, frames and verdicts on stderr as they happen."""

from __future__ import annotations

from ..recording._lines import Header, Line
from ..recording._recorder import FlightRecorder
from ..recording._show import describe, describe_time
from ._output import Output


class Trace:
    """A sink of a flight recorder that writes each line to stderr, redacted as files are."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._began: float | None = None

    def __repr__(self) -> str:
        return f"<Trace {self._output!r}>"

    def begin(self, header: Header) -> None:
        """Nothing: a terminal needs no header."""

    def add(self, line: Line) -> None:
        """Write one line."""
        if self._began is None:
            self._began = line.t
        self._output.say(f"{describe_time(line, self._began)} {line.epoch:>3} {describe(line)}")


def trace_recorder(output: Output) -> FlightRecorder:
    """The recorder of a client whose traffic is traced."""
    return FlightRecorder(sink=Trace(output))
