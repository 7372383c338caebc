"""Status of a shared connection in one of its processes."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Callable
from typing import Final

from ...client._outage_log import OutageLog
from ...client._status import Change, Status
from ...errors import OnesocketError
from ...lifecycle._states import State
from .._upstream import UpstreamEvents

_log: Final = logging.getLogger("onesocket")


class LocalStatus:
    """Keeps the status that this process knows, reports its changes to the sink, and logs outages."""

    def __init__(
        self,
        shown_url: str,
        is_owner: Callable[[], bool],
        on_change: Callable[[Change], object] = lambda _: None,
    ) -> None:
        self._shown_url = shown_url
        self._is_owner = is_owner
        self._on_change = on_change
        self._sink: UpstreamEvents | None = None
        self._outages = OutageLog(shown_url)
        self._not_before = 0.0
        """Time of the loop that the server named to the owner for the next attempt."""
        self.present = Status(
            url=shown_url,
            state=State.DISCONNECTED,
            epoch=0,
            attempt=0,
            last_error=None,
            connected_at=None,
            last_connected_at=None,
            retry_in=None,
            rtt=None,
            callers=0,
            outbox=0,
            inbox=0,
            subscribers=0,
            is_held=False,
        )

    def __repr__(self) -> str:
        return f"{self._shown_url} {self.present.state.name} epoch={self.present.epoch}"

    def attach(self, sink: UpstreamEvents) -> None:
        """Set the sink."""
        self._sink = sink

    @property
    def seconds_to_date(self) -> float:
        """Seconds until the date that the server named for the next attempt; 0: there is none."""
        return max(0.0, self._not_before - asyncio.get_running_loop().time())

    def replace(self, status: Status) -> Status:
        """Take over the owner's status; returns the one before, for `report_since`."""
        before, error = self.present, status.last_error
        if status.state is State.CONNECTED:
            self._not_before = 0.0
        elif status.retry_in is not None and error is not None and error.retry_after is not None:
            self._not_before = asyncio.get_running_loop().time() + status.retry_in
        if (status.last_lost_at or 0.0) < (before.last_lost_at or 0.0):  # an owner that hasn't seen the last one's loss
            status = dataclasses.replace(status, last_loss=before.last_loss, last_lost_at=before.last_lost_at)
        self.present = status
        return before

    def report_since(self, before: Status) -> None:
        """Report a change of the state or the epoch."""
        if (before.state, before.epoch) != (self.present.state, self.present.epoch):
            self._report(before, "Shared")

    def enter(
        self, state: State, error: OnesocketError | None, *, cause: str | None = None, retry_in: float | None = None
    ) -> None:
        """Enter a state that no owner has published. `cause`: by default the error's type."""
        before = self.present
        self.present = dataclasses.replace(
            before, state=state, last_error=error or before.last_error, connected_at=None, retry_in=retry_in
        )
        if before.state is State.CONNECTED and error is not None:
            self.present = dataclasses.replace(self.present, last_loss=error, last_lost_at=time.time())
        if before.state is not state:
            self._report(before, cause or type(error).__name__)

    def log_take_over(self) -> None:
        """Log that this process took the place of an owner that died."""
        if self._outages.is_logged:
            loss = self._outages.last_loss
            _log.warning("%s: this process holds the connection from now on: %s", self._shown_url, loss)

    def _report(self, before: Status, cause: str) -> None:
        if self._sink is None:
            return
        status = self.present
        change = Change(time.time(), before.state, status.state, status.epoch, cause, status.last_error)
        self._log_outage(change, status)
        self._on_change(change)
        self._sink.changed(change, status)
        if status.state is State.FAILED and status.last_error is not None:
            self._sink.failed(status.last_error)

    def _log_outage(self, change: Change, status: Status) -> None:
        """Log a loss: as a warning in the process that holds the connection (by its client), as INFO in the others.

        A loss of the owner itself is warned of by the process that takes its place, which also logs how that goes.
        """
        level = logging.INFO
        if self._is_owner():
            level = logging.WARNING if self._outages.is_logged else logging.DEBUG
        self._outages.changed(
            change,
            failures=status.attempt,
            retry_in=status.retry_in,
            has_callers=True,
            now=asyncio.get_running_loop().time(),
            level=level,
        )
