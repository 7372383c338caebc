"""The handle that `join()` returns: its own subscriptions, sends and view of a connection that many share."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Coroutine, Hashable, Iterable
from types import TracebackType
from typing import Any, Literal, NoReturn, Self, TypeVar, Unpack, overload

from .._forking import register_fork_aware
from ..client._delivery import Delivery
from ..client._error_reporter import ErrorReporter
from ..client._fan_out import FanOut
from ..client._gap import Gap
from ..client._message_client import C, CallbackOptions, SubscriptionOptions, W
from ..client._options import TokenSource
from ..client._pickling import not_picklable
from ..client._queue import DEFAULT_LIMIT, Overflow
from ..client._registrations import Registrations
from ..client._state_watchers import StateWatchers
from ..client._status import Change, Stats, Status
from ..client._subscription import Predicate, Subscription
from ..errors import ClientClosed, ForkedCopy, InvalidOption, ManuallyDisconnected, WrongEventLoop
from ..lifecycle._effects import Outcome
from ..lifecycle._states import State
from ._cross_loop_call import CrossLoopCall, call_on_loop, resolve_future
from ._loop_inbox import inbox_of
from ._pending_sends import PendingSends
from ._registry import Registry, current_registry
from ._shared_connection import Member, SharedConnection
from ._upstream_subscriptions import check_subscription_support

T = TypeVar("T")

_CLOSE_GRACE = 1.0
"""Seconds that a callback which is at work has when its client is closed."""
_CLIENT_CLOSED = "this shared client was closed; join again"
_CONNECTION_CLOSED = "this connection was closed; join again"


class SharedClient:
    """A handle on a shared connection: a `MessageClient` that belongs to the event loop on which it joined.

    Closing it ends its own subscriptions and sends, and no others. `connect`, `reconnect` and `disconnect` act on the
    connection itself, and so on all who share it.
    """

    def __init__(
        self,
        shared: SharedConnection,
        registry: Registry,
        loop: asyncio.AbstractEventLoop,
        *,
        shown: str,
        token_source: TokenSource | None,
        on_error: Callable[[BaseException], object] | None,
    ) -> None:
        self.shared = shared
        self._registry = registry
        self.loop_inbox = inbox_of(loop)
        self.host_inbox = shared.owner.loop_inbox
        self._shown = shown
        self._error_reporter = ErrorReporter(shown, on_error)
        self._changes = StateWatchers(self._error_reporter)
        self._status = shared.upstream.status
        self._status_at = time.monotonic()
        self._outcomes = dict.fromkeys(Outcome, 0)
        self._connections = 0
        """How often the connection came up while this handle was there."""
        self._closed = False
        self._is_open = False
        """Messages are relayed to it: it has, or had, a reader."""
        member = self.member = Member(self.loop_inbox, self, shared)
        # It refers to no client, so that a forgotten one goes at once; streams refer to theirs.
        self.fan_out = FanOut(
            event_of=shared.protocol.event_of,
            hold=functools.partial(self.host_inbox.post, shared.hold_for_readers, member),
            release=functools.partial(self.host_inbox.post, shared.release, member),
            report=self._error_reporter.report,
            on_loop=self.loop_inbox.post,
        )
        self.fan_out.early.expect()
        self._registrations = Registrations()
        self._calls: dict[CrossLoopCall[Any], asyncio.Future[Any]] = {}
        self._connecting: asyncio.Task[Outcome] | None = None
        self._pending_sends = PendingSends(self.loop_inbox, self.host_inbox, self._error_reporter)
        self._out = asyncio.Event()
        self._leaving: asyncio.Task[None] | None = None
        self.token_source = token_source
        """What this client adds to the ways in which the connection can get a token; called on this client's loop."""
        register_fork_aware(self)
        self.host_inbox.post(shared.add, self.member, self._status)

    def __reduce__(self) -> NoReturn:
        """Raise `UsageError`: a shared client can't be pickled or copied."""
        raise not_picklable(self)

    def __repr__(self) -> str:
        status = self._status
        return (
            f"<SharedClient {self._shown} {self.state.name} epoch={status.epoch} subscribers={len(self.fan_out)} "
            f"inbox={self.fan_out.depth} sending={len(self._calls) + len(self._pending_sends)}>"
        )

    def __del__(self) -> None:
        """Leave: a forgotten client doesn't keep the connection up; the collector may run this in any thread."""
        if not getattr(self, "_closed", True):
            self.abandon()

    def abandon(self) -> None:
        """Leave without waiting, from any thread."""
        if self._registry is current_registry():
            self._closed = True
            self.host_inbox.post(self.shared.drop, self.member)

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
        self.fan_out.close_all()
        old = self._status.state
        if old is not State.CLOSED:
            self._changes.notify(Change(time.time(), old, State.CLOSED, self._status.epoch, "Close", None))
        # A task of its own: whoever is cancelled while waiting leaves all the same.
        self._leaving = asyncio.get_running_loop().create_task(self._leave(), name="onesocket leaves")
        await asyncio.shield(self._leaving)

    async def _leave(self) -> None:
        shared, member = self.shared, self.member
        try:
            await self._calls_end()
            with contextlib.suppress(ClientClosed):  # the loop that it lived on has ended, and the connection with it
                await call_on_loop(self.host_inbox, self.loop_inbox, lambda: shared.leave(member), {})
            self._out.set()
            await self.fan_out.settle(_CLOSE_GRACE)
        except BaseException:
            self.host_inbox.post(shared.drop, member)  # the event loop ends
            raise
        finally:
            self._out.set()

    async def left(self) -> None:
        """Wait until this client is out: as the last one, until the connection is closed.

        Unlike `aclose()` it doesn't wait for callbacks, so it may be called in one.
        """
        await self._out.wait()

    async def _calls_end(self) -> None:
        # Whether a message was on its way already can only be told there.
        calls = {errand: future for errand, future in self._calls.items() if not future.done()}
        for errand in calls:
            self.host_inbox.post(errand.cancel, "this shared client was closed meanwhile")
        if calls:
            await asyncio.wait(calls.values(), timeout=_CLOSE_GRACE)
            for errand, future in calls.items():
                resolve_future(future, errand.unanswered(_CLIENT_CLOSED), None)  # unless it's done

    async def __aenter__(self) -> Self:
        """Itself: it's up already."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave."""
        if not (kind is GeneratorExit and self.loop_inbox.is_dead):  # the collector; nothing can be awaited any more
            await self.aclose()

    # --- the line, which everybody shares ---------------------------------------------------------------------------

    async def connect(self) -> Outcome:
        """As `Client.connect()`: have the line up, together with everybody else who joins."""
        outcome, status = await self._fetch(functools.partial(self.shared.enter, self.member))
        self._see(status)
        self._outcomes[outcome] += 1
        return outcome

    def connect_nowait(self) -> Outcome:
        """As `Client.connect_nowait()`, as far as this client knows: start or find the attempt, and return which."""
        self._check_sendable()
        if self._status.state is State.CONNECTED:
            return Outcome.ALREADY_CONNECTED
        is_joined = self._status.state is State.CONNECTING
        if self._connecting is not None and not self._connecting.done():
            is_joined = True
        else:
            self._connecting = asyncio.get_running_loop().create_task(self.connect(), name="onesocket connects")
            # A failure is in the status, and told to the watchers of the state.
            self._connecting.add_done_callback(lambda task: task.cancelled() or task.exception())
        return Outcome.JOINED if is_joined else Outcome.OPENED

    async def reconnect(self) -> Outcome:
        """As `Client.reconnect()`: everybody's line is closed and opened anew, and a `disconnect()` is lifted."""
        return await self._fetch(functools.partial(self.shared.reconnect, self.member))

    async def disconnect(self) -> None:
        """As `Client.disconnect()`: nobody's line comes up again until somebody calls `reconnect()`."""
        await self._fetch(self.shared.disconnect)

    # --- messages ---------------------------------------------------------------------------------------------------

    async def send(self, message: Any, *, resend: bool = False) -> None:
        """Send one message; returns when the kernel has it. Raises what `Client.send()` raises.

        `resend`: sending it twice does no harm, so it's sent again where `DeliveryUnknown` would be raised.
        """
        upstream = self.shared.upstream
        await self._fetch(lambda: upstream.send(message, resend=resend), sends=True)

    def send_nowait(self, message: Any, *, resend: bool = False) -> Delivery:
        """Hand one message over for sending, and return its `Delivery`.

        Raises `ManuallyDisconnected` or `ClientClosed` as far as this client knows, and `OutboxFull` when too many are
        on their way. The connection's own answer is the delivery's: an `EncodeError`, a full outbox, a `disconnect()`
        that came before. A failure that nobody awaits goes to `on_error` and the log.
        """
        self._check_sendable()
        upstream = self.shared.upstream
        return self._pending_sends.send(lambda: upstream.send(message, resend=resend))

    @overload
    def subscribe(
        self,
        event: str | None = None,
        *,
        keys: Iterable[Hashable] = (),
        gaps: Literal[True] = True,
        **options: Unpack[SubscriptionOptions],
    ) -> Subscription[Any | Gap]: ...
    @overload
    def subscribe(
        self,
        event: str | None = None,
        *,
        keys: Iterable[Hashable] = (),
        gaps: bool,
        **options: Unpack[SubscriptionOptions],
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
        """A stream of messages, as `Client.subscribe()`: the first one begins with what came since this client joined.

        `keys`: what to subscribe to upstream, where the protocol can describe that; the stream has the messages of
        these keys alone. Only what nobody was subscribed to yet goes upstream, and it's told anew on every connection.
        With `overflow="wait"`, a slow reader holds the feed back for all.
        """
        return self.open_stream(
            event, where, keys, limit=limit, overflow=overflow, gaps=gaps, raise_on_failure=raise_on_failure
        )

    def open_stream(
        self,
        event: str | None,
        where: Predicate | None,
        keys: Iterable[Hashable],
        *,
        limit: int,
        overflow: Overflow | str,
        gaps: bool,
        raise_on_failure: bool,
        from_now: bool = False,
    ) -> Subscription[Any]:
        """As `subscribe`; `from_now`: what came before goes on waiting for another reader."""
        self._check()
        wanted = frozenset((keys,) if isinstance(keys, str) else keys)
        if where is not None and not callable(where):  # pyright: ignore[reportUnnecessaryComparison]
            raise InvalidOption(f"where must be a function of the message, not {type(where).__name__}")
        if wanted:
            check_subscription_support(self.shared.protocol, reads=True)
            where = _key_filter(self.shared.protocol.key_of, wanted, where)
        stream = self.fan_out.subscribe(
            event,
            where,
            limit=limit,
            overflow=overflow,
            gaps=gaps,
            raise_on_failure=raise_on_failure,
            from_now=from_now,
        )
        token = object()
        stream.on_end = functools.partial(self._stream_ended, token, has_keys=bool(wanted))
        self._open()
        if wanted:
            self.host_inbox.post(self.shared.add_keys, self.member, token, wanted, stream.queue.fail)
        return stream

    def __aiter__(self) -> Subscription[Any | Gap]:
        """A new subscription to all messages, as `subscribe()` returns it: ``async for message in client``."""
        return self.subscribe()

    @overload
    def on(self, event: C, /, **options: Unpack[CallbackOptions]) -> C: ...
    @overload
    def on(self, event: str | None, callback: C, **options: Unpack[CallbackOptions]) -> C: ...
    @overload
    def on(self, event: str | None = None, **options: Unpack[CallbackOptions]) -> Callable[[C], C]: ...
    def on(
        self,
        event: Any = None,
        callback: Callable[..., Any] | None = None,
        *,
        where: Predicate | None = None,
        limit: int = DEFAULT_LIMIT,
        overflow: Overflow | str = Overflow.FAIL,
        gaps: bool = False,
    ) -> Any:
        """Call `callback` with every message (of that event), as `Client.on()`, on this client's loop; returns it."""
        self._check()

        def add(name: str | None, call: Callable[[Any], Any]) -> Callable[[], None]:
            remove = self.fan_out.on(name, call, where=where, limit=limit, overflow=overflow, gaps=gaps)
            self.member.kept = self  # nobody else may refer to it
            self._open()
            return remove

        return self._registrations.on(event, callback, add)

    def off(self, callback: Callable[..., Any]) -> None:
        """Remove one registration of `callback` by `on()` or `on_change()`, the newest; it is not called any more."""
        self._registrations.off(callback)
        if not len(self._registrations):
            self.member.kept = None

    # --- what is known ----------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where the connection stands, as far as this client knows; CLOSED once the client is closed."""
        is_lost = self._closed or self.host_inbox.is_dead or self._registry is not current_registry()
        return State.CLOSED if is_lost else self._status.state

    @property
    def epoch(self) -> int:
        """The number of the newest connection, as far as this client knows."""
        return self._status.epoch

    @property
    def stats(self) -> Stats:
        """The counters of this handle: its calls, messages and errors; those of connections since it joined."""
        return Stats(
            attempts=self._status.epoch,
            handshakes=self._connections,
            opened=self._outcomes[Outcome.OPENED],
            joined=self._outcomes[Outcome.JOINED],
            already_connected=self._outcomes[Outcome.ALREADY_CONNECTED],
            reconnects=max(0, self._connections - 1),
            stale_dropped=0,
            received=self.fan_out.delivered,
            sent=self._pending_sends.sent,
            undecodable=self.fan_out.undecodable,
            callback_errors=self._error_reporter.count,
        )

    @property
    def status(self) -> Status:
        """A snapshot: the connection as of its last change, and this client's own subscribers and queues."""
        status = self._status
        retry_in = status.retry_in
        return dataclasses.replace(
            status,
            state=self.state,
            retry_in=None if retry_in is None else max(0.0, retry_in - (time.monotonic() - self._status_at)),
            subscribers=len(self.fan_out),
            inbox=self.fan_out.depth,
        )

    def changes(self) -> Subscription[Change]:
        """Every change of the state from this call on, in order; ends when this client or the connection is closed."""
        self._check()
        return self._changes.stream()

    def on_change(self, callback: W) -> W:
        """Call `callback` with every change, on this client's loop, and return it; `off(callback)` removes it."""
        self._check()
        return self._registrations.add(callback, self._changes.on_change(callback))

    async def wait_for(self, *states: State, timeout: float | None = None) -> State:
        """As `Client.wait_for()`: wait for one of these states, and return it; one that is passed through counts."""
        self._check_process()
        self._check_loop()
        return await self._changes.wait_for(states, timeout, lambda: self.state)

    # --- inside -----------------------------------------------------------------------------------------------------

    def changed(self, change: Change, status: Status) -> None:
        """Take a change of the connection, on this client's loop."""
        if not self._closed:
            self._see(status)
            self._connections += change.new is State.CONNECTED
            self._changes.notify(change)

    def report(self, error: BaseException, source: str) -> None:
        """Report what a subscriber raised."""
        self._error_reporter.report(error, source)

    def forked(self) -> None:
        """End all streams: this is a child, and the connection is the parent's."""
        self.fan_out.break_off(ForkedCopy())
        self._changes.break_off(ForkedCopy())

    def _see(self, status: Status) -> None:
        self._status = status
        self._status_at = time.monotonic()

    def _open(self) -> None:
        if not self._is_open:
            self._is_open = True
            self.host_inbox.post(self.shared.open, self.member)

    def _stream_ended(self, stream: object, *, has_keys: bool) -> None:
        if has_keys:
            self.host_inbox.post(self.shared.remove_keys, self.member, stream)

    async def _fetch(self, work: Callable[[], Coroutine[Any, Any, T]], *, sends: bool = False) -> T:
        self._check()
        result = await call_on_loop(self.host_inbox, self.loop_inbox, work, self._calls, sends=sends)
        self._pending_sends.sent += sends
        return result

    def _check_sendable(self) -> None:
        self._check()
        if self._status.state is State.STOPPED:
            raise ManuallyDisconnected
        if self._status.state is State.CLOSED:
            raise ClientClosed(_CONNECTION_CLOSED)

    def _check(self) -> None:
        self._check_process()
        self._check_loop()
        if self._closed:
            raise ClientClosed(_CLIENT_CLOSED)

    def _check_process(self) -> None:
        if self._registry is not current_registry():
            raise ForkedCopy

    def _check_loop(self) -> None:
        if not self.loop_inbox.is_here:
            raise WrongEventLoop(
                "this shared client belongs to another event loop; join() in each loop, or use onesocket.blocking "
                "without one"
            )


def _key_filter(
    key_of: Callable[[Any], Hashable], keys: frozenset[Hashable], where: Predicate | None
) -> Callable[[Any], bool]:
    return lambda message: key_of(message) in keys and (where is None or where(message))
