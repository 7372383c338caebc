"""The handle that `join()` returns: its own subscriptions, sends and view of a connection that many share."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Callable, Hashable, Iterable
from types import TracebackType
from typing import Any, Final, Generic, Literal, NoReturn, Self, TypeVar, Unpack, overload

from .._forking import register_fork_aware
from .._task_end import end_task
from ..client._answer_stream import AnswerStream
from ..client._callback import CallbackKeys
from ..client._delivery import DELIVERED, Delivery
from ..client._error_reporter import ErrorReporter
from ..client._fan_out import FanOut
from ..client._gap import Gap
from ..client._instruments import Observer, SourceKind
from ..client._key_options import select_keys
from ..client._message_client import C, CallbackOptions, R, ReaderParameters, SubscriptionOptions, W
from ..client._options import check_retry
from ..client._pickling import not_picklable
from ..client._queue import DEFAULT_LIMIT, Overflow
from ..client._registrations import Registrations
from ..client._request_calls import ANSWER_TIMEOUT, AnswerSink, check_request
from ..client._state_watchers import StateWatchers
from ..client._status import Change, Stats, Status
from ..client._subscription import Predicate, Subscription
from ..client._token_source import TokenSource
from ..errors import ClientClosed, DeliveryUnknown, ForkedCopy, OnesocketError, RequestLost, WrongEventLoop
from ..lifecycle._effects import Outcome
from ..lifecycle._states import State
from ..protocols._message_type import M
from ..recording._recorder import FlightRecorder
from ..wire._handshake import Handshake
from ._answer_relay import AnswerRelay
from ._connection_view import ConnectionView
from ._cross_loop_call import HOST_LOOP_ENDED, Work, call_on_loop
from ._host_calls import HostCalls
from ._loop_inbox import inbox_of
from ._member import Member, RemoteReader
from ._pending_work import PendingAsk, PendingSend
from ._registry import Registry, current_registry
from ._shared_connection import SharedConnection

T = TypeVar("T")

_CLOSE_GRACE = 1.0
"""Seconds for which a client that is closed waits for its calls and its callbacks."""
CLIENT_CLOSED: Final = "this shared client was closed; join again"
ANSWER_UNKNOWN: Final = (
    "this client, or the event loop that the connection lives on, ended before the answer came: the request may or may "
    "not have been carried out"
)


class SharedClient(Generic[M]):
    """A handle on a shared connection: a `MessageClient` that belongs to the event loop on which it joined.

    Closing it ends its own subscriptions and sends, and no others. `connect`, `reconnect` and `disconnect` act on the
    connection itself, and so on all who share it.
    """

    def __init__(
        self,
        shared: SharedConnection,
        registry: Registry,
        loop: asyncio.AbstractEventLoop | None,
        *,
        shown: str,
        token_source: TokenSource | None,
        on_error: Callable[[BaseException], object] | None,
    ) -> None:
        """`loop`: the loop that it belongs to; None: that of the connection, wherever it moves."""
        self.shared = shared
        self._registry = registry
        self.host_inbox = shared.inbox
        self.loop_inbox = self.host_inbox if loop is None else inbox_of(loop)
        self.token_source = token_source
        """The function that it brought for the connection's token; called on this client's loop."""
        self._shown = shown
        self._error_reporter = ErrorReporter(shown, on_error)
        self._state_watchers = StateWatchers(self._error_reporter)
        self.view = ConnectionView(shared)
        self._closed = False
        self._direct_loop = loop if shared.host_loop.loop is loop else None
        """The loop of this client if the connection lives there, too, and the client is usable; else None."""
        self._is_open = False
        """Messages are relayed to it: it has, or had, a reader."""
        post = self.host_inbox.post
        member = self.member = Member(self.loop_inbox, self, shared.hold, functools.partial(post, shared.release))
        # It refers to no client, so that a forgotten one goes at once; streams refer to theirs.
        self.fan_out = FanOut(
            event_of=shared.protocol.event_of,
            names_events=shared.protocol.names_events,
            hold=functools.partial(post, shared.hold, member, "readers"),
            release=functools.partial(post, shared.release, member, "readers"),
            report=self._error_reporter.report,
            on_loop=self.loop_inbox.post,
        )
        self.fan_out.early.expect()
        if shared.protocol.snapshot is not None:
            self.fan_out.ask_snapshot = functools.partial(post, shared.ask_snapshot, member)
        self._registrations = Registrations()
        self._host_calls = HostCalls(self.loop_inbox, self.host_inbox, self.view, self._error_reporter)
        self._interrupted: list[bool] = []
        """The calls of `connect_nowait()` that begin anew when the connection has moved."""
        self._connecting: dict[bool, asyncio.Task[Outcome]] = {}
        """The calls of `connect_nowait()` that are under way, by whether they are retried: at most one of each."""
        self._out = asyncio.Event()
        self._leaving: asyncio.Task[None] | None = None
        self._observer: Observer | None = None
        instruments = shared.upstream.instruments
        if instruments:
            self._observer = Observer(instruments, SourceKind.READER, self._error_reporter.report)
            self._observer.begin(self)
        register_fork_aware(self)
        post(shared.add, member, self.view.status)

    def __reduce__(self) -> NoReturn:
        """Raise `UsageError`: a shared client can't be pickled or copied."""
        raise not_picklable(self)

    def __repr__(self) -> str:
        return (
            f"<SharedClient {self._shown} {self.state.name} epoch={self.epoch} subscribers={len(self.fan_out)} "
            f"inbox={self.fan_out.depth} sending={len(self._host_calls)}>"
        )

    def __del__(self) -> None:
        """Leave, in whichever thread collects it: a forgotten client doesn't keep the connection up."""
        if not getattr(self, "_closed", True):
            self.abandon()
            self._stop_observing()

    def abandon(self) -> None:
        """Leave without waiting, from any thread."""
        if self._registry is current_registry():
            self._end_use()
            self.host_inbox.post(self.shared.drop, self.member)

    def _end_use(self) -> None:
        self._closed = True
        self._direct_loop = None

    # --- leaving ----------------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Leave: this client's subscriptions end, and so do its calls and sends.

        A message that waited gets `ClientClosed` and isn't sent; one that was being sent, `DeliveryUnknown`. Returns at
        once, unless it is the last client and the connection doesn't linger: then when that is closed, within its
        deadlines.
        """
        if self._registry is not current_registry():
            self._end_use()  # the connection is the parent process's
            self._out.set()
        if self._closed:
            await self._out.wait()
            return
        self._check_affinity()
        self._end_use()
        self.fan_out.close_all()
        self._stop_observing()
        old = self.view.status.state
        if old is not State.CLOSED:
            self._state_watchers.notify(Change(time.time(), old, State.CLOSED, self.epoch, "Close", None))
        # A task of its own: a caller that is cancelled while it waits leaves all the same.
        self._leaving = asyncio.get_running_loop().create_task(self._leave(), name="onesocket leaves")
        if self.loop_inbox is self.host_inbox:
            self.loop_inbox.adopt(self._leaving)
        await asyncio.shield(self._leaving)

    async def _leave(self) -> None:
        shared, member = self.shared, self.member
        try:
            await self._host_calls.end(CLIENT_CLOSED, _CLOSE_GRACE)
            with contextlib.suppress(ClientClosed):  # the host loop has ended, and the connection with it
                await call_on_loop(self.host_inbox, self.loop_inbox, lambda: shared.leave(member))
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

    async def __aenter__(self) -> Self:
        """Itself: it has joined already."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave."""
        if not (kind is GeneratorExit and self.loop_inbox.is_dead):  # the collector; nothing can be awaited any more
            await self.aclose()

    # --- the connection, which all clients share --------------------------------------------------------------------

    async def connect(self, *, retry: bool | None = None) -> Outcome:
        """As `Client.connect()`, together with all other clients that connect."""
        outcome, status = await self._run(functools.partial(self.shared.connect, self.member, retry=retry))
        return self.view.connected(outcome, status)

    def connect_nowait(self, *, retry: bool | None = None) -> Outcome:
        """As `Client.connect_nowait()`, as far as this client knows: start or find the attempt, and return which."""
        check_retry(retry)
        self._check()
        self.view.check_usable()
        state, connecting, retries = self.view.status.state, self._connecting, retry is True
        if state is State.CONNECTED:
            return Outcome.ALREADY_CONNECTED
        is_own = bool(connecting)
        if not (retries in connecting or True in connecting):
            self.fan_out.forget_failure()
            self._start_connecting(retries=retries, retry=retry)
        return Outcome.JOINED if is_own or state is State.CONNECTING else Outcome.OPENED

    def _start_connecting(self, *, retries: bool, retry: bool | None) -> None:
        task = asyncio.get_running_loop().create_task(self.connect(retry=retry), name="onesocket connects")
        if self.loop_inbox is self.host_inbox:
            self.loop_inbox.adopt(task)
        self._connecting[retries] = task
        task.add_done_callback(functools.partial(self._on_connected, retries))

    def _on_connected(self, retries: bool, task: asyncio.Task[Outcome]) -> None:  # noqa: FBT001 - a key
        """A `connect_nowait()` has ended: no caller gets its failure, so the readers do, unless another goes on."""
        if self._connecting.get(retries) is not task:  # it began anew
            return
        del self._connecting[retries]
        error = None if task.cancelled() else task.exception()
        is_awaited = not self._closed and self.status.last_connected_at is None
        if isinstance(error, OnesocketError) and is_awaited and not self._connecting:
            self.fan_out.fail(error)
            if self.state is State.DISCONNECTED:  # a failure before the attempt, as of a file, which no state tells
                self._error_reporter.report(error, "connect_nowait()")
            else:
                self.host_inbox.post(self.shared.log_failure, error)

    async def reconnect(self) -> Outcome:
        """As `Client.reconnect()`, for all clients: lift a `disconnect()`, and open a new connection."""
        return await self._run(functools.partial(self.shared.reconnect, self.member))

    async def rotate(self) -> Outcome:
        """As `Client.rotate()`, for all clients."""
        return await self._run(functools.partial(self.shared.rotate, self.member))

    async def disconnect(self) -> None:
        """As `Client.disconnect()`, for all clients, until one of them calls `reconnect()`."""
        await self._run(self.shared.disconnect)

    # --- messages ---------------------------------------------------------------------------------------------------

    async def send(self, message: Any, *, resend: bool = False) -> None:
        """Send one message; returns when the kernel has it. Raises what `Client.send()` raises.

        `resend`: sending it twice does no harm, so it's sent again where `DeliveryUnknown` would be raised.
        """
        if self._is_direct():
            delivery = self.shared.upstream.post(message, resend=resend)
            if delivery is DELIVERED:
                self.view.sent += 1
                return
            await self._host_calls.run_here(self._finish_send(delivery))
        else:
            await self._host_calls.run(self.sending(message, resend=resend), sends=True)

    def send_nowait(self, message: Any, *, resend: bool = False) -> Delivery:
        """Hand one message over for sending, and return its `Delivery`.

        Raises `ManuallyDisconnected` or `ClientClosed` as far as this client knows, and `OutboxFull` beyond 16 384
        messages that are being sent. The connection's own answer is the delivery's: an `EncodeError`, a full outbox, a
        `disconnect()` that came before. A failure that is not awaited goes to `on_error` and the log.
        """
        if not self._is_direct():
            self.view.check_usable()
            return self._host_calls.send(functools.partial(self._post, message, resend=resend))
        try:
            delivery = self.shared.upstream.post(message, resend=resend)
        except Exception as error:  # noqa: BLE001 - the delivery's, as where the connection is elsewhere
            self.view.check_usable()
            return self._host_calls.reject(error)
        if delivery is DELIVERED:
            self.view.sent += 1
            return DELIVERED
        return self._host_calls.watch(delivery)

    def _post(self, message: Any, *, resend: bool) -> Delivery:
        return self.shared.upstream.post(message, resend=resend)

    async def request(self, message: Any, *, timeout: float | None = ANSWER_TIMEOUT, resend: bool = False) -> M:
        """Send a request and return its answer, as `Client.request()`: the answer is this caller's alone.

        Ids are made where the connection is, so those of other clients, threads and processes can be the same.
        """
        is_direct = self._is_direct()
        checked = check_request(self.shared.protocol, timeout, resend)
        ask = self.asking(message, timeout=checked, resend=resend)
        try:
            return await (self._host_calls.run_here(ask()) if is_direct else self._run(ask, sends=True))
        except DeliveryUnknown as unknown:
            raise RequestLost(ANSWER_UNKNOWN) from unknown

    def asking(self, message: Any, *, timeout: float | None, resend: bool) -> PendingAsk[M]:
        """The work of sending a request and waiting for its answer, for the host loop."""
        return PendingAsk(self.shared.upstream, self.view, message, timeout=timeout, resend=resend)

    def request_stream(
        self,
        message: Any,
        *,
        limit: int = DEFAULT_LIMIT,
        overflow: Overflow | str = Overflow.FAIL,
        resend: bool = False,
    ) -> Subscription[M | Gap]:
        """Send a request with a stream of answers, and return that stream, as `Client.request_stream()`.

        What keeps the request from being sent is raised in its reader.
        """
        self._check()
        check_request(self.shared.protocol, None, resend)
        post, shared, member, inbox = self.host_inbox.post, self.shared, self.member, self.loop_inbox
        stream = self.fan_out.open_private(limit, overflow)
        token = stream.queue

        def open_answers(sink: AnswerSink) -> Callable[[], object]:
            if not post(shared.open_answers, member, token, message, AnswerRelay(inbox, sink), resend):
                raise ClientClosed(HOST_LOOP_ENDED)
            return lambda: post(shared.close_answers, member, token)

        answers = AnswerStream(self.shared.protocol, message, stream.queue, open_answers, resend=resend)
        answers.open()
        stream.on_end = answers.close
        return stream

    def sending(self, message: Any, *, resend: bool, settled: bool = False) -> PendingSend:
        """The work of sending a message, for the host loop: it accepts the message, and waits for its fate.

        Cancelled too late, that raises `DeliveryUnknown`.
        """
        return PendingSend(self.shared.upstream, self.view, message, resend=resend, settled=settled)

    async def _finish_send(self, delivery: Delivery) -> None:
        await self.shared.upstream.settle(delivery)
        self.view.sent += 1

    @overload
    def subscribe(
        self,
        event: str | None = None,
        *,
        gaps: Literal[False],
        **options: Unpack[SubscriptionOptions[M]],
    ) -> Subscription[M]: ...
    @overload
    def subscribe(
        self,
        event: str | None = None,
        *,
        gaps: bool = True,
        **options: Unpack[SubscriptionOptions[M]],
    ) -> Subscription[M | Gap]: ...
    def subscribe(
        self,
        event: str | None = None,
        *,
        where: Predicate[M] | None = None,
        keys: Iterable[Hashable] = (),
        limit: int = DEFAULT_LIMIT,
        overflow: Overflow | str = Overflow.FAIL,
        gaps: bool = True,
        raise_on_failure: bool = True,
    ) -> Subscription[M | Gap]:
        """A stream of messages, as `Client.subscribe()`: the first one begins with what came since this client joined.

        `keys`: the keys to subscribe to upstream, with a protocol that describes that; the stream has the messages of
        these keys alone. Keys are counted over all clients: only differences go upstream, and all of them to each new
        connection. Refused keys are raised once, as `SubscriptionRefused`. With `overflow="wait"`, a slow reader holds
        the feed back for all clients.
        """
        wanted = select_keys(self.shared.protocol, keys)
        stream = self._subscribe(
            event, where, keys=wanted, limit=limit, overflow=overflow, gaps=gaps, raise_on_failure=raise_on_failure
        )
        if wanted is not None:
            token = object()
            stream.on_end = functools.partial(self._stream_ended, token)
            reader = RemoteReader(self.loop_inbox, stream.queue)
            self.host_inbox.post(self.shared.add_keys, self.member, token, wanted.keys, reader)
        return stream

    def subscribe_from_now(self, *, limit: int, overflow: Overflow | str) -> Subscription[M | Gap]:
        """A stream of all messages from now on: those before go on waiting for another reader."""
        return self._subscribe(
            None, None, limit=limit, overflow=overflow, gaps=True, raise_on_failure=True, from_now=True
        )

    def _subscribe(self, event: str | None, where: Predicate | None, **options: Any) -> Subscription[Any]:
        self._check()
        stream = self.fan_out.subscribe(event, where, **options)
        stream.on_end = self._stream_ended
        if self.epoch == 0:
            stream.on_wait = self._reader_waits
        self._open()
        return stream

    def __aiter__(self) -> Subscription[M | Gap]:
        """A new subscription to all messages, as `subscribe()` returns it: ``async for message in client``."""
        return self.subscribe()

    @overload
    def on(
        self, event: Callable[[M], R], /, *, gaps: Literal[False] = False, **options: Unpack[ReaderParameters[M]]
    ) -> Callable[[M], R]: ...
    @overload
    def on(
        self, event: Callable[[M | Gap], R], /, *, gaps: bool, **options: Unpack[ReaderParameters[M]]
    ) -> Callable[[M | Gap], R]: ...
    @overload
    def on(self, event: str | None, callback: C, **options: Unpack[CallbackOptions]) -> C: ...
    @overload
    def on(self, event: str | None = None, **options: Unpack[CallbackOptions]) -> Callable[[C], C]: ...
    def on(
        self,
        event: Any = None,
        callback: Callable[..., Any] | None = None,
        *,
        where: Predicate[M] | None = None,
        keys: Iterable[Hashable] = (),
        limit: int = DEFAULT_LIMIT,
        overflow: Overflow | str = Overflow.FAIL,
        gaps: bool = False,
    ) -> Any:
        """Call `callback` with every message (of that event, of these keys), on this client's loop; returns it.

        As `Client.on()`.
        """
        self._check()
        wanted = select_keys(self.shared.protocol, keys)
        options: Any = {"where": where, "limit": limit, "overflow": overflow, "gaps": gaps}

        def add(name: str | None, call: Callable[[Any], Any]) -> Callable[[], None]:
            token = object()
            leave = None if wanted is None else functools.partial(self._stream_ended, token)
            remove = self.fan_out.on(name, call, keys=wanted, on_end=leave, **options)
            self.member.kept = self  # there may be no other reference to it
            self._open()
            if wanted is not None:
                reader = RemoteReader(self.loop_inbox, CallbackKeys(call, self._error_reporter.report))
                self.host_inbox.post(self.shared.add_keys, self.member, token, wanted.keys, reader)
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
        return State.CLOSED if is_lost else self.view.status.state

    @property
    def epoch(self) -> int:
        """The number of the newest connection, as far as this client knows."""
        return self.view.status.epoch

    @property
    def handshake(self) -> Handshake | None:
        """The answer to the upgrade of the present connection: sub-protocol and headers; None while there is none."""
        return self.view.status.handshake

    @property
    def recorder(self) -> FlightRecorder | None:
        """The flight recorder of the connection; with scope "host", this process's, which records while it is owner."""
        return self.shared.upstream.recorder

    @property
    def stats(self) -> Stats:
        """The counters since this client joined, and in `connection` those of the connection since it was made.

        `attempts` are those of the connection. The counters of a connection that another process holds are
        at most one heartbeat old; they go on when another process takes over.
        """
        return self.view.stats(self.fan_out, self._error_reporter)

    @property
    def status(self) -> Status:
        """A snapshot: the connection as this client knows it, and its own subscribers and queues.

        State, epoch and errors are those of the last change that it was told.
        """
        return self.view.snapshot(self.state, self.fan_out)

    def changes(self) -> Subscription[Change]:
        """Every change of the state from this call on, in order; ends when this client or the connection is closed."""
        self._check()
        return self._state_watchers.stream()

    def on_change(self, callback: W) -> W:
        """Call `callback` with every change, on this client's loop, and return it; `off(callback)` removes it."""
        self._check()
        return self._registrations.add(callback, self._state_watchers.on_change(callback))

    async def wait_for(self, *states: State, timeout: float | None = None) -> State:
        """As `Client.wait_for()`: wait for one of these states, and return it; one that is passed through counts."""
        self._check_affinity()
        return await self._state_watchers.wait_for(states, timeout, lambda: self.state)

    # --- inside -----------------------------------------------------------------------------------------------------

    def changed(self, change: Change, status: Status) -> None:
        """Take a change of the connection, on this client's loop."""
        if not self._closed:
            if change.old is State.FAILED:
                self.fan_out.forget_failure()
            self.view.changed(change, status)
            self._state_watchers.notify(change)

    def report(self, error: BaseException, source: str) -> None:
        """Report what a subscriber raised."""
        self._error_reporter.report(error, source)

    def leave_loop(self) -> None:
        """The connection leaves its event loop; called in any thread."""
        self._direct_loop = None
        if self.loop_inbox is self.host_inbox:  # its tasks are on that loop, too
            connecting, self._connecting = self._connecting, {}
            self._interrupted = list(connecting)
            for task in (*connecting.values(), self._leaving):
                if task is not None and not task.done():
                    end_task(task)

    def enter_loop(self) -> None:
        """The connection lives on another event loop from now on, on which this is called."""
        interrupted, self._interrupted = self._interrupted, []
        for retries in interrupted:
            self._start_connecting(retries=retries, retry=retries or None)

    def forked(self) -> None:
        """End all streams: this is a child, and the connection is the parent's."""
        self._direct_loop = None
        self._stop_observing()
        self.fan_out.break_off(ForkedCopy())
        self._state_watchers.break_off(ForkedCopy())

    def _stop_observing(self) -> None:
        if self._observer is not None:
            self._observer.end(self)

    def _open(self) -> None:
        if not self._is_open:
            self._is_open = True
            self.host_inbox.post(self.shared.open, self.member)

    def _reader_waits(self) -> None:
        if self.epoch == 0:
            self.host_inbox.post(self.shared.upstream.remind)

    def _stream_ended(self, token: object = None) -> None:
        """End the upstream subscriptions of a stream; by this function, a stream refers to its client."""
        if token is not None:
            self.host_inbox.post(self.shared.remove_keys, self.member, token)

    async def _run(self, work: Work[T], *, sends: bool = False) -> T:
        self._check()
        return await self._host_calls.run(work, sends=sends)

    def _is_direct(self) -> bool:
        """As `_check`; True if the connection lives on this loop, and no earlier call on it is still to begin."""
        try:
            if asyncio.get_running_loop() is self._direct_loop and not self.host_inbox.unbegun:
                return True
        except RuntimeError:
            pass
        self._check()
        return False

    def _check(self) -> None:
        self._check_affinity()
        if self._closed:
            raise ClientClosed(CLIENT_CLOSED)

    def _check_affinity(self) -> None:
        if self._registry is not current_registry():
            raise ForkedCopy
        if not self.loop_inbox.is_here:
            raise WrongEventLoop(
                "this shared client belongs to another event loop; join() in each loop, or use onesocket.blocking "
                "without one"
            )
