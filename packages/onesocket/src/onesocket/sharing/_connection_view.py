"""A shared connection as one of its clients knows it."""

from __future__ import annotations

import dataclasses
import time
from typing import Final

from ..client._error_reporter import ErrorReporter
from ..client._fan_out import FanOut
from ..client._status import Change, Stats, Status
from ..errors import ClientClosed, ManuallyDisconnected
from ..lifecycle._effects import Outcome
from ..lifecycle._states import State
from ._shared_connection import SharedConnection

_CONNECTION_CLOSED: Final = "this connection was closed; join again"


class ConnectionView:
    """The last status that the client was told, and counters since it joined."""

    def __init__(self, shared: SharedConnection) -> None:
        self.status = shared.upstream.status
        self.sent = 0
        """Number of messages sent; counted on the host loop."""
        self._told_at = time.monotonic()
        self._shared = shared
        self._stats_before = shared.upstream.connection_stats
        self._outcomes = dict.fromkeys(Outcome, 0)
        self._connections = 0
        """How often the connection came up."""

    def __repr__(self) -> str:
        return f"<ConnectionView {self.status.state.name} epoch={self.status.epoch}>"

    def see(self, status: Status) -> None:
        """Take a newer status."""
        self.status = status
        self._told_at = time.monotonic()

    def connected(self, outcome: Outcome, status: Status) -> Outcome:
        """Count the outcome of a `connect()`, and return it."""
        self.see(status)
        self._outcomes[outcome] += 1
        return outcome

    def changed(self, change: Change, status: Status) -> None:
        """Take a change of the connection."""
        self.see(status)
        self._connections += change.new is State.CONNECTED

    def check_usable(self) -> None:
        """Raise `ManuallyDisconnected` or `ClientClosed` if the connection is in such a state."""
        state = self.status.state
        if state is State.STOPPED:
            raise ManuallyDisconnected
        if state is State.CLOSED:
            raise ClientClosed(_CONNECTION_CLOSED)

    def snapshot(self, state: State, fan_out: FanOut) -> Status:
        """Returns the status with this state, of this moment, and with the client's own subscribers."""
        retry_in, now = self.status.retry_in, self._shared.upstream.status
        return dataclasses.replace(
            self.status,
            state=state,
            attempt=now.attempt,  # these change without a change of the state
            rtt=now.rtt,
            outbox=now.outbox,
            retry_in=None if retry_in is None else max(0.0, retry_in - (time.monotonic() - self._told_at)),
            subscribers=len(fan_out),
            inbox=fan_out.depth,
        )

    def stats(self, fan_out: FanOut, reporter: ErrorReporter) -> Stats:
        """Returns the counters so far."""
        losses, connection = fan_out.losses, self._shared.upstream.connection_stats
        return Stats(
            attempts=connection.attempts,
            handshakes=self._connections,
            opened=self._outcomes[Outcome.OPENED],
            joined=self._outcomes[Outcome.JOINED],
            already_connected=self._outcomes[Outcome.ALREADY_CONNECTED],
            reconnects=max(0, self._connections - 1),
            stale_dropped=max(0, connection.stale_dropped - self._stats_before.stale_dropped),
            late_answers=max(0, connection.late_answers - self._stats_before.late_answers),
            received=fan_out.delivered,
            sent=self.sent,
            undecodable=losses.undecodable,
            callback_errors=reporter.count,
            gaps=losses.gaps,
            overflows=losses.overflows,
            dropped=losses.dropped,
            connection=connection,
        )
