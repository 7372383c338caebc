"""Operations of the processes of a host in a cluster: performed here while this host leads, else relayed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ...errors import IpcError, OnesocketError
from ...lifecycle._effects import Outcome
from ..host._ipc_frames import Request, SnapshotRequest, Subscribe, ToOwner, Verb, checked_key
from ..host._owner_operations import OwnerOperations
from ..host._requesters import SubscribingRequester
from ._relay import Relay


class ClusterOperations(OwnerOperations):
    """`OwnerOperations` of a host that may follow another one."""

    def __init__(
        self,
        *given: Any,
        holds_connection: Callable[[], bool],
        is_up: Callable[[], bool],
        is_wanted: Callable[[], object],
        on_relayed: Callable[[], object],
        **options: Any,
    ) -> None:
        """Make it.

        Args:
            given: As for `OwnerOperations`; so are `options`.
            holds_connection: True while operations are performed here.
            is_up: True while the connection is, here or at the leader.
            is_wanted: Called when a process wants the connection.
            on_relayed: Called when there is something to submit to the leader.
        """
        super().__init__(*given, **options)
        self.relay = Relay()
        self.failure: OnesocketError | None = None
        """The error that keeps this host out until a user changes something."""
        self._holds_connection = holds_connection
        self._is_up = is_up
        self._is_wanted = is_wanted
        self._on_relayed = on_relayed
        self._has_state = False
        """True once this member has what late readers begin with."""
        self._first_outcome: asyncio.Future[None] | None = None
        """Done when the first attempt has an outcome; None: `connect()` waits for none."""
        self._asked_snapshots: list[tuple[SubscribingRequester, SnapshotRequest]] = []
        """Requests for a snapshot that came before that."""

    def perform(self, requester: SubscribingRequester, frame: ToOwner) -> None:
        """As `OwnerOperations.perform`, or have the leader perform it."""
        if isinstance(frame, Request):
            self._is_wanted()
        if self._holds_connection() or isinstance(frame, SnapshotRequest):
            super().perform(requester, frame)
            return
        if isinstance(frame, Subscribe):
            frame = self._checked_subscribe(frame)
        self.relay.perform(requester, frame, is_up=self._is_up())
        if self.failure is not None:
            self.relay.refuse(self.failure)
        self._on_relayed()

    def perform_here(self, requester: SubscribingRequester, frame: ToOwner) -> None:
        """Perform a frame here: that of another host, or one that was not relayed. Raises `IpcError`."""
        super().perform(requester, frame)

    def _checked_subscribe(self, frame: Subscribe) -> Subscribe:
        if self._upstream_subscriptions is None:
            raise IpcError("a follower subscribed, but the protocol describes no subscriptions")
        add, remove = [checked_key(key) for key in frame.add], [checked_key(key) for key in frame.remove]
        return Subscribe(add, remove)

    def forget(self, requester: SubscribingRequester) -> None:
        """Drop the operations of a process of this host that is gone, also those that were relayed."""
        self._asked_snapshots = [each for each in self._asked_snapshots if each[0] is not requester]
        self.relay.forget(requester)
        super().forget(requester)
        self._on_relayed()

    def forget_here(self, requester: SubscribingRequester) -> None:
        """Drop the operations of another host."""
        super().forget(requester)

    def has_subscriptions_of(self, requester: SubscribingRequester) -> bool:
        """True if another host has subscriptions here."""
        return self._upstream_subscriptions is not None and self._upstream_subscriptions.has_keys_of(requester)

    def forget_own(self) -> None:
        """Drop what was relayed of this process."""
        self.relay.forget(self._local_requester)

    def _send_snapshot(self, requester: SubscribingRequester, request: SnapshotRequest) -> None:
        if self._snapshot is None or self._has_state:
            super()._send_snapshot(requester, request)
        else:
            self._asked_snapshots.append((requester, request))
            self._is_wanted()

    def hold_connects(self) -> None:
        """Have `connect()` calls wait for the outcome of the first attempt, which is none of theirs.

        It resumes the session of the leader before. That the peer has ended this one is no failure of a first connect.
        """
        self._first_outcome = asyncio.get_running_loop().create_future()

    def release_connects(self) -> None:
        """Let them go on."""
        if self._first_outcome is not None:
            self._first_outcome.set_result(None)
            self._first_outcome = None

    async def _request(self, verb: Verb) -> Outcome | None:
        if verb is Verb.CONNECT and self._first_outcome is not None:
            await asyncio.wait([self._first_outcome])
        return await super()._request(verb)

    @property
    def has_state(self) -> bool:
        """True if this member has what late readers begin with, or nothing else will come."""
        return self._has_state

    def forget_state(self) -> None:
        """Have late readers wait: what they begin with is out of date, and the leader was asked for it."""
        self._has_state = False

    def set_state_known(self) -> None:
        """Answer late readers, those that wait first: what they begin with is known."""
        self._has_state = True
        asked, self._asked_snapshots = self._asked_snapshots, []
        for requester, request in asked:
            super()._send_snapshot(requester, request)
