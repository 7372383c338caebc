"""A process as the kernel describes it: whether a number still means the same one, running the same program."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """Fields of ``/proc/PID/stat``, numbered from 3 on."""

    start_time: str
    """In ticks since the machine's start."""
    stack: int
    """Address of the stack of its program, which is another one after an `exec`; 0: it isn't told."""
    faults: int
    """Number of minor page faults."""
    state: str
    """``R`` if it runs or could run."""

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """The present fields; None where they are unknown."""
        try:
            text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
            fields = text.rpartition(")")[2].split()
            return cls(fields[19], int(fields[25]), int(fields[7]), fields[0])
        except (OSError, IndexError, ValueError):
            return None

    @classmethod
    def unknown(cls) -> Self:
        """The fields of a process that can't be looked at."""
        return cls("-", 0, 0, "?")


class ExecWatch:
    """Tells when a process has closed what an `exec` closes, once its lock was found free.

    The kernel closes it before the new program runs its first instruction, but in no stated order: the lock may be free
    some microseconds before the socket is closed.
    """

    def __init__(self, pid: int, stack: int) -> None:
        self._pid = pid
        self._stack = stack
        """Address of the stack before."""
        self._faults: int | None = None
        """Page faults when the new program was first seen."""

    def __repr__(self) -> str:
        return f"<ExecWatch pid={self._pid} {'watching' if self._faults is None else 'seen'}>"

    def is_done(self) -> bool:
        """True if the process runs another program: a page was touched since, or the program waits for something."""
        now = ProcessStat.of(self._pid)
        if now is None or 0 in (self._stack, now.stack) or now.stack == self._stack:
            return False
        if self._faults is None:
            self._faults = now.faults
        return now.faults > self._faults or now.state == "S"
