"""Heartbeat of an event loop, by which it knows that it has stood still."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

_STOOD_STILL: Final = 0.5
"""Seconds by which a heartbeat of a loop is late that stood still: it may do so again."""


class OnHeartbeat(Protocol):
    """Call of each heartbeat."""

    def __call__(self, *, is_first_late: bool) -> object:
        """`is_first_late`: it's the first one that tells that the loop has stood still."""


class LoopHeartbeat:
    """Calls every `interval` seconds."""

    __slots__ = ("_call", "_due", "_interval", "_loop", "_timer", "was_late")

    def __init__(self, interval: float, call: OnHeartbeat) -> None:
        self._interval = interval
        self._call = call
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self.was_late = False
        """True once the event loop has stood still for a while."""

    def __repr__(self) -> str:
        return f"<LoopHeartbeat{' late' if self.was_late else ''} due={self._due:g}>"

    def start(self) -> None:
        """Wait for the next one."""
        self.stop()
        self._due = self._loop.time() + self._interval
        self._timer = self._loop.call_at(self._due, self._on_timer)

    def stop(self) -> None:
        """Stop; it has no effect on one that is being called."""
        if self._timer is not None:
            self._timer.cancel()

    def go_on(self) -> None:
        """Make up for one that is overdue: Ctrl-C may have interrupted it, while the event loop goes on."""
        if self._is_late(self._due):
            self._on_timer()

    def _is_late(self, due: float) -> bool:
        return self._loop.time() - due > _STOOD_STILL

    def _on_timer(self) -> None:
        due = self._due
        self.start()  # first, as Ctrl-C may interrupt the rest
        is_first_late = not self.was_late and self._is_late(due)
        self.was_late |= is_first_late
        self._call(is_first_late=is_first_late)
