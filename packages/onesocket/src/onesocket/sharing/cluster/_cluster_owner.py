"""The owner of a host in a cluster: it leads, with the connection, or follows, with the feed of another host."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import math
from collections.abc import Callable, Iterable
from typing import Any, Final

from ...client._cluster_status import ClusterStatus
from ...client._gap import Gap
from ...client._status import Change, ConnectionStats, Status
from ...errors import EngineFull, EngineUnavailable, OnesocketError
from ...lifecycle._events import EarlierConnection
from ...lifecycle._states import State
from ...protocols._protocol import Protocol
from ...wire._handshake import Data
from ..host._descriptor_reserve import DescriptorReserve
from ..host._ipc_frames import Request, Verb
from ..host._join_credentials import JoinCredentials
from ..host._owner import Owner
from ..host._owner_events import HandOverDue, WatchChanged
from ..host._owner_lock import OwnerLock
from ..host._owner_operations import OwnerOperations
from ._announcements import Announcement, Announcer
from ._boot_time import boot_time
from ._client_close import ClientClose
from ._cluster_follower import WANTED_STATES, ClusterFollower
from ._cluster_leader import FINISH_TIMEOUT, ClusterLeader
from ._cluster_operations import ClusterOperations
from ._cluster_options import ClusterOptions, OnEngineLost
from ._cluster_phase import ClusterPhase
from ._coordinator import ClusterKey, Lease, Position, new_member_name
from ._counted_coordinator import CountedCoordinator
from ._leadership import Leadership, LeadershipEnd
from ._lease_clock import LeaseClock
from ._lease_requests import LeaseRequests
from ._member_report import MemberReport
from ._retrying import Backoff, end_tasks, start_task
from ._role_memory import RoleMemory
from ._session_hand_over import SessionHandOver
from ._textless_error import textless

_log: Final = logging.getLogger("onesocket")


_GIVES_WAY: Final = 0.5
"""Seconds, at most, for which a member gives way to others that know more of the session: they need milliseconds."""


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
        memory: RoleMemory,
        now: Callable[[], float] = boot_time,
        **given: Any,
    ) -> None:
        """`given`: as for `Owner`; `now`: the time by which leases are counted; `memory`: of the roles before."""
        super().__init__(lock, reserve, **given)
        self._cluster = cluster
        self._now = now
        self._clock = LeaseClock(cluster.lease, cluster.margin)
        self._memory = memory
        name, memory.led_as = memory.led_as or new_member_name(), None
        self._coordinator = CountedCoordinator(
            cluster.engine.open(cluster_key, name), memory.counters, str(cluster.engine)
        )
        self._requests = LeaseRequests(self._coordinator)
        self._report = MemberReport(self, memory.counters)
        self._announcer = Announcer(self._coordinator, self._describe, cluster.lease, adopt=self._adopt)
        operations = self._cluster_operations
        self._relay = operations.relay
        self._session = SessionHandOver(self.client, self._coordinator)
        credentials: JoinCredentials = given["credentials"].for_other_hosts()
        parts = self, self._coordinator, credentials, operations, self._snapshot
        self.leader = ClusterLeader(
            *parts,
            session=self._session,
            clock=self._clock,
            now=now,
            memory=memory,
            room=self._options.buffer,
            adopt=self._adopt,
        )
        self.follower = ClusterFollower(
            *parts,
            session=self._session,
            lock=lock,
            stats=given["stats"],
            ttl=cluster.lease,
            note=lambda status: memory.note(status, now()),
            adopt=self._adopt,
        )
        self._is_checked = False
        """True if the member before has used the engine: to check it again, one request after the other, would only
        delay the processes of a host whose member left."""
        self._running: asyncio.Task[None] | None = None
        self._close = ClientClose(self.client, self._adopt)
        self.is_leaving = False
        """True from `hand_over` on: it leads no more."""

    @property
    def reset_in(self) -> float:
        """As `Owner.reset_in`: the connection is closed before the lease can end, also by a loop that stands still."""
        if self._lock.is_surrendered or self.client.state is State.CLOSED:
            return math.inf
        match self._phase_in_cluster:
            case ClusterPhase.LEADING:
                return self._clock.reset_at - self._now()
            case ClusterPhase.OVER:
                return self._close.reset_at - self._now()
            case ClusterPhase.FOLLOWING | ClusterPhase.ALONE:
                return math.inf

    def have_watched(self) -> None:
        """Have another thread see to it that the connection is closed in time, if it doesn't yet."""
        self._emit(WatchChanged())

    def _make_operations(self, protocol: Protocol) -> OwnerOperations:
        self._cluster_operations = ClusterOperations(
            self.client,
            protocol,
            self._snapshot,
            self._emit,
            is_serving=self._is_serving,
            may_send=self._may_send,
            forward_batch=self.forward_batch,
            adopt=self._adopt,
            holds_connection=lambda: self.holds_connection,
            is_up=lambda: self.status.state is State.CONNECTED,
            is_wanted=self._begin,
            on_relayed=self._on_relayed,
        )
        return self._cluster_operations

    def _on_relayed(self) -> None:
        self.follower.wake()

    def __repr__(self) -> str:
        part = self.leader if self.holds_connection else self.follower
        return f"<ClusterOwner {self._phase_in_cluster.value} {part!r} {super().__repr__()}>"

    @property
    def leadership(self) -> Leadership | None:
        """The present epoch, while this host leads."""
        return self.leader.leadership

    @property
    def heartbeat(self) -> float:
        """Seconds between two signs of life of this owner."""
        return self._options.heartbeat

    @property
    def present_status(self) -> Status:
        """The status of this moment: the time of the next attempt comes closer without a change of the state."""
        return dataclasses.replace(self.status, retry_in=self.client.internals.runner.retry_in)

    @property
    def holds_connection(self) -> bool:
        """True while this host leads, or is alone."""
        return self._phase_in_cluster is not ClusterPhase.FOLLOWING

    @property
    def phase_in_cluster(self) -> ClusterPhase:
        """Part of this host."""
        return self._phase_in_cluster

    @property
    def cluster_part(self) -> str:
        """Part of this host, and the leader's name."""
        return self._report.part

    @property
    def cluster_status(self) -> ClusterStatus:
        """Part of this host, for metrics."""
        return self._report.status(self._clock.close_at + self._clock.margin - self._now())

    def _describe(self) -> tuple[Announcement, Position]:
        return self._report.announcement(self._cluster_operations.failure)

    @property
    def epoch(self) -> int:
        """Epoch of the present connection, as the processes of this host count."""
        return super().epoch if self.holds_connection else self.status.epoch

    @property
    def connection_stats(self) -> ConnectionStats:
        """Counters of the connection over all leaders; those of another host are as old as its last renewal."""
        return super().connection_stats if self.holds_connection else self.follower.heard.stats

    def descriptors(self) -> Iterable[int]:
        """As `Owner.descriptors`, and those of the connections to the engine."""
        yield from super().descriptors()
        with contextlib.suppress(Exception):  # a client library that keeps them elsewhere: the lock is released, too
            yield from self._coordinator.descriptors()

    # --- phases -----------------------------------------------------------------------------------------------------

    def resume(self, state: State, earlier: EarlierConnection) -> None:
        """Take part in the cluster if the connection was wanted under the last owner, or was stopped."""
        self.follower.heard.state = state
        self._is_checked = state in WANTED_STATES and self.status.epoch > 0
        self._memory.outage.begin(earlier, self._now())
        if state in WANTED_STATES or state is State.STOPPED:
            self._begin()

    def _begin(self) -> None:
        if self._running is None and self._phase_in_cluster is ClusterPhase.FOLLOWING:
            self._cluster_operations.failure = None
            self._running = start_task(self._run(), self._adopt, "onesocket cluster member")

    async def _run(self) -> None:
        """Take part until this role is over; again after unexpected exceptions (no memory, a bug)."""
        faults = self._memory.faults
        try:
            while True:
                await faults.wait()  # those of the role before count, too
                try:
                    await self._take_part()
                except OnesocketError as error:
                    self._fail(error)
                except Exception as error:  # noqa: BLE001 - without this task, callers and readers would wait for ever
                    faults.note(error, f"{self.status.url}: the member of the cluster")
                    if self._phase_in_cluster is not ClusterPhase.OVER and self._goes_on_after(error):
                        continue  # else the next role meets it, or the next call
                return
        finally:
            if self._running is asyncio.current_task():
                self._running = None

    def _goes_on_after(self, error: Exception) -> bool:
        """Report an unexpected exception to those that wait, if it's not the first one; returns True to go on."""
        if not self._memory.faults.are_many:
            return True
        failure = EngineUnavailable(
            f"this member of the cluster at {self._cluster.engine} failed: {type(error).__name__}"
        )
        failure.__cause__ = textless(error)
        return self._on_engine_failed(failure)

    async def _take_part(self) -> None:
        """Lead whenever the lease is free, and follow while it isn't."""
        backoff = Backoff()
        if not self._is_checked:
            await self._requests.check(self._on_engine_failed)
        while self._phase_in_cluster is not ClusterPhase.OVER and not self.is_leaving:
            await self._give_way()
            requested_at = self._now()
            try:
                got = await self._requests.acquire(self._clock.ttl, self.follower.epoch)
            except (EngineUnavailable, EngineFull) as error:
                if isinstance(error, EngineUnavailable):
                    self.leader.note_unsure()
                if not self._on_engine_failed(error):
                    return
                await backoff.wait()
                continue
            backoff.reset()
            self._announcer.begin()
            if isinstance(got, Lease):
                self._clock.granted(requested_at)
                await self._lead(got)
                continue
            self.leader.note_held()
            if self._phase_in_cluster is ClusterPhase.ALONE:
                self._end_leadership(LeadershipEnd.LEASE_LOST)  # another host leads
            elif not self.is_leaving:
                await self.follower.run(got)

    async def _give_way(self) -> None:
        """Let a host have the lease first that may reach the server, or knows what late readers begin with."""
        if self._memory.has_passed:
            await self.leader.leave_to_others(self._clock.margin)
        if self._snapshot is None or not self._session.can_go_on or self._cluster_operations.has_state:
            return
        if self.follower.heard.state in WANTED_STATES and not self.holds_connection:
            await self.leader.leave_to_others(min(_GIVES_WAY, self._clock.margin))

    def _on_engine_failed(self, error: OnesocketError) -> bool:
        """Report that the engine is away; returns whether this member goes on trying."""
        if self._phase_in_cluster is not ClusterPhase.FOLLOWING:
            return True
        return self.follower.on_engine_failed(error)

    def _fail(self, error: OnesocketError) -> None:
        if self._phase_in_cluster is ClusterPhase.OVER:
            _log.error("%s: %s", self.status.url, error)
            return  # the next role meets it
        self._cluster_operations.failure = error
        self._relay.leader_gone(in_order=False)
        self.deliver_status(dataclasses.replace(self.status, state=State.FAILED, last_error=error, connected_at=None))
        self._relay.refuse(error)

    async def hand_over(self) -> bool:
        """As `Owner.hand_over`; the lease is renewed until the connection is closed, and released then."""
        self.is_leaving = True
        self._session.keep()
        await self._close.finished()
        return await super().hand_over()

    async def _before_release(self, *, in_order: bool) -> None:
        """Settle what other hosts and this one have under way, and release the lease, or leave it to its time."""
        running, self._running = self._running, None
        async with contextlib.AsyncExitStack() as ends:  # the last one first; each is done, whatever another one meets
            ends.push_async_callback(self._coordinator.aclose)
            ends.push_async_callback(self._announcer.aclose)
            ends.push_async_callback(self.leader.finish)
            ends.callback(self._relay.leader_gone, in_order=False)
            if not in_order:
                self.leader.leadership = None  # not released: what has no result may have been sent
            if running is not None:
                ends.push_async_callback(end_tasks, running, again=FINISH_TIMEOUT)  # it ends tasks of its own
                await self.leader.settle(running)
                await self.follower.leave(running)
                if self._requests.is_under_way or self._session.is_searching:
                    await asyncio.wait([running], timeout=FINISH_TIMEOUT)  # then it releases what it is given

    # --- leading ----------------------------------------------------------------------------------------------------

    async def _lead(self, lease: Lease) -> None:
        if not await self._may_lead(lease):
            return
        try:
            if self._phase_in_cluster is ClusterPhase.FOLLOWING:
                self._begin_leading()
            else:
                self._phase_in_cluster = ClusterPhase.LEADING
                self.leader.go_on(lease)
            end = await self.leader.run()
        except Exception:
            self._end_leadership(LeadershipEnd.LEASE_LOST)  # the engine can't serve any more, or this member can't
            raise
        self._end_leadership(end)

    async def _may_lead(self, lease: Lease) -> bool:
        """End the part as a follower, if there is one; returns False if the lease was given up before it was used."""
        if self._phase_in_cluster is not ClusterPhase.FOLLOWING:
            self.follower.leads_itself(lease.epoch)
            return True
        # A host that begins anew logs in anew: it needs what a session begins with.
        was_up = self.follower.heard.state in WANTED_STATES
        try:
            await self._session.find(lease.epoch, self.follower.read_rest, self._clock.ttl / 3, searches=was_up)
            self.follower.leads_itself(lease.epoch)
            return await self.leader.begin(lease)
        except Exception:
            self.leader.note_unsure()  # this lease was granted, and not used
            raise

    def _begin_leading(self) -> None:
        """Dial, and perform what the processes of this host wait for."""
        self._phase_in_cluster = ClusterPhase.LEADING
        self.have_watched()
        self._numbered.base_epoch, self._numbered.base_stats = self.status.epoch, self.follower.heard.stats
        self._cluster_operations.set_state_known()
        # A leader that ended while it closed may have meant to go on.
        heard = self.follower.heard.state
        state = State.CONNECTING if heard is State.CLOSING else heard
        operations = list(self._relay.take_all())
        is_wanted = state in WANTED_STATES or (
            state is not State.STOPPED
            and any(isinstance(frame, Request) and frame.verb is Verb.CONNECT for _, frame in operations)
        )
        if is_wanted and self._session.resume():
            state = State.CONNECTING
            self._cluster_operations.hold_connects()
        super().resume(state, self._memory.outage.earlier(self._now()))
        for requester, frame in operations:
            self._cluster_operations.perform_here(requester, frame)

    def _on_change(self, change: Change) -> None:
        super()._on_change(change)
        if change.new not in (State.CONNECTING, State.CLOSING):
            self._cluster_operations.release_connects()

    def _end_leadership(self, end: LeadershipEnd) -> None:
        """Close the connection, or keep it for this host alone."""
        if self._phase_in_cluster is ClusterPhase.OVER:
            return
        self.leader.end()
        if end is LeadershipEnd.ENGINE_LOST and self._cluster.on_engine_lost is OnEngineLost.KEEP:
            self._phase_in_cluster = ClusterPhase.ALONE
            _log.warning("%s: the engine of the cluster is away; this host goes on alone", self.status.url)
            return
        self._phase_in_cluster = ClusterPhase.OVER
        now, clock = self._now(), self._clock
        is_lost = end is LeadershipEnd.LEASE_LOST
        left = 0.0 if is_lost else max(0.0, clock.close_at + clock.margin - now)
        reset_at = now + clock.margin / 4 if is_lost else clock.reset_at
        _log.warning("%s: this host doesn't lead the cluster any more: %s", self.status.url, end.value)
        clock.ended()
        self._memory.led_as = self._coordinator.member
        self._session.keep()
        self._close.begin(left / 2, reset_at)
        self._emit(HandOverDue(is_requested=False))

    def _may_send(self) -> bool:
        return super()._may_send() and self._may_use()

    def _may_use(self) -> bool:
        """True while this host may use its connection."""
        if self._phase_in_cluster is ClusterPhase.LEADING:
            return self.leader.may_send
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

    # --- to the processes of this host, and to other hosts ------------------------------------------------------------

    def deliver_batch(self, batch: list[Data]) -> None:
        """As `Owner.deliver_batch`, and to other hosts."""
        super().deliver_batch(batch)
        self.leader.publish_batch(batch)

    def deliver_gap(self, gap: Gap) -> None:
        """As `Owner.deliver_gap`, and to other hosts."""
        super().deliver_gap(gap)
        self.leader.publish_gap(gap)

    def deliver_status(self, status: Status) -> None:
        """As `Owner.deliver_status`, and to other hosts."""
        super().deliver_status(status)
        self.leader.publish_status(status)
        if self._phase_in_cluster is ClusterPhase.LEADING and self.leader.note_dial(status):
            self._emit(HandOverDue(is_requested=False))
        self._announcer.note((self._report.role, status.state, self._cluster_operations.failure))
        due = self.follower.due_gap(status)
        if due is not None:
            super().deliver_gap(due)  # each host has its own

    def on_rejected(self, error: OnesocketError) -> None:
        """Take no part any more: the leader keeps this member out, for good."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
        self._fail(error)
