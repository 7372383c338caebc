"""What one client sees of the world, numbered, and kept for when it comes back."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Iterator
from typing import Final, Protocol

from ._server_payloads import FrontendDispatch

REPLAY_COUNT: Final = 2000
"""Dispatches kept for a resume ..."""
REPLAY_BYTES: Final = 2 << 20
"""... and their bytes."""


class FrontendSessionConnection(Protocol):
    """The connection that carries a session."""

    def write(self, payload: bytes) -> None:
        """Write one payload to the client."""

    def close(self, code: int, reason: str) -> None:
        """Close in order; the session can be resumed."""

    def invalidate(self) -> None:
        """Carry it no longer: the client may identify anew."""


class FrontendSession:
    """From READY until it ends: through as many connections as its client needs."""

    __slots__ = ("_replay", "_replay_bytes", "connection", "id", "intents", "seq", "timer")

    def __init__(self, intents: int) -> None:
        self.id = secrets.token_hex(16)
        self.intents = intents
        self.seq = 0
        """The number of the last dispatch."""
        self.connection: FrontendSessionConnection | None = None
        self.timer: asyncio.TimerHandle | None = None
        """Ends it when nobody comes back."""
        self._replay: deque[FrontendDispatch] = deque()
        self._replay_bytes = 0

    def __repr__(self) -> str:
        return f"<Session seq={self.seq} {'live' if self.connection is not None else 'waiting'}>"

    def push(self, body: FrontendDispatch) -> bool:
        """Number a dispatch, keep it, and write it if somebody is there: True then."""
        self.seq += 1
        self._replay.append(body)
        self._replay_bytes += body.size
        while len(self._replay) > REPLAY_COUNT or self._replay_bytes > REPLAY_BYTES:
            self._replay_bytes -= self._replay.popleft().size
        if self.connection is None:
            return False
        self.connection.write(body.payload(self.seq))
        return True

    def covers(self, seq: int) -> bool:
        """Whether everything after `seq` is still there."""
        return self.seq - len(self._replay) <= seq <= self.seq

    def missed(self, seq: int) -> Iterator[bytes]:
        """Everything after `seq`, in order."""
        first = self.seq - len(self._replay) + 1
        for number, body in enumerate(tuple(self._replay), first):
            if number > seq:
                yield body.payload(number)
