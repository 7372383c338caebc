"""The way of a connection's messages to the event loop of one member."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

from ..client._fan_out import FanOut
from ..client._options import TokenSource
from ..client._queue import DEFAULT_LIMIT
from ..client._status import Change, Status
from ._loop_inbox import LoopInbox

CALLS_PER_TURN: Final = 256
"""Messages delivered in one turn of the member's loop if it has plain callbacks, which run in that turn."""


class MemberHandle(Protocol):
    """A shared client, as its connection sees it, on the client's own loop."""

    fan_out: FanOut

    @property
    def token_source(self) -> TokenSource | None:
        """Where its token comes from, if that's a function of its own."""
        ...

    def changed(self, change: Change, status: Status) -> None:
        """The state changed."""

    def report(self, error: BaseException, source: str) -> None:
        """Report what a subscriber raised."""


class Relay:
    """Messages and notices on their way to one member, in order: one wake-up of its loop for all of a turn.

    What is on its way is bounded: with a reader that waits, `hold` and `release` are called (on the host loop, in the
    member's); otherwise the oldest are dropped, and the readers are told how many. The member is referred to weakly.
    """

    def __init__(
        self, inbox: LoopInbox, handle: MemberHandle, hold: Callable[[], None], release: Callable[[], None]
    ) -> None:
        self.loop_inbox = inbox
        self._handle = weakref.ref(handle)
        self._hold = hold
        self._release = release
        self._entries: deque[list[Any] | Callable[[MemberHandle], object]] = deque()
        self._rest: list[Any] = []
        """The part of a batch that waits for the next turn."""
        self._is_due = False
        self._is_holding = False
        # Two counters each, as a thread may only change its own: the host loop's, and the member's.
        self._put = 0
        self._taken = 0
        self._lost = 0
        self._told_lost = 0

    def __repr__(self) -> str:
        return f"<Relay {self._put - self._taken} on their way{' holding' if self._is_holding else ''}>"

    @property
    def handle(self) -> MemberHandle | None:
        """The member; None if nobody holds it any more."""
        return self._handle()

    def put_many(self, batch: list[Any]) -> bool:
        """Deliver messages; False: the member's loop is closed, or the member is gone."""
        self._entries.append(batch)
        self._put += len(batch)
        if self._put - self._taken > DEFAULT_LIMIT:
            self._check_bounds()
        return self._schedule()

    def put(self, call: Callable[[MemberHandle], object]) -> bool:
        """Call this with the member, after the messages that came before; False: as `put_many`."""
        self._entries.append(call)
        return self._schedule()

    def _check_bounds(self) -> None:
        handle = self._handle()
        if handle is None or self._is_holding:
            return
        may_hold, limit = handle.fan_out.limits()
        if may_hold:
            self._is_holding = True
            self._hold()
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
            return self.loop_inbox.post_soon(self._deliver)
        return not self.loop_inbox.is_dead

    def _deliver(self) -> None:
        self._is_due = False  # lowered first: what comes from here on brings a turn of its own
        handle = self._handle()
        if handle is None:
            self._entries.clear()
            return
        left = CALLS_PER_TURN if handle.fan_out.has_callbacks else DEFAULT_LIMIT
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
            if (self._rest or self._entries) and not self._is_due:
                self._is_due = True
                asyncio.get_running_loop().call_soon(self._deliver)  # no wake-up is needed: it is running
            if self._is_holding and self._put - self._taken <= DEFAULT_LIMIT // 2:
                self._is_holding = False
                self._release()
