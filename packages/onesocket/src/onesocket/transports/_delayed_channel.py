"""One direction of a connection in memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any


class DelayedChannel:
    """One direction: calls are made in order, `latency` seconds later. asyncio's timers alone don't keep order."""

    def __init__(self, latency: float) -> None:
        self._latency = latency
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[float, Callable[..., object], tuple[Any, ...]]] = deque()
        self._timer: asyncio.Handle | None = None

    def put(self, call: Callable[..., object], *args: object) -> None:
        """Call this after the latency."""
        self._queue.append((self._loop.time() + self._latency, call, args))
        if self._timer is None:
            self._arm()

    def cut(self) -> None:
        """Drop the calls on their way."""
        self._queue.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        due = self._queue[0][0]
        late = due <= self._loop.time()
        self._timer = self._loop.call_soon(self._deliver) if late else self._loop.call_at(due, self._deliver)

    def _deliver(self) -> None:
        self._timer = None
        if not self._queue:
            return
        _, call, args = self._queue.popleft()
        try:
            call(*args)
        finally:
            if self._queue and self._timer is None:
                self._arm()
