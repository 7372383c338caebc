"""Feed of the connection into one process: messages, markers, counters and the status, as its owner tells them."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from ...client._gap import Gap, GapReason, merge_gaps
from ...client._losses import Losses
from ...client._status import ConnectionStats, Status
from ...errors import OwnerLost
from ...lifecycle._states import State
from ...wire._handshake import Data
from .._upstream import UpstreamEvents
from ._follower import FollowerAttached
from ._inbound_buffer import InboundBuffer
from ._ipc_frames import GapNotice, OwnerHeartbeat, SnapshotAnswer, StatusUpdate, Welcome
from ._local_status import LocalStatus
from ._snapshot_requests import SnapshotRequests

WANTED_STATES: Final = frozenset({State.CONNECTED, State.CONNECTING, State.BACKING_OFF, State.CLOSING})
"""States in which a connection whose owner is gone is restored."""

FeedEvent: TypeAlias = FollowerAttached | GapNotice | StatusUpdate | SnapshotAnswer | OwnerHeartbeat


class ProcessFeed:
    """Passes what comes from the present owner to the sink; a marker stands where messages of two owners meet."""

    def __init__(self, decode: Callable[[Data], Any], limit: int, local_status: LocalStatus) -> None:
        """`limit`: bytes that wait while the feed is held."""
        self._buffer = InboundBuffer(decode, limit, self._count_undecodable)
        # Straight to the buffer: one call less for each batch.
        self.on_messages = self._buffer.on_messages
        self._local_status = local_status
        self.heard_stats = ConnectionStats()
        """Counters of the connection as the last owner told them, or this process counted them as the owner."""
        self.losses: Losses | None = None
        """Counters of this process's client while it is the owner: that passes messages on undecoded."""
        self._is_held = False
        self._earlier_gap: Gap | None = None
        """Marker of an earlier change of owners, still due when the last role was lost."""

    def __repr__(self) -> str:
        return f"<ProcessFeed {self._buffer!r} due={self._buffer.due}>"

    def attach(self, sink: UpstreamEvents) -> None:
        """Set the sink."""
        self._buffer.attach(sink)

    def set_snapshot_requests(self, requests: SnapshotRequests) -> None:
        """Pass the messages with which late readers begin to these requests."""
        self._buffer.on_snapshot = requests.on_answer
        self._buffer.ask_again = requests.submit

    def hold(self) -> None:
        """Pass nothing on; what comes waits."""
        self._is_held = True
        self._buffer.hold()

    def release(self) -> None:
        """Go on in the next turn."""
        self._is_held = False
        asyncio.get_running_loop().call_soon(self._release)

    def _release(self) -> None:
        if not self._is_held:
            self._buffer.release()

    def on_event(self, event: FeedEvent) -> None:
        """Take an event of the present owner; its messages go to `on_messages`."""
        match event:
            case GapNotice(gap):
                self._on_gap(gap)
            case StatusUpdate(status):
                self._on_status(status)
            case SnapshotAnswer():
                self._buffer.on_answer(event)
            case OwnerHeartbeat(stats):
                self.heard_stats = stats
            case FollowerAttached(welcome, goes_on):
                self._on_attached(welcome, goes_on=goes_on)

    def on_owner_lost(self, error: OwnerLost) -> None:
        """Note that messages are missing until another owner has the connection, if one is to have it."""
        present = self._local_status.present
        is_wanted = present.state in WANTED_STATES
        self.losses = None
        self._earlier_gap = self._buffer.due
        if is_wanted or present.epoch:  # the next owner's client knows of no connection before
            self._buffer.due = Gap(GapReason.RECONNECTED, present.epoch, error=error)
        if is_wanted:
            self._local_status.enter(State.CONNECTING, error)

    def _on_attached(self, welcome: Welcome, *, goes_on: bool) -> None:
        self.heard_stats = welcome.stats
        if goes_on:  # if anything is missing, the owner knows how much
            self._buffer.due = self._earlier_gap
        if welcome.gap is not None:
            self._on_gap(welcome.gap)
        self._on_status(welcome.status)

    def _on_gap(self, gap: Gap) -> None:
        self._buffer.epoch = gap.epoch
        due = self._buffer.due
        if due is None:
            self._buffer.on_gap(gap)
        else:
            self._buffer.due = merge_gaps(due, gap)

    def _on_status(self, status: Status) -> None:
        if status.state is State.CLOSED:
            return  # that of the owner's client, not of the connection
        before = self._local_status.replace(status)
        self._buffer.epoch = status.epoch
        due = self._buffer.due
        if status.state is State.CONNECTED and due is not None:
            self._buffer.due = None
            if self.losses is not None:  # its own client knows of no connection before
                self.losses.gaps += 1
            self._buffer.on_gap(dataclasses.replace(due, epoch=status.epoch))
        self._local_status.report_since(before)

    def _count_undecodable(self) -> None:
        if self.losses is not None:
            self.losses.undecodable += 1
