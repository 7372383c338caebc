"""How fast the gateway lets us send: 120 payloads within 60 s on a connection, ours and the protocol's together."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from ..base import Pace
from .limits import LEAST_SENDS, SEND_LIMIT, SEND_WINDOW

_LOGIN_PLACES: Final = 2
"""Identify or Resume, and a heartbeat that the server asks for."""


class GatewayPace(Pace):
    """A sliding window in which places are kept for heartbeats and the login."""

    def __init__(self) -> None:
        self._sent: deque[float] = deque()
        self._places = SEND_LIMIT

    def __repr__(self) -> str:
        return f"<GatewayPace {len(self._sent)}/{self._places}>"

    def begin(self) -> None:
        """A new connection: nothing was sent on it."""
        self._sent.clear()

    def keep_places(self, heartbeat: float) -> None:
        """Keep places for a heartbeat every so many seconds."""
        kept = math.ceil(SEND_WINDOW / heartbeat) + _LOGIN_PLACES
        self._places = max(LEAST_SENDS, SEND_LIMIT - kept)

    def note(self, now: float) -> None:
        """The protocol itself sends one."""
        self._sent.append(now)

    def is_full(self, now: float) -> bool:
        """Whether even the protocol itself would be too fast."""
        self._forget(now)
        return len(self._sent) >= SEND_LIMIT

    def take(self, now: float) -> float:
        """The turn of one message of the application."""
        self._forget(now)
        over = len(self._sent) - self._places
        if over < 0:
            self._sent.append(now)
            return 0.0
        return max(self._sent[over] + SEND_WINDOW - now, 0.001)

    def _forget(self, now: float) -> None:
        sent = self._sent
        while sent and sent[0] <= now - SEND_WINDOW:
            sent.popleft()
