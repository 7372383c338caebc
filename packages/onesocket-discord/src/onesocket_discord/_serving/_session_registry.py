"""The sessions of one served gateway, by id."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Generic, TypeVar

from ._session import ServedSession

S = TypeVar("S", bound=ServedSession)


class ServedSessions(Generic[S]):
    """Sessions; each is kept for `session_ttl` seconds without a connection."""

    def __init__(self, session_ttl: float) -> None:
        self._session_ttl = session_ttl
        self._by_id: dict[str, S] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {len(self._by_id)}>"

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[S]:
        return iter(tuple(self._by_id.values()))

    def __contains__(self, session: S) -> bool:
        return session.id in self._by_id

    def get(self, session_id: str) -> S | None:
        """The session with this id."""
        return self._by_id.get(session_id)

    def add(self, session: S) -> bool:
        """Add a session; returns False if there are too many."""
        self._by_id[session.id] = session
        return True

    def attached(self, session: S) -> None:
        """A connection carries the session."""
        session.cancel_timer()

    def detached(self, session: S) -> None:
        """The session has lost its connection: end it after its time."""
        if session in self:
            session.timer = asyncio.get_running_loop().call_later(self._session_ttl, self.end, session)

    def end(self, session: S) -> bool:
        """Forget the session; returns whether it was there. Its connection is left alone."""
        session.cancel_timer()
        return self._by_id.pop(session.id, None) is not None

    def end_all(self) -> None:
        """Forget all sessions."""
        for session in self:
            self.end(session)
