"""The followers of an owner: accepted, attached, and written to together."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from typing import Final

from ...client._gap import Gap, GapReason
from ...client._status import ConnectionStats
from ...errors import InvalidOption, IpcError
from ...wire._handshake import Data
from .._host_options import HostOptions
from ._follower_connection import FollowerConnection
from ._ipc_frames import (
    GapNotice,
    MessageBatch,
    OwnerHeartbeat,
    Shutdown,
    ToOwner,
    Welcome,
    encode_ipc_frame,
    split_by_size,
)
from ._join_credentials import JoinCredentials
from ._succession import preferrer

_MAX_UNATTACHED: Final = 512


class FollowerSet:
    """Encodes each frame once for all followers."""

    def __init__(
        self,
        credentials: JoinCredentials,
        options: HostOptions,
        receive: Callable[[FollowerConnection, ToOwner | None], object],
    ) -> None:
        self._credentials = credentials
        self._options = options
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._attached: tuple[FollowerConnection, ...] = ()
        self._unattached: set[FollowerConnection] = set()
        self._accepting: set[asyncio.Task[object]] = set()
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
        task.add_done_callback(self._accepting.discard)

    def attach(self, follower: FollowerConnection, welcome: Welcome) -> None:
        """Accept a follower, or refuse it beyond `most_followers`."""
        self._unattached.discard(follower)
        count = len(self._attached)
        if count >= self._options.most_followers:
            text = f"{count} processes share this connection already, which is the limit (most_followers)"
            follower.reject(InvalidOption(text))
            return
        self._attached = (*self._attached, follower)
        follower.welcome(welcome)

    def detach(self, follower: FollowerConnection) -> None:
        """Remove a follower that is gone."""
        self._attached = tuple(other for other in self._attached if other is not follower)
        self._dropped += follower.dropped

    def close_unattached(self, follower: FollowerConnection) -> None:
        """Close the connection of a process that does not become a follower."""
        self._unattached.discard(follower)
        follower.close()

    def send_batch(self, batch: list[Data], epoch: int) -> None:
        """Write a batch, in portions; a gap marker takes the place of those that are longer than a frame."""
        if not self._attached:
            return
        for portion in split_by_size(batch, len):
            try:
                data = encode_ipc_frame(MessageBatch(portion))
            except IpcError:
                self.send_gap(Gap(GapReason.OVERFLOW, epoch, len(portion)))
                continue
            for follower in self._attached:
                follower.send_batch(data, len(portion), epoch)

    def send_gap(self, gap: Gap) -> None:
        """Write a gap marker."""
        data = encode_ipc_frame(GapNotice(gap))
        for follower in self._attached:
            follower.send_gap(gap, data)

    def send_encoded(self, data: bytes) -> None:
        """Write an encoded frame at the end of this turn of the loop."""
        for follower in self._attached:
            follower.send_encoded(data)

    def send_heartbeat(self, stats: ConnectionStats) -> None:
        """Write a heartbeat to the followers that read."""
        data = encode_ipc_frame(OwnerHeartbeat(stats, preferrer(self._attached) is not None))
        for follower in self._attached:
            if not follower.is_write_paused:
                follower.send_encoded(data)

    def shut_down(self, successor: FollowerConnection | None) -> None:
        """Send the last results, tell followers of the orderly end, and close all connections.

        `successor`: the one to which the others leave the lock.
        """
        for follower in self._attached:
            follower.flush_results()
            follower.send_frame(Shutdown(successor is not None and follower is not successor))
        for follower in (*self._attached, *self._unattached):
            follower.close()
        self._attached = ()
        self._unattached.clear()

    def descriptors(self) -> Iterable[int]:
        """The sockets of all followers."""
        for follower in (*self._attached, *self._unattached):
            if follower.descriptor is not None:
                yield follower.descriptor
