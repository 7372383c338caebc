"""The followers of an owner: accepted, attached, and fed from one ring."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from ...client._gap import Gap, GapReason
from ...client._status import ConnectionStats, Status
from ...errors import EncodeError, InvalidOption, IpcError
from ...wire._handshake import Data
from .._host_options import HostOptions
from ._back_pressure import BackPressure, HoldPhase
from ._follower_connection import FollowerConnection
from ._ipc_frames import (
    FeedPosition,
    MessageBatch,
    OwnerHeartbeat,
    Shutdown,
    ToOwner,
    Welcome,
    encode_ipc_frame,
    split_by_size,
)
from ._join_credentials import JoinCredentials
from ._message_ring import MessageRing
from ._next_owner import preferrer

_log: Final = logging.getLogger("onesocket")
_MAX_UNATTACHED: Final = 512
_LOOK_INTERVAL: Final = 0.02
"""Seconds between two looks at the followers for which the feed is held back."""
_CATCH_UP_TIMEOUT: Final = 1.0
"""Seconds for followers to read the rest of the ring when the owner leaves."""


class FollowerSet:
    """Encodes each frame once for all followers.

    While there is none, and none is expected back, messages are only counted.
    """

    def __init__(
        self,
        credentials: JoinCredentials,
        options: HostOptions,
        receive: Callable[[FollowerConnection, ToOwner | None], object],
        status: Status,
        back_pressure: BackPressure,
        *,
        expects_followers: bool = False,
    ) -> None:
        self._credentials = credentials
        self._options = options
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._attached: tuple[FollowerConnection, ...] = ()
        self._unattached: set[FollowerConnection] = set()
        self._accepting: set[asyncio.Task[object]] = set()
        self._back_pressure = back_pressure
        self._look_timer: asyncio.TimerHandle | None = None
        self._ring = MessageRing(options.buffer, options.keep, status)
        self._expected_until = self._loop.time() + options.keep if expects_followers else 0.0
        """The time until which processes that had a role before may attach again."""
        self._dropped = 0
        """Messages dropped for followers that are gone."""

    def __repr__(self) -> str:
        return f"<FollowerSet {len(self._attached)} unattached={len(self._unattached)}>"

    def __len__(self) -> int:
        """Number of attached followers."""
        return len(self._attached)

    @property
    def attached(self) -> tuple[FollowerConnection, ...]:
        """The followers, in the order in which they attached."""
        return self._attached

    @property
    def dropped(self) -> int:
        """Messages dropped for followers that did not read."""
        return self._dropped + sum(follower.dropped for follower in self._attached)

    def accept(self, sock: socket.socket) -> None:
        """Begin the handshake with a process that has connected."""
        follower = FollowerConnection(self._credentials, self._options, self._receive, sock)
        self._unattached = {other for other in self._unattached if other.descriptor is not None}
        self._unattached.add(follower)
        if len(self._unattached) > _MAX_UNATTACHED:
            self._unattached.pop().abort()
        task = self._loop.create_task(self._loop.connect_accepted_socket(lambda: follower, sock))
        self._accepting.add(task)
        task.add_done_callback(lambda task: self._on_accepted(task, follower))

    def _on_accepted(self, task: asyncio.Task[object], follower: FollowerConnection) -> None:
        self._accepting.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:  # no memory: the process comes again
            _log.warning("a process could not be accepted: %s", type(error).__name__)
            self._unattached.discard(follower)
            follower.abort()

    def attach(self, follower: FollowerConnection, welcome: Welcome, position: FeedPosition | None) -> None:
        """Accept a follower, or refuse it beyond `most_followers`. It goes on at `position`; None: with the newest."""
        self._unattached.discard(follower)
        count = len(self._attached)
        if count >= self._options.most_followers:
            text = f"{count} processes share this connection already, which is the limit (most_followers)"
            follower.reject(InvalidOption(text))
            return
        self._attached = (*self._attached, follower)
        reader = self._ring.reader_at_end() if position is None else self._ring.reader_at(position)
        gap = reader.skip_evicted()
        if not reader.is_at_end:
            welcome = msgspec.structs.replace(welcome, status=reader.status)
        follower.welcome(msgspec.structs.replace(welcome, position=reader.position, gap=gap), reader)

    def detach(self, follower: FollowerConnection) -> None:
        """Remove a follower that is gone."""
        self._attached = tuple(other for other in self._attached if other is not follower)
        self._dropped += follower.dropped
        self._expected_until = self._loop.time() + self._options.keep

    def close_unattached(self, follower: FollowerConnection) -> None:
        """Close the connection of a process that does not become a follower."""
        self._unattached.discard(follower)
        follower.close()

    def send_batch(self, batch: list[Data], epoch: int) -> None:
        """Add a batch, in portions; a gap marker takes the place of those that are longer than a frame."""
        now = self._loop.time()
        if not self._attached and now >= self._expected_until:
            self._ring.skip_messages(len(batch))
            return
        for portion in split_by_size(batch, len):
            try:
                data = encode_ipc_frame(MessageBatch(portion))
            except (IpcError, EncodeError):
                self._ring.add_gap(Gap(GapReason.OVERFLOW, epoch, len(portion)), now)
            else:
                self._ring.add_messages(data, len(portion), now)
            self._feed()

    def send_gap(self, gap: Gap) -> None:
        """Add a gap marker."""
        self._ring.add_gap(gap, self._loop.time())
        self._feed()

    def renumber(self, by: int) -> None:
        """Add `by` to the epochs in the ring."""
        self._ring.renumber(by)

    def send_status(self, status: Status) -> None:
        """Add a status of the connection."""
        self._ring.add_status(status, self._loop.time())
        self._feed()

    def _feed(self) -> None:
        for follower in self._attached:
            follower.feed()
        if self._options.hold and self._look_timer is None:
            self._look()

    def _look(self) -> None:
        """Hold the feed back, or let it go on."""
        now = self._loop.time()
        reading = (each for each in self._attached if now - each.read_at < self._options.hold)
        self._back_pressure.update(max((self._ring.lag_of(each.next_number) for each in reading), default=0.0), now)
        self._look_timer = None
        if self._back_pressure.phase is HoldPhase.HOLDING:
            self._look_timer = self._loop.call_later(_LOOK_INTERVAL, self._look)

    def send_heartbeat(self, stats: ConnectionStats) -> None:
        """Write a heartbeat to the followers that read, and let go of messages that all of them have."""
        data = encode_ipc_frame(OwnerHeartbeat(stats, preferrer(self._attached) is not None))
        for follower in self._attached:
            if not follower.is_backed_up:
                follower.send_encoded(data)
        read_by_all = min((follower.next_number for follower in self._attached), default=self._ring.next_number)
        self._ring.expire(self._loop.time(), read_by_all)

    async def shut_down(self, next_owner: FollowerConnection | None = None) -> None:
        """Send what is left in the ring and the last results, tell of the orderly end, and close all connections.

        `next_owner`: the one to which the others leave the lock.
        """
        if self._look_timer is not None:
            self._look_timer.cancel()
        self._back_pressure.end()
        lagging: list[asyncio.Future[None]] = []
        for follower in self._attached:
            frame = Shutdown(next_owner is not None and follower is not next_owner)
            finished = follower.shut_down(frame)
            if not finished.done():
                lagging.append(finished)
        if lagging:
            await asyncio.wait(lagging, timeout=_CATCH_UP_TIMEOUT)
        for follower in self._attached:
            follower.finish()
        for follower in self._unattached:
            follower.close()
        self._attached = ()
        self._unattached.clear()

    def break_off(self) -> None:
        """Let the followers notice the end; in any thread."""
        for follower in (*self._attached, *tuple(self._unattached)):
            follower.break_off()

    def descriptors(self) -> Iterable[int]:
        """The sockets of all followers."""
        for follower in (*self._attached, *self._unattached):
            if follower.descriptor is not None:
                yield follower.descriptor
