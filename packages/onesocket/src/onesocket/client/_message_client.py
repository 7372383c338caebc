"""The interface that `Client` and `SharedClient` have in common."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, Self, TypedDict, TypeVar, Unpack, overload

from ..lifecycle._effects import Outcome
from ..lifecycle._states import State
from ..protocols._message_type import M
from ..wire._handshake import Handshake
from ._delivery import Delivery
from ._gap import Gap
from ._queue import DEFAULT_LIMIT, Overflow
from ._request_calls import ANSWER_TIMEOUT
from ._status import Change, Stats, Status
from ._subscription import Predicate, Subscription

if TYPE_CHECKING:
    from ..recording._recorder import FlightRecorder

C = TypeVar("C", bound=Callable[..., Any])
R = TypeVar("R")
"""The result of a callback."""
W = TypeVar("W", bound=Callable[[Change], object])
"""A watcher of the state."""


class ReaderParameters(TypedDict, Generic[M], total=False):
    """The options that `subscribe()` and `on()` have in common."""

    where: Predicate[M] | None
    """Only messages for which this is true; default: None, all."""
    limit: int
    """Number of messages that may wait for the reader; default: `DEFAULT_LIMIT`."""
    overflow: Overflow | str
    """The rule beyond that; default: ``"fail"``."""
    keys: Iterable[Hashable]
    """The keys to subscribe to at the server; default: none, and the messages of all."""


class SubscriptionOptions(ReaderParameters[M], Generic[M], total=False):
    """The options of `subscribe()`, besides `gaps`."""

    raise_on_failure: bool
    """Raise the error in the reader when the client becomes FAILED; default: True."""


class CallbackOptions(ReaderParameters[Any], total=False):
    """The options of `on()` with an event name, whose messages may be of a narrower type."""

    gaps: bool
    """Call it with gap markers, too; default: False."""


class MessageClient(Protocol[M]):
    """A handle on one connection, of its own (`Client`) or shared (`SharedClient`): code written for this takes both.

    Its parameter is the type of received messages, as the protocol decodes them.

    See `Client` for what each method does. `disconnect`, `reconnect`, `rotate` and `connect` act on the connection, and
    so on every client that shares it; `aclose` ends this handle.
    """

    @property
    def state(self) -> State:
        """The state of the connection."""
        ...

    @property
    def epoch(self) -> int:
        """The number of the newest connection; 0 before the first."""
        ...

    @property
    def handshake(self) -> Handshake | None:
        """The answer to the upgrade of the present connection: sub-protocol and headers; None while there is none."""
        ...

    @property
    def status(self) -> Status:
        """A frozen snapshot of this moment."""
        ...

    @property
    def recorder(self) -> FlightRecorder | None:
        """The flight recorder of the connection: ``client.recorder.write(path)``."""
        ...

    @property
    def stats(self) -> Stats:
        """The counters so far."""
        ...

    async def connect(self, *, retry: bool | None = None) -> Outcome:
        """Connect: start the one attempt, join it, or find it done; `retry`: go on after a failed one."""
        ...

    def connect_nowait(self, *, retry: bool | None = None) -> Outcome:
        """Start or find the attempt, and return at once which; `retry`: go on after a failed one."""
        ...

    async def disconnect(self) -> None:
        """Close the connection and keep it closed until `reconnect()`."""

    async def reconnect(self) -> Outcome:
        """Lift a `disconnect()`, close what is open, and open one new connection."""
        ...

    async def rotate(self) -> Outcome:
        """Replace the connection by a successor without a hole in its messages."""
        ...

    async def aclose(self) -> None:
        """Close this handle for good."""

    async def send(self, message: Any, *, resend: bool = False) -> None:
        """Send one message; returns when the kernel has it."""

    def send_nowait(self, message: Any, *, resend: bool = False) -> Delivery:
        """Accept one message for sending, and return its `Delivery`."""
        ...

    async def request(self, message: Any, *, timeout: float | None = ANSWER_TIMEOUT, resend: bool = False) -> M:
        """Send a request and return its answer, with a protocol that declares its ``requests=``."""
        ...

    def request_stream(
        self,
        message: Any,
        *,
        limit: int = DEFAULT_LIMIT,
        overflow: Overflow | str = Overflow.FAIL,
        resend: bool = False,
    ) -> Subscription[M | Gap]:
        """Send a request with a stream of answers, and return that stream."""
        ...

    @overload
    def subscribe(
        self, event: str | None = None, *, gaps: Literal[False], **options: Unpack[SubscriptionOptions[M]]
    ) -> Subscription[M]: ...
    @overload
    def subscribe(
        self, event: str | None = None, *, gaps: bool = True, **options: Unpack[SubscriptionOptions[M]]
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
        """A stream of messages; `keys`: subscribe to them at the server, and get their messages alone."""
        ...

    def __aiter__(self) -> Subscription[M | Gap]:
        """A new subscription to all messages: ``async for message in client``."""
        ...

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
        """Call `callback` with every message (of that event, of these keys), and return it; also a decorator."""
        ...

    def off(self, callback: Callable[..., Any]) -> None:
        """Remove one registration of `callback` by `on()` or `on_change()`, the newest."""

    def changes(self) -> Subscription[Change]:
        """A stream of every change of the state from this call on."""
        ...

    def on_change(self, callback: W) -> W:
        """Call `callback` with every change of the state; returns it."""
        ...

    async def wait_for(self, *states: State, timeout: float | None = None) -> State:
        """Wait until the connection is in one of these states, and return it."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...
