"""Measures the tasks, file descriptors, memory and objects of a process, by /proc."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc/self")
"""There only on Linux."""
# The growth after warm-up that does not count: the allocator and asyncio keep a little.
RSS_SLACK: Final = 8 * 2**20
RSS_FACTOR: Final = 1.05
OBJECTS_SLACK: Final = 2_000
OBJECTS_FACTOR: Final = 1.02
LOAD_FACTOR: Final = 3
"""Load average for each core from which on a missed deadline says it: the campaigns alone make less."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The resources of this process at one moment."""

    tasks: int
    descriptors: int
    rss: int
    objects: int

    def as_dict(self) -> dict[str, int]:
        """For JSON."""
        return asdict(self)

    def growth(self, before: Sample) -> list[str]:
        """The resources that have grown since `before`."""
        found: list[str] = []
        if self.tasks != before.tasks:
            found.append(f"tasks: {before.tasks} after warm-up, {self.tasks} at the end")
        if self.descriptors != before.descriptors:
            found.append(f"file descriptors: {before.descriptors} after warm-up, {self.descriptors} at the end")
        if self.rss > before.rss * RSS_FACTOR + RSS_SLACK:
            found.append(f"RSS: {before.rss >> 10} KiB after warm-up, {self.rss >> 10} KiB at the end")
        if self.objects > before.objects * OBJECTS_FACTOR + OBJECTS_SLACK:
            found.append(f"objects: {before.objects} after warm-up, {self.objects} at the end")
        return found


def load_note() -> str:
    """Text for a missed deadline: the load of the machine, if that may be the reason; else empty."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load <= cores * LOAD_FACTOR:
        return ""
    return (
        f"\n    (load average {load:.0f} on {cores} cores: the deadlines are those of a machine with a core to spare)"
    )


def resident_bytes(pid: int | str = "self") -> int:
    """Resident memory of a process; 0 where there is no /proc."""
    path = Path(f"/proc/{pid}/statm")
    return int(path.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") if path.exists() else 0


def open_descriptors() -> int:
    """The number of open file descriptors of this process; 0 where there is no /proc."""
    return len(os.listdir(PROC / "fd")) - 1 if PROC.is_dir() else 0  # noqa: PTH208 - one is the listing's own


def sample() -> Sample:
    """Measure this process, after a garbage collection, and with free memory given back to the system."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    return Sample(
        tasks=len(asyncio.all_tasks()),
        descriptors=open_descriptors(),
        rss=resident_bytes(),
        objects=len(gc.get_objects()),
    )
