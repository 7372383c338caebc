"""The upstream of a connection that this process holds: one `Client`."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Collection, Hashable, Iterable
from typing import Any, Final

from .._forking import replace_with_null_device
from ..client._client import Client
from ..client._delivery import Delivery
from ..client._gap import Gap
from ..client._instruments import Instruments
from ..client._request_calls import AnswerSink, finish_request, frame_maker, needed, stop_maker
from ..client._status import Change, ConnectionStats, Status
from ..client._subscription import Subscription
from ..client._upstream_subscriptions import KeySubscriber
from ..client._user_code import raise_in_loop
from ..errors import DeliveryUnknown
from ..lifecycle._effects import Outcome
from ..lifecycle._states import State
from ..protocols._subscriptions import subscriptions_of
from ..recording._recorder import FlightRecorder
from ..transports._websocket import WebSocketTransport
from ._upstream import UpstreamEvents

CANCELLED_IN_FLIGHT: Final = "its sender was cancelled while it was being sent: it may or may not have arrived"


class ClientUpstream:
    """An `Upstream`: passes on the messages of each read of a client, in the turn of the loop that read them."""

    def __init__(self, client: Client, *, is_own: bool = False) -> None:
        """`is_own`: `join()` has made the client, and no function of the program."""
        self._client = client
        self._internals = client.internals
        self._is_own = is_own
        self.post = client.send_nowait
        self._internals.runner.is_shared = True
        self._changes: Subscription[Change] | None = None
        """The changes that the sink has not been told of."""
        self._waiting: Collection[Change | Gap] = ()
        self._sink: UpstreamEvents | None = None
        self._is_held = False
        self._keeper = self._internals.fan_out.take_keeper()
        """Keeps what late readers begin with; None: the protocol declares nothing."""

    def __repr__(self) -> str:
        return f"<ClientUpstream {self._client!r}{' held' if self._is_held else ''}>"

    @property
    def status(self) -> Status:
        """As `Client.status`."""
        return self._client.status

    @property
    def is_owner(self) -> bool:
        """True: only this process has it."""
        return True

    @property
    def connection_stats(self) -> ConnectionStats:
        """As of `Client.stats`."""
        return self._client.stats.connection

    @property
    def instruments(self) -> tuple[Instruments, ...]:
        """As of the client."""
        return self._internals.options.instruments

    @property
    def recorder(self) -> FlightRecorder | None:
        """As of the client."""
        return self._internals.options.recorder

    @property
    def is_member(self) -> bool:
        """False: no other connection takes its place."""
        return False

    @property
    def can_move(self) -> bool:
        """True for a client that the library has made, without parts that are bound to one event loop."""
        options = self._internals.options
        is_bound = options.durable_outbox is not None or options.rotation is not None
        return self._is_own and not is_bound and type(options.transport) is WebSocketTransport

    def move_with(self, outlives_loop: Callable[[], bool], on_left: Callable[[], None]) -> None:
        """Let the connection outlive its event loop where this is true when that ends; `on_left`: then called."""
        runner = self._internals.runner
        runner.outlives_loop, runner.on_left = outlives_loop, on_left

    async def end_in_order(self) -> None:
        """Close the connection in order, within its deadlines, before `leave_loop`."""
        await self._internals.runner.end_in_order()

    def leave_loop(self) -> Callable[[], object] | None:
        """Leave the event loop; returns what is to be called there if it goes on."""
        connection = self._internals.leave_loop()
        return None if connection is None else connection.abort

    def enter_loop(self) -> None:
        """Go on on the running event loop, as after a loss."""
        self._internals.enter_loop()
        self._pass_on(self._tell_changes)

    def attach(self, sink: UpstreamEvents) -> None:
        """Pass everything that comes on to `sink`, from now on."""
        self._sink = sink
        self._changes = self._client.changes()
        self._waiting = self._changes.queue.items
        self._client.on_change(self._changed)
        keeper = self._keeper
        if keeper is None:
            self._internals.fan_out.tap(
                functools.partial(self._pass_on, sink.messages), functools.partial(self._pass_on, sink.gap)
            )
            return

        def messages(batch: list[Any]) -> None:
            for message in batch:
                keeper.put(message, message)
            self._pass_on(sink.messages, batch)

        def mark(gap: Gap) -> None:
            keeper.lose(gap)
            self._pass_on(sink.gap, gap)

        self._internals.fan_out.tap(messages, mark)

    def _pass_on(self, call: Callable[..., None], *args: object) -> None:
        """Call this behind the changes so far, which a client's watchers hear of a turn later than its readers."""
        try:
            try:
                if self._waiting:
                    self._tell_changes()
            finally:
                call(*args)
        except BaseException as error:  # noqa: BLE001 - Ctrl-C, for example: the loop may go on, and so must the feed
            raise_in_loop(error)

    def _changed(self, _: Change) -> None:
        self._pass_on(self._tell_changes)

    def _tell_changes(self) -> None:
        changes, sink = self._changes, self._sink
        while changes and sink is not None:
            change: Any = changes.queue.take()
            sink.changed(change, self._client.status)
            if change.new is State.FAILED and change.error is not None:
                sink.failed(change.error)

    async def connect(self, *, retry: bool | None = None) -> Outcome:
        """As `Client.connect()`."""
        return await self._client.connect(retry=retry)

    async def reconnect(self) -> Outcome:
        """As `Client.reconnect()`."""
        return await self._client.reconnect()

    async def rotate(self) -> Outcome:
        """As `Client.rotate()`."""
        return await self._client.rotate()

    async def disconnect(self) -> None:
        """As `Client.disconnect()`."""
        await self._client.disconnect()

    async def send(self, message: Any, *, resend: bool = False, settled: bool = False) -> None:
        """As `Client.send()`, but a cancelled sender learns whether its message may have arrived."""
        await self.settle(self._client.send_nowait(message, resend=resend), settled=settled)

    async def settle(self, delivery: Delivery, *, settled: bool = False) -> None:
        """Wait as `Client.send()`, or as awaiting the delivery; a cancelled caller learns as that of `send`."""
        try:
            await (delivery if settled else delivery.accepted())
        except asyncio.CancelledError:
            if delivery.done:
                return await delivery  # its fate became known in this very turn
            unknown = delivery.earlier_unknown
            if self._internals.sender.withdraw(delivery) and unknown is None:
                raise
            raise DeliveryUnknown(CANCELLED_IN_FLIGHT) from unknown

    async def request(self, message: Any, *, timeout: float | None, resend: bool = False) -> Any:
        """As `Client.request()`, but a cancelled caller learns whether its request may have been carried out."""
        protocol, requests = self._internals.options.protocol, needed(self._internals.requests)
        make = frame_maker(protocol, message)
        answer = await requests.request(make, timeout, resend=resend, tells_fate=True)
        return finish_request(protocol, message, answer)

    def open_answers(self, message: Any, sink: AnswerSink, *, resend: bool = False) -> Callable[[], None]:
        """As `Client.request_stream()`, with answers as they come."""
        protocol = self._internals.options.protocol
        make, stop = frame_maker(protocol, message), stop_maker(protocol, message)
        return needed(self._internals.requests).open_stream(make, stop, sink, is_lasting=resend)

    def remind(self) -> None:
        """As of the client's own readers."""
        self._internals.remind()

    def add_keys(self, subscriber: KeySubscriber, keys: Iterable[Hashable]) -> None:
        """One subscription more for each key."""
        self._internals.subscriptions().add_keys(subscriber, keys)

    def remove_keys(self, subscriber: KeySubscriber, keys: Iterable[Hashable] | None = None) -> None:
        """One subscription less for each key."""
        self._internals.subscriptions().remove_keys(subscriber, keys)

    def when_subscribed(self, call: Callable[[], None]) -> None:
        """Ask the client's subscriptions, if the protocol has any."""
        if subscriptions_of(self._internals.options.protocol) is None:
            call()
        else:
            self._internals.subscriptions().when_settled(call)

    def ask_snapshot(self, ready: Callable[[list[Any]], object]) -> None:
        """Call it at once: all messages so far were passed on."""
        ready([] if self._keeper is None else self._keeper.items())

    def hold(self) -> None:
        """Stop reading from the socket."""
        if not self._is_held:
            self._is_held = True
            self._internals.fan_out.hold()

    def release(self) -> None:
        """Go on reading."""
        if self._is_held:
            self._is_held = False
            self._internals.fan_out.release()

    def file_descriptors(self) -> Iterable[int]:
        """The socket of the present connection."""
        return self._internals.runner.descriptors()

    def break_off(self) -> None:
        """Release that socket."""
        replace_with_null_device(self.file_descriptors())

    async def aclose(self) -> None:
        """Close the client."""
        self.release()
        self._internals.runner.end_with_loop()
        await self._client.aclose()
        self._pass_on(self._tell_changes)
