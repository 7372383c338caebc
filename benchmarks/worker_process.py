"""A worker as the plan sees it: a child process that measures what it is told to."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from .server_process import ROOT
from .workload import Sample, Workload

_PATIENCE = 90.0
_GOODBYE = 10.0


class MeasurementFailed(Exception):
    """A worker could not do its work."""


class WorkerProcess:
    """Starts with the block and ends with it."""

    def __init__(self, url: str, loop: str, environment: Mapping[str, str] | None = None) -> None:
        """`environment`: variables that the process gets beside those of this one."""
        self._arguments = (url, loop)
        self._environment = {**os.environ, **(environment or {})}

    def __enter__(self) -> Self:
        """Start it."""
        command = (sys.executable, "-m", "benchmarks.worker", *self._arguments)
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=ROOT, env=self._environment, stdin=pipe, stdout=pipe)  # noqa: S603 - our own
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it: by the end of its stdin, or else by a signal."""
        try:
            self._process.communicate(timeout=_GOODBYE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def measure(self, subject: str, work: Workload) -> Sample:
        """Have this measured. Raises `MeasurementFailed`."""
        answer = self._ask({"subject": subject, "scenario": work.scenario, "count": work.count, "size": work.size})
        return Sample(answer["cpu"], answer["wall"], tuple(answer["each"]))

    def memory(self, subject: str, count: int) -> float:
        """Bytes for each of so many idle clients."""
        return float(self._ask({"memory": subject, "count": count})["bytes"])

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None  # noqa: S101 - pipes were asked for
        assert stdout is not None  # noqa: S101 - as above
        stdin.write(json.dumps(order).encode() + b"\n")
        stdin.flush()
        if not select.select([stdout], [], [], _PATIENCE)[0]:
            self._process.kill()
            raise MeasurementFailed(f"no answer within {_PATIENCE:g} s to {order}")
        line = stdout.readline()
        if not line:
            raise MeasurementFailed(f"the worker ended during {order}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise MeasurementFailed(f"{order}: {answer['error']}")
        return answer
