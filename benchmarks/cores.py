"""The server on one core, the client on another: where the machine has two and lets us choose."""

from __future__ import annotations

import os
import sys

_ALLOWED = frozenset(os.sched_getaffinity(0)) if sys.platform == "linux" else frozenset[int]()


def pin(*, server: bool) -> int | None:
    """Keep this process on one core; returns which, or None where that can't be done."""
    if sys.platform != "linux":
        return None
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        return None
    core = cores[0] if server else cores[1]
    os.sched_setaffinity(0, {core})
    return core


def spare() -> int | None:
    """A core that this process keeps off since it was pinned, if there is one; for a child, which inherits that."""
    if sys.platform != "linux":
        return None
    return min(_ALLOWED - os.sched_getaffinity(0), default=None)


def pin_to(core: int) -> None:
    """Keep this process on that core."""
    if sys.platform == "linux":
        os.sched_setaffinity(0, {core})


def unpin() -> None:
    """Let this process, and children that it starts from now on, run wherever it was allowed to."""
    if sys.platform == "linux":
        os.sched_setaffinity(0, _ALLOWED)
