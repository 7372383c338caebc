"""The one connection of all processes of a user on this machine, as seen by one of them."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import math
import os
import random
import weakref
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Final

from ..._forking import register_holder
from ..._task_end import end_task
from ..._version import __version__
from ...client._client import Client
from ...client._connect_reminder import ConnectReminder, connect_hint
from ...client._delivery import DELIVERED, Delivery
from ...client._error_reporter import ErrorReporter
from ...client._instruments import Observer, SourceKind, check_instruments
from ...client._options import check_retry
from ...client._request_calls import AnswerSink, finish_request
from ...client._status import Change, ConnectionStats, Status
from ...client._upstream_subscriptions import KeySubscriber
from ...errors import (
    ClientClosed,
    ForkedCopy,
    OnesocketError,
    OwnerLost,
)
from ...lifecycle._effects import Outcome
from ...lifecycle._events import EarlierConnection
from ...lifecycle._outbox import OutboxLimits
from ...lifecycle._retry import ReconnectPolicy
from ...lifecycle._states import State
from ...protocols._fingerprint import digest
from ...protocols._request_template import RequestTemplate
from ...recording._recorder import FlightRecorder
from ...urls import redact
from .._connection_key import secret_digest
from .._host_options import Own
from .._option_digests import check_comparable_between_processes, option_digests
from .._upstream import ConnectionSpec, UpstreamEvents
from ._decoded_answers import DecodedAnswers
from ._descriptor_reserve import DescriptorReserve
from ._election import ElectionEvent
from ._follower import FeedPlace, Follower, FollowerAttached, FollowerEvent, OwnerDisconnected
from ._forwarding_protocol import install_forwarding, unpacker
from ._ipc_frames import (
    Answer,
    GapNotice,
    MessageBatch,
    OwnerHeartbeat,
    Results,
    SnapshotAnswer,
    StatusUpdate,
    SubscriptionRefusal,
    Verb,
)
from ._join_credentials import CLUSTER_OPTION, JoinCredentials
from ._local_status import LocalStatus
from ._membership import Membership
from ._membership_events import JoinFailed, MembershipEvent, OwnerMissing, Role, RoleLost, RoleTaken
from ._owner import Owner
from ._owner_events import HandOverDue, OwnerEvent, WatchChanged
from ._owner_lock import OwnerLock
from ._process_feed import WANTED_STATES, ProcessFeed
from ._process_operations import ProcessOperations
from ._process_outbox import OutboxEntry
from ._runtime_paths import RuntimePaths
from ._snapshot_requests import SnapshotRequests

_log = logging.getLogger("onesocket")
_OWNER_LOOKUP_SLACK: Final = 5.0
"""Seconds that finding the owner may take beyond the connection's own deadlines."""


class HostUpstream:
    """An `Upstream`. `Membership` decides which process holds the connection, `ProcessOutbox` the fate of messages."""

    _owner_type: Callable[..., Owner] = Owner
    """Makes the role of the process that holds the connection; of a cluster's host, another."""
    _scope = "host"
    """Processes that share a connection have the same."""
    _engine: str | None = None
    """Address of the cluster's engine, and its prefix, which the processes of a host name alike."""

    def __init__(self, spec: ConnectionSpec) -> None:
        options, key = spec.options, spec.key
        self._spec = spec
        self._protocol = spec.protocol
        token = options.get("token")
        secrets = (secret_digest(token) if isinstance(token, str) else None, key.user_info, key.provider_identity)
        self._credentials = JoinCredentials(" ".join(filter(None, secrets)).encode(), __version__)
        self._reconnect: ReconnectPolicy | None = options.get("reconnect", ReconnectPolicy())
        self._close_timeout = float(options.get("close_timeout", 5.0))
        # A call may wait as long for the time that the server has named as for its attempt.
        self._deadline = 2 * float(options.get("open_timeout", 10.0)) + self._close_timeout + _OWNER_LOOKUP_SLACK
        self._decode = unpacker(spec.protocol)
        self._membership = Membership(
            RuntimePaths.of(key.digest(), spec.host_options.directory),
            spec.host_options,
            make_owner=self._make_owner,
            make_follower=self._make_follower,
            retry_delay=self._retry_delay,
            emit=self._on_event,
        )
        self._shown_url = redact(key.url)
        self._local_status = LocalStatus(self._shown_url, lambda: self.is_owner, self._observe)
        self.instruments = check_instruments(options.get("instruments"))
        self._connect_reminder = ConnectReminder(self._shown_url, self._connect_hint)
        self.recorder: FlightRecorder | None = options.get("recorder")
        self._observer = Observer(self.instruments, SourceKind.PROCESS, ErrorReporter(self._shown_url, None).report)
        self._owner: Owner | None = None
        """The role of this process, while it holds the connection."""
        self._feed = ProcessFeed(self._decode, spec.host_options.buffer, self._local_status)
        limits: OutboxLimits | None = options.get("outbox", OutboxLimits())
        self._operations = ProcessOperations(spec.protocol, limits, self._membership, self._local_status)
        self._snapshot_requests = SnapshotRequests(self._membership)
        self._feed.set_snapshot_requests(self._snapshot_requests)
        self._spare_client: Client | None = None
        self._place = FeedPlace()
        self._left_in_order = False
        """True if the last owner closed the connection in order."""
        self._pid = os.getpid()
        self._closing: asyncio.Task[None] | None = None
        self._on_watch: Callable[[], object] | None = None
        self._tasks: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        """Tasks of the membership on a loop of the program: the end of that loop has to end them, if it is closed."""
        register_holder(self)

    def __repr__(self) -> str:
        return f"<HostUpstream {self._local_status!r} outbox={len(self._operations.outbox)} {self._membership!r}>"

    # --- the port ---------------------------------------------------------------------------------------------------

    @property
    def status(self) -> Status:
        """A frozen snapshot of this moment, with this process's outbox.

        Its last error is the silence of the owner, if there is any.
        """
        present = self._local_status.present
        error = self._membership.join_error or present.last_error
        return dataclasses.replace(present, last_error=error, outbox=len(self._operations.outbox))

    @property
    def connection_stats(self) -> ConnectionStats:
        """The counters over all owners; those of another process are at most one heartbeat old."""
        owner = self._owner
        return self._feed.heard_stats if owner is None else owner.connection_stats

    @property
    def is_owner(self) -> bool:
        """True while this process holds the connection."""
        role = self._membership.role
        return isinstance(role, Owner) and role.holds_connection

    @property
    def is_member(self) -> bool:
        """True: it is one member of those that share the connection."""
        return True

    @property
    def can_move(self) -> bool:
        """False: its sockets and locks live on one event loop."""
        return False

    @property
    def needs_watch(self) -> bool:
        """True while this process holds the connection, and other processes or threads depend on its event loop.

        They use the connection, or would find a loop that has stood still before. Any thread may ask.
        """
        role = self._membership.role
        return isinstance(role, Owner) and role.needs_watch

    @property
    def is_wanted(self) -> bool:
        """True while this process holds the connection, and others use it, or wait for an answer; in any thread."""
        role = self._membership.role
        return isinstance(role, Owner) and role.is_wanted

    @property
    def reset_in(self) -> float:
        """Seconds after which the connection is reset if this loop has not closed it by then; in any thread."""
        role = self._membership.role
        return role.reset_in if isinstance(role, Owner) else math.inf

    def live_with(self, adopt: Callable[[asyncio.Task[Any]], object], on_watch: Callable[[], object]) -> None:
        """Live on a loop of the program, whose end cancels no task that is passed to `adopt`.

        `on_watch`: called when `needs_watch` or `reset_in` may have changed.
        """

        def keep(task: asyncio.Task[Any]) -> None:
            self._tasks.add(task)
            adopt(task)

        self._membership.adopt = keep
        self._on_watch = on_watch

    def attach(self, sink: UpstreamEvents) -> None:
        """Begin. Raises the errors of the client's options."""
        # Made before it's needed: on a take-over there's no time for imports, and none for errors.
        self._spare_client = self._spec.make_client()
        check_comparable_between_processes(self._spare_client, self._spec.key)
        self._credentials = dataclasses.replace(
            self._credentials,
            digests={
                **option_digests(self._spare_client),
                "scope": digest(self._scope),
                CLUSTER_OPTION: digest(self._engine),
            },
        )
        self._local_status.attach(sink)
        self._feed.attach(sink)
        self._membership.begin()

    async def connect(self, *, retry: bool | None = None) -> Outcome:
        """Open or join the connection. Raises as `Client.connect()`, and conflicts with the other processes."""
        retries = self._retries_first if retry is None else bool(check_retry(retry, self._reconnect))
        verb = Verb.CONNECT_RETRYING if retries else Verb.CONNECT
        return await self._request(verb, retries=retries) or Outcome.ALREADY_CONNECTED

    async def reconnect(self) -> Outcome:
        """Lift a `disconnect()` of any process, close the connection, and open a new one."""
        return await self._request(Verb.RECONNECT, retries=self._retries_first) or Outcome.OPENED

    async def rotate(self) -> Outcome:
        """Have a successor take the place of the connection. It is bounded by the deadlines of both, in the owner."""
        return await self._request(Verb.ROTATE, retries=True) or Outcome.OPENED

    async def disconnect(self) -> None:
        """Close the connection for all processes, until one calls `reconnect()`."""
        await self._request(Verb.DISCONNECT)

    def post(self, message: Any, *, resend: bool = False) -> Delivery:
        """Accept a message, and return its delivery. Raises the error that prevents that."""
        self._check_usable()
        if self._local_status.present.state is not State.CONNECTED:
            self.remind()
        entry = self._operations.post(message, resend=resend)
        return DELIVERED if entry.done and entry.error is None else entry

    async def settle(self, delivery: Delivery, *, settled: bool = False) -> None:
        """Wait for the fate of a message; a cancelled caller's message is withdrawn, or its delivery unknown."""
        del settled  # there is no durable outbox between processes: both are the same
        if isinstance(delivery, OutboxEntry):
            await self._operations.settle(delivery)

    async def send(self, message: Any, *, resend: bool = False, settled: bool = False) -> None:
        """Deliver a message. Raises the error that prevents the delivery."""
        await self.settle(self.post(message, resend=resend), settled=settled)

    async def request(self, message: Any, *, timeout: float | None, resend: bool = False) -> Any:
        """Have the process that holds the connection send a request; returns its answer."""
        self._check_usable()
        if self._local_status.present.state is not State.CONNECTED:
            self.remind()
        template = RequestTemplate.of(self._protocol, message)
        data = await self._operations.ask(template, timeout, resend=resend)
        return finish_request(self._protocol, message, self._decode(data))

    def open_answers(self, message: Any, sink: AnswerSink, *, resend: bool = False) -> Callable[[], None]:
        """Have the process that holds the connection send a request with a stream of answers."""
        self._check_usable()
        template = RequestTemplate.of(self._protocol, message)
        return self._operations.open_answers(template, DecodedAnswers(self._decode, sink), is_lasting=resend)

    def remind(self) -> None:
        """Warn once if `connect()` was called neither here nor, as far as is known, in the owner."""
        self._connect_reminder.watch()

    def _connect_hint(self) -> str:
        if self._membership.is_looking:
            return ""
        present = self._local_status.present
        return connect_hint(present.state, present.epoch, present.last_error)

    def add_keys(self, subscriber: KeySubscriber, keys: Iterable[Hashable]) -> None:
        """Add one subscription for each key: str, int, bytes, or a tuple of those."""
        self._operations.add_keys(subscriber, keys)

    def remove_keys(self, subscriber: KeySubscriber, keys: Iterable[Hashable] | None = None) -> None:
        """Remove one subscription for each key; None: remove the subscriber with all its keys."""
        self._operations.remove_keys(subscriber, keys)

    def when_subscribed(self, call: Callable[[], None]) -> None:
        """Call it at once: the owner may be another process, which doesn't tell."""
        call()

    def ask_snapshot(self, ready: Callable[[list[Any]], object]) -> None:
        """Ask the owner, the next one if there is none."""
        self._snapshot_requests.ask(ready)

    def hold(self) -> None:
        """Stop the feed into this process; other processes don't notice."""
        self._feed.hold()

    def release(self) -> None:
        """Let the feed go on in the next turn: a reader calls this in the middle of reading."""
        self._feed.release()

    def file_descriptors(self) -> Iterable[int]:
        """All sockets, and after them the lock."""
        return self._membership.descriptors()

    def break_off(self) -> Callable[[], object]:
        """Reset the connection and release its lock, as the loop is closed or stands still; in any thread.

        Returns what makes this process follow the next owner, if the loop goes on.
        """
        self._membership.break_off()
        for task in tuple(self._tasks):
            if task.get_loop().is_closed():
                end_task(task)
        role = self._membership.role
        return role.check_files if isinstance(role, Owner) else _do_nothing

    def go_on(self) -> None:
        """Do what is overdue of the role, on the event loop."""
        role = self._membership.role
        if isinstance(role, Owner):
            role.go_on()

    def forked(self) -> None:
        """Mark this object as the parent's, in a forked child."""
        self._pid = -1

    async def aclose(self) -> None:
        """Leave. The owner closes the connection in order, releases the lock and sends the followers to the next."""
        if self._pid != os.getpid():
            return
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close())
            self._membership.adopt(self._closing)
        await asyncio.shield(self._closing)

    @property
    def _retries_first(self) -> bool:
        return self._reconnect is not None and self._reconnect.first

    async def _request(self, verb: Verb, *, retries: bool = False) -> Outcome | None:
        """Have it performed; `retries`: it waits through failures, as long as it takes."""
        self._check_usable()
        return await self._operations.request(verb, None if retries else self._deadline)

    def _check_usable(self) -> None:
        if self._pid != os.getpid():
            raise ForkedCopy
        if self._closing is not None:
            raise ClientClosed

    # --- roles ------------------------------------------------------------------------------------------------------

    def _make_owner(self, lock: OwnerLock, reserve: DescriptorReserve) -> Owner:
        client, self._spare_client = self._spare_client, None
        last, known_epoch = lock.predecessor, self._local_status.present.epoch
        return self._owner_type(
            lock,
            reserve,
            client=install_forwarding(client or self._spec.make_client()),
            protocol=self._protocol,
            options=self._spec.host_options,
            credentials=self._credentials,
            key=self._spec.key.name,
            epoch=known_epoch if last is None else max(known_epoch, last.epoch),
            expects_followers=known_epoch > 0 or (last is not None and last.ownership_id != 0),
            stats=self._feed.heard_stats,
            emit=self._on_event,
            adopt=self._membership.adopt,
        )

    def _make_follower(self, own: Own) -> Follower:
        # The owner subscribes to the keys of this process anew: what came meanwhile is missing, so there is a gap.
        goes_on = not self._operations.subscriptions.wanted
        self._place.epoch = self._local_status.present.epoch
        return Follower(self._credentials, self._on_event, self._place, own, goes_on=goes_on)

    def _retry_delay(self, error: OnesocketError, failures: int) -> float | None:
        """The delay until the next attempt to get a role: an owner's connection is restored by the client's policy."""
        state, policy = self._local_status.present.state, self._reconnect
        if self._closing is not None or state not in (*WANTED_STATES, State.STOPPED):
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
                self._feed.on_messages(messages)
            case Answer() | Results() | SubscriptionRefusal():
                self._operations.on_event(event)
            case FollowerAttached() | GapNotice() | StatusUpdate() | SnapshotAnswer() | OwnerHeartbeat():
                self._feed.on_event(event)
            case HandOverDue(is_requested):
                self._membership.handle_event(
                    ElectionEvent.HAND_OVER_REQUESTED if is_requested else ElectionEvent.STEP_DOWN_REQUESTED
                )
            case OwnerDisconnected(in_order, leaves_lock, error):
                if error is not None:
                    _log.warning("%s: %s", self._shown_url, error)
                self._membership.on_owner_disconnected(in_order=in_order, leaves_lock=leaves_lock)
            case WatchChanged():
                if self._on_watch is not None:
                    self._on_watch()
            case RoleTaken() | RoleLost() | OwnerMissing() | JoinFailed():
                self._on_membership_event(event)

    def _on_membership_event(self, event: MembershipEvent) -> None:
        match event:
            case RoleTaken(role):
                self._on_role_taken(role)
            case RoleLost(in_order):
                self._on_role_lost(in_order=in_order)
            case OwnerMissing(error):
                _log.warning("%s: %s", self._shown_url, error)
                if self._local_status.present.state is not State.STOPPED:
                    self._local_status.enter(State.CONNECTING, error)
            case JoinFailed(error):
                self._local_status.enter(State.FAILED, error)

    def _on_role_taken(self, role: Role) -> None:
        self._operations.on_role_taken()
        self._snapshot_requests.on_role_taken()
        self._owner = role if isinstance(role, Owner) else None
        self._feed.losses = None if self._owner is None else self._owner.client.internals.fan_out.losses
        if self._on_watch is not None:
            self._on_watch()
        self._observer.begin(self, self._source_kind)
        if isinstance(role, Owner):
            self._place.ownership_id = role.ownership_id
            if not self._left_in_order:
                self._local_status.log_take_over()
            # A stop, or a connection that was up, outlives its owner; so does a date that the server named.
            earlier = EarlierConnection(self._local_status.seconds_to_date)
            role.resume(self._local_status.present.state, earlier)

    def _on_role_lost(self, *, in_order: bool) -> None:
        self._operations.on_role_lost(in_order=in_order)
        self._feed.heard_stats, self._owner = self.connection_stats, None
        self._left_in_order = in_order
        self._feed.on_owner_lost(
            OwnerLost(
                "the process that held the connection let go of it"
                if in_order
                else "the process that held the connection ended, or doesn't answer any more"
            )
        )

    @property
    def _source_kind(self) -> SourceKind:
        """Kind of this process: an owner whose connection is another host's follows, too."""
        owner = self._owner
        return SourceKind.FOLLOWER if owner is None or not owner.holds_connection else SourceKind.PROCESS

    def _observe(self, change: Change) -> None:
        self._observer.begin(self, self._source_kind)
        self._observer.changed(self, change)
        if change.new is State.CLOSED:
            self._observer.end(self)

    # --- closing ----------------------------------------------------------------------------------------------------

    async def _close(self) -> None:
        self._operations.begin_close()
        was_owner = isinstance(self._membership.role, Owner)
        try:
            await self._membership.aclose(lambda: self._operations.drain(self._close_timeout), self._deadline)
        finally:
            self._operations.close(was_owner=was_owner)
            self._local_status.enter(State.CLOSED, None, cause="Close")


def _do_nothing() -> None:
    """Leave a role as it is."""
