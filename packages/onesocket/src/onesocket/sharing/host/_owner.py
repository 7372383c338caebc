"""The process that holds the connection: one client upstream, one Unix socket for all the others."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import time
from collections.abc import Hashable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from ...client._client import Client
from ...client._gap import Gap, GapReason
from ...client._status import Change
from ...errors import ClientClosed, InvalidOption, OnesocketError
from ...lifecycle._effects import Outcome
from ...lifecycle._retry import ReconnectPolicy
from ...lifecycle._states import State
from ...protocols._protocol import Protocol
from ...wire._handshake import Data
from .._host_options import HostOptions
from ._descriptor_reserve import DescriptorReserve
from ._errors import OutOfResources, OwnerLost, WireError
from ._follower_connection import FollowerConnection, try_encode_ipc_frame
from ._ipc_frames import (
    Heartbeat,
    MessageBatch,
    Rejection,
    SharedStatus,
    Shutdown,
    StatusReport,
    Welcome,
    checked_key,
    encode_ipc_frame,
    split_batch,
)
from ._merged_subscriptions import MergedSubscriptions
from ._owner_files import OwnerFiles
from ._owner_lock import OwnerLock
from ._pending_operations import PendingOperations
from ._process_outbox import OutboxEntry
from ._reconnector import Reconnector
from ._role import RoleEvents
from ._serialization import serialize_error, serialize_gap, serialize_status

_BACKLOG: Final = 512
_REFRESH_INTERVAL: Final = 600.0
"""Seconds between two touches of the lock file; cleaners take what is days old."""
_THIS_PROCESS: Final = "this process"
_NO_DIGESTS: Final[Mapping[str, str]] = MappingProxyType({})
_HEARTBEAT_FRAME: Final = encode_ipc_frame(Heartbeat())
_SHUTDOWN_FRAME: Final = encode_ipc_frame(Shutdown())


class Owner:
    """A `Role`, and the owner of its `FollowerConnection`s."""

    def __init__(
        self,
        lock: OwnerLock,
        reserve: DescriptorReserve,
        *,
        client: Client,
        protocol: Protocol,
        options: HostOptions,
        reconnect: ReconnectPolicy | None,
        secret: bytes,
        release: str,
        epoch: int,
        events: RoleEvents,
        digests: Mapping[str, str] = _NO_DIGESTS,
    ) -> None:
        self.secret = secret
        self.digests = digests
        """Of the options that go into dial and login; followers must have the same."""
        self.release = release
        self.buffer = options.buffer
        self.cut_off_after = options.cut_off_after
        self.attach_timeout = options.attach_timeout
        self.client = client
        self._lock = lock
        self._reserve = reserve
        self._options = options
        self._events = events
        self._base = epoch
        self._loop = asyncio.get_running_loop()
        self._looked = self._loop.time()
        self._touched = self._looked
        self._follower_connections: tuple[FollowerConnection, ...] = ()
        self._unattached: set[FollowerConnection] = set()
        self._came: list[Data] = []
        self._has_fed = False
        """In this turn of the loop: what comes now waits for its end."""
        self._merged_subscriptions = MergedSubscriptions(protocol, client)
        self._pending_operations = PendingOperations(client)
        self._reconnector = Reconnector(client, reconnect, self._publish)
        self._files = OwnerFiles(
            lock, reserve, accepted=self._accepted, exhausted=_reject_exhausted, look=self._look_at_files
        )
        self._accepting: set[asyncio.Task[object]] = set()
        self._beat: asyncio.TimerHandle | None = None
        self._stopping: asyncio.Task[None] | None = None
        """A stop that was called before this process owned the connection, under way."""
        self._leaving = False
        self._deposed = False
        self._started = time.time()
        self._rates = (0.0, 0.0)
        self._counted = (0, 0)
        self._dropped = 0
        self._told: tuple[State, int] = client.state, 0
        self._ahead: tuple[State, int] | None = None
        """What was told before the client did: the changes up to that are no news."""
        client.internals.tap(self._take, self._miss)
        client.on_change(self._changed)
        self.status = self._shared(client.state, 0)

    def __repr__(self) -> str:
        return f"<Owner {self.client!r} followers={len(self._follower_connections)} leaving={self._leaving}>"

    @property
    def epoch(self) -> int:
        """Of the present line, as all processes count."""
        return self._base + self.client.epoch

    # --- its life ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen. Raises OSError or `NoRuntimeDirectory`."""
        self._files.start()
        self._beat = self._loop.call_later(self._options.heartbeat, self._tick)

    def resume(self, state: State) -> None:
        """Go on where the connection was under the last owner: stopped, or up, and then as a client would."""
        if state is State.STOPPED:
            self._stopping = self._loop.create_task(self.client.disconnect())
            self._stopping.add_done_callback(lambda task: task.cancelled() or task.exception())
        elif state in (State.CONNECTED, State.CONNECTING, State.BACKING_OFF):
            self._reconnector.start()

    async def hand_over(self) -> None:
        """Close the line in order, let go of the lock, and tell the followers. Bounded."""
        self._leaving = True
        if self._beat is not None:
            self._beat.cancel()
        self._files.stop()
        await self._reconnector.stop()
        await self.client.aclose()  # bounded by its own deadlines; before its end another must not dial
        await self._pending_operations.finish()  # what was sent meanwhile gets its result, or it would be sent twice
        self._release()

    def _release(self) -> None:
        self._flush()
        self._files.release(self.epoch if self._follower_connections else 0)
        for peer in self._follower_connections:
            peer.flush_results()
            peer.tell_packed(_SHUTDOWN_FRAME)
        for peer in (*self._follower_connections, *self._unattached):
            peer.close()
        self._follower_connections = ()
        self._unattached.clear()

    def _is_deposed(self) -> bool:
        """True if this process was suspended long enough for a take-over, and another process took over."""
        now = self._loop.time()
        if now - self._looked > 1.5 * self._options.heartbeat:
            self._look(now)
        return self._deposed

    def _look(self, now: float) -> None:
        self._looked = now
        if not self._deposed and not self._leaving and not self._files.restore_missing():
            self._deposed = True
            self._events.on_step_down()

    def _look_at_files(self) -> None:
        self._look(self._loop.time())

    def _tick(self) -> None:
        heartbeat = self._options.heartbeat
        now = self._loop.time()
        elapsed = now - self._looked + 1e-9
        self._look(now)
        self._beat = self._loop.call_later(heartbeat, self._tick)
        if now - self._touched > _REFRESH_INTERVAL:
            self._touched = now
            self._lock.refresh()
        if self.client.state is State.CONNECTED:
            self._reserve.fill()
        stats = self.client.stats
        counted = stats.received, stats.sent
        self._rates = (counted[0] - self._counted[0]) / elapsed, (counted[1] - self._counted[1]) / elapsed
        self._counted = counted
        if self.client.status.rtt != self.status.rtt:
            self._publish()
        for peer in self._follower_connections:
            if not peer.is_write_paused:
                peer.tell_packed(_HEARTBEAT_FRAME)

    # --- from above -------------------------------------------------------------------------------------------------

    def _take(self, batch: list[Data]) -> None:
        # The first of a turn goes out at once. What follows goes out together: a write costs more than a message.
        if self._has_fed:
            self._came += batch
            return
        self._has_fed = True
        self._loop.call_soon(self._turn_over)
        self._feed(batch)

    def _turn_over(self) -> None:
        self._has_fed = bool(self._came)
        if self._has_fed:
            self._loop.call_soon(self._turn_over)
            self._flush()

    def _flush(self) -> None:
        came, self._came = self._came, []
        if came:
            self._feed(came)

    def _miss(self, gap: Gap) -> None:
        self._flush()
        if self._is_deposed():
            return
        self._catch_up()
        gap = Gap(gap.reason, self._base + gap.epoch, gap.missed, gap.error)
        self._feed_gap(gap)
        self._events.on_gap(gap)

    def _feed(self, batch: list[Data]) -> None:
        if self._is_deposed():
            return
        self._catch_up()
        if self._follower_connections:
            for portion in split_batch(batch):
                data = try_encode_ipc_frame(MessageBatch(portion))
                if data is None:
                    self._feed_gap(Gap(GapReason.OVERFLOW, self.epoch, len(portion)))
                    continue
                for peer in self._follower_connections:
                    peer.send_batch(data, len(portion))
        self._events.on_messages(batch)

    def _feed_gap(self, gap: Gap) -> None:
        data = encode_ipc_frame(serialize_gap(gap, gap.epoch))
        for peer in self._follower_connections:
            peer.send_gap(gap, data)

    def _changed(self, change: Change) -> None:
        if change.new is State.CONNECTED:
            self._lock.note(self._base + change.epoch)
        told = change.new, change.epoch
        if self._ahead is None:
            self._told = told
            self._tell(self._shared(*told))
        elif told == self._ahead:
            self._ahead = None

    def _catch_up(self) -> None:
        """Say that a line is up before its first message: a client tells its changes a little later."""
        now = self.client.state, self.client.epoch
        if now != self._told and now[0] is State.CONNECTED and not self._leaving:
            self._told = self._ahead = now
            self._tell(self._shared(*now))

    def _publish(self) -> None:
        status = self.client.status
        self._tell(self._shared(status.state, status.epoch))

    def _shared(self, state: State, epoch: int) -> SharedStatus:
        status = self.client.status
        if state is State.FAILED and self._reconnector.is_running:
            state = State.BACKING_OFF
        return serialize_status(status, state=state, epoch=self._base + epoch)

    def _tell(self, shared: SharedStatus) -> None:
        if self._leaving:
            return  # what comes next is the next owner's to say
        self.status = shared
        data = encode_ipc_frame(shared)
        for peer in self._follower_connections:
            peer.tell_packed(data)
        self._events.on_status(shared)

    # --- this process as a user of its own ---------------------------------------------------------------------------

    def post(self, entries: list[OutboxEntry]) -> None:
        """Send these."""
        for entry in entries:
            if not self._leaving and not self._is_deposed():  # else it's the next owner's
                self._pending_operations.send_safely(_THIS_PROCESS, entry.number, entry.data, self._events.on_result)

    def withdraw(self, entry: OutboxEntry) -> None:
        """Don't."""
        self._pending_operations.cancel(_THIS_PROCESS, entry.number)

    async def ask(self, verb: str) -> Outcome | None:
        """connect, reconnect or disconnect."""
        if self._leaving or self._is_deposed():
            raise OwnerLost("this process has just let go of the connection")
        try:
            if self._stopping is not None:
                await asyncio.wait([self._stopping])  # the last owner's stop came before this
            if verb == "disconnect":
                await self._reconnector.stop()
                await self.client.disconnect()
                return None
            return await (self.client.reconnect() if verb == "reconnect" else self.client.connect())
        except ClientClosed:
            raise OwnerLost("this process let go of the connection meanwhile") from None

    def update_subscriptions(self, add: Iterable[Hashable], remove: Iterable[Hashable]) -> None:
        """The subscriptions of this process changed."""
        self._merged_subscriptions.change(_THIS_PROCESS, add, remove)

    def descriptors(self) -> Iterable[int]:
        """Its sockets: that of the connection first."""
        yield from self.client.internals.descriptors()
        yield from self._files.descriptors()
        for peer in (*self._follower_connections, *self._unattached):
            number = peer.descriptor
            if number is not None:
                yield number

    # --- what peers tell --------------------------------------------------------------------------------------------

    def _accepted(self, sock: socket.socket) -> None:
        peer = FollowerConnection(self, secrets.token_bytes(16), sock)
        self._unattached = {stranger for stranger in self._unattached if stranger.descriptor is not None}
        self._unattached.add(peer)
        if len(self._unattached) > _BACKLOG:
            self._unattached.pop().abort()
        work = self._loop.create_task(self._loop.connect_accepted_socket(lambda: peer, sock))
        self._accepting.add(work)
        work.add_done_callback(self._accepting.discard)

    def attached(self, peer: FollowerConnection) -> bool:
        """One more follower, if there's a place for it."""
        self._unattached.discard(peer)
        if self._leaving or self._is_deposed():
            return False
        if len(self._follower_connections) >= self._options.most_followers:
            count = len(self._follower_connections)
            text = f"{count} processes share this connection already, which is the limit (most_followers)"
            peer.tell(Rejection(serialize_error(InvalidOption(text))))
            return False
        self._flush()  # what came before belongs to those before
        self._follower_connections = (*self._follower_connections, peer)
        peer.tell(Welcome(os.getpid(), self._lock.ownership_id, self._options.heartbeat, self.status))
        return True

    def detached(self, peer: FollowerConnection) -> None:
        """One less, with all it wanted."""
        self._follower_connections = tuple(other for other in self._follower_connections if other is not peer)
        self._dropped += peer.dropped
        self._merged_subscriptions.drop(peer)
        self._pending_operations.cancel_all(peer)

    def on_status_request(self, peer: FollowerConnection) -> None:
        """How things stand."""
        self._unattached.discard(peer)
        peer.tell(
            StatusReport(
                pid=os.getpid(),
                started=self._started,
                followers=len(self._follower_connections),
                dropped=self._dropped + sum(other.dropped for other in self._follower_connections),
                received_per_second=self._rates[0],
                sent_per_second=self._rates[1],
                status=self.status,
            )
        )

    def on_outgoing_messages(self, peer: FollowerConnection, messages: list[tuple[int, Any]]) -> None:
        """A follower's messages."""

        def settled(number: int, error: OnesocketError | None) -> None:
            peer.result(number, "sent" if error is None else error)

        for number, data in messages:
            if not self._leaving and not self._is_deposed():
                self._pending_operations.send(peer, number, data, settled)

    def on_control_request(self, peer: FollowerConnection, number: int, verb: str) -> None:
        """A follower's connect, reconnect or disconnect."""
        if verb not in ("connect", "reconnect", "disconnect"):
            raise WireError("a follower asked for what there is not")
        self._pending_operations.start(peer, number, self._answer(peer, number, verb))

    def on_cancellation(self, peer: FollowerConnection, number: int) -> None:
        """A follower's caller was cancelled."""
        if self._pending_operations.cancel(peer, number):
            peer.release_slot()

    def on_subscription_update(self, peer: FollowerConnection, add: list[Any], remove: list[Any]) -> None:
        """A follower's subscriptions."""
        try:
            self._merged_subscriptions.change(peer, map(checked_key, add), map(checked_key, remove))
        except InvalidOption as error:
            raise WireError(str(error)) from None

    def on_step_down_request(self) -> None:
        """A follower heard nothing of us for too long."""
        self._events.on_step_down()

    async def _answer(self, peer: FollowerConnection, number: int, verb: str) -> None:
        try:
            outcome = await self.ask(verb)
        except OwnerLost:
            return  # without a result: the follower asks the next owner
        except OnesocketError as error:
            peer.result(number, error)
        else:
            peer.result(number, "" if outcome is None else outcome.name)


def _reject_exhausted(sock: socket.socket) -> None:
    """Tell a process that would attach: else it would take the silence for that of a stopped owner."""
    text = f"the process that holds the connection (pid {os.getpid()}) has no file descriptor left for another process"
    with contextlib.suppress(OSError):
        sock.settimeout(0)
        sock.send(encode_ipc_frame(Rejection(serialize_error(OutOfResources(text)))))
