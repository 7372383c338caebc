"""Counters of the local server's gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from onesocket.errors import WaitTimeout


@dataclass(slots=True)
class Stats:
    """Counted since the server started, except `open` and `sessions`, which are now."""

    handshakes: int = 0
    """Upgrade requests, answered in any way."""
    refused: int = 0
    """Upgrade requests that were refused."""
    identifies: int = 0
    """Identifies that reached READY."""
    resumes: int = 0
    """Resumes that reached RESUMED."""
    zlib_stream: int = 0
    """Connections compressed by ``zlib-stream``."""
    zstd_stream: int = 0
    """Connections compressed by ``zstd-stream``."""
    packed: int = 0
    """READYs compressed by themselves, on request of Identify's `compress`."""
    invalid_sessions: int = 0
    """Op 9, sent for any reason."""
    heartbeats: int = 0
    """Heartbeats of clients."""
    events: int = 0
    """Events that were published, each counted once."""
    dropped: int = 0
    """Connections aborted because their client didn't read."""
    open: int = 0
    """WebSockets that are open."""
    sessions: int = 0
    """Sessions, those to be resumed included."""


class StatsCounter:
    """Counts, and wakes waiters when their condition holds. Not thread-safe."""

    def __init__(self) -> None:
        self._stats = Stats()
        self._waiters: list[tuple[Callable[[Stats], bool], asyncio.Future[None]]] = []

    def __repr__(self) -> str:
        return f"<StatsCounter {self._stats}>"

    def add(self, name: str, by: int = 1) -> None:
        """Add `by` to the counter `name`."""
        setattr(self._stats, name, getattr(self._stats, name) + by)
        for condition, future in self._waiters:
            if not future.done() and condition(self._stats):
                future.set_result(None)

    def snapshot(self) -> Stats:
        """A copy of the current numbers."""
        return replace(self._stats)

    async def wait_for(self, condition: Callable[[Stats], bool], timeout: float) -> Stats:
        """Wait until `condition` holds. Raises `WaitTimeout` after `timeout` seconds."""
        if not condition(self._stats):
            entry = (condition, asyncio.get_running_loop().create_future())
            self._waiters.append(entry)
            try:
                async with asyncio.timeout(timeout):
                    await entry[1]
            except TimeoutError:
                raise WaitTimeout(f"not within {timeout:g} s; the server has counted {self._stats}") from None
            finally:
                self._waiters.remove(entry)
        return self.snapshot()
