"""The handle that `join()` gives: one's own subscriptions, sends and view of a connection that many share."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import time
import weakref
from collections.abc import Callable, Coroutine, Hashable, Iterable
from types import TracebackType
from typing import Any, Literal, NoReturn, Self, TypeVar, overload

from ..client._async_callback import AsyncCallback, callback_task, is_async
from ..client._delivery import Delivery
from ..client._error_reporter import ErrorReporter
from ..client._gap import Gap
from ..client._options import TokenSource
from ..client._pickling import not_picklable
from ..client._queue import Overflow
from ..client._state_watchers import StateWatchers
from ..client._status import Change, Status
from ..client._subscription import Predicate, Subscription
from ..errors import (
    ClientClosed,
    ForkedCopy,
    InvalidOption,
    ManuallyDisconnected,
    WrongEventLoop,
)
from ..lifecycle._effects import Outcome
from ..lifecycle._states import State
from ._cross_loop_call import CrossLoopCall, call_on_loop, resolve_future
from ._loop_inbox import inbox_of
from ._message_filter import message_filter
from ._pending_sends import PendingSends
from ._plain_callback import PlainCallback
from ._registry import Registry, current_registry
from ._shared_connection import Member, SharedConnection
from ._shared_queue import SharedQueue
from ._shared_subscription import SharedSubscription

T = TypeVar("T")

DEFAULT_LIMIT = 16_384
"""How many messages may wait for a reader. A thread gets its turn only every few milliseconds, so it's more than a
`Client` needs."""
_CLOSE_GRACE = 1.0
"""Seconds that a callback which is at work has when its link is closed."""
_CLIENT_CLOSED = "this link was closed; join again"
_CONNECTION_CLOSED = "this connection was closed; join again"


class SharedClient:
    """One's handle on a shared connection; it belongs to the event loop that joined.

    Closing it ends its own subscriptions and sends, nobody else's. `connect`, `reconnect` and `disconnect` act on the
    connection itself, and so on everybody.
    """

    def __init__(
        self,
        shared: SharedConnection,
        registry: Registry,
        *,
        shown: str,
        token_source: TokenSource | None,
        on_error: Callable[[BaseException], object] | None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._shared = shared
        self._registry = registry
        self._loop = loop
        self._own_inbox = inbox_of(loop)
        self._host_inbox = shared.owner.loop_inbox
        self._shown = shown
        self._error_reporter = ErrorReporter(shown, on_error)
        self._changes = StateWatchers(self._error_reporter)
        self._status = shared.upstream.status
        self._status_at = time.monotonic()
        self._closed = False
        self._streams: weakref.WeakSet[Subscription[Any]] = weakref.WeakSet()
        self._callbacks: set[asyncio.Task[None]] = set()
        self._calls: dict[CrossLoopCall[Any], asyncio.Future[Any]] = {}
        self._pending_sends = PendingSends(self._own_inbox, self._host_inbox, self._error_reporter)
        self._out = asyncio.Event()
        self._leaving: asyncio.Task[None] | None = None
        self.token_source = token_source
        """What this link adds to the ways in which the connection can get a token; called on this link's loop."""
        self._member = Member(self._own_inbox, self)
        self._host_inbox.post(shared.add, self._member, self._status)

    def __reduce__(self) -> NoReturn:
        """Raise `UsageError`: a shared client can't be pickled or copied."""
        raise not_picklable(self)

    def __repr__(self) -> str:
        status = self._status
        return (
            f"<Link {self._shown} {self.state.name} epoch={status.epoch} streams={len(self._streams)} "
            f"inbox={self._depth} sending={len(self._calls) + len(self._pending_sends)}>"
        )

    def __del__(self) -> None:
        """Whoever just forgets a link doesn't keep the connection up; the collector may say so in any thread."""
        if not getattr(self, "_closed", True) and self._registry is current_registry():
            self._closed = True
            self._host_inbox.post(self._shared.drop, self._member)

    # --- coming and going -------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Leave: what this link subscribed to ends, and so does what it's still sending.

        A message that waited gets `ClientClosed` and isn't sent; one that was on its way, `DeliveryUnknown`.

        Returns at once, unless it's the last one out and the connection doesn't linger: then when that is closed,
        within its deadlines.
        """
        if self._registry is not current_registry():
            self._closed = True  # what the parent process has is the parent's
            self._out.set()
        if self._closed:
            await self._out.wait()
            return
        self._check_loop()
        self._closed = True
        for stream in tuple(self._streams):
            stream.close()
        old = self._status.state
        if old is not State.CLOSED:
            self._changes.notify(Change(time.time(), old, State.CLOSED, self._status.epoch, "Close", None))
        # A task of its own: whoever is cancelled while waiting leaves all the same.
        self._leaving = asyncio.get_running_loop().create_task(self._leave(), name="onesocket leaves")
        await asyncio.shield(self._leaving)

    async def _leave(self) -> None:
        shared, member = self._shared, self._member
        try:
            await self._calls_end()
            with contextlib.suppress(ClientClosed):  # the loop that it lived on has ended, and the connection with it
                await call_on_loop(self._host_inbox, self._own_inbox, lambda: shared.leave(member), {})
            self._out.set()
            await self._callbacks_end()
        except BaseException:
            self._host_inbox.post(shared.drop, member)  # the event loop ends
            raise
        finally:
            self._out.set()

    async def left(self) -> None:
        """Wait until this link is out: as the last one, until the connection is closed.

        Unlike `aclose()` it doesn't wait for callbacks, so it may be called in one.
        """
        await self._out.wait()

    async def _calls_end(self) -> None:
        # Whether a message was on its way already can only be told there.
        calls = {errand: future for errand, future in self._calls.items() if not future.done()}
        for errand in calls:
            self._host_inbox.post(errand.cancel, "this link was closed meanwhile")
        if calls:
            await asyncio.wait(calls.values(), timeout=_CLOSE_GRACE)
            for errand, future in calls.items():
                resolve_future(future, errand.unanswered(_CLIENT_CLOSED), None)  # unless it's done

    async def _callbacks_end(self) -> None:
        # It may be one of them that closes the link; the others may finish the message that they're at.
        tasks = self._callbacks - {callback_task()}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_CLOSE_GRACE)
            for task in late:
                task.cancel()

    async def __aenter__(self) -> Self:
        """Itself: it's up already."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave."""
        await self.aclose()

    # --- the line, which everybody shares ---------------------------------------------------------------------------

    async def connect(self) -> Outcome:
        """As `Client.connect()`: have the line up, together with everybody else who joins."""
        outcome, status = await self._fetch(functools.partial(self._shared.enter, self._member))
        self._see(status)
        return outcome

    async def reconnect(self) -> Outcome:
        """As `Client.reconnect()`: everybody's line is closed and opened anew, and a `disconnect()` is lifted."""
        return await self._fetch(functools.partial(self._shared.reconnect, self._member))

    async def disconnect(self) -> None:
        """As `Client.disconnect()`: nobody's line comes up again until somebody calls `reconnect()`."""
        await self._fetch(self._shared.disconnect)

    # --- messages ---------------------------------------------------------------------------------------------------

    async def send(self, message: Any, *, resend: bool = False) -> None:
        """Send one message; returns when the kernel has it. Raises what `Client.send()` raises.

        `resend`: sending it twice does no harm, so it's sent again where `DeliveryUnknown` would be raised.
        """
        upstream = self._shared.upstream
        await self._fetch(lambda: upstream.send(message, resend=resend), sends=True)

    def send_nowait(self, message: Any, *, resend: bool = False) -> Delivery:
        """Hand one message over for sending, and return its `Delivery`.

        Raises `ManuallyDisconnected` or `ClientClosed` as far as this link has heard of it, and `OutboxFull` when too
        many are on their way. The connection's own answer is the delivery's: an `EncodeError`, a full outbox, a
        `disconnect()` that came before. A failure that nobody awaits goes to `on_error` and the log.
        """
        self._check()
        if self._status.state is State.STOPPED:
            raise ManuallyDisconnected
        if self._status.state is State.CLOSED:
            raise ClientClosed(_CONNECTION_CLOSED)
        upstream = self._shared.upstream
        return self._pending_sends.send(lambda: upstream.send(message, resend=resend))

    @overload
    def subscribe(
        self,
        event: str | None = None,
        *,
        where: Predicate | None = None,
        keys: Iterable[Hashable] = (),
        limit: int = DEFAULT_LIMIT,
        overflow: Overflow | str = Overflow.FAIL,
        gaps: Literal[True] = True,
        raise_on_failure: bool = True,
    ) -> Subscription[Any | Gap]: ...
    @overload
    def subscribe(
        self,
        event: str | None = None,
        *,
        where: Predicate | None = None,
        keys: Iterable[Hashable] = (),
        limit: int = DEFAULT_LIMIT,
        overflow: Overflow | str = Overflow.FAIL,
        gaps: bool,
        raise_on_failure: bool = True,
    ) -> Subscription[Any]: ...
    def subscribe(
        self,
        event: str | None = None,
        *,
        where: Predicate | None = None,
        keys: Iterable[Hashable] = (),
        limit: int = DEFAULT_LIMIT,
        overflow: Overflow | str = Overflow.FAIL,
        gaps: bool = True,
        raise_on_failure: bool = True,
    ) -> Subscription[Any]:
        """A stream of messages, as `Client.subscribe()`: this link's first one begins with what came since it joined.

        `keys`: what to subscribe to upstream, where the protocol can describe that; the stream has the messages of
        these keys alone. Only what nobody was subscribed to yet goes upstream, and it's told anew on every line.
        `where` is asked in the reader's turn. `limit` counts what waits for the reader, not what it has taken out of
        the queue in one go. With `overflow="wait"`, a slow reader holds the feed back for all.
        """
        wanted = frozenset((keys,) if isinstance(keys, str) else keys)
        return self._stream(event, where, wanted, limit, overflow, gaps=gaps, raise_on_failure=raise_on_failure)

    def _stream(
        self,
        event: str | None,
        where: Predicate | None,
        wanted: frozenset[Hashable],
        limit: int,
        overflow: Overflow | str,
        *,
        gaps: bool,
        raise_on_failure: bool,
    ) -> SharedSubscription[Any]:
        self._check()
        if event is not None and not isinstance(event, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption(f"an event name is a str, or None for all messages, not {type(event).__name__}")
        queue = self._shared.new_queue(limit, Overflow.of(overflow), gaps=gaps, ring=self._own_inbox.post)
        filtered = where is not None
        where = message_filter(self._shared.protocol, wanted, where)
        shared, there = self._shared, self._host_inbox
        subscribe = functools.partial(shared.subscribe, self._member, queue, event, wanted)
        there.post(functools.partial(subscribe, raise_on_failure=raise_on_failure, filtered=filtered))

        def detach(queue: SharedQueue[Any]) -> None:
            queue.clear()
            queue.end()
            there.post(shared.unsubscribe, queue)

        stream: SharedSubscription[Any] = SharedSubscription(queue, detach, where=where, keeps=self)
        self._streams.add(stream)
        return stream

    def on(
        self,
        event: str | Callable[[Any], Any] | None,
        callback: Callable[[Any], Any] | None = None,
        *,
        limit: int = DEFAULT_LIMIT,
        overflow: Overflow | str = Overflow.FAIL,
        gaps: bool = True,
    ) -> Callable[[], None]:
        """Call `callback` with every message (of that event); returns the function that takes it off again.

        It's called on this link's loop, one message after the other, behind a queue of `limit` messages; a coroutine
        function is awaited in a task of its own. What it raises is reported and hurts nobody else.
        """
        if callable(event):
            if callback is not None:
                raise InvalidOption("on() takes an event name and one callback, not two callbacks")
            event, callback = None, event
        if not callable(callback):
            raise InvalidOption("on() needs a callback: on(callback) or on('event', callback)")
        stream = self._stream(event, None, frozenset(), limit, overflow, gaps=gaps, raise_on_failure=False)
        kind = AsyncCallback if is_async(callback) else PlainCallback
        caller = kind(callback, stream, self._error_reporter.report, self._callbacks)
        caller.start()
        return caller.remove

    # --- what is known ----------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where the connection stands, as far as this link has heard; CLOSED once the link is closed."""
        is_lost = self._closed or self._host_inbox.is_dead or self._registry is not current_registry()
        return State.CLOSED if is_lost else self._status.state

    @property
    def status(self) -> Status:
        """A snapshot: the connection as of its last change, and this link's own subscribers and queues."""
        status = self._status
        retry_in = status.retry_in
        return dataclasses.replace(
            status,
            state=self.state,
            retry_in=None if retry_in is None else max(0.0, retry_in - (time.monotonic() - self._status_at)),
            subscribers=len(self._streams),
            inbox=self._depth,
        )

    def changes(self) -> Subscription[Change]:
        """Every change of the state from this call on, in order; ends when the link or the connection is closed."""
        self._check()
        return self._changes.stream()

    def on_change(self, callback: Callable[[Change], object]) -> Callable[[], None]:
        """Call `callback` with every change, on this link's loop; returns the function that takes it off again."""
        self._check()
        return self._changes.on_change(callback)

    async def wait_for(self, *states: State, timeout: float | None = None) -> State:
        """As `Client.wait_for()`: wait for one of these states, and return it; one that is passed through counts."""
        self._check_process()
        self._check_loop()
        return await self._changes.wait_for(states, timeout, lambda: self.state)

    # --- inside -----------------------------------------------------------------------------------------------------

    def changed(self, change: Change, status: Status) -> None:
        """What the connection tells, on this loop."""
        if self._closed:
            return
        self._see(status)
        self._changes.notify(change)

    def _see(self, status: Status) -> None:
        self._status = status
        self._status_at = time.monotonic()

    @property
    def _depth(self) -> int:
        return max(
            (len(stream) for stream in tuple(self._streams) if isinstance(stream, SharedSubscription)), default=0
        )

    async def _fetch(self, work: Callable[[], Coroutine[Any, Any, T]], *, sends: bool = False) -> T:
        self._check()
        return await call_on_loop(self._host_inbox, self._own_inbox, work, self._calls, sends=sends)

    def _check(self) -> None:
        self._check_process()
        self._check_loop()
        if self._closed:
            raise ClientClosed(_CLIENT_CLOSED)

    def _check_process(self) -> None:
        if self._registry is not current_registry():
            raise ForkedCopy

    def _check_loop(self) -> None:
        if not self._own_inbox.is_here:
            raise WrongEventLoop(
                "this link belongs to another event loop; join() in each loop, or use onesocket.blocking without one"
            )
