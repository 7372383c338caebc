"""The owner of a host in a cluster: it leads, with the connection, or follows, with the feed of another host."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import logging
import os
import time
from collections.abc import Callable
from typing import Any, Final

from ...client._gap import Gap, GapReason
from ...client._status import ConnectionStats, Status
from ...errors import (
    EngineFull,
    EngineUnavailable,
    EngineUnusable,
    OnesocketError,
)
from ...lifecycle._events import EarlierConnection
from ...lifecycle._states import State
from ...protocols._protocol import Protocol
from ...wire._handshake import Data
from ..host._descriptor_reserve import DescriptorReserve
from ..host._ipc_frames import (
    GapNotice,
    MessageBatch,
    OwnerHeartbeat,
    SnapshotAnswer,
    StatusUpdate,
    ToFollower,
    ToOwner,
    Verb,
    Welcome,
    split_by_size,
)
from ..host._owner import HandOverDue, Owner
from ..host._owner_lock import OwnerLock
from ..host._owner_operations import OwnerOperations
from ..host._requesters import SubscribingRequester
from ._boot_time import boot_time
from ._cluster_operations import ClusterOperations
from ._cluster_options import ClusterOptions, OnEngineLost
from ._coordinator import ClusterKey, Lease, PreviousEpoch, new_member_name
from ._feed_payload import MIN_PAYLOAD
from ._following import Following
from ._leader_status import LeaderStatus
from ._leadership import Leadership, LeadershipEnd
from ._lease_clock import LeaseClock
from ._remote_members import RemoteMembers
from ._retrying import Backoff, end_tasks

_log: Final = logging.getLogger("onesocket")
_WANTED_STATES: Final = frozenset({State.CONNECTED, State.CONNECTING, State.BACKING_OFF, State.CLOSING})
"""States in which a connection whose leader is gone is restored."""
_FINISH_TIMEOUT: Final = 1.0
"""Seconds for the last results when this process lets go of the host's part."""


class ClusterPhase(enum.Enum):
    """Part of a host."""

    FOLLOWING = "following"
    """Another host leads, or none does."""
    LEADING = "leading"
    ALONE = "alone"
    """The host has the connection without a lease, as the engine is away (`on_engine_lost="keep"`)."""
    OVER = "over"
    """The lease is lost, and the connection is being closed."""


class ClusterOwner(Owner):
    """Role of the process that is the member of the cluster for its host.

    Its client dials while this member leads. A role leads once: when its lease is lost, it ends as one that hands over,
    and the next one follows first.
    """

    _phase_in_cluster = ClusterPhase.FOLLOWING

    def __init__(
        self,
        lock: OwnerLock,
        reserve: DescriptorReserve,
        *,
        cluster: ClusterOptions,
        cluster_key: ClusterKey,
        led_as: list[str],
        now: Callable[[], float] = boot_time,
        **given: Any,
    ) -> None:
        """`given`: as for `Owner`; `now`: the time by which leases are counted.

        `led_as`: the name under which the last role of this process led, if its lease was lost: that may go on, and is
        this member's own.
        """
        super().__init__(lock, reserve, **given)
        self._cluster = cluster
        self._now = now
        self._clock = LeaseClock(cluster.lease, cluster.margin)
        self._led_as = led_as
        self._coordinator = cluster.engine.open(cluster_key, led_as.pop() if led_as else new_member_name())
        self._relay = self._cluster_operations.relay
        self._following = Following(self._coordinator, self._relay, given["credentials"], self, cluster.lease)
        self._leadership: Leadership | None = None
        self._members = RemoteMembers(self, given["credentials"], 4 * cluster.lease)
        self._heard = LeaderStatus(given["stats"])
        self._earlier: EarlierConnection | None = None
        self._is_heard = False
        """True once anything of the present leader was passed on."""
        self._due: Gap | None = None
        """Marker of a change of leaders; it goes before the first message of the next connection."""
        self._running: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._grant_unused = False
        """True if a lease may have been granted under which it has not dialled: the next grant says "released" of that
        one, and nothing of the leader before."""
        self._is_leaving = False
        """True from `hand_over` on: it leads no more."""

    def _make_operations(self, protocol: Protocol) -> OwnerOperations:
        self._cluster_operations = ClusterOperations(
            self.client,
            protocol,
            self._snapshot,
            self._emit,
            is_serving=self._is_serving,
            may_send=self._may_send,
            forward_batch=self._forward_batch,
            holds_connection=lambda: self.holds_connection,
            is_up=lambda: self.status.state is State.CONNECTED,
            is_wanted=self._begin,
            on_relayed=self._on_relayed,
        )
        return self._cluster_operations

    def _on_relayed(self) -> None:
        self._following.wake()

    def __repr__(self) -> str:
        part = self._leadership or self._following
        return f"<ClusterOwner {self._phase_in_cluster.value} {part!r} {super().__repr__()}>"

    @property
    def leadership(self) -> Leadership | None:
        """The present epoch, while this host leads."""
        return self._leadership

    @property
    def holds_connection(self) -> bool:
        """True while this host leads, or is alone."""
        return self._phase_in_cluster is not ClusterPhase.FOLLOWING

    @property
    def cluster_part(self) -> str:
        """Part of this host, and the leader's name."""
        match self._phase_in_cluster:
            case ClusterPhase.FOLLOWING:
                leader = self._following.leader
                return f"follows {leader}" if leader else "looks for a leader"
            case ClusterPhase.LEADING:
                return "leads"
            case ClusterPhase.ALONE:
                return "alone"
            case ClusterPhase.OVER:
                return "lets go"

    @property
    def epoch(self) -> int:
        """Epoch of the present connection, as the processes of this host count."""
        return super().epoch if self.holds_connection else self.status.epoch

    @property
    def connection_stats(self) -> ConnectionStats:
        """Counters of the connection over all leaders; those of another host are as old as its last renewal."""
        return super().connection_stats if self.holds_connection else self._heard.stats

    # --- phases -----------------------------------------------------------------------------------------------------

    def resume(self, state: State, earlier: EarlierConnection) -> None:
        """Take part in the cluster if the connection was wanted under the last owner, or was stopped."""
        self._heard.state, self._earlier = state, earlier
        if state in _WANTED_STATES or state is State.STOPPED:
            self._begin()

    def _begin(self) -> None:
        if self._running is None and self._phase_in_cluster is ClusterPhase.FOLLOWING:
            self._cluster_operations.failure = None
            self._running = self._loop.create_task(self._run(), name="onesocket cluster member")

    async def _run(self) -> None:
        """Lead whenever the lease is free, and follow while it isn't."""
        backoff = Backoff()
        try:
            await self._check()
            while self._phase_in_cluster is not ClusterPhase.OVER and not self._is_leaving:
                requested_at = self._now()
                try:
                    got = await self._coordinator.acquire(self._clock.ttl, self._following.epoch)
                except (EngineUnavailable, EngineFull) as error:
                    self._grant_unused |= isinstance(error, EngineUnavailable)
                    if not self._on_engine_failed(error):
                        return
                    await backoff.wait()
                    continue
                backoff.reset()
                if isinstance(got, Lease):
                    self._clock.granted(requested_at)
                    await self._lead(got)
                    continue
                self._grant_unused = False
                if self._phase_in_cluster is ClusterPhase.ALONE:
                    self._end_leadership(LeadershipEnd.LEASE_LOST)  # another host leads
                else:
                    await self._following.run(got)
        except OnesocketError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - an engine's bug: its callers would wait for ever
            failure = OnesocketError(f"the engine {self._cluster.engine} failed: {type(error).__name__}")
            failure.__cause__ = error
            self._fail(failure)
        finally:
            if self._running is asyncio.current_task():
                self._running = None

    async def _check(self) -> None:
        backoff = Backoff()
        while True:
            try:
                await self._coordinator.check()
                break
            except (EngineUnavailable, EngineFull) as error:
                if not self._on_engine_failed(error):
                    raise
            await backoff.wait()
        most = self._coordinator.max_payload
        if most < MIN_PAYLOAD:
            raise EngineUnusable(f"the engine of the cluster takes payloads of {most} bytes; {MIN_PAYLOAD} are needed")

    def _on_engine_failed(self, error: OnesocketError) -> bool:
        """Report that the engine is away; returns whether any process waits for it."""
        if self._phase_in_cluster is not ClusterPhase.FOLLOWING:
            return True
        self._relay.refuse(error, verbs=frozenset({Verb.CONNECT}))
        if _WANTED_STATES.isdisjoint((self.status.state, self._heard.state)) and not self._relay.has_operations:
            self._deliver_status(dataclasses.replace(self.status, state=State.FAILED, last_error=error))
            return False
        self._following.note_silence(error)
        return True

    def _fail(self, error: OnesocketError) -> None:
        if self._phase_in_cluster is ClusterPhase.OVER:
            _log.error("%s: %s", self.status.url, error)
            return  # the next role meets it
        self._cluster_operations.failure = error
        self._relay.leader_gone(in_order=False)
        self._deliver_status(dataclasses.replace(self.status, state=State.FAILED, last_error=error, connected_at=None))
        self._relay.refuse(error)

    async def hand_over(self) -> None:
        """As `Owner.hand_over`; the lease is renewed until the connection is closed, and released then."""
        self._is_leaving = True
        if self._closing is not None:
            await asyncio.wait([self._closing])
        await super().hand_over()

    async def _before_release(self) -> None:
        """Settle what other hosts and this one have under way, and release the lease."""
        running, self._running = self._running, None
        if running is not None:
            if self._following.is_led:
                await self._leave(running)
            await end_tasks(running, again=_FINISH_TIMEOUT)  # it ends tasks of its own
        self._relay.leader_gone(in_order=False)
        leadership, self._leadership = self._leadership, None
        if leadership is not None:
            self._members.flush()
            await leadership.finish(max(0.0, min(self._clock.close_at - self._now(), 5 * _FINISH_TIMEOUT)))
        await self._coordinator.aclose()

    async def _leave(self, running: asyncio.Task[None]) -> None:
        """Wait for the results of the leader, and end the subscriptions of this process; those of others go on."""
        for done in (self._relay.settled, self._following.idle):
            await asyncio.wait([running, done()], timeout=_FINISH_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
            self._relay.leader_gone(in_order=False)
            self._cluster_operations.forget_own()

    # --- leading ----------------------------------------------------------------------------------------------------

    async def _lead(self, lease: Lease) -> None:
        leadership = Leadership(self._coordinator, lease, self._clock, self._now, self._options.buffer)
        self._following.leads_itself(lease.epoch)
        if self._phase_in_cluster is ClusterPhase.FOLLOWING:
            is_unsure = self._grant_unused and lease.previous is PreviousEpoch.RELEASED
            delay = self._clock.dial_delay(PreviousEpoch.LOST if is_unsure else lease.previous)
            self._grant_unused = True
            # A lease that ends before that is not released: the next leader would dial at once.
            if delay and (self._is_leaving or await leadership.hold(delay) is not None):
                return
            if self._is_leaving:
                await leadership.finish(_FINISH_TIMEOUT)
                return
            self._leadership = leadership
            self._begin_leading()
        else:
            self._leadership, self._phase_in_cluster = leadership, ClusterPhase.LEADING
            self._on_renewed()
        try:
            end = await leadership.run(self._members.on_submission, self._on_renewed)
        except Exception:
            self._end_leadership(LeadershipEnd.LEASE_LOST)  # the engine can't serve any more
            raise
        self._end_leadership(end)

    def _begin_leading(self) -> None:
        """Dial, and perform what the processes of this host wait for."""
        self._grant_unused = False
        self._phase_in_cluster = ClusterPhase.LEADING
        self._base_epoch, self._base_stats = self.status.epoch, self._heard.stats
        self._cluster_operations.set_state_known()
        for requester, frame in self._relay.take_all():
            self._cluster_operations.perform_here(requester, frame)
        # A leader that ended while it closed may have meant to go on.
        state = State.CONNECTING if self._heard.state is State.CLOSING else self._heard.state
        super().resume(state, self._earlier or EarlierConnection(0.0))

    def _end_leadership(self, end: LeadershipEnd) -> None:
        """Close the connection, or keep it for this host alone."""
        if self._phase_in_cluster is ClusterPhase.OVER:
            return
        self._members.drop_all()
        self._leadership = None
        if end is LeadershipEnd.ENGINE_LOST and self._cluster.on_engine_lost is OnEngineLost.KEEP:
            self._phase_in_cluster = ClusterPhase.ALONE
            _log.warning("%s: the engine of the cluster is away; this host goes on alone", self.status.url)
            return
        self._phase_in_cluster = ClusterPhase.OVER
        left = self._clock.close_at + self._clock.margin - self._now() if end is LeadershipEnd.ENGINE_LOST else 0.0
        _log.warning("%s: this host doesn't lead the cluster any more: %s", self.status.url, end.value)
        self._clock.ended()
        self._led_as.append(self._coordinator.member)
        self._closing = self._loop.create_task(self._close_client(max(0.0, left / 2)))
        self._emit(HandOverDue(is_requested=False))

    async def _close_client(self, timeout: float) -> None:
        """Close in order for so many seconds, and then at once: the next leader may dial."""
        closing = self._loop.create_task(self.client.aclose())
        await asyncio.wait([closing], timeout=timeout)
        runner = self.client.internals.runner
        for attempt in (runner.attempt, runner.side):
            if attempt is not None:
                attempt.abort()
        await closing

    def _may_send(self) -> bool:
        return super()._may_send() and self._may_use()

    def _may_use(self) -> bool:
        """True while this host may use its connection."""
        if self._phase_in_cluster is ClusterPhase.LEADING:
            return self._leadership is None or self._leadership.may_send
        return self._phase_in_cluster is ClusterPhase.ALONE

    def _forward(self, batch: list[Data]) -> None:
        if self._check_lease():
            super()._forward(batch)

    def _refresh_status(self) -> None:
        if self.holds_connection and self._check_lease():
            super()._refresh_status()

    def _check_lease(self) -> bool:
        """End the leadership if its time is up: timers don't count suspended time."""
        if self._phase_in_cluster is ClusterPhase.LEADING and not self._may_use():
            self._end_leadership(LeadershipEnd.LEASE_LOST)
        return self._may_use()

    def _on_renewed(self) -> None:
        """Show that this host leads, and drop the members of which nothing is heard."""
        leadership = self._leadership
        if leadership is not None:
            self._members.drop_silent()
            leadership.feed.add_status(self.status)
            leadership.feed.add_stats(self.connection_stats)
            leadership.wake()

    # --- to the processes of this host, and to other hosts ------------------------------------------------------------

    def _deliver_batch(self, batch: list[Data]) -> None:
        super()._deliver_batch(batch)
        if self._leadership is not None:
            self._leadership.feed.add_batch(batch)
            self._leadership.wake()

    def _deliver_gap(self, gap: Gap) -> None:
        super()._deliver_gap(gap)
        if self._leadership is not None:
            self._leadership.feed.add_gap(gap)
            self._leadership.wake()

    def _deliver_status(self, status: Status) -> None:
        super()._deliver_status(status)
        if self._leadership is not None:
            self._leadership.feed.add_status(status)
            self._leadership.wake()
        if status.state is State.CONNECTED and self._due is not None:
            due, self._due = self._due, None
            gap = dataclasses.replace(due, epoch=status.epoch)
            if self._snapshot is not None:
                self._snapshot.keeper.lose(gap)
            super()._deliver_gap(gap)  # each host has its own

    def send_state(self, member: str) -> None:
        """Publish, for one member, the status and what late readers begin with, at this place of the feed."""
        leadership = self._leadership
        if leadership is None:
            return
        self._forward_batch()
        frames: list[ToFollower] = [
            Welcome(os.getpid(), leadership.epoch, self._options.heartbeat, self.status, self.connection_stats)
        ]
        if self._snapshot is not None:
            portions = split_by_size(self._snapshot.frames(), len) or [[]]
            frames += [SnapshotAnswer(0, each, each is not portions[-1]) for each in portions]
        leadership.feed.add_for(member, frames)
        leadership.wake()

    # --- from the processes of this host ------------------------------------------------------------------------------

    def perform_for(self, member: SubscribingRequester, frame: ToOwner) -> None:
        """Perform a frame of another host. Raises `IpcError`."""
        self._cluster_operations.perform_here(member, frame)

    def forget_member(self, member: SubscribingRequester) -> None:
        """Drop the operations of another host."""
        self._cluster_operations.forget_here(member)

    # --- from the leader --------------------------------------------------------------------------------------------

    def on_frame(self, frame: ToFollower) -> None:
        """As `FollowingEvents.on_frame`."""
        self._is_heard = True
        match frame:
            case MessageBatch(messages):
                if self._snapshot is not None:
                    self._snapshot.on_batch(messages)
                self._deliver_batch(messages)
            case GapNotice(gap):
                gap = dataclasses.replace(gap, epoch=self._heard.epoch_of(gap.epoch))
                if self._snapshot is not None:
                    self._snapshot.keeper.lose(gap)
                self._deliver_gap(gap)
            case StatusUpdate(status):
                self._on_leader_status(status)
            case Welcome(status=status, stats=stats):
                self._heard.stats = stats
                self._on_leader_status(status)
            case SnapshotAnswer(_, messages, more):
                if self._snapshot is not None:
                    self._snapshot.on_batch(messages)
                if not more:
                    self._cluster_operations.set_state_known()
            case OwnerHeartbeat(stats):
                self._heard.stats = stats
            case _:
                pass

    def _on_leader_status(self, status: Status) -> None:
        self._following.connection_epoch = status.epoch
        status = self._heard.take(status, self.status.epoch)
        if status.state is State.CONNECTED and status.epoch != self.status.epoch:
            self._lock.note_newer(status.epoch)
        self._deliver_status(status)

    def on_leader_gone(self, error: OnesocketError) -> None:
        """As `FollowingEvents.on_leader_gone`."""
        if self._is_heard:
            self._cluster_operations.set_state_known()  # nothing else comes
            if self.status.epoch and self._due is None:
                self._due = Gap(GapReason.RECONNECTED, self.status.epoch, error=error)
        self._is_heard, self._heard.present = False, None
        self.on_silence(error)

    def on_silence(self, error: OnesocketError) -> None:
        """As `FollowingEvents.on_silence`."""
        present = self.status
        is_asked_for = self._relay.has_operations and present.state is not State.STOPPED
        if present.state not in _WANTED_STATES and not is_asked_for:
            return
        changed = dataclasses.replace(present, state=State.CONNECTING, last_error=error, connected_at=None)
        if present.state is State.CONNECTED:
            changed = dataclasses.replace(changed, last_loss=error, last_lost_at=time.time())
            self._relay.on_lost()
        self._deliver_status(changed)

    def on_heard(self) -> None:
        """As `FollowingEvents.on_heard`."""
        if self._heard.present is not None:
            self._deliver_status(self._heard.present)

    def on_rejected(self, error: OnesocketError) -> None:
        """As `FollowingEvents.on_rejected`."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
        self._fail(error)
