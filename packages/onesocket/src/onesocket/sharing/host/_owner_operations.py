"""Operations that the owner performs for all processes: messages, requests, subscriptions and snapshots."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ...client._client import Client
from ...client._upstream_subscriptions import UpstreamSubscriptions
from ...errors import ClientClosed, InvalidOption, IpcError, SubscriptionRefused
from ...lifecycle._effects import Outcome
from ...protocols._protocol import Protocol
from ...protocols._subscriptions import subscriptions_of
from ._forwarding_protocol import unpacker
from ._ipc_frames import (
    Answer,
    Ask,
    Cancellation,
    OutboxBounds,
    Request,
    Results,
    SendMessages,
    SnapshotAnswer,
    SnapshotRequest,
    Subscribe,
    SubscriptionRefusal,
    ToOwner,
    Verb,
    checked_bounds,
    checked_key,
)
from ._owner_snapshot import OwnerSnapshot
from ._pending_operations import PendingOperations
from ._requesters import LocalRequester, SubscribingRequester


class OwnerOperations:
    """Performs the frames of followers and of the owner's own process alike, on the owner's client."""

    def __init__(
        self,
        client: Client,
        protocol: Protocol,
        snapshot: OwnerSnapshot | None,
        emit: Callable[[Results | Answer | SubscriptionRefusal | SnapshotAnswer], object],
        *,
        is_serving: Callable[[], bool],
        may_send: Callable[[], bool],
        forward_batch: Callable[[], object],
        adopt: Callable[[asyncio.Task[Any]], object],
    ) -> None:
        """Make it.

        Args:
            client: That of the connection.
            protocol: Its protocol.
            snapshot: What late readers begin with.
            emit: Takes the results of this process.
            is_serving: False where the next owner performs operations.
            may_send: False where no message may go to the connection.
            forward_batch: Forwards what has come.
            adopt: Called with each task of an operation.
        """
        self._client = client
        self._snapshot = snapshot
        self._is_serving = is_serving
        self._forward_batch = forward_batch
        self._local_requester = LocalRequester(emit)
        self._adopt = adopt
        self._pending_operations = PendingOperations(client, protocol, may_send, adopt)
        self._upstream_subscriptions: UpstreamSubscriptions | None = None
        if subscriptions_of(protocol) is not None:
            internals = client.internals
            self._upstream_subscriptions = UpstreamSubscriptions(
                protocol,
                internals.sender,
                internals.fan_out.watch,
                unpacker(protocol),
                internals.fan_out.keeper,
                requests=internals.requests,
            )
        self._disconnecting: asyncio.Task[None] | None = None
        """The `disconnect()` that a process called before this one owned the connection."""

    def __repr__(self) -> str:
        return f"<OwnerOperations {self._pending_operations!r}>"

    def submit(self, frame: ToOwner) -> None:
        """Perform a frame of this process, as one of a follower; its results are emitted. Raises `IpcError`."""
        self._local_requester.begin_batch()
        try:
            self.perform(self._local_requester, frame)
        finally:
            self._local_requester.end_batch()

    def perform(self, requester: SubscribingRequester, frame: ToOwner) -> None:
        """Perform a frame; its results go to the requester. Raises `IpcError`."""
        match frame:
            case SendMessages(first, messages):
                self._pending_operations.send(requester, first, messages)
            case Request(number, verb):
                self._pending_operations.start(requester, number, lambda: self._request(verb))
            case Ask():
                if self._is_serving():  # else the next owner sends it
                    self._pending_operations.ask(requester, frame)
            case OutboxBounds(messages, age):
                self._pending_operations.set_limits(requester, checked_bounds(messages, age))
            case Cancellation(number):
                if self._pending_operations.cancel(requester, number):
                    requester.release_slot()
            case Subscribe(add, remove):
                self._subscribe(requester, add, remove)
            case SnapshotRequest():
                self._send_snapshot(requester, frame)
            case _:
                pass

    def _subscribe(self, requester: SubscribingRequester, add: list[Any], remove: list[Any]) -> None:
        if self._upstream_subscriptions is None:
            raise IpcError("a follower subscribed, but the protocol describes no subscriptions")
        keys = [checked_key(key) for key in add]
        try:
            self._upstream_subscriptions.add_keys(requester, keys)
        except InvalidOption as error:  # those of all processes together are too many
            requester.refused(SubscriptionRefused.of(keys, str(error), retryable=True))
        self._upstream_subscriptions.remove_keys(requester, map(checked_key, remove))

    def _send_snapshot(self, requester: SubscribingRequester, request: SnapshotRequest) -> None:
        if not self._is_serving():
            return  # the next owner answers
        self._forward_batch()
        requester.send_snapshot(request.number, [] if self._snapshot is None else self._snapshot.frames())

    async def _request(self, verb: Verb) -> Outcome | None:
        if not self._is_serving():
            raise ClientClosed
        if self._disconnecting is not None:
            await asyncio.wait([self._disconnecting])  # called before this request
        match verb:
            case Verb.CONNECT:
                return await self._client.connect(retry=False)
            case Verb.CONNECT_RETRYING:
                return await self._client.connect(retry=True)
            case Verb.RECONNECT:
                return await self._client.reconnect()
            case Verb.ROTATE:
                return await self._client.rotate()
            case Verb.DISCONNECT:
                await self._client.disconnect()
                return None

    def disconnect(self) -> None:
        """Repeat a `disconnect()` of the last owner's time; requests wait for it."""
        self._disconnecting = asyncio.get_running_loop().create_task(self._client.disconnect())
        self._adopt(self._disconnecting)
        self._disconnecting.add_done_callback(lambda task: task.cancelled() or task.exception())

    def forget(self, requester: SubscribingRequester) -> None:
        """Drop the subscriptions and operations of a requester that is gone."""
        if self._upstream_subscriptions is not None:
            self._upstream_subscriptions.remove_keys(requester)
        self._pending_operations.cancel_all(requester)

    def post_own(self) -> None:
        """Give the client all that waits of this process, to be written before the close."""
        self._pending_operations.post_all(self._local_requester)

    async def finish(self) -> None:
        """Wait for the operations, which end with the client; bounded."""
        await self._pending_operations.finish()
