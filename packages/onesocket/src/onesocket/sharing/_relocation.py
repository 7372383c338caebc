"""Moves connections from an event loop of the program that ends to the thread of the library, which watches it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import threading
from collections.abc import Callable
from typing import Final

from ..errors import OutOfResources
from ._connection_inbox import ConnectionInbox
from ._host_loop import HostLoop, HostLoopThread
from ._loop_inbox import MovableCall
from ._main_loop import MainLoop, ProgramLoop
from ._shared_connection import SharedConnection
from ._upstream import MemberUpstream, MovableUpstream

LOOK_INTERVAL: Final = 0.5
"""Seconds between two looks of the thread whether a loop has ended whose connection could move to it."""
_LAST_TURNS: Final = 3
"""Turns of a loop that ends for what is told of the end of a connection: requests that were lost, for example."""


class Relocation:
    """The moves of one registry's connections, each of which has one at most: from a `MainLoop` to the thread.

    A connection that only clients of its loop share is closed with the loop. Decisions are made under `lock`, with
    which `on_idle` is called when a connection may not move any more, and the thread has perhaps nothing left to do.
    """

    def __init__(
        self,
        lock: threading.RLock,
        connections: Callable[[], list[SharedConnection]],
        thread: Callable[[], HostLoopThread],
        on_idle: Callable[[], object],
    ) -> None:
        """`thread`: returns the thread, which is started if need be. Raises `OutOfResources`."""
        self._lock = lock
        self._connections = connections
        self._thread = thread
        self._on_idle = on_idle
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Relocation {'idle' if self._timer is None else 'looking'}>"

    def prepare(self, shared: SharedConnection) -> None:
        """Let a new connection outlive its loop, if it can."""
        upstream, host_loop = shared.movable, shared.host_loop
        if upstream is not None and isinstance(host_loop, MainLoop):
            upstream.move_with(shared.outlives_loop, host_loop.end_soon)
        elif (member := shared.member_upstream) is not None:
            member.live_with(shared.inbox.adopt, functools.partial(self._on_watch, shared))

    def on_joined(self, shared: SharedConnection) -> None:
        """Watch the loops of the other members of this process: this one depends on them from now on."""
        for other in self._others(shared):
            self._on_watch(other)

    def _on_watch(self, shared: SharedConnection) -> None:
        """Have the thread watch the loop of a connection if other members depend on its turns."""
        with self._lock:
            if shared.refuge is not None or not self._needs_watch(shared):
                return
            with contextlib.suppress(OutOfResources):  # the next follower tries again
                thread = shared.refuge = self._thread()
                thread.loop_inbox.post(self._look, thread)

    def _needs_watch(self, shared: SharedConnection) -> bool:
        member = shared.member_upstream
        if member is None:
            return False
        if member.reset_in < math.inf:
            return True
        is_of_program = isinstance(shared.host_loop, ProgramLoop)
        return is_of_program and (member.needs_watch or (member.is_owner and bool(self._others(shared))))

    def _others(self, shared: SharedConnection) -> list[SharedConnection]:
        """The other members of this process that share the same connection of the host."""
        key, kind = shared.registry_key[0], type(shared.upstream)
        return [
            other
            for other in self._connections()
            if other is not shared and other.registry_key[0] == key and type(other.upstream) is kind
        ]

    def set_refuge(self, shared: SharedConnection, thread: HostLoopThread) -> None:
        """Let a connection move to this thread, as it's shared by others than its loop; under the lock."""
        inbox = shared.inbox
        if isinstance(inbox, ConnectionInbox) and inbox.refuge is None:
            shared.refuge = thread
            inbox.rescue = functools.partial(self._rescue, shared)
            inbox.refuge = thread.loop_inbox
            thread.loop_inbox.post(self._look, thread)

    # --- the end of a loop ------------------------------------------------------------------------------------------

    async def leave(self, host_loop: MainLoop) -> None:
        """Close the connections of a loop that is about to end, or let them move; on that loop."""
        await asyncio.gather(*map(self._leave, self._of(host_loop)))

    def _of(self, host_loop: HostLoop) -> list[SharedConnection]:
        return [shared for shared in self._connections() if shared.host_loop is host_loop]

    async def _leave(self, shared: SharedConnection) -> None:
        while (upstream := self._departing(shared)) is not None:
            await upstream.end_in_order()
            for _ in range(_LAST_TURNS):
                await asyncio.sleep(0)
            self._move(shared)
        if isinstance(shared.host_loop, MainLoop):
            with self._lock:
                shared.is_closing = True
            await shared.close()

    def _departing(self, shared: SharedConnection) -> MovableUpstream | None:
        """The upstream of a connection that is to move; None: it has, or it closes, and who joins gets another one."""
        with self._lock:
            is_here = isinstance(shared.host_loop, MainLoop)
            return shared.movable if is_here and shared.outlives_loop() else None

    def _look(self, thread: HostLoopThread) -> None:
        """Move the connections whose loops have ended otherwise, and reset those whose time is up; in the thread."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for shared in self._connections():
            host_loop = shared.host_loop
            if shared.refuge is not thread or isinstance(host_loop, HostLoopThread):
                continue
            member = shared.member_upstream
            with self._lock:
                if not (self._needs_watch(shared) if member else shared.is_closing or shared.is_shared_elsewhere()):
                    _forget_refuge(shared)
                    self._on_idle()
                    continue
            reset_in = math.inf if member is None else member.reset_in
            self._look_again(thread, min(LOOK_INTERVAL, max(reset_in, 0.0)))  # whatever becomes of this look
            if member is not None:
                if reset_in <= 0 or (
                    isinstance(host_loop, ProgramLoop)
                    and host_loop.stands_still(2 * LOOK_INTERVAL)
                    and (member.is_wanted or host_loop.is_dead)
                ):
                    self._take(shared, member, host_loop)
                else:
                    host_loop.loop_inbox.post(member.go_on)
            elif host_loop.has_ended():
                (shared.break_off_close if shared.is_closing else functools.partial(self._move, shared))()

    def _look_again(self, thread: HostLoopThread, delay: float) -> None:
        at = thread.loop.time() + delay
        if self._timer is None or at < self._timer.when():
            if self._timer is not None:
                self._timer.cancel()
            self._timer = thread.loop.call_at(at, self._look, thread)

    def _take(self, shared: SharedConnection, member: MemberUpstream, host_loop: HostLoop) -> None:
        """Leave a connection whose loop stands still, or is late, to its other members: it is reset first."""
        host_loop.loop_inbox.post(member.break_off())
        with self._lock:
            _forget_refuge(shared)
            self._on_idle()

    def _rescue(self, shared: SharedConnection) -> None:
        """Move a connection for a call that has come, as its loop is closed; in the thread."""
        if shared.host_loop.is_dead:
            self._move(shared)

    def _move(self, shared: SharedConnection) -> None:
        """Let a connection go on in the thread, if others share it; on its loop, or in the thread if that has ended."""
        inbox, upstream = shared.inbox, shared.movable
        with self._lock:
            host_loop, thread = shared.host_loop, shared.refuge
            if not isinstance(host_loop, MainLoop) or thread is None or not shared.is_shared_elsewhere():
                return
            shared.host_loop = thread
        if upstream is None or not isinstance(inbox, ConnectionInbox):
            return
        calls = inbox.leave(thread.loop)
        shared.leave_loop()
        rest = upstream.leave_loop()
        if rest is not None:
            host_loop.loop_inbox.post(rest)
        if not self._of(host_loop):
            host_loop.release()
        thread.loop_inbox.post(_arrive, shared, upstream, inbox, thread, calls)


def _arrive(
    shared: SharedConnection,
    upstream: MovableUpstream,
    inbox: ConnectionInbox,
    thread: HostLoopThread,
    calls: list[MovableCall],
) -> None:
    _forget_refuge(shared)
    thread.add(inbox)
    upstream.enter_loop()
    shared.enter_loop()
    inbox.arrive(calls)


def _forget_refuge(shared: SharedConnection) -> None:
    shared.refuge = None
    if isinstance(shared.inbox, ConnectionInbox):
        shared.inbox.refuge = shared.inbox.rescue = None
