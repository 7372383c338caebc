"""Unexpected exceptions of a member's tasks (no memory, a bug of ours or of a library), after which they go on."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Final

from ._counted_coordinator import ClusterCounters
from ._textless_error import textless

_log: Final = logging.getLogger("onesocket")
_FIRST_DELAY: Final = 0.05
_MAX_DELAY: Final = 30.0
_FORGOTTEN_AFTER: Final = 10
"""The last delay so many times without another exception: the delays begin anew."""
_MANY: Final = 6
"""This many in a row are more than a moment without memory: another host may do better."""


class Faults:
    """Logs and counts unexpected exceptions, and delays what goes on after them: each time longer while they come."""

    __slots__ = ("_count", "_counters", "_delay", "_until")

    def __init__(self, counters: ClusterCounters | None = None) -> None:
        self._counters = ClusterCounters() if counters is None else counters
        self._count = 0
        self._delay = 0.0
        self._until = -math.inf

    def __repr__(self) -> str:
        return f"<Faults {self._count}>"

    @property
    def are_many(self) -> bool:
        """True if so many came in a row that a longer wait is due."""
        return self._count >= _MANY

    def note(self, error: Exception, what: str) -> None:
        """Log and count an exception of `what`, and have `wait` wait longer."""
        now = asyncio.get_running_loop().time()
        if now - self._until > _FORGOTTEN_AFTER * self._delay:
            self._count = 0
        self._delay = min(2 * self._delay, _MAX_DELAY) if self._count else _FIRST_DELAY
        self._count += 1
        self._until = now + self._delay
        self._counters.note_error(error)
        name = type(error).__name__
        _log.error("%s failed (%s), and goes on in %.2g s", what, name, self._delay, exc_info=textless(error))

    async def wait(self) -> None:
        """Wait until what failed may go on."""
        await asyncio.sleep(max(0.0, self._until - asyncio.get_running_loop().time()))
