"""The one connection of all processes of a user on this machine, as seen by one of them."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import random
from collections.abc import Hashable, Iterable
from typing import Any, Final

from ..._forking import register_holder
from ..._version import __version__
from ...client._client import Client
from ...client._gap import Gap, GapReason
from ...client._status import Status
from ...client._user_code import encode_message
from ...errors import (
    ClientClosed,
    EncodeError,
    ForkedCopy,
    InvalidOption,
    IpcError,
    ManuallyDisconnected,
    OnesocketError,
    OpenTimeout,
    OwnerLost,
)
from ...lifecycle._effects import Outcome
from ...lifecycle._outbox import OutboxLimits
from ...lifecycle._retry import ReconnectPolicy
from ...lifecycle._states import State
from ...urls import redact
from ...wire._handshake import Data
from .._client_upstream import CANCELLED_IN_FLIGHT
from .._connection_key import secret_digest
from .._option_digests import check_comparable_between_processes, option_digests
from .._upstream import ConnectionSpec, UpstreamEvents
from .._upstream_subscriptions import check_subscription_support
from ._descriptor_reserve import DescriptorReserve
from ._election import ElectionEvent
from ._follower import Follower, FollowerEvent, OwnerDisconnected
from ._forwarding_protocol import install_forwarding, unpacker
from ._inbound_buffer import InboundBuffer
from ._ipc_frames import GapNotice, MessageBatch, Results, StatusUpdate, StepDown, Verb, checked_key
from ._join_credentials import JoinCredentials
from ._local_status import LocalStatus
from ._membership import JoinFailed, Membership, MembershipEvent, Role, RoleLost, RoleTaken
from ._owner import Owner, OwnerEvent
from ._owner_lock import OwnerLock
from ._process_outbox import EntryState, OutboxEntry, ProcessOutbox
from ._runtime_paths import RuntimePaths
from ._subscription_counts import SubscriptionCounts

_log = logging.getLogger("onesocket")
_OWNER_LOOKUP_SLACK: Final = 5.0
"""Seconds that finding the owner may take beyond the connection's own deadlines."""
_WANTED_STATES: Final = frozenset({State.CONNECTED, State.CONNECTING, State.BACKING_OFF, State.CLOSING})
"""States in which a connection whose owner is gone is restored."""
_THIS_PROCESS: Final = "this process"


class HostUpstream:
    """An `Upstream`. `Membership` decides which process holds the connection, `ProcessOutbox` the fate of messages."""

    def __init__(self, spec: ConnectionSpec) -> None:
        options, key = spec.options, spec.key
        self._spec = spec
        self._protocol = spec.protocol
        token = options.get("token")
        secrets = (secret_digest(token) if isinstance(token, str) else None, key.user_info, key.provider_identity)
        self._credentials = JoinCredentials(" ".join(filter(None, secrets)).encode(), __version__)
        self._reconnect: ReconnectPolicy | None = options.get("reconnect", ReconnectPolicy())
        self._close_timeout = float(options.get("close_timeout", 5.0))
        self._deadline = float(options.get("open_timeout", 10.0)) + self._close_timeout + _OWNER_LOOKUP_SLACK
        self._inbound = InboundBuffer(unpacker(spec.protocol), spec.host_options.buffer)
        limits = options.get("outbox", OutboxLimits())
        self._outbox = ProcessOutbox(limits if isinstance(limits, OutboxLimits) else OutboxLimits(messages=0))
        self._subscription_counts = SubscriptionCounts()
        self._membership = Membership(
            RuntimePaths.of(key.digest(), spec.host_options.directory),
            spec.host_options,
            make_owner=self._make_owner,
            make_follower=self._make_follower,
            retry_delay=self._retry_delay,
            emit=self._on_event,
        )
        self._shown_url = redact(key.url)
        self._local_status = LocalStatus(self._shown_url, lambda: self.is_owner)
        self._spare_client: Client | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._expiry_timer: asyncio.TimerHandle | None = None
        self._is_flush_scheduled = False
        self._is_held = False
        self._left_in_order = False
        """True if the last owner closed the connection in order."""
        self._pid = os.getpid()
        self._closing: asyncio.Task[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        register_holder(self)

    def __repr__(self) -> str:
        return f"<HostUpstream {self._local_status!r} outbox={len(self._outbox)} {self._membership!r}>"

    # --- the port ---------------------------------------------------------------------------------------------------

    @property
    def status(self) -> Status:
        """A frozen snapshot of this moment; its last error is the silence of the owner, if there is any."""
        error = self._membership.join_error
        present = self._local_status.present
        return present if error is None else dataclasses.replace(present, last_error=error)

    @property
    def is_owner(self) -> bool:
        """True while this process holds the connection."""
        return isinstance(self._membership.role, Owner)

    def attach(self, sink: UpstreamEvents) -> None:
        """Begin. Raises the errors of the client's options."""
        # Made before it's needed: on a take-over there's no time for imports, and none for errors.
        self._spare_client = self._spec.make_client()
        check_comparable_between_processes(self._spare_client, self._spec.key)
        self._credentials = dataclasses.replace(self._credentials, digests=option_digests(self._spare_client))
        self._local_status.attach(sink)
        self._inbound.attach(sink)
        self._membership.begin()
        self._loop = asyncio.get_running_loop()

    async def connect(self) -> Outcome:
        """Open or join the connection. Raises as `Client.connect()`, and conflicts with the other processes."""
        return await self._request(Verb.CONNECT) or Outcome.ALREADY_CONNECTED

    async def reconnect(self) -> Outcome:
        """Lift a `disconnect()` of any process, close the connection, and open a new one."""
        return await self._request(Verb.RECONNECT) or Outcome.OPENED

    async def disconnect(self) -> None:
        """Close the connection for all processes, until one calls `reconnect()`."""
        await self._request(Verb.DISCONNECT)

    async def send(self, message: Any, *, resend: bool = False) -> None:
        """Deliver a message. Raises the error that prevents the delivery."""
        self._check_usable()
        data = self._encode(message)
        loop = self._running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def wake(_: OutboxEntry) -> None:
            if not future.done():
                future.set_result(None)

        state = self._local_status.present.state
        if state is State.STOPPED:
            raise ManuallyDisconnected
        is_up = self._membership.usable_role is not None and state is State.CONNECTED
        entry = self._outbox.accept(data, loop.time(), resend=resend, settled=wake, room=is_up)
        self._flush_soon()
        self._schedule_expiry()
        try:
            await future
        except asyncio.CancelledError:
            # The entry is asked, not the future: its result may have come in this turn, after the cancellation.
            role = self._membership.usable_role
            if self._outbox.withdraw(entry, CANCELLED_IN_FLIGHT) and role is not None:
                role.withdraw(entry)
            if entry.state is EntryState.WITHDRAWN:
                raise
        if entry.error is not None:
            raise entry.error

    def add_keys(self, keys: Iterable[Hashable]) -> None:
        """Add one subscription for each key: str, int, bytes, or a tuple of those."""
        check_subscription_support(self._protocol)
        wanted = list(keys)
        try:
            for key in wanted:
                checked_key(key)
        except IpcError as error:
            raise InvalidOption(f"{error}, not {wanted!r}") from None
        self._update_subscriptions(self._subscription_counts.add_keys(_THIS_PROCESS, wanted), ())

    def remove_keys(self, keys: Iterable[Hashable]) -> None:
        """Remove one subscription for each key."""
        self._update_subscriptions((), self._subscription_counts.remove_keys(_THIS_PROCESS, keys))

    def _update_subscriptions(self, add: Iterable[Hashable], remove: Iterable[Hashable]) -> None:
        role = self._membership.usable_role
        if role is not None:
            role.update_subscriptions(add, remove)

    def hold(self) -> None:
        """Stop the feed into this process; other processes don't notice."""
        self._is_held = True
        self._inbound.hold()

    def release(self) -> None:
        """Let the feed go on in the next turn: a reader calls this in the middle of reading."""
        self._is_held = False
        self._running_loop().call_soon(self._release)

    def _release(self) -> None:
        if not self._is_held:
            self._inbound.release()

    def file_descriptors(self) -> Iterable[int]:
        """All sockets, and after them the lock."""
        return self._membership.descriptors()

    def forked(self) -> None:
        """Mark this object as the parent's, in a forked child."""
        self._pid = -1

    async def aclose(self) -> None:
        """Leave. The owner closes the connection in order, releases the lock and sends the followers to the next."""
        if self._pid != os.getpid():
            return
        if self._closing is None:
            self._closing = self._running_loop().create_task(self._close())
        await asyncio.shield(self._closing)

    # --- requests ---------------------------------------------------------------------------------------------------

    async def _request(self, verb: Verb) -> Outcome | None:
        self._check_usable()
        self._running_loop()
        try:
            async with asyncio.timeout(self._deadline):
                while True:
                    role = await self._membership.acquire_role()
                    try:
                        return await role.request(verb)
                    except OwnerLost:
                        self._check_usable()
                        await asyncio.sleep(0)
        except OnesocketError:  # OpenTimeout is a TimeoutError, too
            raise
        except TimeoutError:
            if self._membership.join_error is not None:
                raise self._membership.join_error.copy() from None
            present = self._membership.role
            pid = f" (pid {present.peer_pid})" if isinstance(present, Follower) and present.peer_pid else ""
            text = f"no {verb} within {self._deadline:g} s: the process that holds it{pid} did not see to it"
            raise OpenTimeout(text) from None

    def _check_usable(self) -> None:
        if self._pid != os.getpid():
            raise ForkedCopy
        if self._closing is not None:
            raise ClientClosed

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    # --- roles ------------------------------------------------------------------------------------------------------

    def _make_owner(self, lock: OwnerLock, reserve: DescriptorReserve) -> Owner:
        client, self._spare_client = self._spare_client, None
        last_epoch = 0 if lock.predecessor is None else lock.predecessor.epoch
        return Owner(
            lock,
            reserve,
            client=install_forwarding(client or self._spec.make_client()),
            protocol=self._protocol,
            options=self._spec.host_options,
            reconnect=self._reconnect,
            credentials=self._credentials,
            epoch=max(self._local_status.present.epoch, last_epoch),
            emit=self._on_event,
        )

    def _make_follower(self) -> Follower:
        return Follower(self._credentials, self._on_event)

    def _retry_delay(self, error: OnesocketError, failures: int) -> float | None:
        """The delay until the next attempt to get a role: an owner's connection is restored by the client's policy."""
        state, policy = self._local_status.present.state, self._reconnect
        if self._closing is not None or state not in (*_WANTED_STATES, State.STOPPED):
            return None
        if policy is None or policy.exhausted(failures):
            return None
        delay = policy.delay(failures, error, random.random())
        _log.warning("%s: %s; trying again in %.1f s", self._shown_url, error, delay)
        if state is not State.STOPPED:
            self._local_status.enter(State.BACKING_OFF, error, retry_in=delay)
        return delay

    def _on_event(self, event: OwnerEvent | FollowerEvent | MembershipEvent) -> None:
        match event:
            case MessageBatch(messages):
                self._inbound.on_messages(messages)
            case Results(results):
                self._on_results(results)
            case GapNotice(gap):
                self._inbound.epoch = gap.epoch
                self._inbound.on_gap(gap)
            case StatusUpdate(status):
                self._on_status(status)
            case StepDown():
                self._membership.handle_event(ElectionEvent.STEP_DOWN_REQUESTED)
            case OwnerDisconnected(in_order, error):
                if error is not None:
                    _log.warning("%s: %s", self._shown_url, error)
                self._membership.on_owner_disconnected(in_order=in_order)
            case RoleTaken(role):
                self._on_role_taken(role)
            case RoleLost(in_order):
                self._on_role_lost(in_order=in_order)
            case JoinFailed(error):
                self._local_status.enter(State.FAILED, error)

    def _on_role_taken(self, role: Role) -> None:
        role.update_subscriptions(self._subscription_counts.wanted, ())
        if isinstance(role, Owner):
            if not self._left_in_order:
                self._local_status.log_take_over()
            role.resume(self._local_status.present.state)  # a stop, or a connection that was up, outlives its owner
        self._flush_soon()

    def _on_role_lost(self, *, in_order: bool) -> None:
        self._outbox.owner_gone(in_order=in_order)
        self._left_in_order = in_order
        present = self._local_status.present
        if present.state in _WANTED_STATES:
            error = OwnerLost(
                "the process that held the connection let go of it"
                if in_order
                else "the process that held the connection ended, or doesn't answer any more"
            )
            self._inbound.due = Gap(GapReason.RECONNECTED, present.epoch, error=error)
            self._local_status.enter(State.CONNECTING, error)

    def _on_results(self, results: list[tuple[int, Outcome | None, OnesocketError | None]]) -> None:
        for number, _, error in results:
            self._outbox.settle(number, error)
            if error is not None:
                self._flush_soon()  # it may be sent again
        if self._drained is not None and not len(self._outbox) and not self._drained.done():
            self._drained.set_result(None)

    def _on_status(self, status: Status) -> None:
        if status.state is State.CLOSED:
            return  # that of the owner's client, not of the connection
        before = self._local_status.replace(status)
        self._inbound.epoch = status.epoch
        due = self._inbound.due
        if status.state is State.CONNECTED and due is not None:
            self._inbound.due = None
            self._inbound.on_gap(dataclasses.replace(due, epoch=status.epoch))
        self._local_status.report_since(before)

    # --- sending ----------------------------------------------------------------------------------------------------

    def _flush_soon(self) -> None:
        if not self._is_flush_scheduled:
            self._is_flush_scheduled = True
            self._running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flush_scheduled = False
        role = self._membership.usable_role
        if role is not None:
            entries = self._outbox.hand_over()
            if entries:
                role.send(entries)

    def _schedule_expiry(self) -> None:
        due = self._outbox.next_due()
        if due is not None and due != float("inf") and self._expiry_timer is None:
            self._expiry_timer = self._running_loop().call_at(due, self._expire)

    def _expire(self) -> None:
        self._expiry_timer = None
        self._outbox.expire(self._running_loop().time())
        self._schedule_expiry()

    def _encode(self, message: Any) -> Data:
        data = encode_message(self._protocol, message)
        if isinstance(data, str):
            try:
                data.encode()
            except UnicodeError as error:
                raise EncodeError(f"this text can't be sent as UTF-8: {error.args[-1]}") from error
        return data

    # --- closing ----------------------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        if len(self._outbox) and self._local_status.present.state is State.CONNECTED:
            self._drained = self._running_loop().create_future()
            await asyncio.wait([self._drained], timeout=self._close_timeout)

    async def _close(self) -> None:
        self._flush()
        was_owner = self.is_owner
        await self._membership.aclose(self._drain, self._deadline)
        if self._expiry_timer is not None:
            self._expiry_timer.cancel()
        if was_owner:
            self._outbox.owner_gone(in_order=True)
        self._outbox.reject(ClientClosed())
        self._local_status.enter(State.CLOSED, None, cause="Close")
