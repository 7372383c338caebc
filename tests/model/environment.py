"""The world around one machine: what can happen next, and what must hold after each step, promise by promise.

It acts as the shell and the network, keeps its own state from the effects alone, and never looks into the table.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field, replace
from typing import Self

from onesocket.errors import (
    ClientClosed,
    ClosedByPeer,
    ConnectAborted,
    ConnectionReset,
    HandshakeRejected,
    OnesocketError,
    OpenTimeout,
    RetriesExhausted,
    ServerBusy,
)
from onesocket.lifecycle import _effects as fx
from onesocket.lifecycle import _guards
from onesocket.lifecycle._effects import Effect
from onesocket.lifecycle._events import (
    CONNECTION_EVENTS,
    CallerCancelled,
    Close,
    Connect,
    ConnectionFailing,
    ConnectionGone,
    DeadlineExtended,
    Disconnect,
    Event,
    Opened,
    ProtocolReady,
    Reconnect,
    Rotate,
    TimerFired,
    TimerKind,
)
from onesocket.lifecycle._guards import Initiator
from onesocket.lifecycle._machine import Machine
from onesocket.lifecycle._peer_errors import MIN_UPTIME, closed_by_peer
from onesocket.lifecycle._retry import ReconnectPolicy
from onesocket.lifecycle._side_data import GHOST_SECONDS
from onesocket.lifecycle._states import AfterClose, Side, State
from onesocket.lifecycle._verdict import Verdict

OPEN_TIMEOUT = 10.0
CLOSE_TIMEOUT = 5.0
EXTENSION = 3.0

LOST = ConnectionReset("lost")
FATAL = ClosedByPeer("policy violation", code=1008, reason="", retryable=False)
BUSY = ServerBusy("no place")
POLICY = closed_by_peer(1008)
LIMIT = closed_by_peer(1008, "connection limit exceeded")
NAMED = HandshakeRejected("not now", status=503, retryable=True, retry_after=2.0)
NAMED_LATE = HandshakeRejected("not now", status=503, retryable=True, retry_after=5.0)
"""... which is still to come after some calls: each takes a second."""
TOKEN = HandshakeRejected("unauthorized", status=401, retryable=False)

CONNECT_EVENTS = (Connect(), Connect(wait=False), Reconnect(), Reconnect(wait=False))
RETRYING_EVENTS = (Connect(retry=True), Connect(wait=False, retry=True), Reconnect(retry=True))
ROTATING_EVENTS = (Connect(), Reconnect(), Rotate(), Rotate(wait=False))
STOP_EVENTS = (Disconnect(), Close())
CALLER_EFFECTS = (fx.ReturnOutcome, fx.RaiseError, fx.AwaitOutcome, fx.ReturnAtOnce, fx.AwaitEnd)
AT_REST = (State.DISCONNECTED, State.FAILED, State.STOPPED, State.CLOSED)


@dataclass(frozen=True)
class Scenario:
    """One client's options, and what may happen to it."""

    policy: ReconnectPolicy | None = None
    errors: tuple[OnesocketError, ...] = (LOST, FATAL, BUSY, POLICY)
    calls: tuple[Connect | Reconnect, ...] = CONNECT_EVENTS
    renews_token: bool = False
    closes_first: bool = False
    verdicts: tuple[Verdict | None, ...] = (None,)
    """Verdicts of the policy's hook."""
    jitters: tuple[float, ...] = (0.5,)
    max_callers: int = 2
    max_failures: int = 3


@dataclass(frozen=True)
class SideSocket:
    """The connection beside the authoritative one."""

    epoch: int
    phase: str = "dialled"
    close_sent: bool = False
    aborted: bool = False
    counted: bool = False
    timer: TimerKind | None = None
    timer_at: float = 0.0


@dataclass
class Environment:
    """One machine and everybody who deals with it."""

    machine: Machine
    scenario: Scenario = field(default_factory=Scenario)
    now: float = 0.0
    connection: str | None = None
    """Phase of the authoritative connection: dialled, opened, ready, or None."""
    epoch: int = 0
    """... and its epoch, or that of the last one."""
    last_epoch: int = 0
    """The newest epoch."""
    side: SideSocket | None = None
    side_failure: OnesocketError | None = None
    """The error with which the last successor failed."""
    close_sent: bool = False
    aborted: bool = False
    waiting_callers: int = 0
    """Callers that wait for an outcome."""
    retrying_callers: int = 0
    """Number of those among them that wait through failures."""
    not_before: float = 0.0
    """The time that the server has named for the next attempt."""
    refusals: int = 0
    """Refusals of the token in a row."""
    counted: bool = False
    """The connection is being closed by its own side."""
    ghost_until: float = 0.0
    """The server may still count a connection that we have closed."""
    meets_ghost: bool = False
    """... and has refused the last attempt because of that."""
    leavers: int = 0
    """Callers that wait until the connection is gone."""
    timer: tuple[TimerKind, int] | None = None
    timer_at: float = 0.0
    fired_timers: frozenset[TimerKind] = frozenset()
    """The kinds of timer that this epoch has had."""
    stopped: bool = False
    closed: bool = False
    resuming: bool = False
    """An established connection was lost (or a first connect is retried, and no caller waits for it), a retry can help,
    and no call has ended it."""
    failure: OnesocketError | None = None
    """The error with which the attempt failed."""

    @classmethod
    def new(cls, scenario: Scenario) -> Self:
        machine = Machine(
            open_timeout=OPEN_TIMEOUT,
            close_timeout=CLOSE_TIMEOUT,
            reconnect=scenario.policy,
            renews_token=scenario.renews_token,
            closes_first=scenario.closes_first,
        )
        return cls(machine, scenario)

    def copy(self) -> Self:
        twin = copy.copy(self)
        twin.machine = self.machine.copy()
        return twin

    def key(self) -> Hashable:
        """Two worlds with the same key have the same future, but for epoch numbers and times."""
        return (
            self.machine.state_key(self.now + 1),
            self.connection,
            self.close_sent,
            self.aborted,
            self.waiting_callers,
            self.retrying_callers,
            self.refusals,
            self.leavers,
            self.timer and self.timer[0],
            self.fired_timers,
            self.stopped,
            self.closed,
            self.resuming,
            type(self.failure),
            self.side
            and (self.side.phase, self.side.close_sent, self.side.aborted, self.side.counted, self.side.timer),
            self.side and type(self.side_failure),
        )

    # --- what can happen --------------------------------------------------------------------------------------------

    def from_users(self) -> Iterator[Event]:
        for call in self.scenario.calls:
            if not call.wait or self.waiting_callers < self.scenario.max_callers:
                yield call
        if self.waiting_callers > self.retrying_callers:
            yield CallerCancelled()
        if self.retrying_callers:
            yield CallerCancelled(retries=True)
        yield from STOP_EVENTS

    def from_side(self) -> Iterator[Event]:
        side = self.side
        if side is None:
            return
        if side.phase == "dialled":
            yield Opened(side.epoch)
        else:
            yield DeadlineExtended(side.epoch, EXTENSION)
            yield ProtocolReady(side.epoch)
        for error in self.scenario.errors:
            yield ConnectionFailing(side.epoch, error, 1002, "told", by_peer=error is LIMIT)
            yield ConnectionFailing(side.epoch, error, 4000, "told", dead=True)
            yield ConnectionGone(side.epoch, error, 0.5)
        if side.timer is not None:
            yield TimerFired(side.epoch, side.timer, "logging in")

    def from_connection_and_clock(self) -> Iterator[Event]:
        yield from self.from_side()
        epoch = self.epoch
        if self.connection == "dialled":
            yield Opened(epoch)
        elif self.connection is not None:
            yield DeadlineExtended(epoch, EXTENSION)
            yield ProtocolReady(epoch)
        if self.connection is not None:
            for error in self.scenario.errors:
                yield ConnectionFailing(epoch, error, 1002, "told")
                yield ConnectionFailing(epoch, error, 4000, "told", dead=True)
                for jitter in self.scenario.jitters:
                    yield ConnectionGone(epoch, error, jitter)
                if error is TOKEN:
                    yield ConnectionGone(epoch, error, is_fresh_token=False)
                if error is LIMIT:
                    yield ConnectionFailing(epoch, error, by_peer=True)
                for given in filter(None, self.scenario.verdicts):
                    yield ConnectionGone(epoch, error, verdict=given)
            if self.connection == "ready" and POLICY in self.scenario.errors:
                yield ConnectionFailing(epoch, POLICY, 1002, "told", up_for=MIN_UPTIME)
                yield ConnectionGone(epoch, POLICY, 0.5, up_for=MIN_UPTIME)
        if self.timer is not None:
            for verdict in self.scenario.verdicts:
                yield TimerFired(self.timer[1], self.timer[0], "logging in", verdict)

    def from_the_past(self) -> Iterator[Event]:
        """Late events, and a few from a future that never was."""
        live = {self.epoch if self.connection is not None else None, self.side and self.side.epoch}
        for epoch in {0, self.last_epoch - 1, self.last_epoch, self.last_epoch + 1} - live:
            yield Opened(epoch)
            yield DeadlineExtended(epoch, EXTENSION)
            yield ProtocolReady(epoch)
            yield ConnectionFailing(epoch, FATAL, dead=True)
            yield ConnectionGone(epoch, FATAL)
        for kind in TimerKind:
            for epoch in (self.last_epoch - 1, self.last_epoch):
                if (kind, epoch) not in (self.timer, self.side and (self.side.timer, self.side.epoch)):
                    yield TimerFired(epoch, kind)

    # --- one step ---------------------------------------------------------------------------------------------------

    def step(self, event: Event) -> tuple[Effect, ...]:
        """Let it happen, perform the effects, and check every promise. `IllegalEvent` is never right here."""
        machine = self.machine
        old, failures, after_close, error = machine.state, machine.failures, machine.after_close, machine.error
        of_side, side = self._is_of_side(event), self.side
        sound = self.connection == "ready" and not self.close_sent and not self.aborted
        rang_at = self.side.timer_at if of_side and self.side is not None else self.timer_at
        self.now = rang_at if isinstance(event, TimerFired) else self.now + 1
        if of_side:
            self._happen_to_side(event)
        else:
            self._happen(event, old)
        effects = machine.handle(event, self.now)
        for effect in effects:
            self._perform(effect, event)
        self._check_answer(event, effects, old, after_close, side)
        if of_side and isinstance(event, ConnectionGone) and sound and self.close_sent:
            assert self.scenario.closes_first, "a refusal of the successor harms the connection"
            assert event.error is LIMIT or self.side_failure is LIMIT
            self.resuming = True
        elif of_side and not isinstance(event, ProtocolReady) and sound:
            assert machine.state is State.CONNECTED, "a refusal of the successor harms the connection"
            assert not self.close_sent
            assert not self.aborted
        if machine.failures < failures:
            proved = isinstance(event, TimerFired) and event.kind is TimerKind.STABLE
            assert proved or isinstance(event, Connect | Reconnect), "only a connection that proved itself is forgiven"
        changes = [effect for effect in effects if isinstance(effect, fx.StateChanged)]
        if old is machine.state:
            assert not changes
        else:
            change = fx.StateChanged(old, machine.state, machine.epoch, type(event).__name__, machine.error)
            assert changes == [change]
            assert effects[0] is changes[0], "watchers get the change before its consequences"
        if machine.failures == 0:
            self.refusals = 0
        if isinstance(machine.error, RetriesExhausted) and machine.error is not error:
            self.resuming = False
        if LIMIT not in self.scenario.errors:
            machine.ghost_until = self.ghost_until = 0.0  # no limit is met: it's without consequence
        calls_on = isinstance(event, Connect | Reconnect) and not event.wait and event.retry is True
        if calls_on and any(isinstance(effect, fx.AwaitOutcome) for effect in effects):
            self.resuming = True
        self.check()
        return effects

    def _is_of_side(self, event: Event) -> bool:
        side = self.side
        if side is None or not isinstance(event, (*CONNECTION_EVENTS, TimerFired)):
            return False
        return event.epoch == side.epoch

    def _happen_to_side(self, event: Event) -> None:
        side = self.side
        assert side is not None
        match event:
            case Opened():
                self.side = replace(side, phase="opened", counted=True)
            case ProtocolReady():
                self.side = replace(side, phase="ready")
            case TimerFired():
                self.side = replace(side, timer=None)
                if not side.close_sent and not side.aborted:
                    self.side_failure = OpenTimeout("timed out")
            case ConnectionFailing() if not side.close_sent and not side.aborted:
                self.side_failure = event.error
                self._note_date(event.error)
            case ConnectionGone():
                if not side.close_sent and not side.aborted:
                    self.side_failure = event.error
                if side.counted:
                    self.ghost_until = self.now + GHOST_SECONDS
                self._note_date(event.error)
                if event.error.retry_after is not None and self.machine.after_close not in (
                    None,
                    AfterClose.BACK_OFF,
                    AfterClose.FAIL,
                ):
                    self.failure = event.error
                self.side = None
            case _:
                pass

    def _note_date(self, error: OnesocketError) -> None:
        if error.retry_after is not None:
            self.not_before = self.now + error.retry_after

    def _happen(self, event: Event, state: State) -> None:  # noqa: PLR0912 - one case for each input
        lost_now = state is State.CONNECTED and isinstance(event, ConnectionFailing | ConnectionGone)
        match event:
            case Opened():
                self.connection, self.counted = "opened", True
            case ProtocolReady():
                self.connection = "ready"
                if state is State.CONNECTING:
                    self.resuming = False
                    self.not_before = 0.0
            case ConnectionGone():
                self.connection = None
                if self.counted:
                    self.ghost_until = self.now + GHOST_SECONDS
            case TimerFired():
                self.timer = None
            case CallerCancelled():
                self.waiting_callers -= 1
                self.retrying_callers -= event.retries
            case Reconnect() if not self.closed:
                self.stopped = False
                # The owner gave up the old connection and took a new attempt on himself.
                if state is State.CONNECTED and self.now >= self.not_before:
                    self.resuming = False
            case Disconnect() if not self.closed:
                self.stopped, self.resuming = True, False
            case Close():
                self.closed, self.resuming = True, False
            case _:
                pass
        if isinstance(event, ConnectionFailing | ConnectionGone) and state in (State.CONNECTING, State.CONNECTED):
            self.failure = event.error
            if event.error.retry_after is not None:
                self.not_before = self.now + event.error.retry_after
            if lost_now and self.machine.reconnect is not None:
                self.resuming = True
            was_up = self.machine.initiator is Initiator.RESUME or event.up_for >= MIN_UPTIME
            if not self._may_pass(event, was_up=was_up, lost_now=lost_now):
                self.resuming = False
            if lost_now and isinstance(event, ConnectionFailing) and event.up_for >= MIN_UPTIME:
                self.ghost_until = 0.0
            self.meets_ghost = event.error is LIMIT and self.now < self.ghost_until
        if state is State.CLOSING and isinstance(event, ConnectionGone) and event.error.retry_after is not None:
            self.not_before = self.now + event.error.retry_after
            if self.machine.after_close not in (AfterClose.BACK_OFF, AfterClose.FAIL):
                self.failure = event.error
        if isinstance(event, TimerFired) and state is State.CONNECTING:
            self.meets_ghost = False
            if event.verdict is Verdict.FAIL:
                self.resuming = False

    def _may_pass(self, event: ConnectionFailing | ConnectionGone, *, was_up: bool, lost_now: bool) -> bool:
        """Another attempt can help after this failure; counts the refusals of the token."""
        if event.verdict is not None and event.verdict is not Verdict.NEW_TOKEN:
            return event.verdict is not Verdict.FAIL
        if event.error is TOKEN and self.scenario.renews_token:
            again = self.refusals > 0 and event.is_fresh_token
            passes = not again and self.refusals < _guards.MAX_TOKEN_REQUESTS
            self.refusals += passes
            return passes
        if lost_now:
            self.refusals = 0
        return event.error.retryable or (event.error is POLICY and was_up)

    def _perform(self, effect: Effect, event: Event) -> None:  # noqa: PLR0912 - one case for each effect
        match effect:
            case fx.Dial(epoch):
                self._dial(epoch)
            case fx.DialSuccessor(epoch):
                self._dial_successor(epoch)
            case fx.TakeOver(epoch):
                self._take_over(epoch, event)
            case fx.CloseConnection(epoch, code, reason):
                own = isinstance(event, ConnectionFailing) and event.epoch == epoch
                wanted = (event.code, event.reason) if isinstance(event, ConnectionFailing) and own else (1000, "")
                assert (code, reason) == wanted
                refused = isinstance(event, ConnectionFailing) and own and (event.by_peer or event.error is LIMIT)
                if self.side is not None and epoch == self.side.epoch:
                    assert not self.side.close_sent, "one close is enough"
                    self.side = replace(self.side, close_sent=True, counted=self.side.counted and not refused)
                    return
                assert (self.connection is not None, epoch) == (True, self.epoch), "closed no connection"
                assert not self.close_sent, "one close is enough"
                self.close_sent, self.counted = True, self.counted and not refused
            case fx.Abort(epoch, code) if self.side is not None and epoch == self.side.epoch:
                dead = isinstance(event, ConnectionFailing) and event.dead
                assert isinstance(event, TimerFired) or dead, "never closes before it is established"
                assert code == (event.code if isinstance(event, ConnectionFailing) else None)
                self.side = replace(self.side, aborted=True)
            case fx.Abort(epoch, code):
                assert (self.connection is not None, epoch) == (True, self.epoch), "aborted no connection"
                dead = isinstance(event, ConnectionFailing) and event.dead
                assert isinstance(event, TimerFired) or dead, "never closes before it is established"
                assert code == (event.code if isinstance(event, ConnectionFailing) else None)
                self.aborted = True
            case fx.SetTimer(is_side=True):
                self._set_side_timer(effect, event)
            case fx.CancelTimer(is_side=True):
                self.side = self.side and replace(self.side, timer=None)
            case fx.SetTimer():
                self._set_timer(effect, event)
            case fx.CancelTimer():
                self.timer = None
            case fx.ResolveCallers():
                assert self.waiting_callers, "no caller to resolve"
                assert self.connection == "ready"
                assert isinstance(event, ProtocolReady) or (isinstance(event, ConnectionGone) and self.side is None)
                self.waiting_callers = self.retrying_callers = 0
            case fx.RejectCallers(error, spares_retrying):
                self._reject(error, event, spares_retrying=spares_retrying)
            case fx.ReleaseClosers():
                assert isinstance(event, ConnectionGone), "no caller is told of an end that has not come"
                assert self.side is None
                self.leavers = 0
            case fx.AwaitOutcome():
                if isinstance(event, Connect | Reconnect) and event.wait:
                    self.waiting_callers += 1
                    self.retrying_callers += event.retry is True and self.scenario.policy is not None
            case fx.AwaitEnd():
                assert self.connection is not None
                self.leavers = 1
            case fx.ReturnAtOnce() | fx.ReturnOutcome():
                assert (self.connection is None) == isinstance(effect, fx.ReturnAtOnce)
            case _:
                pass

    def _dial(self, epoch: int) -> None:
        assert self.connection is None, "at most one: dialled before the last connection had ended"
        assert self.side is None, "at most one: dialled before the side connection had ended"
        assert epoch == self.last_epoch + 1, "an epoch is never reused"
        assert not self.stopped, "the owner said no"
        assert not self.closed, "closed is final"
        assert self.now >= self.not_before, "the server has asked for no attempt before that"
        self.connection, self.epoch, self.last_epoch = "dialled", epoch, epoch
        self.close_sent = self.aborted = self.counted = False
        self.failure = None
        assert self.timer == (TimerKind.OPEN, epoch), "no attempt without its deadline, not even for a moment"

    def _dial_successor(self, epoch: int) -> None:
        assert self.connection == "ready", "a successor has a predecessor"
        assert self.machine.state is State.CONNECTED
        assert epoch == self.last_epoch + 1, "an epoch is never reused"
        assert not self.stopped
        assert not self.closed
        assert self.now >= self.not_before, "the server has asked for no attempt before that"
        assert self.side is not None
        assert (self.side.epoch, self.side.timer) == (epoch, TimerKind.OPEN), "no attempt without its deadline"
        self.last_epoch = epoch
        self.side_failure = None

    def _take_over(self, epoch: int, event: Event) -> None:
        side = self.side
        assert side is not None
        assert side.epoch == epoch
        if self.connection is not None:
            assert isinstance(event, ProtocolReady | ConnectionFailing), "a sound connection loses its authority"
        old = SideSocket(self.epoch, self.connection or "", self.close_sent, self.aborted, self.counted)
        self.side = None if self.connection is None else old
        self.connection, self.epoch = side.phase, side.epoch
        self.fired_timers = frozenset({self.timer[0]} if self.timer else ())
        if self.machine.state is State.CONNECTING:  # it is the attempt from now on
            self.failure = None
        self.close_sent, self.aborted, self.counted = side.close_sent, side.aborted, side.counted

    def _set_side_timer(self, effect: fx.SetTimer, event: Event) -> None:
        if isinstance(event, Rotate):  # set just before the successor is dialled
            assert self.side is None, "at most two"
            assert effect.epoch == self.last_epoch + 1
            self.side = SideSocket(effect.epoch)
        side = self.side
        assert side is not None
        assert effect.epoch == side.epoch
        if isinstance(event, DeadlineExtended):
            assert (effect.kind, effect.at) == (TimerKind.OPEN, side.timer_at + event.seconds)
        else:
            seconds = {TimerKind.OPEN: OPEN_TIMEOUT, TimerKind.CLOSE: CLOSE_TIMEOUT}[effect.kind]
            assert effect.at == self.now + seconds
        self.side = replace(side, timer=effect.kind, timer_at=effect.at)

    def _set_timer(self, effect: fx.SetTimer, event: Event) -> None:
        if self.side is not None and effect.epoch == self.side.epoch:  # it takes over
            assert (effect.kind, effect.at) == (self.side.timer, self.side.timer_at), "its deadline goes on"
            self.timer, self.timer_at = (effect.kind, effect.epoch), effect.at
            return
        if isinstance(event, DeadlineExtended):  # the shell stops the earlier one
            assert self.timer == (effect.kind, effect.epoch) == (TimerKind.OPEN, event.epoch)
            assert effect.at == self.timer_at + event.seconds
            self.timer_at = effect.at
            return
        if effect.kind is TimerKind.OPEN:  # set just before the connection is dialled
            assert effect.epoch == self.last_epoch + 1
            self.fired_timers = frozenset()
        else:
            assert effect.epoch == self.epoch
        # Calls before a date that the server named set the timer anew, and the shell stops the earlier one.
        assert effect.kind not in self.fired_timers - {TimerKind.RETRY}, "the same kind and epoch twice"
        policy = self.machine.reconnect
        match effect.kind:
            case TimerKind.OPEN:
                assert effect.at == self.now + OPEN_TIMEOUT
            case TimerKind.CLOSE:
                assert effect.at == self.now + CLOSE_TIMEOUT
            case TimerKind.STABLE:
                assert policy is not None
                assert effect.at == self.now + policy.stable_after
            case TimerKind.RETRY:
                assert effect.at == self.machine.retry_at
                assert effect.at >= max(self.now, self.not_before)
        self.fired_timers |= {effect.kind}
        self.timer, self.timer_at = (effect.kind, effect.epoch), effect.at

    def _reject(self, error: OnesocketError, event: Event, *, spares_retrying: bool) -> None:
        spared = self.retrying_callers if spares_retrying else 0
        assert self.waiting_callers > spared, "no caller to reject"
        self.waiting_callers = self.retrying_callers = spared
        if spared:
            assert self.machine.after_close in (None, AfterClose.BACK_OFF, AfterClose.NEW_ATTEMPT)
        match event:
            case Disconnect():
                assert isinstance(error, ConnectAborted)
            case Close():
                assert isinstance(error, ClientClosed)
            case _ if self.machine.state is State.CONNECTED:
                assert isinstance(event, ConnectionGone)
                is_timeout = isinstance(error, OpenTimeout) and isinstance(self.side_failure, OpenTimeout)
                assert is_timeout or error is self.side_failure, "callers of a rotation get its failure"
            case _:
                reason = error.__cause__ if isinstance(error, RetriesExhausted) else error
                if self.failure is None:
                    assert isinstance(reason, OpenTimeout)
                elif self.failure is POLICY and reason is not POLICY:
                    assert isinstance(reason, ServerBusy)
                    assert reason.__cause__ is POLICY
                else:
                    assert reason is self.failure, "everybody who joined gets what that attempt failed with"

    def _check_answer(
        self,
        event: Event,
        effects: tuple[Effect, ...],
        old: State,
        after_close: AfterClose | None,
        side: SideSocket | None,
    ) -> None:
        answers = [effect for effect in effects if isinstance(effect, CALLER_EFFECTS)]
        match event:
            case Connect() | Reconnect():
                assert len(answers) == 1, "a question has exactly one answer"
                assert isinstance(answers[0], fx.ReturnOutcome | fx.RaiseError | fx.AwaitOutcome)
                no = self.closed or (self.stopped and isinstance(event, Connect))
                dials = old not in (State.CONNECTING, State.CONNECTED) and after_close is not AfterClose.NEW_ATTEMPT
                waits = event.retry is True and self.scenario.policy is not None
                if old is State.CONNECTED:
                    is_joined = isinstance(event, Rotate) and side is not None
                    dials, waits = isinstance(event, Reconnect | Rotate) and not is_joined, False
                early = dials and self.now < self.not_before and not waits
                assert isinstance(answers[0], fx.RaiseError) == (no or early), "refused exactly while it has to be"
                if isinstance(answers[0], fx.RaiseError) and not no:
                    assert answers[0].error.retry_after == self.not_before - self.now
            case Disconnect() | Close():
                assert len(answers) == 1, "a question has exactly one answer"
                assert isinstance(answers[0], fx.ReturnAtOnce | fx.AwaitEnd)
            case _:
                assert not answers, "no caller asked"

    # --- what always holds ------------------------------------------------------------------------------------------

    def check(self) -> None:
        machine = self.machine
        state = machine.state
        assert machine.waiting == self.waiting_callers, "every waiting caller is resolved exactly once"
        assert machine.timer == self.timer
        assert (machine.live_epoch is not None) == (self.connection is not None)
        assert (machine.after_close is not None) == (state is State.CLOSING), "where a close leads is known"
        assert (machine.retry_at is not None) == (state is State.BACKING_OFF)
        rings = self.timer and self.timer[0]
        if state is State.CONNECTING:
            assert self.connection in ("dialled", "opened")
            assert rings is TimerKind.OPEN, "every attempt has its deadline"
        elif state is State.CONNECTED:
            assert self.connection == "ready"
            assert rings in (None, TimerKind.STABLE)
        elif state is State.CLOSING:
            assert self.connection is not None
            assert self.close_sent or self.aborted, "a close is really under way"
            wanted = TimerKind.OPEN if self.connection == "dialled" else TimerKind.CLOSE
            assert rings is wanted or self.aborted, "every close is bounded"
            assert machine.side is not Side.OPENING
        else:
            assert self.connection is None, "nothing is left"
            assert self.side is None, "nothing is left"
            assert rings is (TimerKind.RETRY if state is State.BACKING_OFF else None)
        assert machine.retrying == self.retrying_callers <= self.waiting_callers
        rotates = state is State.CONNECTED and self.side is not None
        if self.waiting_callers or self.leavers:
            assert rings is not None or self.aborted or rotates, "never hangs: something must still come"
        if self.leavers or self.waiting_callers > (self.waiting_callers if self.meets_ghost else self.retrying_callers):
            assert state in (State.CONNECTING, State.CLOSING) or rotates, "only callers that want it wait for another"
        if state is State.CONNECTED and not rotates:
            assert not self.waiting_callers
        self._check_side()
        if self.closed:
            assert state is State.CLOSED or machine.after_close is AfterClose.CLOSE
        elif self.stopped:
            assert state is State.STOPPED or machine.after_close is AfterClose.STOP
        if state is State.BACKING_OFF or machine.after_close is AfterClose.BACK_OFF:
            is_wanted = self.resuming or self.retrying_callers > 0 or self.meets_ghost
            assert is_wanted, "only an established connection is resumed, and only if that can help"
        if self.resuming:
            assert state not in AT_REST, "a lost connection is resumed, whichever callers come and go meanwhile"
            leads = (None, AfterClose.BACK_OFF, AfterClose.NEW_ATTEMPT)
            assert machine.after_close in leads, "a lost connection is resumed, whichever callers come and go meanwhile"

    def _check_side(self) -> None:
        machine, side = self.machine, self.side
        assert machine.side_epoch == (side and side.epoch)
        assert machine.side_timer == (side and side.timer and (side.timer, side.epoch))
        if side is None:
            assert machine.side is Side.NONE
        elif machine.side is Side.OPENING:
            assert machine.state is State.CONNECTED, "a successor is opened beside a sound connection only"
            assert side.phase in ("dialled", "opened")
            assert side.timer is TimerKind.OPEN, "every attempt has its deadline"
            assert not side.close_sent
            assert not side.aborted
        else:
            assert machine.state in (State.CONNECTED, State.CONNECTING, State.CLOSING)
            assert side.close_sent or side.aborted, "a close is really under way"
            wanted = TimerKind.OPEN if side.phase == "dialled" else TimerKind.CLOSE
            assert side.timer is wanted or side.aborted, "every close is bounded"

    def check_nothing_from_the_past(self) -> int:
        """Handle every stale event: it changes nothing and is counted. Returns how much that was."""
        machine = self.machine
        before = dict(vars(machine))
        fed = 0
        for event in self.from_the_past():
            fed += 1
            assert machine.handle(event, self.now) == (), f"{event} is from the past"
            before["stale"] += 1
            assert vars(machine) == before
        return fed
