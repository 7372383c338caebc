"""The places of a connection limit."""

from __future__ import annotations

import asyncio

from ._faults import ConnectionLimit


class Places:
    """The places that sessions have taken, and those that ghosts of ended sessions keep."""

    def __init__(self) -> None:
        self._taken: set[int] = set()
        self._ghosts: list[float] = []

    def __repr__(self) -> str:
        return f"<Places taken={len(self._taken)} ghosts={self.ghosts}>"

    @property
    def taken(self) -> int:
        """Number of places of sessions that are open."""
        return len(self._taken)

    @property
    def ghosts(self) -> int:
        """Number of places that are kept by sessions that have ended."""
        if self._ghosts:
            now = asyncio.get_running_loop().time()
            self._ghosts = [until for until in self._ghosts if until > now]
        return len(self._ghosts)

    def is_full(self, limit: ConnectionLimit | None) -> bool:
        """Return True if `limit` allows no further session."""
        return limit is not None and self.taken + self.ghosts >= limit.max_connections

    def take(self, number: int) -> None:
        """Give a place to the connection with this number."""
        self._taken.add(number)

    def leave(self, number: int, limit: ConnectionLimit | None, *, clean: bool) -> None:
        """Free the place of a connection, if it has one, once `limit` says; `clean` if CLOSE has gone both ways."""
        if number not in self._taken:
            return
        self._taken.discard(number)
        seconds = 0.0 if limit is None else limit.ghost_seconds_after_close if clean else limit.ghost_seconds
        if seconds > 0:
            self._ghosts.append(asyncio.get_running_loop().time() + seconds)
