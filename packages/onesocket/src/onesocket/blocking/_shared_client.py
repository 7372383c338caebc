"""The handle that `onesocket.blocking.join()` returns: an asynchronous one, on the host loop, called from threads."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Generic, Literal, NoReturn, Self, TypeVar, Unpack, overload

from .._forking import reset_in_child
from ..client._gap import Gap
from ..client._key_options import select_keys
from ..client._message_client import C, CallbackOptions, R, ReaderParameters, SubscriptionOptions, W
from ..client._pickling import not_picklable
from ..client._queue import DEFAULT_LIMIT, Overflow
from ..client._reader_options import check_where
from ..client._registrations import register
from ..client._request_calls import ANSWER_TIMEOUT, check_request
from ..client._status import Change, Stats, Status
from ..client._subscription import Predicate
from ..client._subscription import Subscription as LoopSubscription
from ..client._user_code import is_async
from ..errors import ClientClosed, DeliveryUnknown, InvalidOption, ManuallyDisconnected, MessageKept, RequestLost
from ..lifecycle._effects import Outcome
from ..lifecycle._states import State
from ..protocols._message_type import M
from ..recording._recorder import FlightRecorder
from ..sharing._cross_loop_call import CrossLoopCall, Work
from ..sharing._join import JoinParameters, check_wait
from ..sharing._registry import current_registry
from ..sharing._shared_client import ANSWER_UNKNOWN, CLIENT_CLOSED
from ..sharing._shared_client import SharedClient as LoopClient
from ..sharing._shared_connection import SharedConnection
from ..wire._handshake import Handshake
from ._subscription import Subscription, part_of
from ._thread_callback import ThreadCallback, ThreadErrorReporter
from ._token_source import call_threads_token_source
from ._uninterruptible import uninterruptible
from ._waiting import Deadline, check_may_block, run_on_host_loop

T = TypeVar("T")
OpenStream = Callable[[LoopClient], LoopSubscription[T]]
"""Makes a stream of an asynchronous client, on the host loop."""

_DISCONNECTED_FOR_ALL = (
    "disconnect() was called on this connection, which holds for all: call reconnect() on one of its open clients, or "
    "close them all and join again"
)


class SharedClient(Generic[M]):
    """A handle on a shared connection, for threads without an event loop; any thread may use it.

    It has a stream of its own, which begins with the join: ``for message in client``, or `receive()`. Every call that
    waits can be interrupted by Ctrl-C, and leaves nothing behind then. Used in a forked child, it joins anew there.
    """

    def __init__(
        self,
        parameters: JoinParameters,
        *,
        limit: int,
        overflow: Overflow | str,
        timeout: float | None,
        wait: bool,
        on_error: Callable[[BaseException], object] | None,
    ) -> None:
        self._parameters = parameters
        self._waits = check_wait(wait)
        self._limit = limit
        self._overflow = overflow
        self._timeout = timeout
        self._error_reporter = ThreadErrorReporter(parameters.shown, on_error)
        self._closed = False
        self._has_left = False
        self._reads_own_stream = False
        self._callbacks: dict[ThreadCallback, tuple[OpenStream[Any], Predicate | None]] = {}
        self._handle: LoopClient
        self._registry = current_registry()
        self._stream: Subscription[M | Gap] = self._join()

    def __reduce__(self) -> NoReturn:
        """Raise `UsageError`: a shared client can't be pickled or copied."""
        raise not_picklable(self)

    def __repr__(self) -> str:
        handle = self._handle
        state = "INHERITED" if self._is_inherited else State.CLOSED.name if self._closed else handle.state.name
        return (
            f"<SharedClient {self._parameters.shown} {state} epoch={handle.epoch} subscribers={len(handle.fan_out)} "
            f"inbox={len(self._stream)}>"
        )

    # --- leaving ----------------------------------------------------------------------------------------------------

    def close(self, timeout: float | None = None) -> None:
        """Leave: the client's subscriptions end. The last one to leave waits until the connection is closed.

        After a `WaitTimeout` the connection still closes; another call waits on.
        """
        self._closed = True
        if self._is_inherited:
            return  # the connection is the parent process's
        try:
            if not self._has_left:
                with contextlib.suppress(ClientClosed):  # the host loop has ended, and the connection with it
                    self._run(self._handle.aclose, timeout, "leaving")
                self._has_left = True
        finally:
            for callback in tuple(self._callbacks):
                self._stop(callback)

    def __enter__(self) -> Self:
        """Itself: it's connected already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave."""
        self.close()

    # --- the connection, which all clients share --------------------------------------------------------------------

    def connect(self, timeout: float | None = None, *, retry: bool | None = None) -> Outcome:
        """As `Client.connect()`; it acts on the shared connection. Raises `WaitTimeout`, too."""
        return self._run(functools.partial(self._current().connect, retry=retry), timeout, "connecting")

    def connect_nowait(self, *, retry: bool | None = None) -> Outcome:
        """As `Client.connect_nowait()`: start or find the attempt, and return which."""
        return self._call(lambda handle: handle.connect_nowait(retry=retry))

    def reconnect(self, timeout: float | None = None) -> Outcome:
        """As `Client.reconnect()`; it acts on the shared connection."""
        return self._run(self._current().reconnect, timeout, "reconnecting")

    def rotate(self, timeout: float | None = None) -> Outcome:
        """As `Client.rotate()`; it acts on the shared connection."""
        return self._run(self._current().rotate, timeout, "rotating")

    def disconnect(self, timeout: float | None = None) -> None:
        """As `Client.disconnect()`; it acts on the shared connection."""
        self._run(self._current().disconnect, timeout, "disconnecting")

    # --- messages ---------------------------------------------------------------------------------------------------

    def send(self, message: Any, *, resend: bool = False, timeout: float | None = None) -> None:
        """Send one message; returns when the kernel has it. Raises what `Client.send()` raises, or `WaitTimeout`.

        After a `WaitTimeout` the message is not sent; if it was being sent when the time was over, `DeliveryUnknown`
        is raised instead. After Ctrl-C, a message that still waited for the connection is not sent.
        """
        handle = self._current()
        self._run(handle.sending(message, resend=resend), timeout, "sending", sends=True)

    def send_nowait(self, message: Any, *, resend: bool = False) -> Future[None]:
        """Hand one message over, and return a future of its delivery. A failure goes to the log and `on_error`, too.

        Raises `ManuallyDisconnected` or `ClientClosed` as far as this client knows.
        """
        handle, reporter = self._current(), self._error_reporter
        handle.view.check_usable()
        future: Future[None] = Future()
        future.set_running_or_notify_cancel()

        def answer(error: BaseException | None, _: None) -> None:
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
                if not isinstance(error, MessageKept):
                    reporter.report(error, "send_nowait()")

        call = CrossLoopCall(
            handle.host_inbox, handle.sending(message, resend=resend, settled=True), answer, sends=True
        )
        if not call.post():
            call.refuse()
        return future

    def request(self, message: Any, *, timeout: float | None = ANSWER_TIMEOUT, resend: bool = False) -> M:
        """Send a request and return its answer, as `Client.request()`. After Ctrl-C, the answer is dropped."""
        handle = self._current()
        checked = check_request(handle.shared.protocol, timeout, resend)
        try:
            answer: M = self._run(handle.asking(message, timeout=checked, resend=resend), None, "this", sends=True)
        except DeliveryUnknown as unknown:
            raise RequestLost(ANSWER_UNKNOWN) from unknown
        return answer

    def request_stream(
        self,
        message: Any,
        *,
        limit: int = DEFAULT_LIMIT,
        overflow: Overflow | str = Overflow.FAIL,
        resend: bool = False,
    ) -> Subscription[M | Gap]:
        """Send a request with a stream of answers, and return that stream, as `Client.request_stream()`."""
        self._current()
        return self._open(lambda handle: handle.request_stream(message, limit=limit, overflow=overflow, resend=resend))

    def receive(self, timeout: float | None = None) -> M | Gap:
        """The next message (or `Gap`) of the client's own stream; see `Subscription.receive()`."""
        self._use_own_stream()
        return self._stream.receive(timeout)

    def __iter__(self) -> Iterator[M | Gap]:
        """The client's own stream; it ends when the client or the connection is closed."""
        self._use_own_stream()
        return self._stream

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
        """A stream of messages, as the async `SharedClient.subscribe()`: ``for message in shared.subscribe()``."""
        check_where(where)
        self._current()
        part = part_of(where)
        return self._open(
            lambda handle: handle.subscribe(
                event,
                where=part,
                keys=keys,
                limit=limit,
                overflow=overflow,
                gaps=gaps,
                raise_on_failure=raise_on_failure,
            ),
            where,
        )

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
        """Call `callback` with every message (of that event, of these keys), in a daemon thread of its own; returns it.

        Also a decorator; `keys` as of `Client.on()`. The function may block, and use this client. What it raises is
        logged and told to `on_error`, in that thread, and harms no other subscriber. In a forked child it goes on with
        the client's first use there.
        """
        check_where(where)
        wanted = select_keys(self._current().shared.protocol, keys)
        part = part_of(where)

        def add(name: str | None, function: Callable[..., Any]) -> None:
            self._start(
                "on()",
                function,
                lambda handle: handle.subscribe(
                    name,
                    where=part,
                    keys=() if wanted is None else wanted.keys,
                    limit=limit,
                    overflow=overflow,
                    gaps=gaps,
                    raise_on_failure=False,
                ),
                where,
            )

        return register(event, callback, add)

    def off(self, callback: Callable[..., Any]) -> None:
        """Remove one registration of `callback` by `on()` or `on_change()`, the newest.

        It is not called any more; a call that is under way may take one more second.
        """
        for registered in reversed(self._callbacks):
            if registered.function == callback:
                self._stop(registered)
                return

    # --- what is known ----------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where the connection stands; CLOSED once the client is closed."""
        return State.CLOSED if self._closed else self._current().state

    @property
    def epoch(self) -> int:
        """The number of the newest connection, as far as this client knows."""
        return self._known().epoch

    @property
    def handshake(self) -> Handshake | None:
        """The answer to the upgrade of the present connection: sub-protocol and headers; None while there is none."""
        return self._known().handshake

    @property
    def recorder(self) -> FlightRecorder | None:
        """The flight recorder of the connection; see the async `SharedClient.recorder`."""
        return self._known().recorder

    @property
    def stats(self) -> Stats:
        """The counters since this client joined; see the async `SharedClient.stats`."""
        stats = self._known().stats
        return dataclasses.replace(stats, callback_errors=stats.callback_errors + self._error_reporter.count)

    @property
    def status(self) -> Status:
        """A snapshot; see the async `SharedClient.status`."""
        return self._known().status

    def changes(self) -> Subscription[Change]:
        """Every change of the state from this call on, in order; ends when the client or the connection is closed."""
        self._current()
        return self._open(LoopClient.changes)

    def on_change(self, callback: W) -> W:
        """Call `callback` with every change of the state, in a daemon thread of its own; returns it."""
        self._current()
        self._start("on_change()", callback, LoopClient.changes)
        return callback

    def wait_for(self, *states: State, timeout: float | None = None) -> State:
        """Wait for one of these states, and return it; one that is passed through counts. Raises `WaitTimeout`."""
        Deadline(timeout)  # checks it
        handle = self._current()
        return self._run(lambda: handle.wait_for(*states, timeout=timeout), None, "waiting")

    # --- inside -----------------------------------------------------------------------------------------------------

    @property
    def _is_inherited(self) -> bool:
        return self._registry is not current_registry()

    def _current(self) -> LoopClient:
        """The handle in this process."""
        if self._closed:
            raise ClientClosed(CLIENT_CLOSED)
        if self._is_inherited:
            with _rejoin_lock[0]:
                if self._is_inherited:
                    self._stream = self._join()
        return self._handle

    def _known(self) -> LoopClient:
        return self._handle if self._closed else self._current()

    def _join(self) -> Subscription[M | Gap]:
        check_may_block()
        registry = current_registry()
        # Functions of the program are called in this thread; members are counted in an uninterruptible one.
        self._parameters.find(None, lambda find: uninterruptible(functools.partial(self._take, find), self._give_back))
        handle = self._handle
        try:
            stream = self._open(lambda handle: handle.subscribe_from_now(limit=self._limit, overflow=self._overflow))
            if self._waits:
                self._run(handle.connect, self._timeout, "joining")
            else:
                self._call(lambda handle: handle.connect_nowait(retry=self._parameters.can_retry))
            self._registry, self._reads_own_stream = registry, False
            for callback, (open_stream, where) in tuple(self._callbacks.items()):
                callback.start(self._open(open_stream, where))
        except ManuallyDisconnected:
            handle.abandon()
            # Its caller has no client to call anything on.
            raise ManuallyDisconnected(_DISCONNECTED_FOR_ALL) from None
        except BaseException:
            handle.abandon()
            raise
        return stream

    def _take(self, find: Callable[[], SharedConnection | None]) -> SharedConnection | None:
        """Join the connection, if there is one."""
        shared = find()
        if shared is not None:
            source = self._parameters.token_source
            self._handle = LoopClient(
                shared,
                current_registry(),
                None,
                shown=self._parameters.shown,
                token_source=None if source is None else functools.partial(call_threads_token_source, source),
                on_error=None,
            )
        return shared

    def _give_back(self, shared: SharedConnection | None) -> None:
        if shared is not None:
            self._handle.abandon()

    def _use_own_stream(self) -> None:
        handle = self._current()
        if not self._reads_own_stream:
            handle.host_inbox.post(handle.fan_out.early.stop)
            self._reads_own_stream = True

    def _start(
        self, method: str, function: Callable[[Any], Any], open_stream: OpenStream[Any], where: Predicate | None = None
    ) -> None:
        """Start a thread that calls the function, or, interrupted, none."""
        if not callable(function):  # pyright: ignore[reportUnnecessaryComparison]
            raise InvalidOption(f"{method} needs a function, not {type(function).__name__}")
        if is_async(function):
            raise InvalidOption(f"{method} of onesocket.blocking takes no coroutine function: use onesocket.join()")
        callback = ThreadCallback(function, self._error_reporter)
        self._callbacks[callback] = open_stream, where
        try:
            callback.start(self._open(open_stream, where))
        except BaseException:
            self._stop(callback)
            raise

    def _stop(self, callback: ThreadCallback) -> None:
        callback.stop()
        self._callbacks.pop(callback, None)

    def _open(self, open_stream: OpenStream[T], where: Predicate | None = None) -> Subscription[T]:
        """Open a stream on the host loop; `where` is called in its reader's thread."""
        return Subscription(self._call(open_stream), self._handle.host_inbox, where)

    def _call(self, function: Callable[[LoopClient], T]) -> T:
        """Call a function with the handle, on the host loop."""
        handle = self._handle

        async def call() -> T:
            return function(handle)

        return self._run(call, None, "this call")

    def _run(self, work: Work[T], timeout: float | None, what: str, *, sends: bool = False) -> T:
        handle = self._handle
        upstream = handle.shared.upstream
        return run_on_host_loop(
            handle.host_inbox, work, timeout, what, trouble=lambda: upstream.status.last_error, sends=sends
        )


# In a list, as a forked child needs a fresh one: a thread that it doesn't have may hold the parent's.
_rejoin_lock = [threading.Lock()]
reset_in_child(lambda: _rejoin_lock.__setitem__(0, threading.Lock()))
