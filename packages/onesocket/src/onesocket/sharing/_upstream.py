"""The port between the members of one key and the one connection behind them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..client._client import Client
from ..client._delivery import Delivery
from ..client._gap import Gap
from ..client._instruments import Instruments
from ..client._request_calls import AnswerSink
from ..client._status import Change, ConnectionStats, Status
from ..client._upstream_subscriptions import KeySubscriber
from ..errors import OnesocketError
from ..lifecycle._effects import Outcome
from ..protocols._protocol import Protocol as WireProtocol
from ..recording._recorder import FlightRecorder
from ._connection_key import ConnectionKey
from ._host_options import HostOptions
from ._member_tokens import MemberTokens


class UpstreamEvents(Protocol):
    """Receives the events of an upstream, on its loop, in order. None of these raises."""

    def messages(self, batch: list[Any]) -> None:
        """Take the messages of one read, or of one turn of the loop; the list is the receiver's to keep."""

    def gap(self, gap: Gap) -> None:
        """Note that messages may be missing: after those of the batches before, and before those of the next."""

    def changed(self, change: Change, status: Status) -> None:
        """Take a change of the state, and the status by now. CLOSED is the last one."""

    def failed(self, error: OnesocketError) -> None:
        """Tell the readers that want to know that the state became FAILED, after what came before."""


class Upstream(Protocol):
    """The one connection, on the host loop, where every call on it is made.

    It may be made anywhere: it does nothing, and knows no loop, before `attach`.
    """

    @property
    def status(self) -> Status:
        """A frozen snapshot of this moment; may be asked for in any thread."""
        ...

    @property
    def is_owner(self) -> bool:
        """True if this process holds the connection."""
        ...

    @property
    def connection_stats(self) -> ConnectionStats:
        """The counters of the connection so far, over all its owners; in any thread."""
        ...

    @property
    def instruments(self) -> tuple[Instruments, ...]:
        """The instruments of the connection, which observe its members as well."""
        ...

    @property
    def recorder(self) -> FlightRecorder | None:
        """The flight recorder of the connection in this process."""
        ...

    @property
    def is_member(self) -> bool:
        """True for a `MemberUpstream`."""
        ...

    @property
    def can_move(self) -> bool:
        """True if it may live on an event loop of the program: then it is a `MovableUpstream`."""
        ...

    def attach(self, sink: UpstreamEvents) -> None:
        """Begin, and pass all events to `sink`: called once, before everything else."""

    async def connect(self, *, retry: bool | None = None) -> Outcome:
        """As `Client.connect()`: callers join, and each can be cancelled."""
        ...

    async def reconnect(self) -> Outcome:
        """As `Client.reconnect()`."""
        ...

    async def rotate(self) -> Outcome:
        """As `Client.rotate()`."""
        ...

    async def disconnect(self) -> None:
        """As `Client.disconnect()`: it holds for all, until `reconnect()`."""

    def post(self, message: Any, *, resend: bool = False) -> Delivery:
        """Accept one message, as `Client.send_nowait()`, and return its delivery: `DELIVERED` if it is sent."""
        ...

    async def settle(self, delivery: Delivery, *, settled: bool = False) -> None:
        """Wait for the fate of a message that `post` accepted, as `send`."""

    async def send(self, message: Any, *, resend: bool = False, settled: bool = False) -> None:
        """Deliver, or raise the error that kept it from that; `resend`: as `Client.send()`.

        `settled`: wait as awaiting the `Delivery` of `Client.send_nowait()` does, not as `Client.send()`.

        What happens up to the first suspension keeps the order of the calls. Cancelled while the message waits, it is
        not sent; cancelled later, `DeliveryUnknown` takes the place of the cancellation.
        """

    async def request(self, message: Any, *, timeout: float | None, resend: bool = False) -> Any:
        """As `Client.request()`. What happens up to the first suspension keeps the order of the calls.

        Cancelled after it was sent, `RequestLost` takes the place of the cancellation.
        `message` is in the protocol's terms here, and so is the answer; the arguments are checked.
        """

    def open_answers(self, message: Any, sink: AnswerSink, *, resend: bool = False) -> Callable[[], None]:
        """Send a request with a stream of answers for `sink`; returns the function that closes the stream.

        Raises what keeps it from being sent, if that is known at once; else `sink` is told.
        """
        ...

    def remind(self) -> None:
        """Have a warning logged, a moment later, if nothing brings up the connection that a caller waits for."""

    def add_keys(self, subscriber: KeySubscriber, keys: Iterable[Hashable]) -> None:
        """Count one subscription more for each key; new ones go upstream. Raises `InvalidOption`.

        That is: too many, or the protocol describes no subscriptions. The subscriber is told of refused keys, which it
        has no more.
        """

    def remove_keys(self, subscriber: KeySubscriber, keys: Iterable[Hashable] | None = None) -> None:
        """Count one subscription less for each key, or (None) all of a subscriber; those without any end upstream."""

    def when_subscribed(self, call: Callable[[], None]) -> None:
        """Call it when the connection has all wanted keys: sent, and answered where answers are declared.

        At once if it has them already, and where another process may hold the connection. A later call replaces it.
        """

    def ask_snapshot(self, ready: Callable[[list[Any]], object]) -> None:
        """Have `ready` called with what late readers begin with, at its place among the messages; [] if nothing is.

        Called where the protocol declares a snapshot; it may be called before `attach`.
        """

    def hold(self) -> None:
        """Stop the feed soon: a reader with the rule `wait` is full. Messages that were read already still come."""

    def release(self) -> None:
        """Let the feed go on."""

    def file_descriptors(self) -> Iterable[int]:
        """Its descriptors in the order of their release: in a forked child, or when its loop was closed."""
        ...

    def break_off(self) -> object:
        """Release all descriptors, without a word on the wire, as the loop takes no further turn; in any thread."""

    async def aclose(self) -> None:
        """Close in order, for good, within the connection's deadlines. Idempotent."""


class MovableUpstream(Upstream, Protocol):
    """An upstream that can go on on another event loop when its own ends first."""

    def move_with(self, outlives_loop: Callable[[], bool], on_left: Callable[[], None]) -> None:
        """Let the connection outlive its event loop where this is true when that ends. Called before `attach`.

        `on_left`: called on that loop when its end has closed the connection: `leave_loop` is to follow.
        """

    async def end_in_order(self) -> None:
        """Close the connection in order, within its deadlines, before `leave_loop`; the state stays."""

    def leave_loop(self) -> Callable[[], object] | None:
        """Leave the event loop: what is left of the connection is reset. Returns what to call there if it goes on.

        Called on that loop, or in another thread where that is closed or stands still.
        """
        ...

    def enter_loop(self) -> None:
        """Go on on the running event loop, after `leave_loop`: as after a loss, but at once."""


class MemberUpstream(Upstream, Protocol):
    """An upstream that takes part in an election: where its loop ends, another member has the connection next."""

    @property
    def needs_watch(self) -> bool:
        """True while it has the connection, and others depend on the turns of its loop, or may soon; in any thread."""
        ...

    @property
    def is_wanted(self) -> bool:
        """True while others use the connection that it has, or wait for it; in any thread."""
        ...

    @property
    def reset_in(self) -> float:
        """Seconds after which its connection is reset if its loop has not closed it by then; inf: it may stay.

        In any thread.
        """
        ...

    def live_with(self, adopt: Callable[[asyncio.Task[Any]], object], on_watch: Callable[[], object]) -> None:
        """Live on a loop of the program. Called before `attach`.

        `adopt`: called with the tasks that the loop's end must not cancel. `on_watch`: called when `needs_watch`
        may have changed, or `reset_in` is no longer inf.
        """

    def go_on(self) -> None:
        """Do what is overdue, as Ctrl-C interrupted the call that was to do it."""

    def break_off(self) -> Callable[[], object]:
        """As of `Upstream`. The next member has the connection; returns what is to be called if the loop goes on."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSpec:
    """The specification of an upstream: `HostUpstream(spec)`."""

    key: ConnectionKey
    options: Mapping[str, Any]
    """The arguments of `Client` besides the URL that were given; `token` among them."""
    protocol: WireProtocol
    """The one that the upstream uses (`options["protocol"]`, or the default)."""
    make_client: Callable[[], Client]
    """Makes a new, unconnected client. For host sharing: called in the process that becomes the owner."""
    host_options: HostOptions = field(default_factory=HostOptions)
    """For scope "host"."""
    tokens: MemberTokens = field(default_factory=MemberTokens)
    """The source of the client's tokens, if the members bring token sources."""
