"""The process that holds the connection: one client upstream, one Unix socket for all the others."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import enum
import functools
import logging
import math
import os
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from ..._task_end import leave_alone
from ...client._client import Client
from ...client._gap import Gap, GapReason
from ...client._status import Change, ConnectionStats, Status
from ...errors import OutOfResources
from ...lifecycle import _events as events
from ...lifecycle._states import State
from ...protocols._protocol import Protocol
from ...wire._handshake import Data
from .._host_options import HostOptions, Own
from ._back_pressure import BackPressure
from ._batch_forwarder import BatchForwarder
from ._descriptor_reserve import DescriptorReserve
from ._follower_connection import FollowerConnection
from ._follower_set import FollowerSet
from ._ipc_frames import (
    FeedPosition,
    GapNotice,
    HandOverAnswer,
    Hello,
    MessageBatch,
    Rejection,
    StatusRequest,
    StatusUpdate,
    StepDown,
    ToOwner,
    Welcome,
    encode_ipc_frame,
)
from ._join_credentials import JoinCredentials
from ._loop_heartbeat import LoopHeartbeat
from ._next_owner import find_next_owner, hand_over_refusal, preferrer
from ._numbered_status import NumberedStatus
from ._owner_events import HandOverDue, OwnerEvent, WatchChanged
from ._owner_files import OwnerFiles
from ._owner_lock import OwnerLock
from ._owner_operations import OwnerOperations
from ._owner_report import OwnerReport
from ._owner_snapshot import OwnerSnapshot

_log: Final = logging.getLogger("onesocket")
_REFRESH_INTERVAL: Final = 600.0
"""Seconds between two touches of the lock file; cleaners take what is days old."""
_LATE_TICK: Final = 1.5
"""Heartbeats without a check of the files: after a longer pause of this process, another may have taken over."""


class OwnerPhase(enum.Enum):
    """Phase of an ownership."""

    SERVING = "serving"
    HANDING_OVER = "handing over"
    REPLACED = "replaced"
    """Another process took over while this one was suspended; it still has to close its connection."""


class Owner:
    """Role of the process that holds the connection: serves itself and its followers."""

    def __init__(
        self,
        lock: OwnerLock,
        reserve: DescriptorReserve,
        *,
        client: Client,
        protocol: Protocol,
        options: HostOptions,
        credentials: JoinCredentials,
        epoch: int,
        stats: ConnectionStats,
        emit: Callable[[OwnerEvent], object],
        key: str | None = None,
        expects_followers: bool = False,
        adopt: Callable[[asyncio.Task[Any]], object] = leave_alone,
    ) -> None:
        self.client = client
        self._adopt = adopt
        """Called with each task of an operation; the end of a loop may have to spare it."""
        self._lock = lock
        self._reserve = reserve
        self._options = options
        self._emit = emit
        self._loop = asyncio.get_running_loop()
        self._phase = OwnerPhase.SERVING
        self._checked_at = self._loop.time()
        self._refreshed_at = self._checked_at
        self._numbered = NumberedStatus(client, epoch, stats)
        self.status = self._numbered.status(client.state, 0)
        fan_out = client.internals.fan_out
        self._followers = FollowerSet(
            credentials,
            options,
            self._on_follower_frame,
            self.status,
            BackPressure(options.hold, fan_out.hold, fan_out.release),
            expects_followers=expects_followers,
        )
        self._next_owner: FollowerConnection | None = None
        """The follower to which this owner hands over."""
        self._snapshot = OwnerSnapshot.of(protocol, fan_out)
        self._forwarder = BatchForwarder(self._snapshot, self._forward, self._mark_loss)
        self.forward_batch = self._forwarder.flush
        self._operations = self._make_operations(protocol)
        # Straight to the operations: one call less for each.
        self.submit = self._operations.submit
        self._files = OwnerFiles(
            lock, reserve, accepted=self._followers.accept, exhausted=_reject_exhausted, check=self.check_files
        )
        self._heartbeat = LoopHeartbeat(options.heartbeat, self._on_heartbeat)
        self._owner_report = OwnerReport(client, options, key)
        runner = client.internals.runner
        runner.is_shared = True
        runner.may_dial = self._may_dial
        # Where all tasks of the loop are cancelled, as `asyncio.run()` does at its end, the next owner follows.
        runner.outlives_loop, runner.on_left = self._outlives_loop, self._on_loop_ends
        fan_out.tap(self._forwarder.on_batch, self._on_gap)
        client.on_change(self._on_change)

    def __repr__(self) -> str:
        return f"<Owner {self.client!r} {self._phase.value} followers={len(self._followers)}>"

    @property
    def ownership_id(self) -> int:
        """The number of this ownership in the lock file."""
        return self._lock.ownership_id

    @property
    def holds_connection(self) -> bool:
        """True: in a cluster, the owner of a host may use the connection of another host."""
        return True

    @property
    def cluster_part(self) -> str | None:
        """None: this host is no part of a cluster."""
        return None

    @property
    def needs_watch(self) -> bool:
        """True while other members use the connection, or once the loop has stood still; in any thread."""
        return self._heartbeat.was_late or bool(self._followers)

    @property
    def is_wanted(self) -> bool:
        """True while other members use the connection, or wait to be accepted; in any thread."""
        return bool(self._followers) or self._files.is_asked

    @property
    def reset_in(self) -> float:
        """Seconds after which the connection is reset if this loop has not closed it; inf: there is no such time."""
        return math.inf

    @property
    def epoch(self) -> int:
        """Epoch of the present connection, as all processes count."""
        return self._numbered.epoch

    @property
    def connection_stats(self) -> ConnectionStats:
        """Counters over all owners."""
        return self._numbered.stats

    def _make_operations(self, protocol: Protocol) -> OwnerOperations:
        return OwnerOperations(
            self.client,
            protocol,
            self._snapshot,
            self._emit,
            is_serving=self._is_serving,
            may_send=self._may_send,
            forward_batch=self.forward_batch,
            adopt=self._adopt,
        )

    # --- phases -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen for followers. Raises OSError or `NoRuntimeDirectory`."""
        self._files.start()
        self._heartbeat.start()

    def break_off(self) -> None:
        """Reset the connection and release the lock, as the event loop takes no turn; in any thread."""
        # These sockets are closed under `FORK_LOCK` alone, which `surrender` holds: their numbers are no other file's.
        runner = self.client.internals.runner
        if self._lock.surrender(lambda: (*runner.descriptors(), *self._files.descriptors())):
            self._followers.break_off()
        if self._loop.is_closed():
            self._files.stop()
            self.client.internals.leave_loop()

    def resume(self, state: State, earlier: events.EarlierConnection) -> None:
        """Restore the connection's state under the last owner: stopped, or up."""
        if state is State.STOPPED:
            self._operations.disconnect()
        elif state in (State.CONNECTED, State.CONNECTING, State.BACKING_OFF):
            self.client.internals.runner.calls.request_nowait(events.Connect(wait=False, retry=True, resumes=earlier))

    async def hand_over(self) -> bool:
        """Close the connection in order, release the lock, and send the followers to the next owner. Bounded.

        Returns False if that failed, so that what has no result may have been sent.
        """
        in_order = await self._is_done(self._post_own)
        if self._current_phase() is OwnerPhase.SERVING:
            self._phase = OwnerPhase.HANDING_OVER
        self._heartbeat.stop()
        self._files.stop()
        in_order = await self._is_done(self._end_connection) and in_order
        in_order = await self._is_done(functools.partial(self._settle, in_order=in_order)) and in_order
        followers = self._followers.attached
        self._files.release(is_followed=bool(followers))
        await self._followers.shut_down(self._next_owner if self._next_owner in followers else preferrer(followers))
        self._emit(WatchChanged())
        return in_order

    async def _is_done(self, part: Callable[[], Awaitable[None]]) -> bool:
        """Do a part of the end; if it fails, reset the connection, and return False."""
        try:
            await part()
        except Exception as error:  # noqa: BLE001 - no memory, or a bug: the other processes must not wait for ever
            _log.error("%s: closing the connection failed: it is reset", self.status.url, exc_info=error)
            self.break_off()
            self.client.internals.runner.abort()
            with contextlib.suppress(Exception):
                await self.client.aclose()  # leaves nothing on the loop
            return False
        return True

    async def _post_own(self) -> None:
        if self._current_phase() is OwnerPhase.SERVING:
            self._operations.post_own()  # those of followers go to the next owner

    async def _end_connection(self) -> None:
        """Close the connection in order, with what was sent meanwhile."""
        runner = self.client.internals.runner
        runner.end_with_loop()
        if self._lock.is_surrendered:
            runner.abort()  # its descriptors are released: no answer would come
        await self.client.aclose()  # bounded by its own deadlines; before its end another must not dial
        await self._operations.finish()  # messages sent meanwhile need their result, or would be sent twice
        self._forwarder.flush()

    async def _settle(self, *, in_order: bool) -> None:
        await self._before_release(in_order=in_order)
        if in_order:
            self._followers.send_heartbeat(self.connection_stats)  # the next owner counts on from there

    async def _before_release(self, *, in_order: bool) -> None:
        """Nothing: an owner in a cluster has its lease to release. `in_order`: all that was sent has its result."""

    def _may_send(self) -> bool:
        """Return True while messages may go to the connection."""
        return self._is_serving()

    def _may_dial(self) -> bool:
        """Return False if another process or member has taken over while this one stood still."""
        return self._current_phase() is not OwnerPhase.REPLACED

    def _is_serving(self) -> bool:
        return self._current_phase() is OwnerPhase.SERVING

    def _current_phase(self) -> OwnerPhase:
        """The phase; after a pause of this process the files are checked first."""
        is_late = self._loop.time() - self._checked_at > _LATE_TICK * self._options.heartbeat
        if is_late or self._lock.is_surrendered:
            self.check_files()
        return self._phase

    def _outlives_loop(self) -> bool:
        """True if the end of the event loop doesn't close the client: the next owner follows, in order."""
        return self._phase is OwnerPhase.SERVING

    def _on_loop_ends(self) -> None:
        """The end of the event loop has closed the connection: another member has it next, or this one again."""
        self._emit(HandOverDue(is_requested=False))

    def check_files(self) -> None:
        """Find out whether another process has taken over."""
        self._checked_at = self._loop.time()
        if self._phase is OwnerPhase.SERVING and not self._files.restore_missing():
            self._phase = OwnerPhase.REPLACED
            self._emit(HandOverDue(is_requested=self._lock.is_surrendered))

    def go_on(self) -> None:
        """Do what is overdue: Ctrl-C may have interrupted a heartbeat, while the event loop goes on nevertheless."""
        if self._phase is OwnerPhase.SERVING:
            self._heartbeat.go_on()

    def _on_heartbeat(self, *, is_first_late: bool) -> None:
        self._forwarder.on_turn_end()  # again, as Ctrl-C may interrupt the rest, or have interrupted that
        if is_first_late:
            self._emit(WatchChanged())
        elapsed = self._loop.time() - self._checked_at + 1e-9
        self.check_files()
        if self._checked_at - self._refreshed_at > _REFRESH_INTERVAL:
            self._refreshed_at = self._checked_at
            self._lock.refresh()
        if self.client.state is State.CONNECTED:
            self._reserve.fill()
        self._owner_report.measure(elapsed)
        self._refresh_status()
        self._followers.send_heartbeat(self.connection_stats)
        if self.needs_watch:
            self._emit(WatchChanged())  # again: there may have been no thread to watch
        if self._options.own is not Own.PREFER and self._phase is OwnerPhase.SERVING:
            self._hand_over_to_preferrer()

    def _refresh_status(self) -> None:
        """Publish what changes without a change of the state."""
        status = self.client.status
        if (status.rtt, status.attempt) != (self.status.rtt, self.status.attempt):
            self._publish_present()

    # --- from the connection ----------------------------------------------------------------------------------------

    def _mark_loss(self) -> None:
        """Mark where there was no memory, or Ctrl-C interrupted: some processes have these messages, others not."""
        self.deliver_gap(Gap(GapReason.OVERFLOW, self.epoch))

    def _on_gap(self, gap: Gap) -> None:
        if self._snapshot is not None:
            self._snapshot.keeper.lose(gap)
        self._forwarder.flush()
        if self._current_phase() is OwnerPhase.REPLACED:
            return
        self._publish_early()
        self.deliver_gap(self._numbered.gap(gap))

    def _forward(self, batch: list[Data]) -> None:
        if self._current_phase() is OwnerPhase.REPLACED:
            return
        self._publish_early()
        self.deliver_batch(batch)

    def _on_change(self, change: Change) -> None:
        if self._numbered.is_news(change):
            self._publish(change.new, change.epoch)

    def _publish_early(self) -> None:
        """Publish that a connection is up before its first message: the client reports its changes a little later."""
        if self._phase is OwnerPhase.SERVING and self._numbered.is_up_unpublished():
            self._publish_present()

    def _publish_present(self) -> None:
        self._publish(self.client.state, self.client.epoch)

    def _publish(self, state: State, epoch: int) -> None:
        if self._current_phase() is not OwnerPhase.SERVING:
            return  # further states are the next owner's
        status = self._numbered.status(state, epoch)
        self._lock.note_newer(status.epoch)  # before any process knows it
        self.deliver_status(status)

    # --- to the processes of this host --------------------------------------------------------------------------------

    def deliver_batch(self, batch: list[Data]) -> None:
        """Deliver messages to the processes of this host."""
        self._followers.send_batch(batch, self.epoch)
        self._emit(MessageBatch(batch))

    def deliver_gap(self, gap: Gap) -> None:
        """Deliver a marker to them."""
        self._followers.send_gap(gap)
        self._emit(GapNotice(gap))

    def deliver_status(self, status: Status) -> None:
        """Deliver a status to them."""
        self.status = status
        self._followers.send_status(status)
        self._emit(StatusUpdate(status))

    def descriptors(self) -> Iterable[int]:
        """All sockets, that of the connection first."""
        yield from self.client.internals.runner.descriptors()
        yield from self._files.descriptors()
        yield from self._followers.descriptors()

    # --- followers --------------------------------------------------------------------------------------------------

    def _on_follower_frame(self, follower: FollowerConnection, frame: ToOwner | None) -> None:
        match frame:
            case Hello():
                self._attach(follower, frame)
            case StatusRequest():
                follower.send_frame(self._owner_report.frame(self._followers, self.status, self.cluster_part))
                self._followers.close_unattached(follower)
            case StepDown():
                self._step_down(follower)
            case None:
                self._followers.detach(follower)
                self._operations.forget(follower)
                self._emit(WatchChanged())
            case _:
                self._operations.perform(follower, frame)

    def _attach(self, follower: FollowerConnection, hello: Hello) -> None:
        if self._current_phase() is not OwnerPhase.SERVING:
            self._followers.close_unattached(follower)
            return
        self._forwarder.flush()  # not for a new follower
        heartbeat, ownership_id = self._options.heartbeat, self.ownership_id
        is_from_other = hello.ownership_id not in (0, ownership_id)
        if is_from_other and hello.epoch > self._numbered.base_epoch:
            self._renumber(hello.epoch)
        status = dataclasses.replace(self.status, retry_in=self.client.internals.runner.retry_in)
        welcome = Welcome(os.getpid(), ownership_id, heartbeat, status, self.connection_stats)
        # After another owner a process gets everything of this one's connection: that may have begun before it came.
        self._followers.attach(follower, welcome, FeedPosition() if is_from_other else hello.position)
        self._emit(WatchChanged())
        if self._options.own is not Own.PREFER:
            self._hand_over_to_preferrer()
        elif preferrer(self._followers.attached) is not None:
            self._followers.send_heartbeat(self.connection_stats)  # which says that there is one

    def _renumber(self, known: int) -> None:
        """Count the connections of this owner from `known` on, an epoch of an earlier owner that a process knows.

        The lock file tells of earlier epochs, unless it was removed, or its owner stopped before it could write.
        """
        self._followers.renumber(known - self._numbered.base_epoch)
        self._numbered.base_epoch = known
        self._publish_present()

    def _hand_over_to_preferrer(self) -> None:
        """Hand over if a process prefers to own, and could: not while a stopped owner has a part of the lock."""
        prefers = None if self._lock.is_beside_stopped else preferrer(self._followers.attached)
        if prefers is not None:
            self._begin_hand_over(prefers, is_requested=False)

    def _step_down(self, asker: FollowerConnection) -> None:
        followers = self._followers.attached
        next_owner = find_next_owner(followers)
        if self._current_phase() is OwnerPhase.SERVING:
            if next_owner is None:
                asker.send_frame(Rejection(hand_over_refusal(os.getpid(), followers)))
            else:
                asker.send_frame(HandOverAnswer(next_owner.peer_pid))
                self._begin_hand_over(next_owner, is_requested=True)
        self._followers.close_unattached(asker)

    def _begin_hand_over(self, next_owner: FollowerConnection, *, is_requested: bool) -> None:
        if self._next_owner is None:
            self._next_owner = next_owner
            self._emit(HandOverDue(is_requested))


def _reject_exhausted(sock: socket.socket) -> None:
    """Tell a process that would attach: else it would take the silence for that of a stopped owner."""
    text = f"the process that holds the connection (pid {os.getpid()}) has no file descriptor left for another process"
    with contextlib.suppress(OSError):
        sock.settimeout(0)
        sock.send(encode_ipc_frame(Rejection(OutOfResources(text))))
