"""One connection, and everybody who shares it."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, Final, Protocol

from ..client._backlog import ExpectedReader
from ..client._gap import Gap
from ..client._options import TokenSource
from ..client._queue import Overflow
from ..client._status import Change, Status
from ..errors import OnesocketError
from ..lifecycle._effects import Outcome
from ..lifecycle._states import State
from ..protocols._protocol import Protocol as WireProtocol
from ._host_loop import HostLoop
from ._loop_inbox import LoopInbox
from ._member_tokens import MemberTokens
from ._options import RequestedOptions
from ._shared_fan_out import SharedFanOut
from ._shared_queue import SharedQueue
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


class MemberHandle(Protocol):
    """A link, as the connection sees it, on the link's own loop."""

    @property
    def token_source(self) -> TokenSource | None:
        """Where its token comes from, if that's a function of its own."""
        ...

    def changed(self, change: Change, status: Status) -> None:
        """The state changed."""


class Member:
    """One link, as its connection sees it: a link that nobody holds any more is not kept by it."""

    def __init__(self, mailbox: LoopInbox, link: MemberHandle) -> None:
        self.loop_inbox = mailbox
        self.first: ExpectedReader | None = None
        """Stands for the messages since it joined, until it reads. Used on the owner loop only."""
        self._link = weakref.ref(link)

    @property
    def token_source(self) -> TokenSource | None:
        """Its token source; None as well if nobody holds it any more."""
        link = self._link()
        return None if link is None else link.token_source

    def tell(self, change: Change, status: Status) -> bool:
        """Pass the news on; False: its loop is dead, or nobody holds it any more."""
        return self._link() is not None and self.loop_inbox.post(self._arrived, change, status)

    def _arrived(self, change: Change, status: Status) -> None:
        link = self._link()
        if link is not None:
            link.changed(change, status)


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
        self._keys: dict[SharedQueue[Any], frozenset[Hashable]] = {}
        self._readers: dict[SharedQueue[Any], Member] = {}
        self._begun: asyncio.Task[None] | None = None
        self._close_task: asyncio.Task[None] | None = None
        self._cleanup_tasks: set[asyncio.Task[None]] = set()
        """Kept here, not by the module: tasks of a loop that was closed go with their connection."""
        self._linger_timer: asyncio.TimerHandle | None = None
        self._look_timer: asyncio.TimerHandle | None = None
        self.feed = SharedFanOut(
            event_of=protocol.event_of,
            hold=self._hold,
            release=upstream.release,
            report=self._report,
            on_loop=self._on_owner,
        )

    def __repr__(self) -> str:
        return f"<Shared links={self.count}{' closing' if self.is_closing else ''} {self.upstream!r}>"

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
        member.first = self.feed.expect_reader()
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
            task = asyncio.get_running_loop().create_task(self._after_member_left(), name="onesocket link dropped")
            self._cleanup_tasks.add(task)
            task.add_done_callback(self._cleanup_tasks.discard)

    def _forget(self, member: Member) -> bool:
        is_known = member in self._members
        self._members.discard(member)
        self.feed.give_up(member.first)
        self._tokens.discard(member)
        for queue in [queue for queue, reader in tuple(self._readers.items()) if reader is member]:
            queue.clear()
            queue.end()
            self.unsubscribe(queue)
        return is_known

    # --- what links read --------------------------------------------------------------------------------------------

    def new_queue(
        self, limit: object, overflow: Overflow, *, gaps: bool, ring: Callable[[Any], object]
    ) -> SharedQueue[Any]:
        """A queue that can hold this feed back; made in any thread."""
        hold, release = self.feed.hold_callbacks
        return SharedQueue(
            limit, overflow, marks_gaps=gaps, hold=hold, release=release, on_owner=self._on_owner, ring=ring
        )

    def subscribe(
        self,
        member: Member,
        queue: SharedQueue[Any],
        event: str | None,
        keys: frozenset[Hashable],
        *,
        raise_on_failure: bool,
        filtered: bool = False,
        is_own: bool = False,
    ) -> None:
        """Pass everything from now on to the queue of this member; its keys count upstream.

        If it's the member's first, it begins with what came since it joined. `filtered`: it reads a part of that;
        `is_own`: it began with the join, and what waits goes on waiting for another.
        """
        if member not in self._members:  # it has left meanwhile
            queue.end()
            return
        first = None if is_own else member.first
        self.feed.add(queue, event, raise_on_failure=raise_on_failure, first=first, filtered=filtered or bool(keys))
        if not queue.ended:
            self._readers[queue] = member
        if keys and not queue.ended:
            try:
                self.upstream.add_keys(keys)
            except OnesocketError as error:
                queue.fail(error)
            else:
                self._keys[queue] = keys

    def use_join_stream(self, member: Member) -> None:
        """Stop waiting for a first reader: this member reads the stream that began with its join."""
        self.feed.give_up(member.first)

    def unsubscribe(self, queue: SharedQueue[Any]) -> None:
        """Not any more."""
        self.feed.drop(queue)
        self._readers.pop(queue, None)
        keys = self._keys.pop(queue, None)
        if keys is not None:
            self.upstream.remove_keys(keys)

    def _hold(self) -> None:
        self.upstream.hold()
        if self._look_timer is None:
            self._look_timer = asyncio.get_running_loop().call_later(_LIVENESS_INTERVAL, self._look)

    def _look(self) -> None:
        """Whoever holds the feed back may have died since: no message comes that would show it."""
        self._look_timer = None
        self.drop_dead_members()
        if self.feed.is_held:
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
            self.feed.end()
            if self._look_timer is not None:
                self._look_timer.cancel()
            self._registry.forget(self)
            if not self.gone.done():
                self.gone.set_result(None)

    # --- what the upstream tells ------------------------------------------------------------------------------------

    def messages(self, batch: list[Any]) -> None:
        """Hand a batch to every reader."""
        self.feed.publish_many(batch)

    def gap(self, gap: Gap) -> None:
        """Put a marker into every stream."""
        self.feed.announce(gap)

    def failed(self, error: OnesocketError) -> None:
        """Tell the readers that want to know."""
        self.feed.fail(error)

    def changed(self, change: Change, status: Status) -> None:
        """Tell every link."""
        if change.new is State.CONNECTED:
            self.feed.ready(change.epoch)
        for member in tuple(self._members):
            if not member.tell(change, status):
                self.drop(member)
        if change.new is State.CLOSED:
            self.feed.end()
            self._registry.retire(self)  # if somebody closed it behind our back, the next one to join gets a new one
            self._start_close()

    def _on_owner(self, call: Callable[..., object], *args: object) -> None:
        self.owner.loop_inbox.post(call, *args)

    def _report(self, error: BaseException, source: str) -> None:
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"onesocket: {source} failed in the feed", "exception": error}
        )
