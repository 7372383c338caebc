"""Passes events to the machine and performs its effects; all decisions are the machine's."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

from .._forking import replace_with_null_device
from ..errors import ClientClosed, ConnectionReset, ManuallyDisconnected, OnesocketError, ServerBusy
from ..lifecycle import _effects as fx
from ..lifecycle import _events as events
from ..lifecycle._effects import Effect, Outcome
from ..lifecycle._events import Event
from ..lifecycle._guards import Initiator
from ..lifecycle._machine import Machine
from ..lifecycle._states import AfterClose, Side, State
from ..lifecycle._verdict import Verdict
from ..protocols._protocol import Ready
from ..transports._transport import TransportConnection
from ..urls import redact
from ..wire._handshake import Handshake
from ._affinity import Affinity
from ._callers import Callers
from ._connect_reminder import connect_hint
from ._connection_attempt import ConnectionAttempt, WriteEvents
from ._connection_calls import ConnectionCalls
from ._event_queue import EventQueue
from ._failure_judge import FailureJudge
from ._fan_out import FanOut
from ._frame_receivers import Publisher
from ._gap import Gap, GapReason
from ._options import Options
from ._sender import Sender
from ._silence_watch import SilenceWatch
from ._status import Change
from ._token_requests import TokenRequests
from ._token_source import renews_token

if TYPE_CHECKING:
    from ._request_tracker import RequestTracker
    from ._rotations import Rotations

_NORMAL: Final = 1000
_GOING_AWAY: Final = 1001
_RESET_GRACE: Final = 0.05
"""Seconds that the peer gets to notice the end of a connection before the client that has moved dials the next."""


class Runner:
    """The asyncio shell around one `Machine`."""

    # Of the class until a rotation begins: an instance with few attributes shares the keys of its dictionary.
    side: ConnectionAttempt | None = None
    """The side connection of a rotation."""
    _rotations: Rotations | None = None
    _side_timer: asyncio.TimerHandle | None = None
    outlives_loop: Callable[[], bool] | None = None
    """True if the client goes on on another event loop when its own ends: `leave_loop` follows. None: it doesn't."""
    may_dial: Callable[[], bool] | None = None
    """False once another process or thread may have the connection: none is dialled. None: none ever has it."""
    on_left: Callable[[], None] | None = None
    """Called when the end of the loop has closed the connection, and `leave_loop` is to follow."""
    close_code = _NORMAL
    """Code of an orderly close: another one lets the peer keep the session, for the next process that has it."""
    _gone: events.ConnectionGone | None = None
    """The end of the connection on the loop that the client leaves, until it has entered another one."""
    _ending: asyncio.Future[None] | None = None
    """Done with that end, if it's awaited."""

    def __init__(
        self,
        options: Options,
        *,
        on_change: Callable[[Change], None],
        affinity: Affinity,
        report: Callable[[BaseException, str], None],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.machine = Machine(
            open_timeout=options.open_timeout,
            close_timeout=options.close_timeout,
            reconnect=options.reconnect,
            renews_token=renews_token(options.token),
            closes_first=options.rotation is not None and options.rotation.close_first,
            ghost_seconds=options.protocol.ghost_seconds,
        )
        self.attempt: ConnectionAttempt | None = None
        self.is_shared = False
        """True for a shared connection, which `onesocket.sharing` closes: the client is no handle that is left open."""
        self.handshakes = 0
        self.on_opened: Callable[[int], None] | None = None
        """Called with the epoch of each upgrade that went through."""
        self.readied = 0
        self._has_predecessor = False
        """True if messages of an earlier connection may have been delivered: a gap stands before the next ones."""
        self._last_rtt: float | None = None
        self._last_address: str | None = None
        """The URL of the last attempt, with its secrets."""
        self.connected_at: float | None = None
        self.last_connected_at: float | None = None
        self._options = options
        self._tokens = TokenRequests(options.token)
        judge = FailureJudge(options.reconnect, self._tokens, report, self.time)
        self._events = EventQueue(self.machine, judge, affinity, self._perform)
        self._callers = Callers()
        self.calls = ConnectionCalls(self._events, self._callers, options.open_timeout)
        self._fan_out: FanOut
        self._sender: Sender
        self._silence: SilenceWatch | None
        self._requests: RequestTracker | None
        self._publisher: Publisher
        self._on_change = on_change
        self._jitter = jitter
        self._timer: asyncio.TimerHandle | None = None
        self._ended_with_loop = False
        """True if the end of the event loop closed the connection, and not the owner."""
        self._affinity = affinity

    def attach(
        self,
        fan_out: FanOut,
        sender: Sender,
        silence: SilenceWatch | None,
        requests: RequestTracker | None,
        report: Callable[[BaseException, str], None],
    ) -> None:
        """Complete the runner by the parts that are made with calls of it."""
        self._fan_out = fan_out
        self._sender = sender
        self._silence = silence
        self._requests = requests
        self._publisher = fan_out if requests is None else requests
        if silence is not None and self._options.silence_of is not None:
            self._publisher = silence
        if self._options.rotation is not None:
            from ._rotation_watch import RotationWatch  # noqa: PLC0415 - most programs have none
            from ._rotations import Rotations  # noqa: PLC0415 - most programs have none

            watch = RotationWatch(self._options, self._publisher, self._rotate, report, self._jitter)
            self._publisher = watch.publisher
            self._rotations = Rotations(
                self._options,
                sender,
                silence=silence,
                requests=requests,
                watch=watch,
                dispatch=self.dispatch,
                report=report,
            )

    def __repr__(self) -> str:
        machine = self.machine
        return f"<Runner {machine.state.name} epoch={machine.epoch} callers={self.callers} attempt={self.attempt!r}>"

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that the client belongs to: the first that used it. Raises as `Affinity.check`."""
        return self._affinity.check()

    @property
    def is_left_open(self) -> bool:
        """The owner has neither closed nor disconnected a client that has, or was to have, a connection."""
        machine = self.machine
        is_up = machine.live_epoch is not None or machine.state is State.BACKING_OFF
        return not self.is_shared and not self._affinity.is_inherited and (self._ended_with_loop or is_up)

    @property
    def is_restoring(self) -> bool:
        """True while a connection is resumed that another process had: that is logged where it was lost."""
        return self.readied == 0 and self.machine.initiator is Initiator.RESUME

    def descriptors(self) -> list[int]:
        """The file descriptors of the connection; usable also while the loop isn't running."""
        # Connections keep these to themselves, rightly: this looks behind the back of one whose loop is dead.
        found: list[int] = []
        for attempt in (self.attempt, self.side):
            dialler: Any = getattr(getattr(attempt, "connection", None), "_dialler", None)
            descriptors: Callable[[], list[int]] | None = getattr(dialler, "descriptors", None)
            found += [] if descriptors is None else descriptors()
        return found

    def forked(self) -> None:
        """In a forked child: the connection is the parent's, so nothing more is done about it here."""
        for attempt in (self.attempt, self.side):
            if attempt is not None:
                attempt.disown()
        self.attempt = self.side = None
        self._set_timer(None)
        self._set_timer(None, is_side=True)

    def time(self) -> float:
        """The loop's clock, from anywhere."""
        return self._affinity.loop.time() if self._affinity.loop is not None else 0.0

    @property
    def rtt(self) -> float | None:
        """The newest measured round trip of a PING, in seconds."""
        attempt = self.attempt  # read once: metrics are collected in any thread
        rtt = None if attempt is None else attempt.rtt
        return self._last_rtt if rtt is None else rtt

    @property
    def url(self) -> str | None:
        """The URL of the present attempt or connection, or of the last one, without its secrets; None: unknown."""
        attempt = self.attempt
        address = self._last_address if attempt is None else attempt.address
        return None if address is None else redact(address)

    @property
    def handshake(self) -> Handshake | None:
        """The answer to the upgrade of the present connection; None: there is none yet, or no connection."""
        attempt = self.attempt
        return None if attempt is None else attempt.handshake

    @property
    def callers(self) -> int:
        """Number of `connect()` calls that wait."""
        return len(self._callers)

    @property
    def outcomes(self) -> Mapping[Outcome, int]:
        """Number of calls that had each outcome."""
        return self._callers.outcomes

    def refusal(self) -> OnesocketError | None:
        """The error for a message that can't be accepted, as the owner has stopped the client; else None."""
        state, after_close = self.machine.state, self.machine.after_close
        if state is State.CLOSED or after_close is AfterClose.CLOSE:
            return ClientClosed()
        if state is State.STOPPED or after_close is AfterClose.STOP:
            return ManuallyDisconnected()
        return None

    def connect_hint(self) -> str:
        """Advice for a caller that waits for a connection that nothing will bring up; empty while something may."""
        return connect_hint(self.machine.state, self.machine.epoch, self.machine.error)

    # --- events -------------------------------------------------------------------------------------------------------

    def dispatch(self, event: Event) -> None:
        """Pass one event to the machine and perform its effects, after those of earlier events."""
        if isinstance(event, events.Opened) and not self._affinity.is_inherited:
            self.handshakes += 1
            if self.on_opened is not None:
                self.on_opened(event.epoch)
        self._events.dispatch(event)

    def _perform(self, effect: Effect) -> None:
        self._performers[type(effect)](self, effect)

    def _dial(self, effect: fx.Dial) -> None:
        # Also an attempt that was given up may have brought messages: a greeting that came with the upgrade.
        self._has_predecessor = self.readied > 0 or self._fan_out.delivered > 0
        self._tokens.wants_another = self.machine.refusals > 0  # a new call begins a new count
        self._sender.set_pace(self._options.limiter)
        self.attempt = self._make_attempt(effect.epoch, self._options, self._publisher, self._sender, self._silence)
        self.attempt.outlives_loop = self.outlives_loop
        self.attempt.start()

    def _close_connection(self, effect: fx.CloseConnection) -> None:
        if (attempt := self._attempt_of(effect.epoch)) is not None:
            attempt.start_close(self.close_code if effect.code == _NORMAL else effect.code, effect.reason)

    def _abort(self, effect: fx.Abort) -> None:
        if (attempt := self._attempt_of(effect.epoch)) is not None:
            attempt.abort(effect.code)

    def _report_refused_token(self, effect: fx.ReportRefusedToken) -> None:
        self._tokens.refused(effect.error)

    def _resolve_callers(self, _effect: fx.ResolveCallers) -> None:
        self._callers.resolve()

    def _reject_callers(self, effect: fx.RejectCallers) -> None:
        self._callers.reject(effect.error, spares_retrying=effect.spares_retrying)

    def _release_closers(self, _effect: fx.ReleaseClosers) -> None:
        self._callers.release_closers()

    def _start_timer(self, effect: fx.SetTimer) -> None:
        timer = self.loop.call_at(effect.at, self._on_timer, effect.kind, effect.epoch, effect.at)
        self._set_timer(timer, is_side=effect.is_side)

    def _cancel_timer(self, effect: fx.CancelTimer) -> None:
        self._set_timer(None, is_side=effect.is_side)

    def _answer_nobody(self, effect: Effect) -> None:
        """Do nothing: no caller waits, as the event is the shell's own."""

    def _make_attempt(
        self,
        epoch: int,
        options: Options,
        publisher: Publisher,
        sender: WriteEvents,
        silence: SilenceWatch | None,
    ) -> ConnectionAttempt:
        return ConnectionAttempt(
            epoch,
            options,
            self._fan_out,
            sender,
            silence,
            tokens=self._tokens,
            publisher=publisher,
            dispatch=self.dispatch,
            on_ready=self._on_ready,
            on_gone=self._on_gone,
            may_dial=self.may_dial,
        )

    def _attempt_of(self, epoch: int) -> ConnectionAttempt | None:
        attempt = self.attempt
        if attempt is None or attempt.epoch != epoch:
            attempt = self.side
        return attempt if attempt is not None and attempt.epoch == epoch else None

    def _set_timer(self, timer: asyncio.TimerHandle | None, *, is_side: bool = False) -> None:
        before = self._side_timer if is_side else self._timer
        if before is not None:
            before.cancel()
        if is_side:
            self._side_timer = timer
        else:
            self._timer = timer

    def _on_timer(self, kind: events.TimerKind, epoch: int, due: float) -> None:
        attempt = self._attempt_of(epoch)
        detail = attempt.phase_at(due) if attempt is not None else ""
        self.dispatch(events.TimerFired(epoch, kind, detail))

    @property
    def retry_in(self) -> float | None:
        """Seconds until the next attempt; None: none is due."""
        retry_at = self.machine.retry_at
        return None if retry_at is None else max(0.0, retry_at - self.time())

    # --- rotations ----------------------------------------------------------------------------------------------------

    def _rotate(self) -> None:
        """Begin a rotation by age or announcement."""
        if self._affinity.is_inherited or self._rotations is None:
            return
        if self.machine.state is not State.CONNECTED or self._rotations.defer():
            return
        try:
            self.calls.tell(events.Rotate(wait=False))
        except ServerBusy as early:
            self._rotations.watch.rotate_after(early.retry_after or 0.0)

    def _dial_successor(self, effect: fx.DialSuccessor) -> None:
        if self._rotations is None or self.attempt is None:
            raise TypeError("a rotation without the option, or without a connection")
        options, publisher = self._rotations.begin(self.attempt)
        self.side = self._make_attempt(effect.epoch, options, publisher, self._rotations, None)
        self.side.start()

    def _take_over(self, _effect: fx.TakeOver) -> None:
        self.attempt, self.side = self.side, self.attempt
        if self.machine.state is State.CLOSING or self._rotations is None or self.attempt is None:
            return  # what is left is being closed
        self._has_predecessor = True
        self._rotations.take_over(self.attempt, self.side)
        if self.machine.state is State.CONNECTED:
            self._events.then(self._promoted)
        elif (ready := self._rotations.get_ready(self.attempt)) is not None:
            self.loop.call_soon(self._on_ready, self.attempt, ready)

    def _promoted(self) -> None:
        """A successor has taken over: nothing is missing, so there is no gap."""
        attempt, rotations = self.attempt, self._rotations
        if attempt is None or rotations is None:
            return
        self._tokens.accepted()
        now = self.connected_at = self.last_connected_at = time.time()
        self.readied += 1
        self._fan_out.ready(attempt.epoch)
        rotations.attach(attempt)
        rotations.switch(attempt, has_predecessor=self.side is not None, is_seamless=True)
        if self._fan_out.is_held and attempt.connection is not None:
            attempt.connection.pause_reading()
        connected = State.CONNECTED
        self._on_change(Change(now, connected, connected, attempt.epoch, events.ProtocolReady.__name__, None))

    def _look_at_rotation(self) -> None:
        error = self.machine.rotation_error
        is_up = self.machine.state is State.CONNECTED
        if self._rotations is not None and error is not None and is_up and self.side is None:
            self._rotations.failed(error, self._options.shown_url)

    def _changed(self, change: fx.StateChanged) -> None:
        after_close = self.machine.after_close
        if change.old is State.CONNECTED:
            self.connected_at = None
            if self._rotations is not None:
                self._rotations.watch.stop()
            # A sound connection that we close ourselves takes along what still waits for the socket.
            ours = after_close in (AfterClose.STOP, AfterClose.CLOSE, AfterClose.NEW_ATTEMPT)
            self._sender.connection_closing(drain=ours)
        refusal = self.refusal()
        if refusal is not None:
            self._sender.reject_waiting(refusal)
        if change.old is State.FAILED:
            self._fan_out.forget_failure()
        # The failure of a first connect is raised in its callers; readers made before go on waiting.
        if change.new is State.FAILED and change.error is not None and (self.readied or not self._callers):
            self._fan_out.fail(change.error)
        self._callers.on_change()
        self._on_change(Change(time.time(), change.old, change.new, change.epoch, change.cause, change.error))

    _performers: ClassVar[dict[type[Effect], Callable[[Runner, Any], None]]] = {
        fx.StateChanged: _changed,
        fx.Dial: _dial,
        fx.DialSuccessor: _dial_successor,
        fx.TakeOver: _take_over,
        fx.CloseConnection: _close_connection,
        fx.Abort: _abort,
        fx.ReportRefusedToken: _report_refused_token,
        fx.ResolveCallers: _resolve_callers,
        fx.RejectCallers: _reject_callers,
        fx.ReleaseClosers: _release_closers,
        fx.SetTimer: _start_timer,
        fx.CancelTimer: _cancel_timer,
        fx.ReturnAtOnce: _answer_nobody,
        fx.AwaitEnd: _answer_nobody,
    }
    """The functions that perform the effects; the other effects are answers to calls, which `ConnectionCalls` takes."""

    # --- reports of the attempt ---------------------------------------------------------------------------------------

    def _on_ready(self, attempt: ConnectionAttempt, ready: Ready) -> None:
        """The login went through."""
        rotations = self._rotations
        if rotations is not None and attempt is self.side and self.attempt is not None:
            if self.machine.side is Side.OPENING:
                rotations.logged_in(attempt, ready, self.attempt)
            return
        if attempt.epoch != self.machine.live_epoch or self.machine.state is not State.CONNECTING:
            self.dispatch(events.ProtocolReady(attempt.epoch))
            return
        loss = self.machine.error
        self._tokens.accepted()
        self.connected_at = self.last_connected_at = time.time()
        self.dispatch(events.ProtocolReady(attempt.epoch))
        self.readied += 1
        self._fan_out.ready(attempt.epoch)
        if self._has_predecessor and not ready.resumed:
            with self._sender.prioritized():
                self._fan_out.announce(Gap(GapReason.RECONNECTED, attempt.epoch, error=loss))
        if rotations is not None:
            rotations.switch(attempt, has_predecessor=self.side is not None, is_seamless=False)
        # A watcher that was told just now may have closed it already.
        if (
            attempt.connection is not None
            and self.machine.live_epoch == attempt.epoch
            and self.machine.after_close is None
        ):
            if self._fan_out.is_held:
                attempt.connection.pause_reading()
            if rotations is None or not rotations.attach(attempt):
                self._sender.connection_ready(attempt.connection, ready.first)

    def _on_gone(self, attempt: ConnectionAttempt, error: OnesocketError, loop_ends: bool) -> None:  # noqa: FBT001 - an event
        """Nothing is left of the connection."""
        if self.attempt is attempt:
            self._forget_attempt(attempt)
        was_side = self.side is attempt
        if was_side:
            self.side = None
        if self._rotations is not None:
            self._rotations.gone(attempt, self.attempt, self.side)
        if self._ending is not None or (loop_ends and attempt.is_followed):
            self._gone = self._end_of(attempt)
            if self._ending is None:
                if self.on_left is not None:
                    self.on_left()
            elif not self._ending.done():
                self._ending.set_result(None)
            return
        if loop_ends:
            self._ended_with_loop = self.refusal() is None
            self.dispatch(events.Close())  # no further attempt
        verdict = Verdict.NEW_TOKEN if attempt.has_unchanged_token else None
        self.dispatch(events.ConnectionGone(attempt.epoch, error, self._jitter(), attempt.up_for, verdict))
        if was_side and not loop_ends:
            self.loop.call_soon(self._look_at_rotation)

    def _forget_attempt(self, attempt: ConnectionAttempt) -> None:
        self._last_rtt = self.rtt
        self._last_address = attempt.address
        self.attempt = None
        self._sender.connection_ended()
        if self._requests is not None:
            self._requests.connection_ended()

    # --- another event loop -------------------------------------------------------------------------------------------

    async def end_in_order(self) -> None:
        """Close the connection in order, within `close_timeout`; the machine is told when the client has moved."""
        attempt = self.attempt
        if attempt is not None:
            if self._ending is None:
                self._ending = self.loop.create_future()
                attempt.start_close(_GOING_AWAY, "")
            await asyncio.wait((self._ending,), timeout=self._options.close_timeout)

    def abort(self) -> None:
        """Abort the connection, and the successor of a rotation, without waiting for an answer."""
        for attempt in (self.attempt, self.side):
            if attempt is not None:
                attempt.abort()

    def end_with_loop(self) -> None:
        """Close the client whose connection has ended with the loop: `leave_loop` doesn't follow."""
        gone, self._gone = self._gone, None
        if gone is not None:
            self.dispatch(events.Close())
            self.dispatch(gone)

    def leave_loop(self) -> TransportConnection | None:
        """Give up the event loop, which is ending, has stopped or is closed; `enter_loop` follows on another one.

        A connection that is left is reset. From another thread, it is returned, for `abort()` if the loop goes on.
        """
        attempt = self.attempt
        connection: TransportConnection | None = None
        if attempt is not None:
            self._gone = self._end_of(attempt)
            if self._affinity.is_here:
                if attempt.connection is not None:
                    attempt.connection.abort()
                attempt.abandon()
            else:
                replace_with_null_device(self.descriptors())
                connection = attempt.abandon()
            self._forget_attempt(attempt)
        self._ending = None
        self._set_timer(None)
        return connection

    def enter_loop(self) -> None:
        """Belong to the running loop, and go on as after a loss: the next connection is dialled soon."""
        loop = self._affinity.loop = asyncio.get_running_loop()
        self.outlives_loop = self.on_left = None  # it moves once
        machine = self.machine
        if machine.timer is not None:
            kind, epoch = machine.timer
            self._set_timer(loop.call_at(machine.timer_at, self._on_timer, kind, epoch, machine.timer_at))
        for caller in self._callers.abandon():  # they call anew
            self.dispatch(events.CallerCancelled(caller.retries))
        gone, self._gone = self._gone, None
        if gone is not None:
            loop.call_later(_RESET_GRACE, self._resume, gone)

    def _resume(self, gone: events.ConnectionGone) -> None:
        if self.machine.state is State.CONNECTED and self._options.reconnect is None:
            self.calls.request_nowait(events.Reconnect(wait=False))  # as this is no loss
        self.dispatch(gone)
        if self.machine.state is State.BACKING_OFF:
            with contextlib.suppress(ServerBusy):
                self.calls.request_nowait(events.Connect(wait=False))

    def _end_of(self, attempt: ConnectionAttempt) -> events.ConnectionGone:
        error = ConnectionReset("the event loop that the connection lived on has ended: it moves to another one")
        return events.ConnectionGone(attempt.epoch, error, self._jitter(), attempt.up_for)

    # --- back-pressure ------------------------------------------------------------------------------------------------

    def hold(self) -> None:
        """A subscriber with the rule `wait` is full: stop reading."""
        if self.machine.state is State.CONNECTED and self.attempt is not None and self.attempt.connection is not None:
            self.attempt.connection.pause_reading()

    def release(self) -> None:
        """No subscriber with the rule `wait` is full any more: read on."""
        if self.attempt is not None:
            self.attempt.resume_reading()
