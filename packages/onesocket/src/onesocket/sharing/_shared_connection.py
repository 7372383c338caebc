"""One connection, and everybody who shares it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, Final, Protocol

from ..client._backlog import Backlog, ExpectedReader
from ..client._fan_out import FanOut
from ..client._gap import Gap
from ..client._options import TokenSource
from ..client._status import Change, Status
from ..errors import OnesocketError
from ..lifecycle._effects import Outcome
from ..lifecycle._states import State
from ..protocols._protocol import Protocol as WireProtocol
from ._host_loop import HostLoop
from ._loop_inbox import LoopInbox
from ._member_tokens import MemberTokens
from ._options import RequestedOptions
from ._relay import MemberHandle, Relay
from ._upstream import Upstream

# While a reader holds the feed back, it is looked at this often (in seconds) whether its event loop is still there.
_LIVENESS_INTERVAL: Final = 1.0


class ReferenceCounter(Protocol):
    """Who counts the members: the registry, under its lock."""

    def forget(self, shared: SharedConnection) -> None:
        """Nothing is left of it."""

    def close_if_unused(self, shared: SharedConnection) -> bool:
        """Whether nobody shares it; nobody can begin to, from then on."""
        ...

    def retire(self, shared: SharedConnection) -> None:
        """Nobody joins it any more."""

    def release_member(self, shared: SharedConnection) -> int:
        """One member less; returns how many are left."""
        ...


class Member:
    """One shared client, as its connection sees it: a client that nobody holds any more is not kept by it."""

    def __init__(self, inbox: LoopInbox, handle: MemberHandle, shared: SharedConnection) -> None:
        self.loop_inbox = inbox
        self.relay = Relay(
            inbox, handle, lambda: shared.hold(self.relay), lambda: shared.post(shared.release, self.relay)
        )
        self.first: ExpectedReader | None = None
        """Stands for the messages since it joined, until it reads. Used on the host loop only."""
        self.is_open = False
        """Messages are relayed to it: it has, or had, a reader. Used on the host loop only."""
        self.keys: dict[object, frozenset[Hashable]] = {}
        """The upstream subscriptions of its streams. Used on the host loop only."""
        self.kept: object = None
        """The client itself while it has callbacks, which nobody else may refer to."""

    @property
    def token_source(self) -> TokenSource | None:
        """Its token source; None as well if nobody holds it any more."""
        handle = self.relay.handle
        return None if handle is None else handle.token_source

    def tell(self, change: Change, status: Status) -> bool:
        """Pass a change on; False: its loop is closed, or nobody holds it any more."""
        return self.relay.put(lambda handle: handle.changed(change, status))


class SharedConnection:
    """One upstream with its members. It belongs to the owner loop, but for what the registry keeps in it."""

    def __init__(
        self,
        registry: ReferenceCounter,
        owner: HostLoop,
        upstream: Upstream,
        given: RequestedOptions,
        tokens: MemberTokens,
        *,
        registry_key: tuple[object, ...],
        protocol: WireProtocol,
        predecessor: SharedConnection | None,
    ) -> None:
        self.registry_key = registry_key
        """Where the registry finds it."""
        self.owner = owner
        self.upstream = upstream
        self.protocol = protocol
        self.requested_options = given
        self.linger = 0.0
        self.count = 0
        """Members, those on their way included. The registry's, under its lock."""
        self.is_closing = False
        """Nobody joins it any more. The registry's, under its lock."""
        self.gone: Future[None] = Future()
        self.gone.set_running_or_notify_cancel()  # so that no waiter can cancel it
        self._registry = registry
        self._predecessor = predecessor
        self._tokens = tokens
        self._members: set[Member] = set()
        self._backlog = Backlog()
        self._epoch = 0
        self._failure: OnesocketError | None = None
        """The error that ended a connection for good which was up; None again once the next one is."""
        self._is_ended = False
        """No more messages come."""
        self._holders: set[object] = set()
        """The members, and the relays, that hold the feed back."""
        self._begun: asyncio.Task[None] | None = None
        self._close_task: asyncio.Task[None] | None = None
        self._cleanup_tasks: set[asyncio.Task[None]] = set()
        """Kept here, not by the module: tasks of a loop that was closed go with their connection."""
        self._linger_timer: asyncio.TimerHandle | None = None
        self._look_timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<SharedConnection members={self.count}{' closing' if self.is_closing else ''} {self.upstream!r}>"

    # --- what links want; on the owner loop -------------------------------------------------------------------------

    async def enter(self, member: Member) -> tuple[Outcome, Status]:
        """One link more, which was added: it gets the outcome of its own `connect()`."""
        await self._begin(member)
        outcome = await self.upstream.connect()
        return outcome, self.upstream.status

    async def reconnect(self, member: Member) -> Outcome:
        """For all, as `Client.reconnect()`."""
        await self._begin(member)
        return await self.upstream.reconnect()

    async def disconnect(self) -> None:
        """For all, as `Client.disconnect()`."""
        await self._begin(None)
        await self.upstream.disconnect()

    async def leave(self, member: Member) -> None:
        """One link less. The last one out waits until the connection is closed, unless it lingers."""
        self.drop_dead_members()
        if self._forget(member):
            await self._after_member_left()

    def add(self, member: Member, seen: Status) -> None:
        """The link is on its way, and thinks that things stand so; `leave` takes it off."""
        self._members.add(member)
        self._tokens.add(member)
        member.first = self._backlog.expect()
        self.cancel_linger()
        now = self.upstream.status
        if (now.state, now.epoch) != (seen.state, seen.epoch):
            member.tell(Change(time.time(), seen.state, now.state, now.epoch, "Join", now.last_error), now)

    def cancel_linger(self) -> None:
        """Somebody came while it lingered."""
        if self._linger_timer is not None:
            self._linger_timer.cancel()
            self._linger_timer = None

    def drop_dead_members(self) -> None:
        """Links whose loops were closed without a word are counted out."""
        for member in tuple(self._members):
            if member.loop_inbox.is_dead:
                self.drop(member)

    def drop(self, member: Member) -> None:
        """Count it out, without waiting. What it subscribed to holds nobody back any more."""
        if self._forget(member):
            task = asyncio.get_running_loop().create_task(self._after_member_left(), name="onesocket client dropped")
            self._cleanup_tasks.add(task)
            task.add_done_callback(self._cleanup_tasks.discard)

    def _forget(self, member: Member) -> bool:
        is_known = member in self._members
        self._members.discard(member)
        self._stop_keeping(member)
        self._tokens.discard(member)
        for stream in tuple(member.keys):
            self.remove_keys(member, stream)
        self.release(member)
        self.release(member.relay)
        member.kept = None
        return is_known

    def _stop_keeping(self, member: Member) -> None:
        first, member.first = member.first, None
        if first is not None:
            self._backlog.forget(first)

    # --- what members read ------------------------------------------------------------------------------------------

    def open(self, member: Member) -> None:
        """Relay messages to this member from now on, beginning with those that came since it joined."""
        if member not in self._members or self._is_ended:
            member.relay.put(lambda handle: handle.fan_out.end())
            return
        if member.is_open:
            return
        waited = [] if member.first is None else self._backlog.since(member.first, self._epoch)
        failure, epoch = self._failure, self._epoch
        self._stop_keeping(member)
        member.is_open = True
        handle = member.relay.handle
        if handle is not None and member.loop_inbox.is_here:  # its first reader has them at once
            handle.fan_out.begin_with(waited, failure, epoch)
        else:
            member.relay.put(lambda handle: handle.fan_out.begin_with(waited, failure, epoch))

    def add_keys(self, member: Member, stream: object, keys: frozenset[Hashable], fail: Callable[..., object]) -> None:
        """Subscribe upstream for a stream of this member; `fail` is called, on its loop, if that isn't possible."""
        if member not in self._members:  # it has left meanwhile
            return
        try:
            self.upstream.add_keys(keys)
        except OnesocketError as error:
            member.loop_inbox.post(fail, error)
        else:
            member.keys[stream] = keys

    def remove_keys(self, member: Member, stream: object) -> None:
        """The stream has ended: end its subscriptions upstream."""
        keys = member.keys.pop(stream, None)
        if keys is not None:
            self.upstream.remove_keys(keys)

    def hold(self, holder: object) -> None:
        """Hold the feed back, on behalf of a member's readers (the member) or of its relay."""
        if not self._holders:
            self.upstream.hold()
        self._holders.add(holder)
        if self._look_timer is None:
            self._look_timer = asyncio.get_running_loop().call_later(_LIVENESS_INTERVAL, self._look)

    def hold_for_readers(self, member: Member) -> None:
        """Hold the feed back, unless the member has left meanwhile."""
        if member in self._members:
            self.hold(member)

    def release(self, holder: object) -> None:
        """Let the feed go on, if nobody else holds it."""
        if holder in self._holders:
            self._holders.discard(holder)
            if not self._holders:
                self.upstream.release()

    def _look(self) -> None:
        """Drop members that died while they held the feed back: no message comes that would show it."""
        self._look_timer = None
        self.drop_dead_members()
        if self._holders:
            self._look_timer = asyncio.get_running_loop().call_later(_LIVENESS_INTERVAL, self._look)

    # --- coming and going -------------------------------------------------------------------------------------------

    async def _begin(self, member: Member | None) -> None:
        if member in self._members:
            self._tokens.add(member)  # who wants the line now is asked first
        if self._begun is None or (self._begun.done() and self._begun.exception() is not None):
            self._begun = asyncio.get_running_loop().create_task(self._attach(), name="onesocket connection begins")
        await asyncio.shield(self._begun)

    async def _attach(self) -> None:
        await self._predecessor_gone()
        self.upstream.attach(self)

    async def _predecessor_gone(self) -> None:
        """Never two at once: what is being closed is awaited, wherever it lives."""
        if self._predecessor is not None:
            while not self._predecessor.gone.done() and not self._predecessor.owner.is_dead:
                await asyncio.wait((asyncio.wrap_future(self._predecessor.gone),), timeout=1.0)
            self._predecessor = None

    async def _after_member_left(self) -> None:
        if self._registry.release_member(self) > 0:
            return
        if self.linger > 0 and self.upstream.status.state is State.CONNECTED:
            self.cancel_linger()
            self._linger_timer = asyncio.get_running_loop().call_later(self.linger, self._on_linger_timeout)
            return
        await self.close_if_unused()

    def _on_linger_timeout(self) -> None:
        self._linger_timer = None
        if self._registry.close_if_unused(self):
            self._start_close()

    async def close_if_unused(self) -> None:
        """Close in order, if nobody is left."""
        if self._registry.close_if_unused(self):
            await asyncio.shield(self._start_close())

    def _start_close(self) -> asyncio.Task[None]:
        if self._close_task is None:
            self._close_task = asyncio.get_running_loop().create_task(self._close(), name="onesocket connection closes")
        return self._close_task

    async def close(self) -> None:
        """Close in order whoever shares it: the program, or the loop, ends. The registry has marked it."""
        self.cancel_linger()
        await asyncio.shield(self._start_close())

    async def _close(self) -> None:
        try:
            if self._begun is not None:
                await asyncio.wait((self._begun,))
                await self.upstream.aclose()
            await self._predecessor_gone()  # whoever comes next waits for us, and knows of nobody before
        finally:
            self._end()
            if self._look_timer is not None:
                self._look_timer.cancel()
            self._registry.forget(self)
            if not self.gone.done():
                self.gone.set_result(None)

    # --- what the upstream tells ------------------------------------------------------------------------------------

    def messages(self, batch: list[Any]) -> None:
        """Relay a batch to every member that reads."""
        if self._backlog:
            self._backlog.put_many(batch)
        for member in tuple(self._members):
            if member.is_open and not member.relay.put_many(batch):
                self.drop(member)

    def gap(self, gap: Gap) -> None:
        """Put a marker into every stream."""
        if self._backlog:
            self._backlog.put_gap(gap)
        self._relay(FanOut.announce, gap)

    def failed(self, error: OnesocketError) -> None:
        """Tell the readers that want to know."""
        self._failure = error if self._epoch else None
        self._relay(FanOut.fail, error)

    def _relay(self, method: Callable[..., object], *args: object) -> None:
        for member in tuple(self._members):
            if member.is_open:
                member.relay.put(lambda handle: method(handle.fan_out, *args))

    def changed(self, change: Change, status: Status) -> None:
        """Tell every link."""
        if change.new is State.CONNECTED:
            self._epoch, self._failure = change.epoch, None
            self._relay(FanOut.ready, change.epoch)
        for member in tuple(self._members):
            if not member.tell(change, status):
                self.drop(member)
        if change.new is State.CLOSED:
            self._end()
            self._registry.retire(self)  # if somebody closed it behind our back, the next one to join gets a new one
            self._start_close()

    def _end(self) -> None:
        self._is_ended = True
        self._relay(FanOut.end)

    def post(self, call: Callable[..., object], *args: object) -> None:
        """Call this on the host loop."""
        self.owner.loop_inbox.post(call, *args)
