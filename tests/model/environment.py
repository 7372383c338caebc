"""The world around one machine: what can happen next, and what must hold after each step, promise by promise.

It acts as the shell and the network, keeps its own state from the effects alone, and never looks into the table.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Self

from onesocket.errors import (
    ClientClosed,
    ClosedByPeer,
    ConnectAborted,
    ConnectionReset,
    OnesocketError,
    OpenTimeout,
    RetriesExhausted,
    ServerBusy,
)
from onesocket.lifecycle import _effects as fx
from onesocket.lifecycle._actions import Initiator
from onesocket.lifecycle._effects import Effect
from onesocket.lifecycle._events import (
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
    TimerFired,
    TimerKind,
)
from onesocket.lifecycle._machine import Machine
from onesocket.lifecycle._peer_errors import MIN_UPTIME, closed_by_peer
from onesocket.lifecycle._retry import ReconnectPolicy
from onesocket.lifecycle._states import AfterClose, State

OPEN_TIMEOUT = 10.0
CLOSE_TIMEOUT = 5.0
EXTENSION = 3.0

LOST = ConnectionReset("lost")
FATAL = ClosedByPeer("policy violation", code=1008, reason="", retryable=False)
BUSY = ServerBusy("no place")
POLICY = closed_by_peer(1008)
ERRORS: tuple[OnesocketError, ...] = (LOST, FATAL, BUSY, POLICY)
JITTERS = (0.0, 0.5)

CONNECT_EVENTS = (Connect(), Connect(wait=False), Reconnect(), Reconnect(wait=False))
STOP_EVENTS = (Disconnect(), Close())
CALLER_EFFECTS = (fx.ReturnOutcome, fx.RaiseError, fx.AwaitOutcome, fx.ReturnAtOnce, fx.AwaitEnd)
AT_REST = (State.DISCONNECTED, State.FAILED, State.STOPPED, State.CLOSED)


@dataclass
class Environment:
    """One machine and everybody who deals with it."""

    machine: Machine
    now: float = 0.0
    connection: str | None = None
    """Phase of the newest epoch's connection: dialled, opened, ready, or None."""
    last_epoch: int = 0
    close_sent: bool = False
    aborted: bool = False
    waiting_callers: int = 0
    """Callers that wait for an outcome."""
    leavers: int = 0
    """Callers that wait until the connection is gone."""
    timer: tuple[TimerKind, int] | None = None
    timer_at: float = 0.0
    fired_timers: frozenset[TimerKind] = frozenset()
    """The kinds of timer that the newest epoch has had."""
    stopped: bool = False
    closed: bool = False
    resuming: bool = False
    """An established connection was lost, a retry can help, and no call has ended it."""
    failure: OnesocketError | None = None
    """The error with which the attempt failed."""

    @classmethod
    def new(cls, policy: ReconnectPolicy | None) -> Self:
        return cls(Machine(open_timeout=OPEN_TIMEOUT, close_timeout=CLOSE_TIMEOUT, reconnect=policy))

    def copy(self) -> Self:
        twin = copy.copy(self)
        twin.machine = self.machine.copy()
        return twin

    def key(self) -> Hashable:
        """Two worlds with the same key have the same future, but for epoch numbers and times."""
        return (
            self.machine.state_key(),
            self.connection,
            self.close_sent,
            self.aborted,
            self.waiting_callers,
            self.leavers,
            self.timer and self.timer[0],
            self.fired_timers,
            self.stopped,
            self.closed,
            self.resuming,
            type(self.failure),
        )

    # --- what can happen --------------------------------------------------------------------------------------------

    def from_users(self, *, max_callers: int) -> Iterator[Event]:
        for call in CONNECT_EVENTS:
            if not call.wait or self.waiting_callers < max_callers:
                yield call
        if self.waiting_callers:
            yield CallerCancelled()
        yield from STOP_EVENTS

    def from_connection_and_clock(self) -> Iterator[Event]:
        epoch = self.last_epoch
        if self.connection == "dialled":
            yield Opened(epoch)
        elif self.connection is not None:
            yield DeadlineExtended(epoch, EXTENSION)
            yield ProtocolReady(epoch)
        if self.connection is not None:
            for error in ERRORS:
                yield ConnectionFailing(epoch, error, 1002, "told")
                yield ConnectionFailing(epoch, error, 4000, "told", dead=True)
                for jitter in JITTERS:
                    yield ConnectionGone(epoch, error, jitter)
            if self.connection == "ready":
                yield ConnectionFailing(epoch, POLICY, 1002, "told", up_for=MIN_UPTIME)
                yield ConnectionGone(epoch, POLICY, JITTERS[-1], up_for=MIN_UPTIME)
        if self.timer is not None:
            yield TimerFired(self.timer[1], self.timer[0], "logging in")

    def from_the_past(self) -> Iterator[Event]:
        """Late events, and a few from a future that never was."""
        live = self.last_epoch if self.connection is not None else None
        for epoch in {0, self.last_epoch - 1, self.last_epoch, self.last_epoch + 1} - {live}:
            yield Opened(epoch)
            yield DeadlineExtended(epoch, EXTENSION)
            yield ProtocolReady(epoch)
            yield ConnectionFailing(epoch, FATAL, dead=True)
            yield ConnectionGone(epoch, FATAL)
        for kind in TimerKind:
            for epoch in (self.last_epoch - 1, self.last_epoch):
                if (kind, epoch) != self.timer:
                    yield TimerFired(epoch, kind)

    # --- one step ---------------------------------------------------------------------------------------------------

    def step(self, event: Event) -> tuple[Effect, ...]:
        """Let it happen, perform the effects, and check every promise. `IllegalEvent` is never right here."""
        machine = self.machine
        old, failures = machine.state, machine.failures
        self.now = self.timer_at if isinstance(event, TimerFired) else self.now + 1
        self._happen(event, old)
        effects = machine.handle(event, self.now)
        for effect in effects:
            self._perform(effect, event)
        self._check_answer(event, effects)
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
        if isinstance(machine.error, RetriesExhausted):
            self.resuming = False
        self.check()
        return effects

    def _happen(self, event: Event, state: State) -> None:  # noqa: PLR0912 - one case for each input
        lost_now = state is State.CONNECTED and isinstance(event, ConnectionFailing | ConnectionGone)
        match event:
            case Opened():
                self.connection = "opened"
            case ProtocolReady():
                self.connection = "ready"
                if state is State.CONNECTING:
                    self.resuming = False
            case ConnectionGone():
                self.connection = None
            case TimerFired():
                self.timer = None
            case CallerCancelled():
                self.waiting_callers -= 1
            case Reconnect() if not self.closed:
                self.stopped = False
                # The owner gave up the old connection and took a new attempt on himself.
                if state is State.CONNECTED:
                    self.resuming = False
            case Disconnect() if not self.closed:
                self.stopped, self.resuming = True, False
            case Close():
                self.closed, self.resuming = True, False
            case _:
                pass
        if isinstance(event, ConnectionFailing | ConnectionGone) and state in (State.CONNECTING, State.CONNECTED):
            self.failure = event.error
            if lost_now and self.machine.reconnect is not None:
                self.resuming = True
            was_up = self.machine.initiator is Initiator.RESUME or event.up_for >= MIN_UPTIME
            if not event.error.retryable and not (event.error is POLICY and was_up):
                self.resuming = False

    def _perform(self, effect: Effect, event: Event) -> None:  # noqa: PLR0912 - one case for each effect
        match effect:
            case fx.Dial(epoch):
                self._dial(epoch)
            case fx.CloseConnection(epoch, code, reason):
                assert (self.connection is not None, epoch) == (True, self.last_epoch), "closed no connection"
                assert not self.close_sent, "one close is enough"
                wanted = (event.code, event.reason) if isinstance(event, ConnectionFailing) else (1000, "")
                assert (code, reason) == wanted
                self.close_sent = True
            case fx.Abort(epoch, code):
                assert (self.connection is not None, epoch) == (True, self.last_epoch), "aborted no connection"
                dead = isinstance(event, ConnectionFailing) and event.dead
                assert isinstance(event, TimerFired) or dead, "never closes before it is established"
                assert code == (event.code if isinstance(event, ConnectionFailing) else None)
                self.aborted = True
            case fx.SetTimer():
                self._set_timer(effect, event)
            case fx.CancelTimer():
                self.timer = None
            case fx.ResolveCallers():
                assert self.waiting_callers, "no caller to resolve"
                assert isinstance(event, ProtocolReady)
                self.waiting_callers = 0
            case fx.RejectCallers(error):
                self._reject(error, event)
            case fx.ReleaseClosers():
                assert isinstance(event, ConnectionGone), "no caller is told of an end that has not come"
                self.leavers = 0
            case fx.AwaitOutcome():
                if isinstance(event, Connect | Reconnect) and event.wait:
                    self.waiting_callers += 1
            case fx.AwaitEnd():
                assert self.connection is not None
                self.leavers = 1
            case fx.ReturnAtOnce() | fx.ReturnOutcome():
                assert (self.connection is None) == isinstance(effect, fx.ReturnAtOnce)
            case _:
                pass

    def _dial(self, epoch: int) -> None:
        assert self.connection is None, "at most one: dialled before the last connection had ended"
        assert epoch == self.last_epoch + 1, "an epoch is never reused"
        assert not self.stopped, "the owner said no"
        assert not self.closed, "closed is final"
        self.connection, self.last_epoch = "dialled", epoch
        self.close_sent = self.aborted = False
        self.failure = None
        assert self.timer == (TimerKind.OPEN, epoch), "no attempt without its deadline, not even for a moment"

    def _set_timer(self, effect: fx.SetTimer, event: Event) -> None:
        if isinstance(event, DeadlineExtended):  # the shell stops the earlier one
            assert self.timer == (effect.kind, effect.epoch) == (TimerKind.OPEN, event.epoch)
            assert effect.at == self.timer_at + event.seconds
            self.timer_at = effect.at
            return
        if effect.kind is TimerKind.OPEN:  # set just before the connection is dialled
            assert effect.epoch == self.last_epoch + 1
            self.fired_timers = frozenset()
        else:
            assert effect.epoch == self.last_epoch
        assert effect.kind not in self.fired_timers, "the same kind and epoch twice: a late timer would be believed"
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
                assert effect.at >= self.now
        self.fired_timers |= {effect.kind}
        self.timer, self.timer_at = (effect.kind, effect.epoch), effect.at

    def _reject(self, error: OnesocketError, event: Event) -> None:
        assert self.waiting_callers, "no caller to reject"
        self.waiting_callers = 0
        match event:
            case Disconnect():
                assert isinstance(error, ConnectAborted)
            case Close():
                assert isinstance(error, ClientClosed)
            case _:
                reason = error.__cause__ if isinstance(error, RetriesExhausted) else error
                if self.failure is None:
                    assert isinstance(reason, OpenTimeout)
                elif self.failure is POLICY and reason is not POLICY:
                    assert isinstance(reason, ServerBusy)
                    assert reason.__cause__ is POLICY
                else:
                    assert reason is self.failure, "everybody who joined gets what that attempt failed with"

    def _check_answer(self, event: Event, effects: tuple[Effect, ...]) -> None:
        answers = [effect for effect in effects if isinstance(effect, CALLER_EFFECTS)]
        match event:
            case Connect() | Reconnect():
                assert len(answers) == 1, "a question has exactly one answer"
                assert isinstance(answers[0], fx.ReturnOutcome | fx.RaiseError | fx.AwaitOutcome)
                no = self.closed or (self.stopped and isinstance(event, Connect))
                assert isinstance(answers[0], fx.RaiseError) == no, "refused exactly while the owner says no"
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
        else:
            assert self.connection is None, "nothing is left"
            assert rings is (TimerKind.RETRY if state is State.BACKING_OFF else None)
        if self.waiting_callers or self.leavers:
            assert rings is not None or self.aborted, "never hangs: something must still come"
            assert state in (State.CONNECTING, State.CLOSING)
        if self.closed:
            assert state is State.CLOSED or machine.after_close is AfterClose.CLOSE
        elif self.stopped:
            assert state is State.STOPPED or machine.after_close is AfterClose.STOP
        if state is State.BACKING_OFF or machine.after_close is AfterClose.BACK_OFF:
            assert self.resuming, "only an established connection is resumed, and only if that can help"
        if self.resuming:
            assert state not in AT_REST, "a lost connection is resumed, whichever callers come and go meanwhile"
            leads = (None, AfterClose.BACK_OFF, AfterClose.NEW_ATTEMPT)
            assert machine.after_close in leads, "a lost connection is resumed, whichever callers come and go meanwhile"

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
