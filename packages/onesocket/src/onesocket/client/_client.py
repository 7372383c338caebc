"""The public handle on one connection."""

from __future__ import annotations

import asyncio
import functools
import logging
import ssl as ssl_module
import warnings
from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, Self, Unpack, overload

from ..errors import UsageError
from ..lifecycle import _events as events
from ..lifecycle._effects import Outcome
from ..lifecycle._outbox import OutboxLimits
from ..lifecycle._retry import ReconnectPolicy
from ..lifecycle._states import State
from ..protocols._message_type import M
from ..protocols._pace import Pace
from ..protocols._protocol import Protocol
from ..transports._proxy import ProxyOption
from ..transports._transport import Transport, TransportConnection
from ..wire._handshake import Data, Handshake
from ._affinity import Affinity, is_collected
from ._callback import CallbackKeys
from ._client_options import ClientOptions
from ._connect_reminder import ConnectReminder
from ._delivery import Delivery
from ._durable_factory import make_durable_messages
from ._error_reporter import ErrorReporter
from ._fan_out import FanOut
from ._gap import Gap
from ._instruments import InstrumentsOption, Observer, SourceKind
from ._internals import ClientInternals
from ._message_client import C, CallbackOptions, R, ReaderParameters, SubscriptionOptions, W
from ._options import Headers, Options, Token, URLSource, check_retry
from ._outage_log import OutageLog
from ._pickling import not_picklable
from ._queue import DEFAULT_LIMIT, Overflow
from ._registrations import Registrations
from ._request_calls import (
    ANSWER_TIMEOUT,
    check_request,
    finish_request,
    frame_maker,
    make_request_tracker,
    needed,
    stop_maker,
)
from ._runner import Runner
from ._sender import Sender
from ._silence_watch import SilenceWatch
from ._snapshots import take_stats, take_status
from ._state_watchers import StateWatchers
from ._status import Change, Stats, Status
from ._subscription import Predicate, Subscription
from ._transport_choice import Compression, choose_transport
from ._user_code import encode_message

if TYPE_CHECKING:
    from ..recording._recorder import FlightRecorder
    from ._durable_outbox import DurableOutbox
    from ._rotation import Rotation
    from ._upstream_subscriptions import UpstreamSubscriptions

_log = logging.getLogger("onesocket")
_DEFAULT_RECONNECT = ReconnectPolicy()
_DEFAULT_OUTBOX = OutboxLimits()


class Client(Generic[M]):
    """Exactly one WebSocket, however many ask for it.

    Any number of components may call every method at any time, in any order: `connect()` joins an attempt that is in
    flight, a lost connection is resumed, and there are never two at once. A client belongs to the event loop of its
    first use, and to its process: a forked child keeps nothing of its connection, and each call raises `ForkedCopy`.
    For type checkers it has the type of received messages: with ``protocol=Json(type=Trade)`` it is a `Client[Trade]`.

    Parameters:
        url: ``ws://`` or ``wss://``; user info becomes an `Authorization: Basic` header. A Unix socket is
            ``ws+unix:///path/of/socket``, or ``ws+unix:///path/of/socket:/target?query`` where the target isn't ``/``.
            Or a callable (or coroutine function) that returns one, asked anew for every attempt: for signed URLs, or
            several servers in turn.
        token: A str, or a callable (or coroutine function) that returns one, asked anew for every attempt; None from it
            means "none this time". With parameters (previous, error) it is told of the token that the server refused,
            and why (both None: it refused none). It appears in no repr, log or error.
        protocol: What the frames mean: `Raw()` (default), `Json()`, `Msgpack()`, or your own `Protocol`. It decides
            where the token goes (default: ``Authorization: Bearer …``).
        headers: Header fields for the upgrade request; a `Host` and a `User-Agent` replace the usual ones.
        subprotocols: Names to offer, most wanted first.
        ssl: A TLS context for ``wss://`` (default: the system's trust).
        proxy: ``http://``, ``https://``, ``socks5h://``, ``socks5://``, ``socks4a://`` or ``socks4://`` URL of a proxy;
            True: the one that the environment has for the address, if any; None: none.
        server_hostname: The name for SNI and the server's certificate (default: that of the URL).
        local_address: The IP address to connect from (default: the system's choice).
        open_timeout: Seconds for one attempt, from asking for the token to the end of the login.
        close_timeout: Seconds for one close handshake; then the socket is aborted.
        ping_interval: Seconds between PINGs; None: none are sent.
        ping_timeout: Seconds without any frame after a PING until the connection counts as dead.
        silence_timeout: Seconds without a message until a connection, even if it answers PINGs, is replaced with a
            `Gap`; None: never. Not while a reader with the rule ``"wait"`` holds the socket.
        silence_of: A function that is true of the messages whose absence counts; None: of all.
        max_size: Bytes of one message, all its fragments together; None: no limit.
        reconnect: How a lost connection is resumed; None: it is not (the client is FAILED then).
        rotation: How a connection is replaced by a successor without a hole, by age, announcement or `rotate()`:
            `Rotation(identity=…)`; None: it is not.
        outbox: How many messages wait for the connection, and how long; None: none do. A `DurableOutbox` keeps them on
            disk until they are settled, so that they survive a restart.
        pace: The peer's limit on all messages of a connection, for a protocol without a `pace` of its own.
        control_pace: Its limit on control messages (login, subscriptions, heartbeats), which count in both.
        on_error: Called with every exception of a subscriber, and with every failed delivery that is not awaited.
        compression: ``"deflate"`` offers permessage-deflate, which the server may decline; None: no extension.
        transport: Makes the connections (default: WebSocket over TCP, TLS or a Unix socket).
        instruments: Metrics and traces: `onesocket.instruments.OpenTelemetry()`, `Prometheus()`, or a list of both.
        recorder: Keeps the newest frames and changes of the state, to be written to a file: `FlightRecorder()`.
    """

    @overload
    def __init__(self, url: str | URLSource, *, protocol: Protocol[M], **options: Unpack[ClientOptions]) -> None: ...
    @overload
    def __init__(
        self: Client[Data], url: str | URLSource, *, protocol: None = None, **options: Unpack[ClientOptions]
    ) -> None: ...
    def __init__(
        self,
        url: str | URLSource,
        *,
        token: Token | None = None,
        protocol: Protocol[Any] | None = None,
        headers: Headers | None = None,
        subprotocols: Iterable[str] = (),
        ssl: ssl_module.SSLContext | None = None,
        proxy: ProxyOption = True,
        server_hostname: str | None = None,
        local_address: str | None = None,
        open_timeout: float = 10.0,
        close_timeout: float = 5.0,
        ping_interval: float | None = 20.0,
        ping_timeout: float = 20.0,
        silence_timeout: float | None = None,
        silence_of: Callable[[Any], bool] | None = None,
        max_size: int | None = 16 * 2**20,
        reconnect: ReconnectPolicy | None = _DEFAULT_RECONNECT,
        rotation: Rotation | None = None,
        outbox: OutboxLimits | DurableOutbox | None = _DEFAULT_OUTBOX,
        pace: Pace | None = None,
        control_pace: Pace | None = None,
        on_error: Callable[[BaseException], object] | None = None,
        compression: Compression | None = None,
        transport: Transport | None = None,
        instruments: InstrumentsOption = None,
        recorder: FlightRecorder | None = None,
    ) -> None:
        self._options = options = Options.check(
            url,
            token=token,
            protocol=protocol,
            transport=choose_transport(transport, compression),
            headers=headers,
            subprotocols=subprotocols,
            ssl=ssl,
            proxy=proxy,
            server_hostname=server_hostname,
            local_address=local_address,
            open_timeout=open_timeout,
            close_timeout=close_timeout,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            silence_timeout=silence_timeout,
            silence_of=silence_of,
            max_size=max_size,
            reconnect=reconnect,
            rotation=rotation,
            outbox=outbox,
            pace=pace,
            control_pace=control_pace,
            instruments=instruments,
            recorder=recorder,
        )
        self._shown_url = shown_url = options.shown_url
        self._error_reporter = ErrorReporter(shown_url, on_error)
        report = self._error_reporter.report
        self._outage_log = OutageLog(shown_url)
        self._affinity = affinity = Affinity("client", self._forked)
        self._runner = runner = Runner(options, on_change=self._changed, affinity=affinity, report=report)
        self._connect_reminder = ConnectReminder(shown_url, runner.connect_hint)
        self._fan_out = fan_out = FanOut(
            event_of=options.protocol.event_of,
            names_events=options.protocol.names_events,
            hold=runner.hold,
            release=runner.release,
            report=report,
            on_loop=affinity.call_on_loop,
            soon=affinity.call_soon,
        )
        fan_out.early.keep()
        if options.protocol.snapshot is not None:
            from ._snapshot_keeper import make_snapshot_keeper  # noqa: PLC0415 - few clients have one

            fan_out.keep_snapshots(make_snapshot_keeper(options.protocol, report))
        self._registrations = Registrations()
        self._sender = sender = Sender(
            options.outbox,
            refusal=runner.refusal,
            report=report,
            pace=options.limiter,
            remedy=runner.connect_hint,
        )
        self._durable = make_durable_messages(options, sender, fan_out, refusal=runner.refusal, report=report)
        self._upstream_subscriptions: UpstreamSubscriptions | None = None
        """None: no reader of keys was there yet."""
        self._state_watchers = StateWatchers(self._error_reporter, sender)
        self._requests = requests = make_request_tracker(
            options, fan_out, sender, remind=self._connect_reminder.watch, report=report
        )
        runner.attach(fan_out, sender, SilenceWatch.of(options, fan_out, report, requests or fan_out), requests, report)
        self._observer: Observer | None = None
        if options.instruments:
            self._observer = observer = Observer(options.instruments, SourceKind.CONNECTION, report)
            runner.on_opened = lambda epoch: observer.opened(self, epoch)

    def __repr__(self) -> str:
        machine = self._runner.machine
        leads = f"→{machine.after_close.value}" if machine.after_close else ""
        return (
            f"<{type(self).__name__} {self._shown_url} {machine.state.name}{leads} epoch={machine.epoch} "
            f"callers={self._runner.callers} outbox={len(self._sender)} inbox={self._fan_out.depth} "
            f"subscribers={len(self._fan_out)}>"
        )

    def __reduce__(self) -> NoReturn:
        """Raise `UsageError`: a client can't be pickled or copied."""
        raise not_picklable(self)

    def __del__(self) -> None:
        """Warn of a client that was left open: it goes with its event loop, without a close handshake in time."""
        runner = getattr(self, "_runner", None)
        if runner is not None and runner.is_left_open:
            text = f"unclosed {self!r}: use `async with`, or await aclose()"
            warnings.warn(text, ResourceWarning, stacklevel=2, source=self)
        observer = getattr(self, "_observer", None)
        if observer is not None:
            observer.end(self)

    # --- the connection -----------------------------------------------------------------------------------------------

    async def connect(self, *, retry: bool | None = None) -> Outcome:
        """Connect: start the one attempt, join it, or find it done.

        Returns `OPENED`, `JOINED` or `ALREADY_CONNECTED`, within `open_timeout` of the start of its attempt; the end of
        a connection that is still being closed is awaited first, within `close_timeout` (and the rest of its own
        `open_timeout`, if its upgrade is not answered yet). Raises the error of the attempt, the same for all callers
        that joined it; `ManuallyDisconnected` after `disconnect()`; `ConnectAborted` when `disconnect()` comes
        meanwhile; `ClientClosed` after `aclose()`. Cancelling the call harms no other caller; when the last caller of
        an attempt is cancelled, the attempt is wound down.

        `retry`: True to have a failed attempt followed by the next, as the `ReconnectPolicy` says, until the connection
        is up or has failed for good; False: one attempt; None: as the policy's `first` says. Before the time that a
        server has named (`Retry-After`), a call without `retry` waits for it, at most for `open_timeout`, and then
        raises `ServerBusy` with the rest as `retry_after`.
        """
        retry = check_retry(retry, self._options.reconnect)
        self._open_outbox()
        return await self._runner.calls.request(events.Connect(retry=retry))

    def connect_nowait(self, *, retry: bool | None = None) -> Outcome:
        """Start or find the attempt, and say at once which: `OPENED` means "started", not "open yet".

        `retry`: as for `connect()`. Before the time that a server has named, a call without it raises `ServerBusy`.
        """
        retry = check_retry(retry, self._options.reconnect)
        self._open_outbox()
        return self._runner.calls.request_nowait(events.Connect(wait=False, retry=retry))

    async def disconnect(self) -> None:
        """Close the connection in order and hold it closed: only `reconnect()` lifts that.

        Callers that wait in `connect()` get `ConnectAborted` at once; messages that still wait in the outbox get
        `ManuallyDisconnected`. Returns when nothing is left of the connection: within `close_timeout`, to which the
        rest of `open_timeout` adds while an upgrade is being answered.
        """
        await self._runner.calls.request_close(events.Disconnect())

    async def reconnect(self) -> Outcome:
        """Lift a `disconnect()`, close what is open, open one new connection. Concurrent calls share it."""
        self._open_outbox(lifts_disconnect=True)
        return await self._runner.calls.request(events.Reconnect())

    async def rotate(self) -> Outcome:
        """Replace the connection by a successor without a hole in its messages, as the option `rotation` says.

        Returns when the old connection is closed. Concurrent calls share one rotation; without a connection, it is a
        `connect()`. If the successor is refused, its error is raised, and the connection stays; before a date that the
        server has named, `ServerBusy` is.
        """
        if self._options.rotation is None:
            raise UsageError("rotate() needs the option rotation=Rotation(identity=…)")
        self._open_outbox()
        return await self._runner.calls.request(events.Rotate())

    async def aclose(self) -> None:
        """Close the connection in order, for good: subscriptions end, nothing of the client is left on the loop."""
        await self._runner.calls.request_close(events.Close())
        await self._fan_out.settle(self._options.close_timeout)
        if self._durable is not None:
            await self._durable.aclose(self._options.close_timeout)

    async def __aenter__(self) -> Self:
        """Connect. If that fails, the client is closed again before the error is raised."""
        try:
            await self.connect()
        except BaseException as error:
            await self.__aexit__(type(error))
            raise
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        """Close, for good."""
        if not is_collected(kind, self._affinity.loop):
            await self.aclose()

    # --- messages -----------------------------------------------------------------------------------------------------

    async def send(self, message: Any, *, resend: bool = False) -> None:
        """Send one message; returns when the kernel has it.

        (Over TLS, when the TLS layer has it, which keeps 64 KiB or so in a buffer of its own.) The kernel delivers it
        also after a normal end of the program; a connection that is reset takes along what the peer's system has not
        confirmed: one whose close passed its deadline or whose peer is dead, and that of a process that is killed.

        While the connection is down (or takes no more) it waits in the outbox. Raises `OutboxFull`, `MessageExpired`,
        `DeliveryUnknown` (the connection broke in the middle of it), `EncodeError`, `ManuallyDisconnected` or
        `ClientClosed`. Cancelled while it waits in the outbox, it isn't sent; cancelled later, it may have arrived.

        `resend`: sending it twice does no harm, so it is sent again where `DeliveryUnknown` would be raised.

        With a `DurableOutbox`, it returns when the message is on disk, and raises `MessageNotStored`, `OutboxFull`,
        `OutboxUnusable` or `DuplicateMessage` where it isn't; the outbox sends it. Cancelled before, it isn't sent.
        """
        delivery = self.send_nowait(message, resend=resend)
        if delivery.done:
            return
        try:
            await delivery.accepted()
        except asyncio.CancelledError:
            self._sender.withdraw(delivery)
            raise

    def send_nowait(self, message: Any, *, resend: bool = False) -> Delivery:
        """Accept one message for sending, and return its `Delivery`, which can be awaited; `resend`: see `send`.

        Raises `OutboxFull`, `EncodeError`, `ManuallyDisconnected` or `ClientClosed`. A delivery that fails later
        without anybody awaiting it goes to `on_error` and the log. With a `DurableOutbox`, a delivery is done when the
        message is settled: acknowledged, or without an `Acknowledgement`, in the kernel.
        """
        self._affinity.check()
        if self._durable is None:
            delivery = self._sender.post(encode_message(self._options.protocol, message), resend=resend)
        else:
            data = encode_message(self._options.protocol, message)
            delivery = self._durable.post(message, data) or self._sender.post(data, resend=resend)
        if not delivery.done:
            self._connect_reminder.watch()
        return delivery

    async def request(self, message: Any, *, timeout: float | None = ANSWER_TIMEOUT, resend: bool = False) -> M:
        """Send a request and return its answer, with a protocol that declares its ``requests=``.

        The request gets an id of its own on the connection; the answer has the one that `message` had, if any. It goes
        the way of a message (see `send`): behind those accepted before, and through the outbox (not a `DurableOutbox`).
        The answer is the caller's alone: subscribers don't get it. Answers come in the peer's order.

        Raises `RequestTimeout` after `timeout` seconds, `RequestLost` if the connection is lost after the request was
        sent, `RequestRefused` or your own error for an answer that refuses, and what `send()` raises. Cancelled, it
        harms no other; an answer that comes later is dropped, and counted (`late_answers`).

        `resend`: asking twice does no harm, so it is sent again, on the next connection, where `RequestLost` would be
        raised.
        """
        self._affinity.check()
        protocol, requests = self._options.protocol, needed(self._requests)
        timeout = check_request(protocol, timeout, resend)
        make = frame_maker(protocol, message)
        answer: M = finish_request(protocol, message, await requests.request(make, timeout, resend=resend))
        return answer

    def request_stream(
        self,
        message: Any,
        *,
        limit: int = DEFAULT_LIMIT,
        overflow: Overflow | str = Overflow.FAIL,
        resend: bool = False,
    ) -> Subscription[M | Gap]:
        """Send a request with a stream of answers: ``async for answer in client.request_stream(…)``.

        With a protocol that declares its ``requests=``; see `request`. The stream ends with the message for which
        `last` of `Requests` is true, raises the error of an answer that refuses, `RequestLost` when the connection is
        lost, and what keeps a message from being sent. Closed before its end, the message that `stop` returns is sent.
        `limit`, `overflow`: as of `subscribe`.

        `resend`: after a loss, the request is sent again on the next connection, and a `Gap` stands in the stream; it
        waits for a connection however long that takes, whatever the limits of the outbox are.
        """
        self._affinity.check()
        protocol, requests = self._options.protocol, needed(self._requests)
        check_request(protocol, None, resend)
        stream = self._fan_out.open_private(limit, overflow)
        from ._answer_stream import AnswerStream  # noqa: PLC0415 - few programs have streams of answers

        make, stop = frame_maker(protocol, message), stop_maker(protocol, message)
        answers = AnswerStream(
            protocol,
            message,
            stream.queue,
            lambda sink: requests.open_stream(make, stop, sink, is_lasting=resend),
            resend=resend,
        )
        answers.open()
        stream.on_end = lambda: self._affinity.call_on_loop(answers.close)
        return stream

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
        """A stream of messages: ``async for message in client.subscribe()``.

        It begins with this call and goes on over any number of connections. The client's first stream of everything (no
        `event`, no `where`) begins with the messages before that: up to 1 024 messages and 4 MiB, behind a `Gap` if
        there were more (the `Gap` alone if readers of a part were there by then). The first of an event, and the first
        with a `where`, begin with those of them that match. Where messages may be missing, a `Gap` is in the stream
        (`gaps=False`: not).

        Parameters:
            event: Only messages with this event name (the protocol knows it).
            where: Only messages for which this is true.
            keys: The keys to subscribe to at the server, with a protocol that describes that (`Subscriptions`); the
                stream has the messages of these keys alone. Keys are counted over all streams: only differences are
                sent, and all of them on each new connection. Refused keys are raised once (`SubscriptionRefused`).
            limit: How many messages may wait for the reader.
            overflow: What happens beyond that: ``"fail"`` (`SlowConsumer` for this reader), ``"drop_oldest"`` (counted,
                with a `Gap`) or ``"wait"`` (the socket is not read until it has caught up).
            gaps: True for gap markers in the stream.
            raise_on_failure: True to raise the error in the reader when the client becomes FAILED; otherwise it goes on
                waiting for a connection, which `connect()` may still bring. A first connect that fails is raised in
                its callers alone (in the reader, if none waits): readers that were made before go on waiting.
        """
        self._affinity.check_process()
        wanted = None if keys == () else self._key_subscriptions().select(keys)
        stream = self._fan_out.subscribe(
            event,
            where,
            keys=wanted,
            limit=limit,
            overflow=overflow,
            gaps=gaps,
            raise_on_failure=raise_on_failure,
        )
        stream.on_wait = self._reader_waits
        if wanted is not None:
            self._key_subscriptions().add_stream(stream, wanted.keys, self._affinity.call_on_loop)
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
        """Call `callback` with every message (of that event), and return it; `off(callback)` removes it.

        Also a decorator: ``@client.on``, or ``@client.on("event")``. `where`, `keys`, `limit` and `overflow`: see
        `subscribe`; refused keys are reported as what the callback raises.

        A plain function is called at once, in the turn of the loop that read the message; if it returns an awaitable,
        that is awaited in a task before the next message. A coroutine function is called in a task of its own, one
        message after the other, behind a queue of `limit` messages. What came before the client's first reader (see
        `subscribe`) it is called with from the next turn of the loop on. With `gaps`, it is called with gap markers,
        too. What it raises is reported and harms no other subscriber. If that is no `Exception`, it is removed;
        `SystemExit` and `KeyboardInterrupt` end the program, in the next turn of the loop.
        """
        self._affinity.check_process()
        wanted = None if keys == () else self._key_subscriptions().select(keys)
        options: Any = {"where": where, "limit": limit, "overflow": overflow, "gaps": gaps}

        def add(name: str | None, call: Callable[[Any], Any]) -> Callable[[], None]:
            if wanted is None:
                return self._fan_out.on(name, call, **options)
            subscriptions, reader = self._key_subscriptions(), CallbackKeys(call, self._error_reporter.report)
            leave = functools.partial(self._affinity.call_on_loop, subscriptions.remove_keys, reader)
            remove = self._fan_out.on(name, call, keys=wanted, on_end=leave, **options)
            try:
                subscriptions.add_keys(reader, wanted.keys)
            except BaseException:
                remove()
                raise
            return remove

        return self._registrations.on(event, callback, add)

    def off(self, callback: Callable[..., Any]) -> None:
        """Remove one registration of `callback` by `on()` or `on_change()`, the newest; it is not called any more.

        A coroutine that handles a message is cancelled, unless it is the caller.
        """
        self._registrations.off(callback)

    # --- state --------------------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The state of the connection."""
        return self._runner.machine.state

    @property
    def epoch(self) -> int:
        """The number of the present connection, or of the last one."""
        return self._runner.machine.epoch

    @property
    def handshake(self) -> Handshake | None:
        """The answer to the upgrade of the present connection: sub-protocol and headers; None while there is none."""
        return self._runner.handshake

    @property
    def status(self) -> Status:
        """A frozen snapshot of this moment."""
        url = None if self._options.address is not None else self._runner.url
        return take_status(url or self._shown_url, self._runner, self._fan_out, self._sender, self._outage_log)

    @property
    def recorder(self) -> FlightRecorder | None:
        """The flight recorder of the connection: ``client.recorder.write(path)``."""
        return self._options.recorder

    @property
    def stats(self) -> Stats:
        """The counters so far."""
        counts = self._options.byte_counts
        return take_stats(
            self._runner,
            self._fan_out,
            self._sender,
            self._error_reporter,
            byte_counts=counts,
            requests=self._requests,
        )

    def changes(self) -> Subscription[Change]:
        """A stream of every change of the state from this call on, in order; ends when the client is closed."""
        self._affinity.check_process()
        return self._state_watchers.stream()

    def on_change(self, callback: W) -> W:
        """Call `callback` with every change of the state, soon after it, and return it; `off(callback)` removes it."""
        return self._registrations.add(callback, self._state_watchers.on_change(callback))

    async def wait_for(self, *states: State, timeout: float | None = None) -> State:
        """Wait until the client is in one of these states, and return it.

        A state that is passed through counts, even if it's over when you run again. Raises `WaitTimeout` after
        `timeout` seconds, and `ClientClosed` when the client is closed and so can't come there any more.
        """
        self._affinity.check()
        return await self._state_watchers.wait_for(states, timeout, lambda: self.state)

    @property
    def internals(self) -> ClientInternals:
        """The parts of the client, for `onesocket.sharing`."""
        return ClientInternals(
            self._options,
            self._fan_out,
            self._sender,
            self._runner,
            self._requests,
            self._connect_reminder.watch,
            self._key_subscriptions,
            self._leave_loop,
            self._enter_loop,
        )

    def _leave_loop(self) -> TransportConnection | None:
        connection = self._runner.leave_loop()
        self._sender.leave_loop()
        self._connect_reminder.leave_loop()
        return connection

    def _enter_loop(self) -> None:
        self._runner.enter_loop()
        self._sender.enter_loop()
        self._state_watchers.enter_loop()

    def _key_subscriptions(self) -> UpstreamSubscriptions:
        if self._upstream_subscriptions is None:
            from ._upstream_subscriptions import UpstreamSubscriptions  # noqa: PLC0415 - most programs have no keys

            protocol, watch = self._options.protocol, self._fan_out.watch
            self._upstream_subscriptions = UpstreamSubscriptions(
                protocol, self._sender, watch, keeper=self._fan_out.keeper, requests=self._requests
            )
        return self._upstream_subscriptions

    def _open_outbox(self, *, lifts_disconnect: bool = False) -> None:
        if self._durable is not None:
            self._affinity.check()
            self._durable.open(lifts_disconnect=lifts_disconnect)

    def _forked(self) -> None:
        error = self._affinity.error()
        self._runner.forked()
        self._fan_out.break_off(error)
        self._state_watchers.break_off(error)
        if self._observer is not None:
            self._observer.end(self)

    def _reader_waits(self) -> None:
        if self._runner.machine.epoch == 0:
            self._connect_reminder.watch()

    def _changed(self, change: Change) -> None:
        if _log.isEnabledFor(logging.DEBUG):
            old, new = change.old.name, change.new.name
            _log.debug("%s: %s -> %s (%s, epoch %d)", self._shown_url, old, new, change.cause, change.epoch)
        if change.error is not None or self._outage_log.is_under_way:
            self._outage_log.changed(
                change,
                failures=self._runner.machine.failures,
                retry_in=self._runner.retry_in,
                has_callers=self._runner.callers > 0,
                now=self._runner.time(),
                level=logging.DEBUG if self._runner.is_restoring else logging.WARNING,
            )
        if self._options.tap is not None:
            self._options.tap.changed(change, self._runner.retry_in, self._runner.time())
        self._state_watchers.notify(change)
        if self._observer is not None:
            self._observer.changed(self, change)
        if change.new is State.CLOSED:
            self._fan_out.end()
            if self._observer is not None:
                self._observer.end(self)
