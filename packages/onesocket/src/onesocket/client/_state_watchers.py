"""Watchers of the state: streams and callbacks that get every change, in order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import ClientClosed, InvalidOption, OnesocketError, WaitTimeout
from ..lifecycle._states import State
from ._error_reporter import ErrorReporter
from ._options import check_timeout
from ._queue import Overflow, Queue
from ._sender import Sender
from ._status import Change
from ._subscription import Subscription
from ._user_code import USER_ERRORS, is_async, refuse_awaitable

# Changes of state are few; a reader that lets so many pile up gets SlowConsumer instead of missing one.
_LIMIT = 10_000


@dataclass(eq=False, slots=True)
class _Watcher:
    """One registration: the same function may be registered twice, and removed once."""

    callback: Callable[[Change], object]


class ChangeStream(Subscription[Change]):
    """The stream that `changes()` returns."""

    def __init__(self, queue: Queue[Any], detach: Callable[[Queue[Any]], None], sender: Sender | None) -> None:
        super().__init__(queue, detach)
        self._sender = sender

    async def __anext__(self) -> Change:
        """The next change."""
        change = await super().__anext__()
        if self._sender is not None and change.new is State.CONNECTED:
            self._sender.prioritize_current_task()
        return change


class StateWatchers:
    """The watchers of one client. With `sender`, messages that they send upon CONNECTED go first."""

    __slots__ = ("_closed", "_error_reporter", "_pending", "_sender", "_streams", "_waiters", "_watchers")

    def __init__(self, reporter: ErrorReporter, sender: Sender | None = None) -> None:
        self._error_reporter = reporter
        self._sender = sender
        self._streams: dict[Queue[Change], None] = {}
        self._waiters: dict[Queue[Change], None] = {}
        """The queues of `wait_for()`."""
        self._watchers: list[_Watcher] = []
        self._pending: list[Change] = []  # a deque takes 0.7 KB, and there are few at a time
        self._closed = False

    def __repr__(self) -> str:
        return (
            f"<StateWatchers streams={len(self._streams)} callbacks={len(self._watchers)} pending={len(self._pending)}>"
        )

    def notify(self, change: Change) -> None:
        """Pass on a change; CLOSED is the last one."""
        self._closed = change.new is State.CLOSED
        if self._sender is not None and change.new is State.CONNECTED and (self._streams or self._watchers):
            self._sender.hold()
        for queue in (*self._streams, *self._waiters):
            queue.put(change)
            if self._closed:
                queue.end()
        if self._watchers:
            self._pending.append(change)
            # Soon, not now: the runner is in the middle of an event. Each call passes on the oldest pending change.
            asyncio.get_running_loop().call_soon(self._call_watchers)

    def break_off(self, error: OnesocketError) -> None:
        """End every stream with this error, at once."""
        self._closed = True
        for queue in (*self._streams, *self._waiters):
            queue.break_off(error)

    def stream(self) -> Subscription[Change]:
        """A stream of every change from now on; ends after CLOSED."""
        queue = self._new_queue(self._streams)
        return ChangeStream(queue, lambda gone: self._streams.pop(gone, None), self._sender)

    def _new_queue(self, queues: dict[Queue[Change], None]) -> Queue[Change]:
        queue: Queue[Change] = Queue(_LIMIT, Overflow.FAIL)
        queues[queue] = None
        if self._closed:
            queue.end()
        return queue

    async def wait_for(self, states: tuple[State, ...], timeout: float | None, now: Callable[[], State]) -> State:
        """Wait for one of these states and return it, at once if it is one of them `now`."""
        if not states:
            raise InvalidOption("wait_for() needs at least one state")
        for state in states:
            if not isinstance(state, State):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without a checker
                raise InvalidOption(f"wait_for() needs states, such as State.CONNECTED, not {state!r}")
        check_timeout(timeout)
        if now() in states:
            return now()
        try:
            # Not one of the streams: a caller that waits is no watcher, whose messages would go first.
            waiting = Subscription[Change](self._new_queue(self._waiters), lambda gone: self._waiters.pop(gone, None))
            async with asyncio.timeout(timeout), waiting as stream:
                async for change in stream:
                    if change.new in states:
                        return change.new
        except TimeoutError:
            wanted = " or ".join(state.name for state in states)
            raise WaitTimeout(f"not {wanted} within {timeout:g} s; it is {now().name}") from None
        raise ClientClosed(f"it was closed, and so can't become {' or '.join(state.name for state in states)} any more")

    def on_change(self, callback: object) -> Callable[[], None]:
        """Call `callback` with every change; returns the function that removes it."""
        if not callable(callback):
            raise InvalidOption(f"on_change() needs a function, not {type(callback).__name__}")
        if is_async(callback):
            raise InvalidOption("on_change() needs a plain function; for a coroutine: async for change in changes()")
        watcher = _Watcher(callback)
        self._watchers.append(watcher)

        def remove() -> None:
            if watcher in self._watchers:
                self._watchers.remove(watcher)

        return remove

    def enter_loop(self) -> None:
        """Call the watchers of the changes that wait on the running loop."""
        for _ in self._pending:
            asyncio.get_running_loop().call_soon(self._call_watchers)

    def _call_watchers(self) -> None:
        if not self._pending:  # they were called on another loop
            return
        change = self._pending.pop(0)
        is_first = self._sender is not None and change.new is State.CONNECTED
        with self._sender.prioritized() if self._sender is not None and is_first else contextlib.nullcontext():
            for watcher in tuple(self._watchers):
                try:
                    refuse_awaitable(watcher.callback(change), "on_change()")
                except USER_ERRORS as error:
                    self._error_reporter.report(
                        error, getattr(watcher.callback, "__qualname__", repr(watcher.callback))
                    )
