"""``onesocket replay FILE``: shows a recording of a flight recorder."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from .._printable import printable
from ..errors import InvalidRecording
from ._usage import EXIT_FAILED, fail, show_error


def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of a FlightRecorder.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="The lines of the file, checked, as they are.")] = False,
) -> None:
    """Show a recording: times, direction (< from the server, > to it, = of the client), kind and content.

    Each line has the time of day (UTC), the seconds since the first line, the number of the client (if there are
    several) and of its connection. Messages are shown in part; control characters are written out.

    Exit status: 0; 1 if the file can't be read, or stdout not be written; 2 if it is no recording.
    """
    from ..recording._lines import encode_line
    from ..recording._reader import Recording
    from ..recording._show import describe, describe_time

    try:
        recording = Recording.load(file)
    except InvalidRecording as error:
        fail(str(error))
    except OSError as error:
        fail(f"{file} can't be read: {error.strerror}", EXIT_FAILED)
    if as_json:
        shown = [encode_line(recording.header), *map(encode_line, recording.lines)]
    else:
        began = recording.lines[0].t if recording.lines else 0.0
        has_several = len({line.client for line in recording.lines}) > 1
        shown = [
            f"{describe_time(line, began)} {f'#{line.client} ' if has_several else ''}{line.epoch:>3} {describe(line)}"
            for line in recording.lines
        ]
    _write(shown)
    if recording.header.dropped and not as_json:
        show_error(f"{recording.header.dropped} older lines were dropped by the ring of the recorder")
    if recording.is_torn:
        show_error("the last line was written in part only, and is left out")


def _write(lines: list[str]) -> None:
    try:
        for line in lines:
            typer.echo(printable(line))
        sys.stdout.flush()
    except BrokenPipeError:
        os._exit(0)  # stdout has no reader; Python's own clean-up would write again
    except OSError as error:
        show_error(f"the recording could not be written to stdout: {error.strerror}")
        os._exit(EXIT_FAILED)  # as above
