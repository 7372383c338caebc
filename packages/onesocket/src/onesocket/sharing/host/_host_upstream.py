"""`HostUpstream`: the one connection of all processes of a user on this machine, as one of them sees it."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import random
import time
from collections.abc import Hashable, Iterable
from typing import Any, Final

from ..._forking import register_holder
from ..._version import __version__
from ...client._client import Client
from ...client._gap import Gap, GapReason
from ...client._outage_log import OutageLog
from ...client._status import Change, Status
from ...client._user_code import encode_message
from ...errors import (
    ClientClosed,
    EncodeError,
    ForkedCopy,
    InvalidOption,
    ManuallyDisconnected,
    OnesocketError,
    OpenTimeout,
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
from ._errors import OwnerLost, WireError
from ._follower import Follower
from ._forwarding_protocol import install_forwarding, unpacker
from ._inbound_buffer import InboundBuffer
from ._ipc_frames import SharedStatus, checked_key
from ._membership import Membership
from ._owner import Owner
from ._owner_lock import OwnerLock
from ._process_outbox import EntryState, OutboxEntry, ProcessOutbox
from ._role import Role
from ._runtime_paths import RuntimePaths
from ._serialization import deserialize_status
from ._subscription_counts import SubscriptionCounts

_log = logging.getLogger("onesocket")
_OWNER_LOOKUP_SLACK: Final = 5.0
"""Seconds that finding the owner may take beyond the connection's own deadlines."""
_ACTIVE_STATES: Final = frozenset({State.CONNECTED, State.CONNECTING, State.BACKING_OFF})
_THIS_PROCESS: Final = "this process"


class HostUpstream:
    """An `Upstream`. `Election` decides who holds the connection, `ProcessOutbox` the fate of messages."""

    def __init__(self, recipe: ConnectionSpec) -> None:
        self._options = options = recipe.host_options
        self._spec = recipe
        self._protocol = recipe.protocol
        token = recipe.options.get("token")
        secrets = (
            secret_digest(token) if isinstance(token, str) else None,
            recipe.key.user_info,
            recipe.key.provider_identity,
        )
        self._secret = " ".join(filter(None, secrets)).encode()
        self._reconnect: ReconnectPolicy | None = recipe.options.get("reconnect", ReconnectPolicy())
        self._close_timeout = float(recipe.options.get("close_timeout", 5.0))
        self._deadline = float(recipe.options.get("open_timeout", 10.0)) + self._close_timeout + _OWNER_LOOKUP_SLACK
        self._release = __version__
        self._feed = InboundBuffer(unpacker(recipe.protocol), options.buffer)
        limits = recipe.options.get("outbox", OutboxLimits())
        self._process_outbox = ProcessOutbox(limits if isinstance(limits, OutboxLimits) else OutboxLimits(messages=0))
        self._keys = SubscriptionCounts()
        self._membership = Membership(RuntimePaths.of(recipe.key.digest(), options.directory), options, self)
        self._spare: Client | None = None
        self._digests: dict[str, str] = {}
        self._sink: UpstreamEvents | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._flushing = False
        self._is_held = False
        self._let_go = False
        """Whether the last owner let go of the connection in order."""
        self._outages = OutageLog(redact(recipe.key.url))
        self._pid = os.getpid()
        self._closing: asyncio.Task[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._shared = SharedStatus(redact(recipe.key.url), State.DISCONNECTED.name, 0)
        self._status = deserialize_status(self._shared)
        register_holder(self)

    def __repr__(self) -> str:
        return (
            f"<HostUpstream {redact(self._spec.key.url)} {self._status.state.name} epoch={self._status.epoch} "
            f"outbox={len(self._process_outbox)} {self._membership!r}>"
        )

    # --- the port ---------------------------------------------------------------------------------------------------

    @property
    def status(self) -> Status:
        """A frozen snapshot of this moment; its last error is that the owner is silent, if it is."""
        trouble = self._membership.join_error
        return self._status if trouble is None else dataclasses.replace(self._status, last_error=trouble)

    @property
    def is_owner(self) -> bool:
        """True while this process holds the connection."""
        return isinstance(self._membership.role, Owner)

    def attach(self, sink: UpstreamEvents) -> None:
        """Begin. Raises what is wrong with the options of the client."""
        # Made before it's needed: on a take-over there's no time for imports, and none for errors.
        self._spare = self._spec.make_client()
        check_comparable_between_processes(self._spare, self._spec.key)
        self._digests = option_digests(self._spare)
        self._sink = sink
        self._membership.begin()
        self._feed.attach(sink)
        self._loop = asyncio.get_running_loop()

    async def connect(self) -> Outcome:
        """Have the line up, whoever holds it. Besides what `Client.connect()` raises: what the others are against."""
        outcome = await self._ask("connect")
        return Outcome.ALREADY_CONNECTED if outcome is None else outcome

    async def reconnect(self) -> Outcome:
        """Lift a `disconnect()` of whichever process, close what is open, open one new line."""
        outcome = await self._ask("reconnect")
        return Outcome.OPENED if outcome is None else outcome

    async def disconnect(self) -> None:
        """Close the line for all processes, until one calls `reconnect()`."""
        await self._ask("disconnect")

    async def send(self, message: Any, *, resend: bool = False) -> None:
        """Deliver, or raise what kept it from that."""
        self._check()
        data = self._encode(message)
        loop = self._running()
        future: asyncio.Future[None] = loop.create_future()

        def wake(_: OutboxEntry) -> None:
            if not future.done():
                future.set_result(None)

        if self._status.state is State.STOPPED:
            raise ManuallyDisconnected
        entry = self._process_outbox.accept(data, loop.time(), resend=resend, settled=wake, room=self._is_up())
        self._flush_soon()
        self._watch_age()
        try:
            await future
        except asyncio.CancelledError:
            # The entry is asked, not the future: its result may have come in this turn, after the cancellation.
            role = self._membership.usable_role
            if self._process_outbox.withdraw(entry, CANCELLED_IN_FLIGHT) and role is not None:
                role.withdraw(entry)
            if entry.state is EntryState.WITHDRAWN:
                raise
        if entry.error is not None:
            raise entry.error

    def add_keys(self, keys: Iterable[Hashable]) -> None:
        """One subscription more for each of these keys: str, int, bytes, or a tuple of those."""
        check_subscription_support(self._protocol)
        wanted = list(keys)
        try:
            for key in wanted:
                checked_key(key)
        except WireError as error:
            raise InvalidOption(f"{error}, not {wanted!r}") from None
        new = self._keys.add_keys(_THIS_PROCESS, wanted)
        role = self._membership.usable_role
        if role is not None:
            role.update_subscriptions(new, ())

    def remove_keys(self, keys: Iterable[Hashable]) -> None:
        """One subscription less for each."""
        gone = self._keys.remove_keys(_THIS_PROCESS, keys)
        role = self._membership.usable_role
        if role is not None:
            role.update_subscriptions((), gone)

    def hold(self) -> None:
        """Stop the feed into this process; other processes don't notice."""
        self._is_held = True
        self._feed.hold()

    def release(self) -> None:
        """Go on, in the next turn: it's a reader that says so, in the midst of reading."""
        self._is_held = False
        self._running().call_soon(self._go_on)

    def _go_on(self) -> None:
        if not self._is_held:
            self._feed.release()

    def file_descriptors(self) -> Iterable[int]:
        """Every socket, and after them the lock."""
        return self._membership.file_descriptors()

    def forked(self) -> None:
        """We are in a child: this is the parent's."""
        self._pid = -1

    async def aclose(self) -> None:
        """Leave. The owner hands over in order: line closed, lock released, followers told."""
        if self._pid != os.getpid():
            return
        if self._closing is None:
            self._closing = self._running().create_task(self._close())
        await asyncio.shield(self._closing)

    # --- asking -----------------------------------------------------------------------------------------------------

    async def _ask(self, verb: str) -> Outcome | None:
        self._check()
        self._running()
        try:
            async with asyncio.timeout(self._deadline):
                while True:
                    role = await self._membership.acquire_role()
                    try:
                        return await role.ask(verb)
                    except OwnerLost:
                        self._check()
                        await asyncio.sleep(0)
        except OnesocketError:  # OpenTimeout is a TimeoutError, too
            raise
        except TimeoutError:
            if self._membership.join_error is not None:
                raise self._membership.join_error.copy() from None
            held_by = self._membership.role
            pid = held_by.peer_pid if isinstance(held_by, Follower) else 0
            who = f"the process that holds it (pid {pid})" if pid else "the process that holds it"
            raise OpenTimeout(f"no {verb} within {self._deadline:g} s: {who} did not see to it") from None

    def _check(self) -> None:
        if self._pid != os.getpid():
            raise ForkedCopy
        if self._closing is not None:
            raise ClientClosed

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    # --- what the membership tells ----------------------------------------------------------------------------------

    def make_owner(self, lock: OwnerLock, reserve: DescriptorReserve) -> Owner:
        """An owner that goes on where the last one was."""
        before = 0 if lock.predecessor is None else lock.predecessor.epoch
        return Owner(
            lock,
            reserve,
            client=self._next_client(),
            protocol=self._protocol,
            options=self._options,
            reconnect=self._reconnect,
            secret=self._secret,
            release=self._release,
            epoch=max(self._status.epoch, before),
            events=self,
            digests=self._digests,
        )

    def _next_client(self) -> Client:
        client, self._spare = self._spare, None
        return install_forwarding(self._spec.make_client() if client is None else client)

    def make_follower(self) -> Follower:
        """A follower that isn't attached yet."""
        return Follower(self._secret, self._release, self, self._digests)

    def on_role_taken(self, role: Role) -> None:
        """We can use the connection."""
        role.update_subscriptions(self._keys.wanted, ())
        if isinstance(role, Owner):
            if self._outages.is_logged and not self._let_go:
                shown, loss = redact(self._spec.key.url), self._outages.last_loss
                _log.warning("%s: this process holds the connection from now on: %s", shown, loss)
            # A stop, or a line that was up, outlives its owner.
            role.resume(self._status.state)
        self._flush_soon()

    def on_role_gone(self, *, in_order: bool) -> None:
        """The owner is gone, or we don't own any more."""
        self._process_outbox.owner_gone(in_order=in_order)
        self._let_go = in_order
        if self._status.state in (*_ACTIVE_STATES, State.CLOSING):
            why = OwnerLost(
                "the process that held the connection let go of it"
                if in_order
                else "the process that held the connection ended, or doesn't answer any more"
            )
            self._feed.due = Gap(GapReason.RECONNECTED, self._status.epoch, error=why)
            self._become(State.CONNECTING, "OwnerLost", why)

    def on_attempt_failed(self, error: OnesocketError, failures: int) -> float | None:
        """A step on the way in failed. A connection that was up is wanted back, as by a client: by its policy."""
        state, policy = self._status.state, self._reconnect
        if self._closing is not None or state not in (*_ACTIVE_STATES, State.CLOSING, State.STOPPED):
            return None
        if policy is None or policy.exhausted(failures):
            return None
        delay = policy.delay(failures, error, random.random())
        _log.warning("%s: %s; trying again in %.1f s", redact(self._spec.key.url), error, delay)
        if state is not State.STOPPED:
            self._become(State.BACKING_OFF, type(error).__name__, error, retry_in=delay)
        return delay

    def on_fatal(self, error: OnesocketError) -> None:
        """Joining failed permanently: become `FAILED`."""
        self._become(State.FAILED, type(error).__name__, error)

    # --- what roles tell --------------------------------------------------------------------------------------------

    def on_messages(self, batch: list[Data]) -> None:
        """Messages."""
        self._feed.on_messages(batch)

    def on_gap(self, gap: Gap) -> None:
        """A gap marker."""
        self._feed.epoch = gap.epoch
        self._feed.on_gap(gap)

    def on_owner_lost(self, role: Role, *, in_order: bool, error: OnesocketError | None) -> None:
        """Our owner is gone."""
        if error is not None:
            _log.warning("%s: %s", redact(self._spec.key.url), error)
        self._membership.on_owner_lost(role, in_order=in_order)

    def on_step_down(self) -> None:
        """We are to hand over."""
        self._membership.handle_event(ElectionEvent.STEP_DOWN_REQUESTED)

    def on_result(self, number: int, error: OnesocketError | None) -> None:
        """A message has its result."""
        self._process_outbox.settle(number, error)
        if error is not None:
            self._flush_soon()  # it may go once more
        if self._drained is not None and not len(self._process_outbox) and not self._drained.done():
            self._drained.set_result(None)

    def on_status(self, shared: SharedStatus) -> None:
        """How the connection stands."""
        self._shared = shared
        status = deserialize_status(shared)
        if status.state is State.CLOSED:
            return  # the owner's client, not the connection
        known = self._status
        if (status.last_lost_at or 0.0) < (
            known.last_lost_at or 0.0
        ):  # a new owner hasn't seen the end of the last one
            status = dataclasses.replace(status, last_loss=known.last_loss, last_lost_at=known.last_lost_at)
        old, self._status = self._status, status
        self._feed.epoch = status.epoch
        if status.state is State.CONNECTED and self._feed.due is not None:
            due, self._feed.due = self._feed.due, None
            self._feed.on_gap(Gap(due.reason, status.epoch, error=due.error))
        if (old.state, old.epoch) != (status.state, status.epoch):
            self._tell(old, status, "Shared")

    def _become(self, state: State, cause: str, error: OnesocketError | None, *, retry_in: float | None = None) -> None:
        old = self._status
        self._status = dataclasses.replace(
            old, state=state, last_error=error or old.last_error, connected_at=None, retry_in=retry_in
        )
        if old.state is State.CONNECTED and error is not None:
            self._status = dataclasses.replace(self._status, last_loss=error, last_lost_at=time.time())
        if old.state is not state:
            self._tell(old, self._status, cause)

    def _tell(self, old: Status, new: Status, cause: str) -> None:
        if self._sink is None:
            return
        change = Change(time.time(), old.state, new.state, new.epoch, cause, new.last_error)
        self._log_outage(change, new)
        self._sink.changed(change, new)
        if new.state is State.FAILED and new.last_error is not None:
            self._sink.failed(new.last_error)

    def _log_outage(self, change: Change, new: Status) -> None:
        """The process that holds the connection warns of a loss (its client does); the others log it as INFO.

        A loss of the owner itself is warned of by the process that takes its place, which also logs how that goes.
        """
        level = logging.INFO
        if isinstance(self._membership.role, Owner):
            level = logging.WARNING if self._outages.is_logged else logging.DEBUG
        self._outages.changed(
            change,
            failures=new.attempt,
            retry_in=new.retry_in,
            has_callers=True,
            now=self._running().time(),
            level=level,
        )

    # --- sending ----------------------------------------------------------------------------------------------------

    def _is_up(self) -> bool:
        return self._membership.usable_role is not None and self._status.state is State.CONNECTED

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._running().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        role = self._membership.usable_role
        if role is not None:
            entries: list[OutboxEntry] = self._process_outbox.hand_over()
            if entries:
                role.post(entries)

    def _watch_age(self) -> None:
        due = self._process_outbox.next_due()
        if due is not None and due != float("inf") and self._expiry is None:
            self._expiry = self._running().call_at(due, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        self._process_outbox.expire(self._running().time())
        self._watch_age()

    def _encode(self, message: Any) -> Data:
        data = encode_message(self._protocol, message)
        if isinstance(data, str):
            try:
                data.encode()
            except UnicodeError as error:
                raise EncodeError(f"this text can't be sent as UTF-8: {error.args[-1]}") from error
        return data

    # --- the end ----------------------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        if len(self._process_outbox) and self._status.state is State.CONNECTED:
            self._drained = self._running().create_future()
            await asyncio.wait([self._drained], timeout=self._close_timeout)

    async def _close(self) -> None:
        self._flush()
        owned = self.is_owner
        await self._membership.aclose(self._drain, self._deadline)
        if self._expiry is not None:
            self._expiry.cancel()
        if owned:
            self._process_outbox.owner_gone(in_order=True)  # it was this process, which left in order
        self._process_outbox.reject(ClientClosed())
        self._become(State.CLOSED, "Close", None)
