"""The part of a host that follows: it brings the connection of another host to the processes of this one."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ...client._gap import Gap, GapReason
from ...client._status import ConnectionStats, Status
from ...errors import OnesocketError
from ...lifecycle._states import State
from ..host._ipc_frames import (
    GapNotice,
    MessageBatch,
    OwnerHeartbeat,
    SessionBatch,
    SnapshotAnswer,
    StatusUpdate,
    ToFollower,
    Verb,
    Welcome,
)
from ..host._join_credentials import JoinCredentials
from ..host._owner_lock import OwnerLock
from ..host._owner_snapshot import OwnerSnapshot
from ._cluster_leader import FINISH_TIMEOUT
from ._cluster_operations import ClusterOperations
from ._coordinator import Coordinator, LeaseInfo, Position
from ._following import Following
from ._leader_status import LeaderStatus
from ._retrying import Adopt
from ._session_hand_over import SessionHandOver

if TYPE_CHECKING:
    from ._cluster_owner import ClusterOwner

WANTED_STATES: Final = frozenset({State.CONNECTED, State.CONNECTING, State.BACKING_OFF, State.CLOSING})
"""States in which a connection whose leader is gone is restored."""


class ClusterFollower:
    """Delivers what another host publishes, and keeps what this host knows of it (implements `FollowingEvents`)."""

    def __init__(
        self,
        owner: ClusterOwner,
        coordinator: Coordinator,
        credentials: JoinCredentials,
        operations: ClusterOperations,
        snapshot: OwnerSnapshot | None,
        *,
        session: SessionHandOver,
        lock: OwnerLock,
        stats: ConnectionStats,
        ttl: float,
        note: Callable[[Status], object],
        adopt: Adopt,
    ) -> None:
        """`stats`: the counters so far; `ttl`: of leases, seconds; `note`: called with each status of the leader."""
        self._owner = owner
        self._operations = operations
        self._relay = operations.relay
        self._snapshot = snapshot
        self._session = session
        self._lock = lock
        self._note = note
        self.heard = LeaderStatus(stats)
        self._is_heard = False
        """True once anything of the present leader was passed on."""
        self._due: Gap | None = None
        """Marker of a change of leaders; it goes before the first message of the next connection."""
        self._is_incomplete = False
        """True if that marker stands whatever the next leader tells: this member has not read all of the last one."""
        self._following = Following(coordinator, self._relay, credentials, self, ttl, adopt=adopt)

    def __repr__(self) -> str:
        return f"<ClusterFollower {self._following!r}>"

    @property
    def epoch(self) -> int:
        """The newest epoch that this member has heard of."""
        return self._following.epoch

    @property
    def position(self) -> Position:
        """Position of the feed up to which this member has read."""
        return self._following.position

    @property
    def leader_name(self) -> str | None:
        """The member that leads, as far as is known."""
        return self._following.leader

    @property
    def is_restored(self) -> bool:
        """True if the connection is wanted, as the processes of this host or the last leader had it."""
        return not WANTED_STATES.isdisjoint((self._owner.status.state, self.heard.state))

    def wake(self) -> None:
        """Submit what the operations have for the leader."""
        self._following.wake()

    async def run(self, lease: LeaseInfo) -> None:
        """Follow the member with this lease, until the lease is free, or may be."""
        await self._following.run(lease)

    def leads_itself(self, epoch: int) -> None:
        """Note that this member has the lease: the epoch before is over."""
        self._is_incomplete = False
        self._following.leads_itself(epoch)

    async def read_rest(self, epoch: int) -> None:
        """Take what the leader before has published, as this member leads in `epoch`."""
        await self._following.read_rest(epoch)

    async def leave(self, running: asyncio.Task[Any]) -> None:
        """Wait for the results of the leader, and end the subscriptions of this process; those of others go on."""
        if not self._following.is_led:
            return
        for done in (self._relay.settled, self._following.idle):
            await asyncio.wait([running, done()], timeout=FINISH_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
            self._relay.leader_gone(in_order=False)
            self._operations.forget_own()

    def on_engine_failed(self, error: OnesocketError) -> bool:
        """Report that the engine is away; returns whether any process waits for it."""
        self._relay.refuse(error, verbs=frozenset({Verb.CONNECT}))
        if self.is_restored or self._relay.has_operations:
            self._following.note_silence(error)
            return True
        self._owner.deliver_status(dataclasses.replace(self._owner.status, state=State.FAILED, last_error=error))
        return False

    def due_gap(self, status: Status) -> Gap | None:
        """The marker of a change of leaders, if this status is that of the next connection."""
        due = self._due
        if due is None or status.state is not State.CONNECTED:
            return None
        self._due, self._is_incomplete = None, False
        if self._owner.holds_connection and self._session.goes_on:
            return None  # this host has resumed the session of the leader before
        gap = dataclasses.replace(due, epoch=status.epoch)
        if self._snapshot is not None:
            self._snapshot.keeper.lose(gap)
        return gap

    # --- from the leader --------------------------------------------------------------------------------------------

    def on_frame(self, frame: ToFollower) -> None:
        """As `FollowingEvents.on_frame`."""
        self._is_heard = True
        match frame:
            case MessageBatch():
                self._on_batch(frame)
            case GapNotice(gap):
                if gap.reason is GapReason.OVERFLOW:
                    self._session.heard.forget()
                gap = dataclasses.replace(gap, epoch=self.heard.epoch_of(gap.epoch))
                if self._snapshot is not None:
                    self._snapshot.keeper.lose(gap)
                self._owner.deliver_gap(gap)
            case StatusUpdate(status):
                self._on_leader_status(status)
            case Welcome(status=status, stats=stats):
                self.heard.stats = stats
                self._on_leader_status(status)
            case SnapshotAnswer(_, messages, more):
                if self._snapshot is not None:
                    self._snapshot.on_batch(messages)
                if not more:
                    self._operations.set_state_known()
            case OwnerHeartbeat(stats):
                self.heard.stats = stats
            case _:
                pass

    def _on_batch(self, batch: MessageBatch) -> None:
        self._session.heard.take(batch)
        if isinstance(batch, SessionBatch) and batch.goes_on and not self._is_incomplete:
            self._due = None
        if batch.messages:
            if self._snapshot is not None:
                self._snapshot.on_batch(batch.messages)
            self._owner.deliver_batch(batch.messages)

    def _on_leader_status(self, status: Status) -> None:
        self._following.connection_epoch = status.epoch
        self._note(status)
        shown = self._owner.status.epoch
        status = self.heard.take(status, shown)
        if status.state is State.CONNECTED and status.epoch != shown:
            self._lock.note_newer(status.epoch)
        self._owner.deliver_status(status)

    def on_leader_gone(self, error: OnesocketError) -> None:
        """As `FollowingEvents.on_leader_gone`."""
        if self._is_heard:
            self._operations.set_state_known()  # nothing else comes
            if self._owner.status.epoch and self._due is None:
                self._due = Gap(GapReason.RECONNECTED, self._owner.status.epoch, error=error)
        self._is_heard, self.heard.present = False, None
        self.on_silence(error)

    def on_missed(self) -> None:
        """As `FollowingEvents.on_missed`."""
        self._is_incomplete = True
        self._operations.forget_state()

    def on_silence(self, error: OnesocketError) -> None:
        """As `FollowingEvents.on_silence`."""
        present = self._owner.status
        is_asked_for = self._relay.has_operations and present.state is not State.STOPPED
        if present.state not in WANTED_STATES and not is_asked_for:
            return
        changed = dataclasses.replace(present, state=State.CONNECTING, last_error=error, connected_at=None)
        if present.state is State.CONNECTED:
            changed = dataclasses.replace(changed, last_loss=error, last_lost_at=time.time())
            self._relay.on_lost()
        self._owner.deliver_status(changed)

    def on_heard(self) -> None:
        """As `FollowingEvents.on_heard`."""
        if self.heard.present is not None:
            self._owner.deliver_status(self.heard.present)

    def on_rejected(self, error: OnesocketError) -> None:
        """As `FollowingEvents.on_rejected`."""
        self._owner.on_rejected(error)
