"""One connection with all its members."""

from __future__ import annotations

import asyncio
import logging
import operator
import threading
import time
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future
from typing import Any, Final

from .._task_end import end_task
from ..client._backlog import Backlog
from ..client._fan_out import FanOut
from ..client._gap import Gap
from ..client._request_calls import AnswerSink
from ..client._status import Change, Status
from ..client._user_code import USER_ERRORS
from ..errors import ConnectAborted, ManuallyDisconnected, OnesocketError, UsageError
from ..lifecycle._effects import Outcome
from ..lifecycle._states import State
from ..protocols._protocol import Protocol
from ._connection_inbox import ConnectionInbox
from ._host_loop import HostLoop, HostLoopThread
from ._loop_inbox import LoopInbox
from ._member import HeldBy, Member, RemoteReader
from ._member_tokens import MemberTokens
from ._options import RequestedOptions
from ._upstream import MemberUpstream, MovableUpstream, Upstream

_log: Final = logging.getLogger("onesocket")
RESET_GRACE: Final = 0.05
"""Seconds that the peer gets to notice the end of a connection that was reset before the next one is dialled."""
_LIVENESS_INTERVAL: Final = 1.0
"""Seconds between two looks whether event loops are alive: those of members that hold the feed back, for example."""


class SharedConnection:
    """One upstream with its members. It belongs to the host loop, except for `count`, `linger` and `is_closing`.

    Those are changed under `lock`, which is the registry's; `on_gone` is called when nothing is left of the connection.
    """

    def __init__(
        self,
        lock: threading.RLock,
        on_gone: Callable[[SharedConnection], None],
        host_loop: HostLoop,
        upstream: Upstream,
        *,
        requested_options: RequestedOptions,
        tokens: MemberTokens,
        registry_key: tuple[object, ...],
        protocol: Protocol,
        predecessor: SharedConnection | None,
    ) -> None:
        self.registry_key = registry_key
        self.host_loop = host_loop
        self.inbox: LoopInbox = host_loop.inbox_of_connection()
        """The inbox of the loop that the connection lives on, wherever it moves."""
        self.refuge: HostLoopThread | None = None
        """The thread that it moves to when its loop ends; None: it doesn't."""
        self.upstream = upstream
        self.protocol = protocol
        self.requested_options = requested_options
        self.linger = 0.0
        self.count = 0
        """Number of members, including those that are joining."""
        self.is_closing = False
        """The connection takes no further members."""
        self.gone: Future[None] = Future()
        self.gone.set_running_or_notify_cancel()  # so that no waiter can cancel it
        self._lock = lock
        self._on_gone = on_gone
        self._predecessor = predecessor
        self._tokens = tokens
        self._members: set[Member] = set()
        self._backlog = Backlog()
        self._epoch = 0
        self._failure: OnesocketError | None = None
        """The error that ended a connection for good which was up; None again once the next one is."""
        self._logged_epoch = -1
        """The attempt whose failure was logged here."""
        self._is_ended = False
        """No more messages come."""
        self._holders: set[tuple[Member, HeldBy]] = set()
        self._begun: asyncio.Task[None] | None = None
        self._close_task: asyncio.Task[None] | None = None
        self._linger_timer: asyncio.TimerHandle | None = None
        self._look_timer: asyncio.TimerHandle | None = None
        self._is_lingering = False
        """True if it lingered when it left its loop."""

    def __repr__(self) -> str:
        return f"<SharedConnection members={self.count}{' closing' if self.is_closing else ''} {self.upstream!r}>"

    # --- calls of the members; on the host loop -------------------------------------------------------------------

    async def connect(self, member: Member, *, retry: bool | None = None) -> tuple[Outcome, Status]:
        """Connect, for a member that was added; returns the outcome of its own call."""
        await self._begin(member)
        outcome = await self.upstream.connect(retry=retry)
        return outcome, self.upstream.status

    async def reconnect(self, member: Member) -> Outcome:
        """As `Client.reconnect()`, for all members."""
        await self._begin(member)
        return await self.upstream.reconnect()

    async def rotate(self, member: Member) -> Outcome:
        """As `Client.rotate()`, for all members."""
        await self._begin(member)
        return await self.upstream.rotate()

    async def disconnect(self) -> None:
        """As `Client.disconnect()`, for all members."""
        await self._begin(None)
        await self.upstream.disconnect()

    async def leave(self, member: Member) -> None:
        """Remove a member. The last one waits until the connection is closed, unless it lingers."""
        self.drop_dead_members()
        closing = self._after_member_left() if self._forget(member) else None
        if closing is not None:
            await asyncio.shield(closing)

    def add(self, member: Member, seen: Status) -> None:
        """Add a member that was counted, and knows of this status; `leave` or `drop` removes it."""
        self._members.add(member)
        self._tokens.add(member)
        if self.protocol.snapshot is None:
            self._begin_stream(member, [])
        else:
            self.upstream.ask_snapshot(lambda items: self._begin_stream(member, items))
        self._cancel_linger()
        now = self.upstream.status
        if (now.state, now.epoch) != (seen.state, seen.epoch):
            member.tell(Change(time.time(), seen.state, now.state, now.epoch, "Join", now.last_error), now)

    def drop_dead_members(self) -> None:
        """Drop members whose event loops were closed before they left."""
        for member in tuple(self._members):
            if member.loop_inbox.is_dead:
                self.drop(member)

    def drop(self, member: Member) -> None:
        """Remove a member without waiting: its subscriptions hold the feed back no more."""
        if self._forget(member):
            self._after_member_left()

    def _forget(self, member: Member) -> bool:
        is_known = member in self._members
        self._members.discard(member)
        self._stop_keeping(member)
        self._tokens.discard(member)
        for stream in tuple(member.readers):
            self.remove_keys(member, stream)
        for stream in tuple(member.answers):
            self.close_answers(member, stream)
        self.release(member, "readers")
        self.release(member, "relay")
        member.kept = None
        return is_known

    def _stop_keeping(self, member: Member) -> None:
        first, member.first = member.first, None
        if first is not None:
            self._backlog.forget(first)

    def _begin_stream(self, member: Member, snapshot: list[Any]) -> None:
        """Let the stream of a member begin here, with a snapshot."""
        if member in self._members and member.snapshot is None:
            member.snapshot = snapshot
            member.first = self._backlog.expect()
            if member.is_waiting:
                self.open(member)

    # --- what members read ----------------------------------------------------------------------------------------

    def open(self, member: Member) -> None:
        """Relay messages to this member from now on, beginning with those that came since it joined."""
        if member not in self._members or self._is_ended:
            member.put(lambda handle: handle.fan_out.end())
            return
        if member.is_open:
            return
        if member.snapshot is None:
            member.is_waiting = True
            return
        snapshot, member.snapshot = member.snapshot, []
        waited = [] if member.first is None else self._backlog.since(member.first, self._epoch)
        failure, epoch = self._failure, self._epoch
        self._stop_keeping(member)
        member.is_open = True
        handle = member.handle
        if handle is not None and member.loop_inbox.is_here:  # its first reader has them at once
            handle.fan_out.begin_with(waited, failure, epoch, snapshot)
        else:
            member.put(lambda handle: handle.fan_out.begin_with(waited, failure, epoch, snapshot))

    def ask_snapshot(self, member: Member, ready: Callable[[list[Any]], object]) -> None:
        """Call `ready` on the member's loop with what a late reader begins with, at its place among the messages."""
        self.upstream.ask_snapshot(lambda items: member.put(lambda _: ready(items)))

    def add_keys(self, member: Member, stream: object, keys: Iterable[Hashable], reader: RemoteReader) -> None:
        """Subscribe upstream for a stream of this member; the reader is told if that isn't possible."""
        if member not in self._members:  # it has left meanwhile
            return
        try:
            self.upstream.add_keys(reader, keys)
        except OnesocketError as error:
            reader.fail(error)
        else:
            member.readers[stream] = reader

    def remove_keys(self, member: Member, stream: object) -> None:
        """End the upstream subscriptions of a stream that has ended."""
        reader = member.readers.pop(stream, None)
        if reader is not None:
            self.upstream.remove_keys(reader)

    def open_answers(
        self,
        member: Member,
        stream: object,
        message: Any,
        sink: AnswerSink,
        resend: bool,  # noqa: FBT001 - posted
    ) -> None:
        """Send a request with a stream of answers for this member; `close_answers` ends it."""
        if member not in self._members:  # it has left meanwhile
            return
        try:
            member.answers[stream] = self.upstream.open_answers(message, sink, resend=resend)
        except OnesocketError as error:
            sink.fail(error)
        except USER_ERRORS as error:  # a function of `Requests`: its reader would wait for ever
            failure = UsageError(f"a function of Requests raised {type(error).__name__}")
            failure.__cause__ = error
            sink.fail(failure)

    def close_answers(self, member: Member, stream: object) -> None:
        """End a stream of answers whose reader is gone."""
        close = member.answers.pop(stream, None)
        if close is not None:
            close()

    def hold(self, member: Member, by: HeldBy) -> None:
        """Hold the feed back for a member, unless it has left meanwhile."""
        if member not in self._members:
            return
        if not self._holders:
            self.upstream.hold()
        self._holders.add((member, by))
        if self._look_timer is None:
            self._look_timer = asyncio.get_running_loop().call_later(_LIVENESS_INTERVAL, self._look)

    def release(self, member: Member, by: HeldBy) -> None:
        """Let the feed go on, unless it is held for another reason."""
        if (member, by) in self._holders:
            self._holders.discard((member, by))
            if not self._holders:
                self.upstream.release()

    def _look(self) -> None:
        """Drop members that died while they held the feed back: no message comes that would show it."""
        self._look_timer = None
        self.drop_dead_members()
        if self._holders:
            self._look_timer = asyncio.get_running_loop().call_later(_LIVENESS_INTERVAL, self._look)

    # --- beginning and end ----------------------------------------------------------------------------------------

    async def _begin(self, member: Member | None) -> None:
        if member in self._members:
            self._tokens.add(member)  # the member that wants the connection now is asked first
        if self._begun is None or (self._begun.done() and self._begun.exception() is not None):
            self._begun = asyncio.get_running_loop().create_task(self._attach(), name="onesocket connection begins")
            self.inbox.adopt(self._begun)
        await asyncio.shield(self._begun)

    async def _attach(self) -> None:
        await self._predecessor_gone()
        self.upstream.attach(self)

    async def _predecessor_gone(self) -> None:
        """Wait for the end of the connection before, wherever it lives: there are never two at once."""
        before = self._predecessor
        if before is not None:
            while not before.gone.done() and not before.is_dead:
                await asyncio.wait((asyncio.wrap_future(before.gone),), timeout=_LIVENESS_INTERVAL)
                if not before.gone.done() and before.host_loop.has_ended():
                    before.break_off_close()
                    await asyncio.sleep(RESET_GRACE)
            self._predecessor = None

    def _after_member_left(self) -> asyncio.Task[None] | None:
        """Count a member out; returns the close of the connection, if it was the last one."""
        with self._lock:
            self.count -= 1
            if self.count > 0:
                return None
        if self.linger > 0 and self.upstream.status.state is State.CONNECTED:
            self._start_linger()
            return None
        return self._start_close() if self._claim_close() else None

    def _start_linger(self) -> None:
        self._cancel_linger()
        self._linger_timer = asyncio.get_running_loop().call_later(self.linger, self._on_linger_timeout)

    def _cancel_linger(self) -> None:
        if self._linger_timer is not None:
            self._linger_timer.cancel()
            self._linger_timer = None

    def _on_linger_timeout(self) -> None:
        self._linger_timer = None
        if self._claim_close():
            self._start_close()

    def _claim_close(self) -> bool:
        """Mark the connection as closing if it has no member; returns whether it is closing."""
        with self._lock:
            self.is_closing = self.is_closing or self.count == 0
            return self.is_closing

    def _start_close(self) -> asyncio.Task[None]:
        if self._close_task is None:
            self._close_task = asyncio.get_running_loop().create_task(self._close(), name="onesocket connection closes")
            self.inbox.adopt(self._close_task)
        return self._close_task

    async def close(self) -> None:
        """Close in order, for all members, once `is_closing` is set: the program, or the loop, ends."""
        self._cancel_linger()
        await asyncio.shield(self._start_close())

    async def _close(self) -> None:
        try:
            if self._begun is not None and not self._begun.done():
                await asyncio.wait((self._begun,))
            await self.upstream.aclose()  # calls may have come without any that connects
            await self._predecessor_gone()  # the next connection waits for this one, and knows of none before
        finally:
            self._finish()

    def _finish(self) -> None:
        self._end()
        if self._look_timer is not None:
            self._look_timer.cancel()
        self._on_gone(self)
        if not self.gone.done():
            self.gone.set_result(None)

    def break_off_close(self) -> None:
        """Reset the connection, whose loop has ended in the midst of its close; in any thread."""
        upstream, task = self.movable, self._close_task
        if (member := self.member_upstream) is not None:
            member.break_off()
        rest = None if upstream is None else upstream.leave_loop()
        if rest is not None:
            self.host_loop.loop_inbox.post(rest)
        if task is not None and not task.done():
            end_task(task)
        if not self.gone.done():
            self._finish()
        self.inbox.refuse_begun()

    # --- another event loop -----------------------------------------------------------------------------------------

    @property
    def movable(self) -> MovableUpstream | None:
        """The upstream, if it can go on on another loop; any thread may ask."""
        upstream: Any = self.upstream
        return upstream if self.upstream.can_move and isinstance(self.inbox, ConnectionInbox) else None

    @property
    def member_upstream(self) -> MemberUpstream | None:
        """The upstream, if it lives on a loop of the program as a member of an election; any thread may ask."""
        upstream: Any = self.upstream
        return upstream if self.upstream.is_member and not isinstance(self.host_loop, HostLoopThread) else None

    @property
    def is_dead(self) -> bool:
        """True if its loop was closed before it, and it doesn't move; any thread may ask."""
        return self.host_loop.is_dead and (self.is_closing or self.inbox.is_dead)

    def outlives_loop(self) -> bool:
        """True if the connection goes on when its loop ends, which it does; else it closes, and takes no members."""
        with self._lock:
            goes_on = self.refuge is not None and self.is_shared_elsewhere()
            self.is_closing = self.is_closing or not goes_on
            return goes_on

    def is_shared_elsewhere(self) -> bool:
        """True if others than clients of the loop that it lives on share it, and it isn't closing; in any thread."""
        here = self.host_loop.loop_inbox
        with self._lock:
            gone = sum(member.loop_inbox is here or member.loop_inbox.is_dead for member in tuple(self._members))
            return not self.is_closing and self.count > gone

    def leave_loop(self) -> None:
        """Stop what goes on on the loop that the connection leaves; called as `MovableUpstream.leave_loop`."""
        if self._begun is not None and not self._begun.done():
            end_task(self._begun)
            self._begun = None
        self._is_lingering = self._linger_timer is not None
        self._cancel_linger()
        if self._look_timer is not None:
            self._look_timer.cancel()
            self._look_timer = None
        for member in tuple(self._members):
            if (handle := member.handle) is not None:
                handle.leave_loop()

    def enter_loop(self) -> None:
        """Go on on the running loop."""
        if self._is_lingering:
            self._start_linger()
        self._look()
        self._tokens.enter_loop()
        self.drop_dead_members()
        for member in tuple(self._members):
            if (handle := member.handle) is not None:
                handle.enter_loop()

    # --- events of the upstream -----------------------------------------------------------------------------------

    def messages(self, batch: list[Any]) -> None:
        """Relay a batch to every member that reads: callbacks that run here are called when the others have it."""
        if self._backlog:
            self._backlog.put_many(batch)
        members = tuple(self._members)
        if len(members) > 1:
            members = tuple(sorted(members, key=_calls_here))
        for member in members:
            if member.is_open and not member.put_many(batch):
                self.drop(member)

    def gap(self, gap: Gap) -> None:
        """Relay a gap marker to every member that reads."""
        if self._backlog:
            self._backlog.put_gap(gap)
        self._relay(FanOut.announce, gap)

    def failed(self, error: OnesocketError) -> None:
        """Fail the readers that want to know that the connection failed for good."""
        if self._epoch:  # the failure of a first connect is raised in its callers
            self._failure = error
            self._begin_all()
            self._relay(FanOut.fail, error)

    def log_failure(self, error: OnesocketError) -> None:
        """Log the failure of an attempt that no caller is told of; once for all members."""
        status = self.upstream.status
        if status.epoch > self._logged_epoch and not isinstance(error, ConnectAborted | ManuallyDisconnected):
            self._logged_epoch = status.epoch
            _log.error("%s: connecting failed: %s", status.url, error)

    def _relay(self, method: Callable[..., object], *args: object) -> None:
        for member in tuple(self._members):
            if member.is_open:
                member.put(lambda handle: method(handle.fan_out, *args))

    def changed(self, change: Change, status: Status) -> None:
        """Tell every member of a change of the state."""
        if change.new is State.CONNECTED:
            self._epoch, self._failure = change.epoch, None
            self._relay(FanOut.ready, change.epoch)
        for member in tuple(self._members):
            if not member.tell(change, status):
                self.drop(member)
        if change.new is State.CLOSED:
            self._end()
            with self._lock:
                self.is_closing = True  # if the client was closed by the program, the next to join gets a new one
            self._start_close()

    def _begin_all(self) -> None:
        """Let the members begin that wait for a snapshot: none comes."""
        for member in tuple(self._members):
            self._begin_stream(member, [])

    def _end(self) -> None:
        self._begin_all()
        self._is_ended = True
        self._relay(FanOut.end)


_calls_here: Final = operator.attrgetter("calls_here")
