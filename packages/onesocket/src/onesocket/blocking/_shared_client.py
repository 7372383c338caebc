"""The handle that `onesocket.blocking.join()` returns: an asynchronous one, on the host loop, called from threads."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Coroutine, Hashable, Iterable, Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

from .._forking import reset_in_child
from ..client._pickling import not_picklable
from ..client._queue import DEFAULT_LIMIT, Overflow
from ..client._status import Change, Status
from ..client._subscription import Predicate
from ..client._subscription import Subscription as LoopSubscription
from ..errors import ClientClosed, InvalidOption, ManuallyDisconnected
from ..lifecycle._effects import Outcome
from ..lifecycle._states import State
from ..sharing._cross_loop_call import CrossLoopCall
from ..sharing._join import JoinParameters
from ..sharing._registry import current_registry
from ..sharing._shared_client import SharedClient as LoopClient
from ..sharing._shared_connection import SharedConnection
from ._subscription import Subscription
from ._thread_callback import ErrorHandler, ThreadCallback, report_error
from ._token_source import call_token_source
from ._uninterruptible import uninterruptible
from ._waiting import Deadline, check_may_block, run_on_host_loop

T = TypeVar("T")
_CLIENT_CLOSED = "this shared client was closed; join again"
_DISCONNECTED_FOR_ALL = (
    "disconnect() was called on this connection, which holds for all: call reconnect() on one of its open clients, or "
    "close them all and join again"
)
_CONNECTION_CLOSED = "this connection was closed; join again"


class SharedClient:
    """A handle on a shared connection, for threads without an event loop; any thread may use it.

    It has a stream of its own, which begins with the join: ``for message in client``, or `receive()`. Every call that
    waits can be interrupted by Ctrl-C, and leaves nothing behind then. Used in a forked child, it joins anew there.
    """

    def __init__(
        self,
        request: JoinParameters,
        *,
        limit: int,
        overflow: Overflow | str,
        timeout: float | None,
        on_error: ErrorHandler,
    ) -> None:
        self._request = request
        self._limit = limit
        self._overflow = overflow
        self._timeout = timeout
        self._on_error = on_error
        self._closed = False
        self._has_left = False
        self._reads_own_stream = False
        self._callbacks: dict[ThreadCallback, tuple[Any, ...]] = {}
        self._handle: LoopClient
        self._registry = current_registry()
        self._stream = self._join()

    def __reduce__(self) -> NoReturn:
        """Raise `UsageError`: a shared client can't be pickled or copied."""
        raise not_picklable(self)

    def __repr__(self) -> str:
        handle = self._handle
        return (
            f"<SharedClient {self._request.shown} {'INHERITED' if self._is_inherited else self._state.name} "
            f"epoch={handle.epoch} subscribers={len(handle.fan_out)} inbox={len(self._stream)}>"
        )

    # --- coming and going -------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Leave: the client's subscriptions end. The last one to leave waits until the connection is closed."""
        self._closed = True
        if self._is_inherited:
            return  # what the parent has is the parent's
        try:
            if not self._has_left:
                with contextlib.suppress(ClientClosed):  # the host loop has ended, and the connection with it
                    self._run(self._handle.aclose, None, "leaving")
                self._has_left = True
        finally:
            for callback in tuple(self._callbacks):
                callback.stop()
                self._callbacks.pop(callback, None)

    def __enter__(self) -> Self:
        """Itself: it's connected already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave."""
        self.close()

    # --- the connection, which all share ----------------------------------------------------------------------------

    def connect(self, timeout: float | None = None) -> Outcome:
        """As `Client.connect()`; it acts on the shared connection. Raises `WaitTimeout`, too."""
        return self._run(self._current().connect, timeout, "connecting")

    def reconnect(self, timeout: float | None = None) -> Outcome:
        """As `Client.reconnect()`; it acts on the shared connection."""
        return self._run(self._current().reconnect, timeout, "reconnecting")

    def disconnect(self, timeout: float | None = None) -> None:
        """As `Client.disconnect()`; it acts on the shared connection."""
        self._run(self._current().disconnect, timeout, "disconnecting")

    # --- messages ---------------------------------------------------------------------------------------------------

    def send(self, message: Any, *, resend: bool = False, timeout: float | None = None) -> None:
        """Send one message; returns when the kernel has it. Raises what `Client.send()` raises, or `WaitTimeout`.

        After a `WaitTimeout` the message is not sent; if it was on its way when the time was over, `DeliveryUnknown`
        is raised instead. After Ctrl-C, a message that still waited for the connection is not sent.
        """
        upstream = self._current().shared.upstream
        self._run(lambda: upstream.send(message, resend=resend), timeout, "sending", sends=True)

    def send_nowait(self, message: Any, *, resend: bool = False) -> Future[None]:
        """Hand one message over; the future tells what became of it. A failure goes to the log and `on_error`, too.

        Raises `ManuallyDisconnected` or `ClientClosed` as far as this client knows.
        """
        handle = self._current()
        if handle.state is State.STOPPED:
            raise ManuallyDisconnected
        if handle.state is State.CLOSED:
            raise ClientClosed(_CONNECTION_CLOSED)
        upstream, on_error = handle.shared.upstream, self._on_error
        future: Future[None] = Future()
        future.set_running_or_notify_cancel()

        def answer(error: BaseException | None, _: None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
                report_error(error, "send_nowait()", on_error)

        errand = CrossLoopCall(lambda: upstream.send(message, resend=resend), answer, sends=True)
        if not handle.host_inbox.post(errand.start):
            errand.refuse()
        return future

    def receive(self, timeout: float | None = None) -> Any:
        """The next message (or `Gap`) of the client's own stream; see `Subscription.receive()`."""
        self._use_own_stream()
        return self._stream.receive(timeout)

    def __iter__(self) -> Iterator[Any]:
        """The link's own stream; it ends when the client or the connection is closed."""
        self._use_own_stream()
        return self._stream

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
        """A stream of messages, as the async `SharedClient.subscribe()`: ``for message in shared.subscribe()``."""
        return self._subscribe(
            event, where, keys, limit=limit, overflow=overflow, gaps=gaps, raise_on_failure=raise_on_failure
        )

    def on(
        self,
        event: str | Callable[[Any], Any] | None,
        callback: Callable[[Any], Any] | None = None,
        *,
        limit: int = DEFAULT_LIMIT,
        overflow: Overflow | str = Overflow.FAIL,
        gaps: bool = True,
    ) -> Callable[[], None]:
        """Call `callback` with every message (of that event), one after the other, in a daemon thread of its own.

        It may block, and use this client. What it raises is logged, told to `on_error` (in that thread), and hurts
        nobody else. Returns the function that takes it off again. In a forked child it goes on with the client's first
        use there.
        """
        if callable(event):
            if callback is not None:
                raise InvalidOption("on() takes an event name and one callback, not two callbacks")
            event, callback = None, event
        if callback is None:
            raise InvalidOption("on() needs a callback: on(callback) or on('event', callback)")
        called = ThreadCallback(callback, self._on_error)
        arguments = (event, limit, overflow, gaps)

        def remove() -> None:
            called.stop()
            self._callbacks.pop(called, None)

        self._current()
        try:
            self._callbacks[called] = arguments
            self._call(called, arguments)
        except BaseException:
            remove()
            raise
        return remove

    # --- what is known ----------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where the connection stands; CLOSED once the client is closed."""
        return State.CLOSED if self._closed else self._current().state

    @property
    def status(self) -> Status:
        """A snapshot: the connection as of its last change, and this client's own subscribers and queues."""
        return (self._handle if self._closed else self._current()).status

    def changes(self) -> Subscription[Change]:
        """Every change of the state from this call on, in order; ends when the client or the connection is closed."""
        handle = self._current()
        return Subscription(self._make(handle.changes), handle.host_inbox)

    def wait_for(self, *states: State, timeout: float | None = None) -> State:
        """Wait for one of these states, and return it; one that is passed through counts. Raises `WaitTimeout`."""
        Deadline(timeout)  # checks it
        handle = self._current()
        return self._run(lambda: handle.wait_for(*states, timeout=timeout), None, "waiting")

    # --- inside -----------------------------------------------------------------------------------------------------

    @property
    def _is_inherited(self) -> bool:
        return self._registry is not current_registry()

    @property
    def _state(self) -> State:
        return State.CLOSED if self._closed else self._handle.state

    def _current(self) -> LoopClient:
        """The handle in this process."""
        if self._closed:
            raise ClientClosed(_CLIENT_CLOSED)
        if self._is_inherited:
            with _rejoin_lock[0]:
                if self._is_inherited:
                    self._stream = self._join()
        return self._handle

    def _join(self) -> Subscription[Any]:
        check_may_block()
        registry = current_registry()
        # What the program brings is called here; what is counted, aside.
        self._request.find(None, lambda find: uninterruptible(functools.partial(self._take, find), self._give_back))
        handle = self._handle
        try:
            stream = Subscription[Any](
                self._make(
                    lambda: handle.open_stream(
                        None,
                        None,
                        (),
                        limit=self._limit,
                        overflow=self._overflow,
                        gaps=True,
                        raise_on_failure=True,
                        from_now=True,
                    )
                ),
                handle.host_inbox,
            )
            self._run(handle.connect, self._timeout, "joining")
            self._registry, self._reads_own_stream = registry, False
            for callback, arguments in tuple(self._callbacks.items()):
                self._call(callback, arguments)
        except ManuallyDisconnected:
            handle.abandon()
            # Its caller has no client to call anything on.
            raise ManuallyDisconnected(_DISCONNECTED_FOR_ALL) from None
        except BaseException:
            handle.abandon()
            raise
        return stream

    def _take(self, find: Callable[[], SharedConnection | None]) -> SharedConnection | None:
        """Join the connection, if it's there."""
        shared = find()
        if shared is not None:
            source = self._request.token_source
            self._handle = LoopClient(
                shared,
                current_registry(),
                shared.owner.loop,
                shown=self._request.shown,
                token_source=None if source is None else functools.partial(call_token_source, source),
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

    def _subscribe(
        self, event: str | None, where: Predicate | None, keys: Iterable[Hashable], **options: Any
    ) -> Subscription[Any]:
        if where is not None and not callable(where):  # pyright: ignore[reportUnnecessaryComparison]
            raise InvalidOption(f"where must be a function of the message, not {type(where).__name__}")
        handle = self._current()
        # Asked in the reader's thread: here it only says that the stream is a part of the messages.
        part = None if where is None else _accept
        stream = self._make(lambda: handle.open_stream(event, part, keys, **options))
        return Subscription(stream, handle.host_inbox, where)

    def _call(self, callback: ThreadCallback, arguments: tuple[Any, ...]) -> None:
        event, limit, overflow, gaps = arguments
        handle = self._handle
        stream = self._make(
            lambda: handle.open_stream(
                event, None, (), limit=limit, overflow=overflow, gaps=gaps, raise_on_failure=False
            )
        )
        callback.start(Subscription(stream, handle.host_inbox))

    def _make(self, make: Callable[[], LoopSubscription[T]]) -> LoopSubscription[T]:
        async def on_host_loop() -> LoopSubscription[T]:
            return make()

        return self._run(on_host_loop, None, "subscribing")

    def _run(
        self, work: Callable[[], Coroutine[Any, Any, T]], timeout: float | None, what: str, *, sends: bool = False
    ) -> T:
        handle = self._handle
        upstream = handle.shared.upstream
        return run_on_host_loop(
            handle.host_inbox, work, timeout, what, trouble=lambda: upstream.status.last_error, sends=sends
        )


def _accept(_: Any) -> bool:
    return True


# In a list, as a forked child needs a fresh one: a thread that it doesn't have may hold the parent's.
_rejoin_lock = [threading.Lock()]
reset_in_child(lambda: _rejoin_lock.__setitem__(0, threading.Lock()))
