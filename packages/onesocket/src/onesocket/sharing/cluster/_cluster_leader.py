"""The part of a host that leads: its lease, what it publishes, and the members that follow."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ...client._gap import Gap, GapReason
from ...client._status import Status
from ...errors import EngineFull, EngineUnavailable
from ...lifecycle._states import State
from ...wire._handshake import Data
from ..host._ipc_frames import GapNotice, SessionBatch, SnapshotAnswer, ToFollower, Welcome, split_by_size
from ..host._join_credentials import JoinCredentials
from ..host._owner_snapshot import OwnerSnapshot
from ._cluster_operations import ClusterOperations
from ._coordinator import Coordinator, Lease, PreviousEpoch
from ._failed_dials import FailedDials
from ._leadership import Leadership, LeadershipEnd
from ._lease_clock import LeaseClock
from ._remote_members import RemoteMembers
from ._retrying import Adopt, Backoff, end_tasks, start_task
from ._role_memory import RoleMemory
from ._session_hand_over import SessionHandOver

if TYPE_CHECKING:
    from ._cluster_owner import ClusterOwner

_log: Final = logging.getLogger("onesocket")
FINISH_TIMEOUT: Final = 1.0
"""Seconds for the last results when a process lets go of its host's part."""


class ClusterLeader:
    """Holds the lease for this host, and publishes its connection to the members that follow."""

    def __init__(
        self,
        owner: ClusterOwner,
        coordinator: Coordinator,
        credentials: JoinCredentials,
        operations: ClusterOperations,
        snapshot: OwnerSnapshot | None,
        *,
        session: SessionHandOver,
        clock: LeaseClock,
        now: Callable[[], float],
        memory: RoleMemory,
        room: int,
        adopt: Adopt,
    ) -> None:
        """`now`: the time by which `clock` counts; `memory`: of the roles before; `room`: bytes that may wait."""
        self._owner = owner
        self._coordinator = coordinator
        self._snapshot = snapshot
        self._session = session
        self._resumed_epoch = 0
        """Epoch of the newest connection of which was told that it goes on with a session."""
        self._clock = clock
        self._now = now
        self._memory = memory
        self._room = room
        self._adopt = adopt
        self.leadership: Leadership | None = None
        """The present epoch, while this host uses the connection under it."""
        self.members = RemoteMembers(self, operations, credentials, 4 * clock.ttl)
        self._failed_dials = FailedDials(clock.ttl, memory.passes)
        self._grant_unused = False
        """True if a lease may have been granted under which it has not dialled: the next grant says "released" of that
        one, and nothing of the leader before."""

    def __repr__(self) -> str:
        return f"<ClusterLeader {self.leadership!r} {self.members!r}>"

    # --- the lease --------------------------------------------------------------------------------------------------

    def note_unsure(self) -> None:
        """Note that a lease may have been granted: the reply is lost."""
        self._grant_unused = True

    def note_held(self) -> None:
        """Note that another member holds the lease."""
        self._grant_unused = False

    async def begin(self, lease: Lease) -> bool:
        """Wait until this host may dial under a lease; False: it was given up before that."""
        leadership = self._leadership_under(lease)
        is_unsure = self._grant_unused and lease.previous is PreviousEpoch.RELEASED
        delay = self._clock.dial_delay(PreviousEpoch.LOST if is_unsure else lease.previous)
        self._grant_unused = True
        # A lease that ends before that is not released: the next leader would dial at once.
        if delay and (self._owner.is_leaving or await leadership.hold(delay) is not None):
            return False
        if self._owner.is_leaving:
            await leadership.finish(FINISH_TIMEOUT)
            return False
        self._grant_unused = False
        self._failed_dials = FailedDials(self._clock.ttl, self._memory.passes)
        self.leadership = leadership
        return True

    def go_on(self, lease: Lease) -> None:
        """Go on under a new lease, with the connection that this host has."""
        self.leadership = self._leadership_under(lease)
        self.on_renewed()

    def _leadership_under(self, lease: Lease) -> Leadership:
        faults = self._memory.faults
        return Leadership(
            self._coordinator, lease, self._clock, self._now, self._room, adopt=self._adopt, faults=faults
        )

    async def run(self) -> LeadershipEnd:
        """Lead until the lease is lost or can't be renewed."""
        if self.leadership is None:
            return LeadershipEnd.LEASE_LOST
        return await self.leadership.run(self.members.on_submission, self.on_renewed)

    def end(self) -> None:
        """Note that the lease is lost: the members that follow can't be answered any more."""
        self.members.drop_all()
        self.leadership = None

    async def settle(self, running: asyncio.Task[None]) -> None:
        """Wait until what waits is published and answered: a request that is cancelled costs its connection.

        `running`: the task of this member, which may end before that.
        """
        leadership = self.leadership
        if leadership is not None:
            self.members.flush()
            settling = start_task(leadership.settle(), self._adopt)
            most = max(0.0, min(self._clock.close_at - self._now(), FINISH_TIMEOUT))
            await asyncio.wait((running, settling), timeout=most, return_when=asyncio.FIRST_COMPLETED)
            await end_tasks(settling)

    async def finish(self) -> None:
        """Publish and answer what waits, and release the lease: the connection is closed."""
        leadership, self.leadership = self.leadership, None
        if leadership is not None:
            self.members.flush()
            await leadership.finish(max(0.0, min(self._clock.close_at - self._now(), 5 * FINISH_TIMEOUT)))

    @property
    def may_send(self) -> bool:
        """True while the connection may be used: until a margin before the end of the lease."""
        return self.leadership is None or self.leadership.may_send

    def on_renewed(self) -> None:
        """Show that this host leads, and drop the members of which nothing is heard."""
        if self.leadership is not None:
            self._owner.have_watched()
            self.members.drop_silent()
            self._add_session(self.leadership)
            self.leadership.feed.add_status(self._owner.present_status)
            self.leadership.feed.add_stats(self._owner.connection_stats)
            self.leadership.wake()

    # --- the server -------------------------------------------------------------------------------------------------

    def note_dial(self, status: Status) -> bool:
        """Note a status of the connection; True: this host has to leave the lease to another one."""
        self._memory.note(status, self._now())
        is_due = self._failed_dials.note(status, self._now())
        if not is_due or not self.members or self._memory.has_passed:
            return False
        _log.warning("%s: another host of the cluster is to try: %s", status.url, status.last_error)
        self._memory.passes += 1
        self._memory.has_passed = True
        return True

    async def leave_to_others(self, seconds: float) -> None:
        """Give the others so much time to take the lease."""
        self._memory.has_passed = False
        until = self._now() + seconds
        backoff = Backoff()
        while self._now() < until and not self._owner.is_leaving:
            with contextlib.suppress(EngineUnavailable, EngineFull):
                if await self._coordinator.lease() is not None:
                    return
            await backoff.wait()

    # --- the feed ---------------------------------------------------------------------------------------------------

    def publish_batch(self, batch: list[Data]) -> None:
        """Publish messages, while this host leads."""
        if self.leadership is not None:
            self.leadership.feed.add_batch(batch, self._session.state())
            self.leadership.wake()

    def publish_gap(self, gap: Gap) -> None:
        """Publish a marker."""
        if self.leadership is not None:
            self.leadership.feed.add_gap(gap)
            self.leadership.wake()

    def publish_status(self, status: Status) -> None:
        """Publish a status."""
        leadership = self.leadership
        if leadership is None:
            return
        if status.state is not State.CONNECTED:
            self._add_session(leadership)  # it may have ended
        elif self._session.goes_on and status.epoch != self._resumed_epoch:
            self._resumed_epoch = status.epoch
            leadership.feed.add_session(None, goes_on=True)
        leadership.feed.add_status(status)
        leadership.wake()

    def _add_session(self, leadership: Leadership) -> None:
        """Tell the session behind all messages so far: a late leader may read no batch that tells it."""
        self._owner.forward_batch()
        state = self._session.state()
        if state is not None:
            leadership.feed.add_session(state)

    def send_gap(self, member: str) -> None:
        """Publish a marker for one member, at this place of the feed: its subscriptions ended, and begin again."""
        leadership, owner = self.leadership, self._owner
        if leadership is not None:
            owner.forward_batch()
            leadership.feed.add_for(member, [GapNotice(Gap(GapReason.OVERFLOW, owner.status.epoch))])
            leadership.wake()

    def send_state(self, member: str) -> None:
        """Publish, for one member, the status and what late readers begin with, at this place of the feed."""
        leadership, owner = self.leadership, self._owner
        if leadership is None:
            return
        owner.forward_batch()
        frames: list[ToFollower] = [
            Welcome(os.getpid(), leadership.epoch, owner.heartbeat, owner.present_status, owner.connection_stats)
        ]
        if self._snapshot is not None:
            portions = split_by_size(self._snapshot.frames(), len) or [[]]
            frames += [SnapshotAnswer(0, each, each is not portions[-1]) for each in portions]
        if (state := self._session.state()) is not None:
            frames.append(SessionBatch([], state))
        leadership.feed.add_for(member, frames)
        leadership.wake()
