"""A shared client as its connection sees it: the way of messages and notices to the client's event loop."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Literal, Protocol

from ..client._backlog import ExpectedReader
from ..client._callback import CallbackKeys, copy_context_outside_callbacks
from ..client._fan_out import FanOut
from ..client._queue import DEFAULT_LIMIT, Queue
from ..client._status import Change, Status
from ..client._token_source import TokenSource
from ..errors import OnesocketError, SubscriptionRefused
from ._loop_inbox import LoopInbox

CALLS_PER_TURN: Final = 256
"""Messages from another loop that are delivered in one turn if there are plain callbacks, which run in that turn."""

HeldBy = Literal["readers", "relay"]
"""Reason to hold the feed back for a member: a reader of its own, or the messages on their way to it."""


class RemoteReader:
    """A stream or callback of keys, as the connection on another loop knows it."""

    __slots__ = ("_loop_inbox", "_queue")

    def __init__(self, loop_inbox: LoopInbox, queue: Queue[Any] | CallbackKeys) -> None:
        self._loop_inbox = loop_inbox
        self._queue = queue

    def refused(self, error: SubscriptionRefused) -> None:
        """Raise a refusal in the reader."""
        self._loop_inbox.post(self._queue.refused, error)

    def fail(self, error: OnesocketError) -> None:
        """Raise this error in the reader, as no subscription is possible."""
        self._loop_inbox.post(self._queue.fail, error)


class MemberHandle(Protocol):
    """A shared client, as its member calls it, on the client's own loop."""

    fan_out: FanOut

    @property
    def token_source(self) -> TokenSource | None:
        """The function that it brought for the connection's token."""
        ...

    def changed(self, change: Change, status: Status) -> None:
        """The state changed."""

    def report(self, error: BaseException, source: str) -> None:
        """Report what a subscriber raised."""

    def leave_loop(self) -> None:
        """The connection leaves its event loop; called in any thread."""

    def enter_loop(self) -> None:
        """The connection lives on another event loop from now on, on which this is called."""


class Member:
    """Relays messages and notices to one shared client, in order: one wake-up of its loop for all of a turn.

    The number of messages on their way is bounded: with a reader that waits, `hold` and `release` are called, on the
    loop that runs there; otherwise the oldest are dropped, and the readers are told how many. The client is referred to
    weakly. What is delivered runs in the context in which the client was made.
    """

    def __init__(
        self,
        inbox: LoopInbox,
        handle: MemberHandle,
        hold: Callable[[Member, HeldBy], object],
        release: Callable[[Member, HeldBy], object],
    ) -> None:
        self.loop_inbox = inbox
        self.first: ExpectedReader | None = None
        """Stands for the messages since it joined, until it reads. Used on the host loop only."""
        self.snapshot: list[Any] | None = None
        """The messages that its stream begins with; None: it waits for them. Used on the host loop only."""
        self.is_waiting = False
        """True while a reader waits for its snapshot. Used on the host loop only."""
        self.is_open = False
        """Messages are relayed to it: it has, or had, a reader. Used on the host loop only."""
        self.readers: dict[object, RemoteReader] = {}
        """Its streams of keys, as subscribers of the connection. Used on the host loop only."""
        self.answers: dict[object, Callable[[], None]] = {}
        """The functions that close its streams of answers. Used on the host loop only."""
        self.kept: object = None
        """The client itself while it has callbacks, as there may be no other reference to it."""
        self._handle = weakref.ref(handle)
        self._hold = hold
        self._release = release
        self._context = copy_context_outside_callbacks()
        self._entries: deque[list[Any] | Callable[[MemberHandle], object]] = deque()
        self._rest: list[Any] = []
        """The part of a batch that waits for the next turn."""
        self._is_due = False
        self._is_delivering = False
        """True while subscribers are called: messages that come meanwhile are delivered afterwards."""
        self._is_holding = False
        # Two counters each, as a thread may only change its own: the host loop's, and the member's.
        self._put = 0
        self._taken = 0
        self._lost = 0
        self._told_lost = 0

    def __repr__(self) -> str:
        return f"<Member {self._put - self._taken} on their way{' holding' if self._is_holding else ''}>"

    @property
    def handle(self) -> MemberHandle | None:
        """The shared client; None once it is forgotten."""
        return self._handle()

    @property
    def token_source(self) -> TokenSource | None:
        """The client's token source; None as well once the client is forgotten."""
        handle = self._handle()
        return None if handle is None else handle.token_source

    def tell(self, change: Change, status: Status) -> bool:
        """Pass a change on; False: as `put`."""
        return self.put(lambda handle: handle.changed(change, status))

    def put_many(self, batch: list[Any]) -> bool:
        """Deliver messages; False: the client's loop is closed, or the client is forgotten.

        On the client's own loop, that is done in this turn, unless others are still on their way.
        """
        if not (self._entries or self._rest or self._is_delivering) and self.loop_inbox.is_here:
            return self._publish(batch)
        self._entries.append(batch)
        self._put += len(batch)
        if self._put - self._taken > DEFAULT_LIMIT:
            self._check_bounds()
        return self._schedule()

    def put(self, call: Callable[[MemberHandle], object]) -> bool:
        """Call this with the client, after the messages that came before; False: as `put_many`."""
        self._entries.append(call)
        return self._schedule()

    def _publish(self, batch: list[Any]) -> bool:
        handle = self._handle()
        if handle is None:
            return False
        self._is_delivering = True
        try:
            self._context.run(handle.fan_out.publish_many, batch)
        finally:
            self._is_delivering = False
        return True

    @property
    def calls_here(self) -> bool:
        """True if plain callbacks of this client are called in this thread."""
        handle = self._handle()
        return handle is not None and handle.fan_out.has_callbacks and self.loop_inbox.is_here

    def _check_bounds(self) -> None:
        handle = self._handle()
        if handle is None or self._is_holding:
            return
        may_hold, limit = handle.fan_out.limits()
        if may_hold:
            self._is_holding = True
            self._hold(self, "relay")
            return
        kept: list[Callable[[MemberHandle], object]] = []
        lost, bound = 0, max(limit, DEFAULT_LIMIT)
        while self._put - self._taken - lost > bound and self._entries:
            entry = self._entries.popleft()
            if not callable(entry):
                lost += len(entry)
            elif entry != self._tell_lost:  # one for all that were lost
                kept.append(entry)
        if lost:
            self._put -= lost
            self._lost += lost
            self._entries.extendleft(reversed([*kept, self._tell_lost]))

    def _tell_lost(self, handle: MemberHandle) -> None:
        lost = self._lost
        count, self._told_lost = lost - self._told_lost, lost
        handle.fan_out.lose(count)

    def _schedule(self) -> bool:
        if self._handle() is None:
            return False
        if not self._is_due:
            self._is_due = True
            return self.loop_inbox.post_soon(self._context.run, self._deliver)
        return not self.loop_inbox.is_dead

    def _deliver(self) -> None:
        self._is_due = False  # lowered first: what comes from here on brings a turn of its own
        handle = self._handle()
        if handle is None:
            self._entries.clear()
            return
        left = CALLS_PER_TURN if handle.fan_out.has_callbacks else DEFAULT_LIMIT
        self._is_delivering = True
        try:
            while left > 0 and (self._rest or self._entries):
                if not self._rest:
                    entry = self._entries.popleft()
                    if not isinstance(entry, list):
                        entry(handle)
                        continue
                    self._rest = entry
                batch: list[Any] = self._rest if len(self._rest) <= left else self._rest[:left]
                self._rest = self._rest[len(batch) :]
                left -= len(batch)
                self._taken += len(batch)
                handle.fan_out.publish_many(batch)
        except (KeyboardInterrupt, SystemExit):
            raise  # the program ends; if the loop goes on, so do the rest
        except BaseException as error:  # noqa: BLE001 - as any exception of a subscriber
            handle.report(error, "a subscriber")
        finally:
            self._is_delivering = False
            if (self._rest or self._entries) and not self._is_due:
                self._is_due = True
                self.loop_inbox.post_soon(self._context.run, self._deliver)
            if self._is_holding and self._put - self._taken <= DEFAULT_LIMIT // 2:
                self._is_holding = False
                self._release(self, "relay")
