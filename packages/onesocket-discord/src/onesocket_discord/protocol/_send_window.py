"""How fast the gateway lets us send: 120 payloads within 60 s on a connection, ours and the protocol's together."""

from __future__ import annotations

import math
from typing import Final

from onesocket.protocols._pace import SendWindow

from ._limits import MIN_SENDS, SEND_LIMIT, SEND_WINDOW

_LOGIN_SLOTS: Final = 2
"""Identify or Resume, and a heartbeat that the server asks for."""


class GatewaySendWindow(SendWindow):
    """A sliding window in which places are kept for heartbeats and the login."""

    def __init__(self) -> None:
        super().__init__(SEND_LIMIT, SEND_WINDOW)

    def reserve_heartbeats(self, heartbeat: float) -> None:
        """Keep places for a heartbeat every so many seconds."""
        kept = math.ceil(SEND_WINDOW / heartbeat) + _LOGIN_SLOTS
        self._limit = max(MIN_SENDS, SEND_LIMIT - kept)

    def is_full(self, now: float) -> bool:
        """True if even the protocol itself would be too fast."""
        self._forget(now)
        return len(self._sent) >= SEND_LIMIT
