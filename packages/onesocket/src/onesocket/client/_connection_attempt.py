"""One epoch, from asking for the token to the end of its connection; made anew for each."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import itertools
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from .._task_end import end_task
from ..errors import (
    ClientClosed,
    ConnectAborted,
    DecodeError,
    OnesocketError,
    PingTimeout,
    ProtocolViolation,
    TokenFailed,
)
from ..lifecycle import _events as events
from ..lifecycle._events import Event
from ..protocols._protocol import Action, Deliver, Extend, Fail, Ready, Send, Undecodable, WakeAt
from ..protocols._rate_limiter import RateLimiter
from ..transports._transport import Transport, TransportConnection
from ..wire._handshake import Data, DialRequest, Handshake
from ._dial_request import ask_for_address, make_dial_request
from ._fan_out import FanOut
from ._frame_receivers import Publisher, frame_receivers
from ._gap import Gap, GapReason
from ._keepalive import Keepalive
from ._options import Options
from ._silence_watch import SilenceWatch
from ._token_requests import TokenRequests, TokenUnchanged
from ._user_code import USER_ERRORS, concerns_another_client, ends_task
from ._wake_timer import WakeTimer

_PROBES: Final = itertools.count(1)
"""Numbers for the payloads of probes: the PONG to an earlier PING says nothing of a later one."""
# A token source that refuses to be cancelled gets this many seconds; then the attempt ends without it.
_TOKEN_GRACE = 1.0


class AttemptPhase(enum.Enum):
    """Progress of an attempt; the value is the readable phase, and empty where the connection has a better one."""

    NEW = "waiting for its turn"
    ASKING_URL = "waiting for the URL"
    ASKING_TOKEN = "waiting for the token"  # noqa: S105 - a phase
    ABANDONED = "abandoned"
    """Given up while the program's functions were asked: nothing is dialled any more."""
    DIALLING = ""
    LOGIN = "logging in"
    READY = "ready"
    CLOSING = "closing"
    """The close was asked for, or the peer's has come, and the protocol knows."""
    OVER = "over"


class WriteEvents(Protocol):
    """Part that is told how the socket takes what is written."""

    def writable(self, now_writable: bool) -> None:  # noqa: FBT001 - an event
        """Note that the socket has taken all that was written, or takes no more for now."""


class ConnectionAttempt:
    """Everything of one epoch; it ends with exactly one `on_gone`, when nothing is left of it.

    `on_gone` gets the error, and whether the event loop itself is ending, so that no attempt can follow; `dispatch`
    gets the other events of the lifecycle.
    """

    __slots__ = (
        "_dispatch",
        "_fan_out",
        "_grace",
        "_keepalive",
        "_left",
        "_loop",
        "_on_gone",
        "_on_ready",
        "_options",
        "_phase",
        "_probe",
        "_protocol",
        "_publisher",
        "_ready_at",
        "_request",
        "_sender",
        "_silence",
        "_task",
        "_token",
        "_tokens",
        "_wake_timer",
        "connection",
        "epoch",
        "handshake",
        "has_unchanged_token",
        "may_dial",
        "outlives_loop",
        "rtt",
    )

    def __init__(
        self,
        epoch: int,
        options: Options,
        fan_out: FanOut,
        sender: WriteEvents,
        silence: SilenceWatch | None,
        *,
        publisher: Publisher,
        tokens: TokenRequests,
        dispatch: Callable[[Event], None],
        on_ready: Callable[[ConnectionAttempt, Ready], None],
        on_gone: Callable[[ConnectionAttempt, OnesocketError, bool], None],
        may_dial: Callable[[], bool] | None = None,
    ) -> None:
        self.epoch = epoch
        self.may_dial = may_dial
        """False once another process or thread may have the connection: none is dialled. None: none ever has it."""
        self.rtt: float | None = None
        """The newest round trip of a PING, in seconds."""
        self.connection: TransportConnection | None = None
        self.handshake: Handshake | None = None
        self.has_unchanged_token = False
        """The token source gave the token again that was refused before, so nothing was dialled."""
        self.outlives_loop: Callable[[], bool] | None = None
        """True if the client goes on on another event loop when this one ends; None: it doesn't."""
        self._options = options
        self._tokens = tokens
        self._protocol = options.protocol
        self._fan_out = fan_out
        self._sender = sender
        self._silence = silence
        self._publisher = publisher
        self._dispatch = dispatch
        self._on_ready = on_ready
        self._on_gone = on_gone
        self._probe: tuple[bytes, Callable[[], None]] | None = None
        """The payload of the probe that is under way, and the function to call with its PONG; None: none is."""
        self._token: str | None = None
        self._request: DialRequest | None = None
        self._keepalive: Keepalive | None = None
        self._wake_timer = WakeTimer(options.protocol, options.limiter, self._perform_safely)
        self._grace: asyncio.TimerHandle | None = None
        self._phase = AttemptPhase.NEW
        self._ready_at: float | None = None
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._left: tuple[tuple[float, AttemptPhase], ...] = ()
        """The phases of asking that are over, each with its end, until the upgrade went through."""

    def start(self) -> None:
        """Begin. A step of its own: with eager tasks, all of it may happen before this returns."""
        self._task = self._loop.create_task(self._begin(), name=f"onesocket attempt {self.epoch}")

    def __repr__(self) -> str:
        return f"<ConnectionAttempt epoch={self.epoch} {self.phase}>"

    @property
    def phase(self) -> str:
        """Readable description of the step that the attempt waits for."""
        if self.connection is not None and self._phase in (AttemptPhase.DIALLING, AttemptPhase.CLOSING):
            return self.connection.phase
        return self._phase.value

    def phase_at(self, when: float) -> str:
        """Readable description of the step at this time of the loop, whose timers run late if a function blocks it."""
        for left, phase in self._left:
            if left > when:
                return f"{phase.value} (meanwhile the event loop was blocked)"
        return self.phase

    @property
    def is_followed(self) -> bool:
        """True if another connection follows when the event loop ends."""
        return self.outlives_loop is not None and self.outlives_loop()

    @property
    def is_reading(self) -> bool:
        """True if its messages are delivered as they come."""
        return self.connection is None or self.connection.is_reading

    @property
    def pace(self) -> RateLimiter | None:
        """Keeps the pace of this connection; None: there is none."""
        return self._options.limiter

    @property
    def up_for(self) -> float:
        """Seconds since it was ready; 0 if it never was."""
        return 0.0 if self._ready_at is None else self._loop.time() - self._ready_at

    @property
    def address(self) -> str | None:
        """The URL with its secrets; None: it isn't known yet."""
        return None if self._request is None else self._request.url

    # --- called by the runner -----------------------------------------------------------------------------------------

    def start_close(self, code: int, reason: str) -> None:
        """End it in order; before the upgrade request is sent, at once."""
        if self.connection is not None:
            self._notify_closing(code)
            self.connection.close(code, reason)
        else:
            self._give_up()

    def resume_reading(self) -> None:
        """Read on."""
        if self.connection is not None:
            self.connection.resume_reading()

    def abort(self, code: int | None = None) -> None:
        """End it now."""
        if self.connection is not None:
            self.connection.abort(code)
        else:
            self._give_up()

    def set_publisher(self, publisher: Publisher) -> None:
        """Give messages to this publisher from now on."""
        self._publisher = publisher
        if self._ready_at is not None and self.connection is not None:
            self._set_receiver(self.connection)

    def probe(self, answered: Callable[[], None]) -> None:
        """Call `answered` with the PONG to a PING of this moment: all that the peer has sent before is delivered."""
        payload = b"onesocket rotates %d" % next(_PROBES)
        self._probe = payload, answered
        wait = 0.0 if self.pace is None else self.pace.book_ping(self._loop.time())
        if wait > 0:
            self._loop.call_later(wait, self._ping_probe, payload)
        else:
            self._ping_probe(payload)

    def _ping_probe(self, payload: bytes) -> None:
        if self.connection is not None:
            self.connection.ping(payload)

    def become_authoritative(self, sender: WriteEvents, silence: SilenceWatch | None) -> None:
        """Serve the sender from now on, and be watched for silence: it has taken the place of its predecessor."""
        self._sender, self._silence = sender, silence
        if silence is not None and self.connection is not None and self._phase is AttemptPhase.READY:
            silence.begin(self.connection, self._fail)

    def step_down(self, draining: WriteEvents) -> None:
        """Serve the sender no more: the successor has its place."""
        if self._silence is not None:
            self._silence.stop()
        self._sender, self._silence = draining, None

    def disown(self) -> None:
        """In a forked child: it is the parent's, so nothing is dialled, read or reported here any more."""
        self._phase = AttemptPhase.OVER
        self._stop_timers()
        self.connection = None

    def abandon(self) -> TransportConnection | None:
        """Forget the connection, whose descriptors are released: the client leaves the event loop. Returns it."""
        connection, task, abandon = self.connection, self._task, getattr(self.connection, "abandon", None)
        self.disown()
        with contextlib.suppress(*USER_ERRORS):
            self._protocol.lost(self._loop.time())
        if task is not None:
            end_task(task)
        if abandon is not None:
            abandon()
        return connection

    def _give_up(self) -> None:
        before = self._phase
        if before in (AttemptPhase.NEW, AttemptPhase.ASKING_URL, AttemptPhase.ASKING_TOKEN):
            self._phase = AttemptPhase.ABANDONED
            if self._task is not None:
                self._task.cancel()
            if before is AttemptPhase.NEW:  # a task that is cancelled before its first step never runs
                self._end(ConnectAborted("the attempt was given up before it began"))
                return
            # A token source may refuse to be cancelled. Nothing is open yet, so we need not wait for it.
            self._grace = self._loop.call_later(_TOKEN_GRACE, self._end, ConnectAborted("the attempt was given up"))

    # --- from the token to the dial -----------------------------------------------------------------------------------

    async def _begin(self) -> None:
        error: OnesocketError
        self._phase = AttemptPhase.ASKING_URL
        try:
            request = self._request = await self._ask()
            if request is not None and self._advance(AttemptPhase.ASKING_TOKEN, AttemptPhase.DIALLING):
                self.connection = self._transport().dial(request, self, self._received)
                self._task = None  # 1 KB, with its coroutine
                return
            error = ConnectAborted("the attempt was given up before anything was dialled")
        except TokenUnchanged as unchanged:
            self.has_unchanged_token = True
            error = unchanged.refusal.copy()
        except TokenFailed as failure:
            error = failure
        except USER_ERRORS as failure:
            if isinstance(failure, GeneratorExit) and ends_task(self._task, failure):
                raise  # the collector, of a loop that was closed
            error = self._dial_error(failure)
        except BaseException as failure:  # the program ends, perhaps; if the loop goes on, this attempt is over
            self._end(self._dial_error(failure))
            raise
        self._end(error, loop_ends=isinstance(error, ClientClosed))

    def _transport(self) -> Transport:
        options = self._options
        return options.transport if options.tap is None else options.tap.transport(options.transport, self.epoch)

    async def _ask(self) -> DialRequest | None:
        """Ask the program for the URL and the token; None: the attempt was given up meanwhile."""
        address = await ask_for_address(self._options)
        if not self._advance(AttemptPhase.ASKING_URL, AttemptPhase.ASKING_TOKEN):
            return None
        self._token = await self._tokens.ask()
        return make_dial_request(self._options, address, self._token)

    def _advance(self, before: AttemptPhase, after: AttemptPhase) -> bool:
        """Enter the next phase; False if the attempt was given up in the one before."""
        if self._phase is not before:
            return False
        self._left += ((self._loop.time(), before),)
        self._phase = after
        return True

    def _dial_error(self, failure: BaseException) -> OnesocketError:
        """Returns the error of an attempt that was not dialled. `ClientClosed`: the event loop is ending."""
        task = asyncio.current_task()
        if isinstance(failure, asyncio.CancelledError) and task is not None and task.cancelling():
            if self._phase is AttemptPhase.ABANDONED:
                return ConnectAborted("the attempt was given up before anything was dialled")
            return ClientClosed("the event loop is ending")
        if isinstance(failure, OnesocketError) and (failure.is_unwrapped or not concerns_another_client(failure)):
            return failure
        error = OnesocketError(f"the attempt could not be made: {type(failure).__name__}")
        error.__cause__ = failure
        return error

    # --- called by the connection -------------------------------------------------------------------------------------

    def opened(self, handshake: Handshake) -> None:
        """The upgrade went through: PINGs begin, and so does the login."""
        self.handshake = handshake
        self._left = ()
        connection = self.connection
        if connection is None:
            return
        options = self._options
        if self._phase is AttemptPhase.DIALLING:
            self._phase = AttemptPhase.LOGIN
        self._dispatch(events.Opened(self.epoch))
        if self._is_closing():
            return  # the upgrade was only awaited: the CLOSE follows, and no login
        self._wake_timer.begin(connection)
        if options.ping_interval is not None:
            self._keepalive = Keepalive(
                connection,
                interval=options.ping_interval,
                timeout=options.ping_timeout,
                on_rtt=self._set_rtt,
                on_dead=self._on_ping_timeout,
                pace=options.limiter,
            )
        self._perform_safely(lambda: self._protocol.opened(self._token, self._loop.time()))

    def pong(self, payload: bytes) -> None:
        """A PONG came."""
        if self._probe is not None and self._probe[0] == payload:
            answered, self._probe = self._probe[1], None
            answered()
        if self._keepalive is not None:
            self._keepalive.pong(payload)

    def writable(self, now_writable: bool) -> None:  # noqa: FBT001 - an event
        """The socket has taken all that was written, or takes no more for now."""
        if self._phase is not AttemptPhase.OVER:
            self._sender.writable(now_writable)

    def peer_closed(self, code: int, reason: str) -> None:
        """The peer closed it: the protocol knows what its code means. It may have echoed a secret in the reason."""
        self._stop_timers()
        self._set_closing()
        shown = self._request.scrub(reason) if self._request is not None else reason
        try:
            failure = Fail(self._protocol.closed(code, shown))
        except USER_ERRORS as error:
            self._protocol_failed(error)
        else:
            self._fail(failure, by_peer=True)  # even if it's over: the machine counts what is stale

    def violated(self, error: ProtocolViolation) -> None:
        """The peer broke the rules, and was told so."""
        self._stop_timers()
        self._notify_closing(error.code)
        self._failing(Fail(error, error.code))

    def ended(self, error: OnesocketError) -> None:
        """Nothing is left of it."""
        self._end(error, loop_ends=isinstance(error, ClientClosed))

    # --- messages -----------------------------------------------------------------------------------------------------

    def _received(self, data: Data) -> None:
        if self._is_closing() and self._ready_at is None:
            return  # given up before it was ready: its messages have no reader
        if self.connection is not None:
            self._wake_timer.message_read(self.connection)
        self._perform_safely(lambda: self._protocol.received(data, self._loop.time()), data)

    def _perform_safely(self, actions: Callable[[], Iterable[Action]], data: Data | None = None) -> None:
        try:
            for action in actions():
                self._perform(action)
        except DecodeError as error:
            self._undecodable(error if data is None else error.with_data(data))
        except USER_ERRORS as error:  # a protocol's bug must not leave the connection hanging
            self._protocol_failed(error)

    def _fail(self, failure: Fail, *, by_peer: bool = False) -> None:
        error: Any = failure.error  # of a protocol of the program, which may have forgotten its `return`
        if not isinstance(error, OnesocketError):
            self._protocol_failed(TypeError(f"a failure needs an OnesocketError, not {type(error).__name__}"))
            return
        if concerns_another_client(error):
            self._protocol_failed(error)
            return
        self._stop_timers()
        self._failing(failure, by_peer=by_peer)

    def _failing(self, failure: Fail, *, by_peer: bool = False) -> None:
        error, code, reason, dead = failure.error, failure.code, failure.reason, failure.dead
        self._dispatch(events.ConnectionFailing(self.epoch, error, code, reason, dead, self.up_for, by_peer))

    def _protocol_failed(self, error: BaseException) -> None:
        self._stop_timers()
        if isinstance(error, OnesocketError) and not concerns_another_client(error):
            self._failing(Fail(error, 1002))
            return
        failure = OnesocketError(f"the protocol {self._protocol.name} failed: {type(error).__name__}")
        failure.__cause__ = error
        self._failing(Fail(failure, 1011))

    def _perform(self, action: Action) -> None:
        connection = self.connection
        if connection is None:
            return
        match action:
            case Deliver(message):
                self._publisher.publish(message)
            case Undecodable(error, count=count):
                self._undecodable(error, count)
            case Send(data):
                self._wake_timer.sent()
                connection.send(data)
            case Ready():
                self._become_ready(connection, action)
            case WakeAt():
                self._wake_timer.set(action)
            case Extend(seconds):
                self._dispatch(events.DeadlineExtended(self.epoch, seconds))
            case Fail():
                self._fail(action)

    def _become_ready(self, connection: TransportConnection, ready: Ready) -> None:
        if self._ready_at is None:
            self._ready_at = self._loop.time()
        if self._phase is AttemptPhase.LOGIN:
            self._phase = AttemptPhase.READY
        self._set_receiver(connection)
        if self._silence is not None:
            self._silence.begin(connection, self._fail)
        self._on_ready(self, ready)

    def _set_receiver(self, connection: TransportConnection) -> None:
        receivers = frame_receivers(
            self._protocol,
            self._publisher.publish,
            self._publisher.publish_many,
            undecodable=self._undecodable,
            failed=self._protocol_failed,
            received=self._received,
        )
        if receivers is not None:
            connection.set_receiver(*receivers)

    def _notify_closing(self, code: int) -> None:
        """Tell the protocol once, and not when the peer closed first."""
        if self._set_closing():
            with contextlib.suppress(*USER_ERRORS):
                self._protocol.closing(code)

    def _set_closing(self) -> bool:
        """A close is known; False if one was before."""
        is_first = self._phase not in (AttemptPhase.CLOSING, AttemptPhase.OVER)
        if is_first:
            self._phase = AttemptPhase.CLOSING
        return is_first

    def _is_closing(self) -> bool:
        # A call, so that type checkers know that reports may have changed it.
        return self._phase is AttemptPhase.CLOSING

    def _undecodable(self, error: DecodeError, count: int | None = 1) -> None:
        self._fan_out.announce(Gap(GapReason.UNDECODABLE, self.epoch, count, error))

    def _set_rtt(self, seconds: float) -> None:
        self.rtt = seconds

    # --- timers -------------------------------------------------------------------------------------------------------

    def _on_ping_timeout(self, error: PingTimeout) -> None:
        self._stop_timers()
        # Neither 1000 nor 1001: the peer may keep the session of a connection that was not closed in order.
        self._failing(Fail(error, 4000, "no answer to PING", dead=True))

    def _stop_timers(self) -> None:
        if self._keepalive is not None:
            self._keepalive.stop()
        self._wake_timer.stop()
        if self._silence is not None:
            self._silence.stop()

    def _end(self, error: OnesocketError, *, loop_ends: bool = False) -> None:
        if self._phase is AttemptPhase.OVER or self._loop.is_closed():  # closed: the collector ends the attempt
            return
        self._stop_timers()
        if self._grace is not None:
            self._grace.cancel()
        self._phase = AttemptPhase.OVER
        self._wake_timer.release()
        self._probe = None
        self.connection = self._keepalive = None  # both refer to this attempt: no cycle is left
        with contextlib.suppress(*USER_ERRORS):
            self._protocol.lost(self._loop.time())
        self._on_gone(self, error, loop_ends)
