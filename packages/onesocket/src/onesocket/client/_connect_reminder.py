"""Warns once when a caller waits for a connection that no `connect()` has requested."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from ..lifecycle._states import State
from ._error_reporter import one_line

_log = logging.getLogger("onesocket")
_GRACE: Final = 0.25
"""Seconds: components that start together may send before another one connects."""


def connect_hint(state: State, epoch: int, error: BaseException | None) -> str:
    """Advice for a caller that waits for a connection that nothing will bring up; empty while something may."""
    match state:
        case State.DISCONNECTED:
            never = "connect() was never called on this client" if epoch == 0 else "it is not connected"
            return f"{never}: messages wait until connect() is called"
        case State.FAILED:
            return f"this client has failed ({error}): messages wait until connect() is called again"
        case _:
            return ""


class ConnectReminder:
    """Checks again a moment after a caller began to wait; `remedy` returns advice, or an empty text for none."""

    __slots__ = ("_remedy", "_shown_url", "_timer", "_was_logged")

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

    def leave_loop(self) -> None:
        """Stop the timer: a caller that waits still begins anew on another loop."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        self._timer = None
        remedy = self._remedy()
        if remedy:
            self._was_logged = True
            _log.warning("%s: %s", self._shown_url, one_line(remedy))
