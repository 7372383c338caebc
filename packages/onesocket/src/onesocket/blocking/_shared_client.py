"""The handle that `onesocket.blocking.join()` gives."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Coroutine, Hashable, Iterable, Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

from .._forking import reset_in_child
from ..client._pickling import not_picklable
from ..client._queue import Overflow
from ..client._status import Change, Status
from ..client._subscription import Predicate
from ..errors import ClientClosed, InvalidOption, ManuallyDisconnected, WaitTimeout
from ..lifecycle._effects import Outcome
from ..lifecycle._states import State
from ..sharing._cross_loop_call import CrossLoopCall
from ..sharing._join import JoinParameters
from ..sharing._shared_client import DEFAULT_LIMIT
from ._subscription import Subscription
from ._thread_callback import ErrorHandler, ThreadCallback, report_error
from ._thread_member import ThreadMember
from ._waiting import Deadline

T = TypeVar("T")
_CLIENT_CLOSED = "this link was closed; join again"
_DISCONNECTED_FOR_ALL = (
    "disconnect() was called on this connection, which holds for all: call reconnect() on one of its open links, or "
    "close them all and join again"
)
_CONNECTION_CLOSED = "this connection was closed; join again"


class SharedClient:
    """A handle on a shared connection, for threads without an event loop; any thread may use it.

    It has a stream of its own, which begins with the join: ``for message in link``, or `receive()`. Every call that
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
        self._callbacks: dict[ThreadCallback, tuple[Any, ...]] = {}
        self._thread_member, self._stream = self._join()

    def __reduce__(self) -> NoReturn:
        """Raise `UsageError`: a shared client can't be pickled or copied."""
        raise not_picklable(self)

    def __repr__(self) -> str:
        seat = self._thread_member
        return (
            f"<Link {self._request.shown} {'INHERITED' if seat.is_inherited else self._state.name} "
            f"epoch={seat.status.epoch} streams={len(seat.streams)} inbox={len(self._stream)}>"
        )

    # --- coming and going -------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Leave: what this link subscribed to ends. The last one out waits until the connection is closed."""
        self._closed = True
        if self._thread_member.is_inherited:
            return  # what the parent has is the parent's
        try:
            self._thread_member.leave()
        finally:
            for callback in tuple(self._callbacks):
                callback.stop()
                self._callbacks.pop(callback, None)

    def __enter__(self) -> Self:
        """Itself: it's up already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave."""
        self.close()

    # --- the line, which everybody shares ---------------------------------------------------------------------------

    def connect(self, timeout: float | None = None) -> Outcome:
        """As `Client.connect()`; it acts on the shared connection. Raises `WaitTimeout`, too."""
        return self._ask(self._current_member().shared.upstream.connect, timeout, "connecting")

    def reconnect(self, timeout: float | None = None) -> Outcome:
        """As `Client.reconnect()`; it acts on the shared connection."""
        return self._current_member().ask(self._current_member().shared.reconnect, timeout, "reconnecting")

    def disconnect(self, timeout: float | None = None) -> None:
        """As `Client.disconnect()`; it acts on the shared connection."""
        self._ask(self._current_member().shared.disconnect, timeout, "disconnecting")

    # --- messages ---------------------------------------------------------------------------------------------------

    def send(self, message: Any, *, resend: bool = False, timeout: float | None = None) -> None:
        """Send one message; returns when the kernel has it. Raises what `Client.send()` raises, or `WaitTimeout`.

        After a `WaitTimeout` the message is not sent; if it was on its way when the time was over, `DeliveryUnknown`
        is raised instead. After Ctrl-C, a message that still waited for the line is not sent.
        """
        seat = self._current_member()
        upstream = seat.shared.upstream
        seat.do(lambda: upstream.send(message, resend=resend), timeout, "sending", sends=True)

    def send_nowait(self, message: Any, *, resend: bool = False) -> Future[None]:
        """Hand one message over; the future tells what became of it. A failure goes to the log and `on_error`, too.

        Raises `ManuallyDisconnected` or `ClientClosed` as far as this link has heard of it.
        """
        seat = self._current_member()
        if seat.state is State.STOPPED:
            raise ManuallyDisconnected
        if seat.state is State.CLOSED:
            raise ClientClosed(_CONNECTION_CLOSED)
        upstream, on_error = seat.shared.upstream, self._on_error
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
        if not seat.host_inbox.post(errand.start):
            errand.refuse()
        return future

    def receive(self, timeout: float | None = None) -> Any:
        """The next message (or `Gap`) of the link's own stream; see `Subscription.receive()`."""
        self._current_member().use_join_stream()
        return self._stream.receive(timeout)

    def __iter__(self) -> Iterator[Any]:
        """The link's own stream; it ends when the link or the connection is closed."""
        self._current_member().use_join_stream()
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
        return self._current_member().subscribe(
            event,
            where,
            frozenset((keys,) if isinstance(keys, str) else keys),
            limit=limit,
            overflow=overflow,
            gaps=gaps,
            raise_on_failure=raise_on_failure,
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

        It may block, and use this link. What it raises is logged, told to `on_error` (in that thread), and hurts
        nobody else. Returns the function that takes it off again. In a forked child it goes on with the link's first
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

        seat = self._current_member()
        try:
            self._callbacks[called] = arguments
            self._call(seat, called, arguments)
        except BaseException:
            remove()
            raise
        return remove

    # --- what is known ----------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where the connection stands; CLOSED once the link is closed."""
        return State.CLOSED if self._closed else self._current_member().state

    @property
    def status(self) -> Status:
        """A snapshot: the connection as of its last change, and this link's own subscribers and queues."""
        seat = self._thread_member if self._closed else self._current_member()
        status, retry_in = seat.status, seat.status.retry_in
        return dataclasses.replace(
            status,
            state=self._state,
            retry_in=None if retry_in is None else max(0.0, retry_in - (time.monotonic() - seat.status_at)),
            subscribers=len(seat.streams),
            inbox=max((len(stream) for stream in seat.streams), default=0),
        )

    def changes(self) -> Subscription[Change]:
        """Every change of the state from this call on, in order; ends when the link or the connection is closed."""
        return self._current_member().changes()

    def wait_for(self, *states: State, timeout: float | None = None) -> State:
        """Wait for one of these states, and return it; one that is passed through counts. Raises `WaitTimeout`."""
        if not states:
            raise InvalidOption("wait_for() needs at least one state")
        deadline = Deadline(timeout)
        with self.changes() as stream:
            if self._state in states:
                return self._state
            try:
                while (change := stream.receive(deadline.left)).new not in states:
                    pass
            except WaitTimeout:
                wanted = " or ".join(state.name for state in states)
                raise WaitTimeout(f"not {wanted} within {timeout:g} s; it is {self._state.name}") from None
            return change.new

    # --- inside -----------------------------------------------------------------------------------------------------

    @property
    def _state(self) -> State:
        return State.CLOSED if self._closed else self._thread_member.state

    def _current_member(self) -> ThreadMember:
        """The seat in this process."""
        if self._closed:
            raise ClientClosed(_CLIENT_CLOSED)
        if self._thread_member.is_inherited:
            with _rejoin_lock[0]:
                if self._thread_member.is_inherited:
                    self._thread_member, self._stream = self._join()
        return self._thread_member

    def _join(self) -> tuple[ThreadMember, Subscription[Any]]:
        seat = ThreadMember(self._request)
        try:
            stream = seat.subscribe(
                None,
                None,
                frozenset(),
                limit=self._limit,
                overflow=self._overflow,
                gaps=True,
                raise_on_failure=True,
                is_own=True,
            )
            seat.enter(self._timeout)
            for callback, arguments in tuple(self._callbacks.items()):
                self._call(seat, callback, arguments)
        except ManuallyDisconnected:
            seat.leave_soon()
            raise ManuallyDisconnected(
                _DISCONNECTED_FOR_ALL
            ) from None  # whoever reads it has no link to call anything on
        except BaseException:
            seat.leave_soon()
            raise
        return seat, stream

    def _call(self, seat: ThreadMember, callback: ThreadCallback, arguments: tuple[Any, ...]) -> None:
        event, limit, overflow, gaps = arguments
        callback.start(
            seat.subscribe(event, None, frozenset(), limit=limit, overflow=overflow, gaps=gaps, raise_on_failure=False)
        )

    def _ask(self, work: Callable[[], Coroutine[Any, Any, T]], timeout: float | None, what: str) -> T:
        return self._current_member().do(work, timeout, what)


# In a list, as a forked child needs a fresh one: a thread that it doesn't have may hold the parent's.
_rejoin_lock = [threading.Lock()]
reset_in_child(lambda: _rejoin_lock.__setitem__(0, threading.Lock()))
