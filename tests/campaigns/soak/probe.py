"""What a process holds, read from /proc: no more than Linux is needed."""

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
# How much more than after warm-up is still flat. The allocator and the books of asyncio breathe a little.
RSS_SLACK: Final = 8 * 2**20
RSS_FACTOR: Final = 1.05
OBJECTS_SLACK: Final = 2_000
OBJECTS_FACTOR: Final = 1.02


@dataclass(frozen=True, slots=True)
class Sample:
    """What this process holds."""

    tasks: int
    descriptors: int
    rss: int
    objects: int

    def as_dict(self) -> dict[str, int]:
        """For JSON."""
        return asdict(self)

    def growth(self, before: Sample) -> list[str]:
        """What is not flat any more."""
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


def sample() -> Sample:
    """Take one, with the garbage collected and free memory given back: what is held counts, not what is cached."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    pages = int((PROC / "statm").read_text(encoding="ascii").split()[1])
    return Sample(
        tasks=len(asyncio.all_tasks()),
        descriptors=len(os.listdir(PROC / "fd")) - 1,  # noqa: PTH208 - the one of the listing itself doesn't count
        rss=pages * os.sysconf("SC_PAGE_SIZE"),
        objects=len(gc.get_objects()),
    )
