"""The gateway's send limit: 120 payloads in 60 s per connection, the application's and the protocol's together."""

from __future__ import annotations

import math
from typing import Final

from onesocket.protocols._pace import SendWindow

from ._limits import MIN_SENDS, SEND_LIMIT, SEND_WINDOW

_LOGIN_SLOTS: Final = 2
"""Slots for Identify or Resume, and for a heartbeat that the server requests."""


class GatewaySendWindow(SendWindow):
    """A sliding window with reserved slots for heartbeats and the login."""

    def __init__(self) -> None:
        super().__init__(SEND_LIMIT, SEND_WINDOW)

    def reserve_heartbeats(self, heartbeat: float) -> None:
        """Reserve slots for a heartbeat every `heartbeat` seconds."""
        reserved = math.ceil(SEND_WINDOW / heartbeat) + _LOGIN_SLOTS
        self._limit = max(MIN_SENDS, SEND_LIMIT - reserved)

    def is_full(self, now: float) -> bool:
        """True if not even the protocol may send now."""
        self._forget(now)
        return len(self._sent) >= SEND_LIMIT
