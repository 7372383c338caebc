"""Status of the connection as the present leader tells it. Pure."""

from __future__ import annotations

import dataclasses

from ...client._status import ConnectionStats, Status
from ...lifecycle._states import State


class LeaderStatus:
    """Maps the leader's epochs of the connection, which never go back on this host, whatever a new leader knows."""

    def __init__(self, stats: ConnectionStats) -> None:
        """`stats`: the counters so far."""
        self.stats = stats
        """Counters of the connection, as of the leader's last renewal."""
        self.state = State.DISCONNECTED
        """State of the connection as the last owner of this host left it, or as the last leader told."""
        self.present: Status | None = None
        """The newest status of the present leader; None: it has told none."""
        self._connection: tuple[int, float | None] = (0, None)
        """The leader's epoch of its connection, and since when it is up: a new lease may go on with it."""
        self._offset = 0

    def __repr__(self) -> str:
        return f"<LeaderStatus {self.state.name} offset={self._offset}>"

    def epoch_of(self, epoch: int) -> int:
        """The leader's epoch as this host counts."""
        return epoch + self._offset

    def take(self, status: Status, shown: int) -> Status:
        """Take a status of the leader; returns it as this host shows it. `shown`: the epoch that it shows now."""
        connection = status.epoch, status.connected_at
        if self.present is None and connection != self._connection:
            begins = status.state in (State.CONNECTED, State.CONNECTING)  # with a number that wasn't shown yet
            self._offset = max(0, shown + begins - status.epoch)
        self._connection = connection
        self.present = dataclasses.replace(status, epoch=self.epoch_of(status.epoch))
        self.state = status.state
        return self.present
