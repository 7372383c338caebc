"""A thread's place at a shared connection; it belongs to the process that made it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import threading
import time
import weakref
from collections.abc import Callable, Coroutine, Hashable
from concurrent.futures import Future
from typing import Any, TypeVar

from ..client._async_callback import is_async
from ..client._options import TokenSource
from ..client._queue import Overflow
from ..client._status import Change, Status
from ..client._subscription import Predicate
from ..errors import ClientClosed, InvalidOption, TokenFailed
from ..lifecycle._effects import Outcome
from ..lifecycle._states import State
from ..sharing._join import JoinParameters
from ..sharing._message_filter import message_filter
from ..sharing._registry import current_registry
from ..sharing._shared_connection import Member, SharedConnection
from ..sharing._shared_queue import SharedQueue
from ._subscription import Subscription
from ._uninterruptible import uninterruptible
from ._waiting import OneShotEvent, check_may_block, run_on_host_loop

T = TypeVar("T")
_CHANGES_LIMIT = 10_000


class ThreadMember:
    """One member of a shared connection, without an event loop of its own."""

    def __init__(self, request: JoinParameters) -> None:
        check_may_block()
        self.registry = current_registry()
        self.is_closed = False
        """Its link was closed, and nothing is to be had here any more."""
        self._has_left = True
        self._uses_join_stream = False
        self.token_source = (
            None if request.token_source is None else functools.partial(_call_token_source, request.token_source)
        )
        self._lock = threading.RLock()
        self._streams: weakref.WeakSet[Subscription[Any]] = weakref.WeakSet()
        self._watchers: weakref.WeakSet[SharedQueue[Change]] = weakref.WeakSet()
        # What the program brings is called here; what is counted, aside.
        request.find(None, lambda find: uninterruptible(functools.partial(self._take, find), self._give_back))

    def _take(self, find: Callable[[], SharedConnection | None]) -> SharedConnection | None:
        """Take a place at the connection, if it's there."""
        shared = find()
        if shared is not None:
            self.shared = shared
            self.host_inbox = shared.owner.loop_inbox
            self.status: Status = shared.upstream.status
            self.status_at = time.monotonic()
            self._member = Member(self.host_inbox, self)
            self.host_inbox.post(shared.add, self._member, self.status)
            self._has_left = False
        return shared

    def _give_back(self, shared: SharedConnection | None) -> None:
        if shared is not None:
            self.leave_soon()

    def __repr__(self) -> str:
        return f"<Seat {self.state.name} streams={len(self._streams)}>"

    def __del__(self) -> None:
        """Whoever just forgets a link doesn't keep the connection up."""
        if not getattr(self, "_has_left", True) and self.registry is current_registry():
            self.leave_soon()

    @property
    def is_inherited(self) -> bool:
        """Whether the parent process made it."""
        return self.registry is not current_registry()

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return State.CLOSED if self.is_closed else self.status.state

    @property
    def streams(self) -> list[Subscription[Any]]:
        """Those that are open."""
        with self._lock:
            return list(self._streams)

    def enter(self, timeout: float | None) -> Outcome:
        """Have the line up."""
        outcome, status = self.ask(self.shared.enter, timeout, "joining")
        self._see(status)
        return outcome

    def ask(self, work: Callable[[Member], Coroutine[Any, Any, T]], timeout: float | None, what: str) -> T:
        """Have it done for this member, on the owner loop."""
        return self.do(functools.partial(work, self._member), timeout, what)

    def do(
        self, work: Callable[[], Coroutine[Any, Any, T]], timeout: float | None, what: str, *, sends: bool = False
    ) -> T:
        """Have it done on the owner loop, and wait. Raises `WaitTimeout`."""
        upstream = self.shared.upstream
        return run_on_host_loop(
            self.host_inbox, work, timeout, what, trouble=lambda: upstream.status.last_error, sends=sends
        )

    def leave(self) -> None:
        """End what belongs to it, and wait for the end of the connection if it's the last.

        One that was interrupted is made good by the next.
        """
        if self._has_left:
            return
        with self._lock:
            self.is_closed = True
        for stream in self.streams:
            stream.close()
        for queue in tuple(self._watchers):
            queue.end()
        shared, member = self.shared, self._member
        with contextlib.suppress(ClientClosed):  # the loop that it lived on has ended, and the connection with it
            self.do(lambda: shared.leave(member), None, "leaving")
        self._has_left = True

    def leave_soon(self) -> None:
        """As `leave`, without waiting: joining failed, or was interrupted."""
        self.is_closed = True
        self.host_inbox.post(self.shared.drop, self._member)
        self._has_left = True

    def subscribe(
        self,
        event: str | None,
        where: Predicate | None,
        keys: frozenset[Hashable],
        *,
        limit: int,
        overflow: Overflow | str,
        gaps: bool,
        raise_on_failure: bool,
        is_own: bool = False,
    ) -> Subscription[Any]:
        """A new stream. `is_own`: the link's, which begins with the join."""
        if event is not None and not isinstance(event, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption(f"an event name is a str, or None for all messages, not {type(event).__name__}")
        filtered = where is not None
        where = message_filter(self.shared.protocol, keys, where)
        shared, there = self.shared, self.host_inbox
        queue = shared.new_queue(limit, Overflow.of(overflow), gaps=gaps, ring=OneShotEvent.set)

        def detach(queue: SharedQueue[Any]) -> None:
            queue.clear()
            queue.end()
            there.post(shared.unsubscribe, queue)

        stream: Subscription[Any] = Subscription(queue, detach, where=where, keeps=self, there=there)
        with self._lock:
            self._streams.add(stream)
        subscribe = functools.partial(shared.subscribe, self._member, queue, event, keys)
        there.post(functools.partial(subscribe, raise_on_failure=raise_on_failure, filtered=filtered, is_own=is_own))
        return stream

    def use_join_stream(self) -> None:
        """The link's own stream is read: nothing has to wait for another reader."""
        if not self._uses_join_stream:
            self.host_inbox.post(self.shared.use_join_stream, self._member)
            self._uses_join_stream = True

    def changes(self) -> Subscription[Change]:
        """Every change from now on."""
        queue: SharedQueue[Change] = SharedQueue(
            _CHANGES_LIMIT,
            Overflow.FAIL,
            marks_gaps=False,
            hold=_noop,
            release=_noop,
            on_owner=self.host_inbox.post,
            ring=OneShotEvent.set,
        )
        stream: Subscription[Change] = Subscription(queue, _end_queue, where=None, keeps=self, there=self.host_inbox)
        with self._lock:
            self._watchers.add(queue)
            if self.is_closed or self.status.state is State.CLOSED:
                queue.end()
        return stream

    def changed(self, change: Change, status: Status) -> None:
        """What the connection tells, on the owner loop."""
        with self._lock:
            self._see(status)
            for queue in tuple(self._watchers):
                queue.put(change)
                if change.new is State.CLOSED:
                    queue.end()

    def _see(self, status: Status) -> None:
        self.status = status
        self.status_at = time.monotonic()


async def _call_token_source(source: TokenSource) -> str | None:
    """A token; a plain function may block, so it's called in a thread."""
    try:
        answer: Any = source() if is_async(source) else await _in_executor(functools.partial(_call_and_catch, source))
        if isinstance(answer, _RaisedError):
            raise answer.error
        value: str | None = await answer if inspect.isawaitable(answer) else answer
    except (KeyboardInterrupt, SystemExit) as error:
        # Here it would end the thread that all connections live in.
        raise TokenFailed(f"a token source raised {type(error).__name__}", retryable=True) from error
    return value


class _RaisedError:
    """An exception that a function raised in its thread; futures refuse some, such as `StopIteration`."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def _call_and_catch(source: TokenSource) -> Any:
    try:
        return source()
    except BaseException as error:  # noqa: BLE001 - it's raised where the token is asked for
        return _RaisedError(error)


async def _in_executor(source: Callable[[], Any]) -> Any:
    try:
        answer = asyncio.get_running_loop().run_in_executor(None, source)
    except RuntimeError:  # the main thread has ended, and executors take nothing more
        return await _in_new_thread(source)
    return await answer


async def _in_new_thread(source: Callable[[], Any]) -> Any:
    answer: Future[Any] = Future()

    def call() -> None:
        answer.set_result(source())

    answer.set_running_or_notify_cancel()
    threading.Thread(target=call, name="onesocket token", daemon=True).start()
    return await asyncio.wrap_future(answer)


def _noop() -> None:
    pass


def _end_queue(queue: SharedQueue[Any]) -> None:
    queue.clear()
    queue.end()
