"""A cassette: a program's conversation with a real server, recorded once and replayed on virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from ..errors import UsageError
from ..recording._files import RecordingFile
from ..recording._reader import Recording
from ..recording._recorder import FlightRecorder
from ..recording._script import scripts_of
from ._memory_replay import MemoryReplay
from ._virtual_time import run_virtual

T = TypeVar("T")


class CassetteMode(enum.StrEnum):
    """Use of the file of a cassette."""

    ONCE = "once"
    """Record where there is no file, replay where there is one."""
    REPLAY = "replay"
    """Replay a file that has to be there."""
    RECORD = "record"
    """Record anew."""


class Cassette:
    """Runs a program against the server and records it, or against the recording: ``cassette.run(program)``.

    The program is a function without arguments that returns a coroutine; it passes `options` to its client:
    ``Client(url, **cassette.options)``. `redact`: as of `FlightRecorder`.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, mode: CassetteMode = CassetteMode.ONCE, redact: bool = True
    ) -> None:
        self.path = Path(path)
        self.options: dict[str, Any] = {}
        """The options of the client, while `run` runs the program."""
        self._mode = mode
        self._redact = redact

    def __repr__(self) -> str:
        return f"<Cassette {str(self.path)!r} {self._mode.value}>"

    @property
    def is_replaying(self) -> bool:
        """True if the recording is replayed, and no server is needed."""
        return self._mode is CassetteMode.REPLAY or (self._mode is CassetteMode.ONCE and self.path.exists())

    def run(self, program: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run the program on a loop of its own and return its result; raises what it raises.

        Only a program that comes to its end is recorded, and only messages that can be replayed. Raises
        `InvalidRecording`: they can't be; `UsageError`: no file to replay, or a loop is running already.
        """
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop()
            raise UsageError("cassette.run() runs a loop of its own: call it in a test that is a plain function")
        if not self.is_replaying:
            return self._record(program)
        if not self.path.exists():
            raise UsageError(f"there is no cassette {self.path}: record it (--cassettes=once), and keep the file")
        self.options = {"transport": MemoryReplay(self.path).transport()}
        return run_virtual(program)

    def _record(self, program: Callable[[], Coroutine[Any, Any, T]]) -> T:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(self.path.name + ".partial")
        try:
            with RecordingFile(partial) as sink:
                recorder = FlightRecorder(sink=sink, redact=self._redact)
                self.options = {"recorder": recorder}
                result = asyncio.run(program())
                if recorder.sink_error is not None:
                    raise recorder.sink_error
            scripts_of(Recording.load(partial))
            partial.replace(self.path)
        finally:
            partial.unlink(missing_ok=True)
        return result
