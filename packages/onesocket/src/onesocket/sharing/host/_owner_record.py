"""Content of a lock file: the process that owns the connection, or owned it last."""

from __future__ import annotations

import os
import select
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from ._process_stat import ProcessStat

RECORD_BYTES: Final = 128


@dataclass(frozen=True, slots=True)
class OwnerRecord:
    """Content of the lock file, written by the owner."""

    pid: int
    """0: the owner released the lock in order."""
    process_start_time: str
    """``-``: it isn't known."""
    epoch: int
    """The newest epoch that any process was told of. It only grows for as long as the file is there."""
    ownership_id: int = 0
    """A random number, the same for as long as one process owns the connection without a break.

    0: no process followed when it was released.
    """
    stack: int = 0
    """Address of its stack, by which an `exec` is told; 0: it isn't known."""
    level: int = 0
    """Of its abstract socket lock: one more than that of the stopped owner that it took over from."""

    @classmethod
    def of(cls, pid: int, epoch: int, ownership_id: int = 0) -> Self:
        """The record of a running process."""
        stat = ProcessStat.of(pid) or ProcessStat.unknown()
        return cls(pid, stat.start_time, epoch, ownership_id, stat.stack)

    @classmethod
    def read(cls, descriptor: int) -> Self | None:
        """The record in an open lock file; None: there is none."""
        return cls.parse(os.pread(descriptor, RECORD_BYTES, 0))

    @classmethod
    def read_at(cls, path: Path) -> Self | None:
        """The record in the lock file at `path`; None: there is none, or it can't be opened."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            return cls.read(descriptor)
        finally:
            os.close(descriptor)

    def write(self, descriptor: int) -> None:
        """Write it to an open lock file. Raises OSError."""
        os.pwrite(descriptor, (str(self).ljust(RECORD_BYTES - 1) + "\n").encode(), 0)

    @classmethod
    def parse(cls, text: bytes) -> Self | None:
        """The record with this text; None: it is none."""
        try:
            pid, start_time, *numbers = text.split()
            return cls(int(pid), start_time.decode("ascii"), *map(int, numbers))
        except (ValueError, TypeError):
            return None

    def __str__(self) -> str:
        numbers = self.epoch, self.ownership_id, self.stack, self.level
        return f"{self.pid} {self.process_start_time} {' '.join(map(str, numbers))}"

    def is_gone(self) -> bool:
        """True if the kernel has closed all descriptors of the process, once its lock was found free."""
        if self.pid in (0, os.getpid()):
            return True  # a member of this very process lets go of its lock last, and in order
        if not hasattr(os, "pidfd_open"):
            return self._has_no_process()
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        except OSError:  # no descriptor is free
            return self._has_no_process()
        try:
            stat = ProcessStat.of(self.pid)
            if stat is not None and self.process_start_time not in ("-", stat.start_time):
                return True  # another process has the number now
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            return bool(poll.poll(0))
        finally:
            os.close(handle)

    def _has_no_process(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        return False
