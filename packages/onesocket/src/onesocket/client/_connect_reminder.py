"""Warns once when a caller waits for a connection that no `connect()` has requested."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from ._error_reporter import one_line

_log = logging.getLogger("onesocket")
_GRACE: Final = 0.25
"""Seconds: components that start together may send before another one connects."""


class ConnectReminder:
    """Checks again a moment after a caller began to wait; `remedy` returns advice, or an empty text for none."""

    def __init__(self, shown_url: str, remedy: Callable[[], str]) -> None:
        self._shown_url = shown_url
        self._remedy = remedy
        self._was_logged = False
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<ConnectReminder {'said' if self._was_logged else 'idle' if self._timer is None else 'waiting'}>"

    def watch(self) -> None:
        """Start the timer of the warning for a waiting caller, unless it was given or a connection may come up."""
        if not self._was_logged and self._timer is None and self._remedy():
            self._timer = asyncio.get_running_loop().call_later(_GRACE, self._check)

    def _check(self) -> None:
        self._timer = None
        remedy = self._remedy()
        if remedy:
            self._was_logged = True
            _log.warning("%s: %s", self._shown_url, one_line(remedy))
