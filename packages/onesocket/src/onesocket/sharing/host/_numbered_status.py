"""Status, epochs and counters of an owner's client as all processes count them, over all owners."""

from __future__ import annotations

import dataclasses

from ...client._client import Client
from ...client._gap import Gap
from ...client._status import Change, ConnectionStats, Status
from ...lifecycle._states import State


class NumberedStatus:
    """Adds what the owners before have counted to what the client counts, and knows which changes are published."""

    __slots__ = ("_client", "_published", "_published_early", "base_epoch", "base_stats")

    def __init__(self, client: Client, epoch: int, stats: ConnectionStats) -> None:
        self._client = client
        self.base_epoch = epoch
        """The newest epoch of the owners before, and ..."""
        self.base_stats = stats
        """... their counters."""
        self._published: tuple[State, int] = client.state, 0
        self._published_early: tuple[State, int] | None = None
        """State and epoch that were published before the client reported them: changes up to that one are old."""

    def __repr__(self) -> str:
        return f"<NumberedStatus base_epoch={self.base_epoch} published={self._published}>"

    @property
    def epoch(self) -> int:
        """Epoch of the present connection."""
        return self.base_epoch + self._client.epoch

    @property
    def stats(self) -> ConnectionStats:
        """Counters over all owners."""
        return self.base_stats + self._client.stats.connection

    def gap(self, gap: Gap) -> Gap:
        """Return the client's marker with the epoch that all processes count."""
        return dataclasses.replace(gap, epoch=self.base_epoch + gap.epoch)

    def status(self, state: State, epoch: int) -> Status:
        """Return the client's status with this state and this epoch of the client, without its own queues."""
        return dataclasses.replace(
            self._client.status,
            state=state,
            epoch=self.base_epoch + epoch,
            outbox=0,
            inbox=0,
            subscribers=0,
            is_held=False,
        )

    def is_news(self, change: Change) -> bool:
        """Return True if a change of the client has to be published now."""
        present = change.new, change.epoch
        if self._published_early is None:
            self._published = present
            return True
        if present == self._published_early:
            self._published_early = None
        return False

    def is_up_unpublished(self) -> bool:
        """Return True if the connection is up, and that has to be published before the client reports it."""
        present = self._client.state, self._client.epoch
        if present == self._published or present[0] is not State.CONNECTED:
            return False
        self._published = self._published_early = present
        return True
