"""The world around one machine: what can happen next, and what must hold after each step, promise by promise.

It plays the shell and the network, keeps its own books from the effects alone, and never looks into the table.
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
    ConnectionLost,
    OnesocketError,
    OpenTimeout,
    RetriesExhausted,
    UpstreamBusy,
)
from onesocket.lifecycle import effects as fx
from onesocket.lifecycle.effects import Effect
from onesocket.lifecycle.inputs import (
    Alarm,
    AlarmKind,
    Cancelled,
    Close,
    Connect,
    Disconnect,
    Ended,
    Failing,
    Input,
    Opened,
    Ready,
    Reconnect,
)
from onesocket.lifecycle.machine import Claim, Machine
from onesocket.lifecycle.retry import ReconnectPolicy
from onesocket.lifecycle.states import Destination, State
from onesocket.lifecycle.verdicts import PROVEN_AFTER, closed_by_peer

OPEN_TIMEOUT = 10.0
CLOSE_TIMEOUT = 5.0

LOST = ConnectionLost("lost")
FATAL = ClosedByPeer("policy violation", code=1008, reason="", retryable=False)
BUSY = UpstreamBusy("no place")
POLICY = closed_by_peer(1008)
ERRORS: tuple[OnesocketError, ...] = (LOST, FATAL, BUSY, POLICY)
ROLLS = (0.0, 0.5)

WISHES = (Connect(), Connect(wait=False), Reconnect(), Reconnect(wait=False))
ENDS = (Disconnect(), Close())
ANSWERS = (fx.Answer, fx.Refuse, fx.Wait, fx.Done, fx.AwaitEnd)
AT_REST = (State.DISCONNECTED, State.FAILED, State.STOPPED, State.CLOSED)


@dataclass
class World:
    """One machine and everybody who deals with it."""

    machine: Machine
    now: float = 0.0
    line: str | None = None
    """What there is of the newest epoch's line: dialled, opened, ready, or nothing."""
    last_epoch: int = 0
    hung_up: bool = False
    aborted: bool = False
    owed: int = 0
    """Callers that wait for an outcome."""
    leavers: int = 0
    """Those who wait until nothing is left of the line."""
    alarm: tuple[AlarmKind, int] | None = None
    alarm_at: float = 0.0
    rung_for: frozenset[AlarmKind] = frozenset()
    """The kinds of alarm that the newest epoch has had."""
    stopped: bool = False
    closed: bool = False
    resuming: bool = False
    """An established line was lost, a retry can help, and nobody with the right to has said no."""
    failure: OnesocketError | None = None
    """What the attempt failed with."""

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
            self.machine.condition(),
            self.line,
            self.hung_up,
            self.aborted,
            self.owed,
            self.leavers,
            self.alarm and self.alarm[0],
            self.rung_for,
            self.stopped,
            self.closed,
            self.resuming,
            type(self.failure),
        )

    # --- what can happen --------------------------------------------------------------------------------------------

    def from_users(self, *, max_callers: int) -> Iterator[Input]:
        for wish in WISHES:
            if not wish.wait or self.owed < max_callers:
                yield wish
        if self.owed:
            yield Cancelled()
        yield from ENDS

    def from_line_and_clock(self) -> Iterator[Input]:
        epoch = self.last_epoch
        if self.line == "dialled":
            yield Opened(epoch)
        elif self.line is not None:
            yield Ready(epoch)
        if self.line is not None:
            for error in ERRORS:
                yield Failing(epoch, error, 1002, "told")
                yield Failing(epoch, error, 4000, "told", dead=True)
                for roll in ROLLS:
                    yield Ended(epoch, error, roll)
            if self.line == "ready":
                yield Failing(epoch, POLICY, 1002, "told", up_for=PROVEN_AFTER)
                yield Ended(epoch, POLICY, ROLLS[-1], up_for=PROVEN_AFTER)
        if self.alarm is not None:
            yield Alarm(self.alarm[1], self.alarm[0], "logging in")

    def from_the_past(self) -> Iterator[Input]:
        """Late events, and a few from a future that never was."""
        live = self.last_epoch if self.line is not None else None
        for epoch in {0, self.last_epoch - 1, self.last_epoch, self.last_epoch + 1} - {live}:
            yield Opened(epoch)
            yield Ready(epoch)
            yield Failing(epoch, FATAL, dead=True)
            yield Ended(epoch, FATAL)
        for kind in AlarmKind:
            for epoch in (self.last_epoch - 1, self.last_epoch):
                if (kind, epoch) != self.alarm:
                    yield Alarm(epoch, kind)

    # --- one step ---------------------------------------------------------------------------------------------------

    def step(self, happened: Input) -> tuple[Effect, ...]:
        """Let it happen, perform the effects, and check every promise. `IllegalInput` is never right here."""
        machine = self.machine
        old, failures = machine.state, machine.failures
        self.now = self.alarm_at if isinstance(happened, Alarm) else self.now + 1
        self._happen(happened, old)
        effects = machine.handle(happened, self.now)
        for effect in effects:
            self._perform(effect, happened)
        self._check_answer(happened, effects)
        if machine.failures < failures:
            proved = isinstance(happened, Alarm) and happened.kind is AlarmKind.STABLE
            assert proved or isinstance(happened, Connect | Reconnect), "only a line that proved itself is forgiven"
        changes = [effect for effect in effects if isinstance(effect, fx.Changed)]
        if old is machine.state:
            assert not changes
        else:
            change = fx.Changed(old, machine.state, machine.epoch, type(happened).__name__, machine.error)
            assert changes == [change]
            assert effects[0] is changes[0], "whoever watches hears of the change before its consequences"
        if isinstance(machine.error, RetriesExhausted):
            self.resuming = False
        self.check()
        return effects

    def _happen(self, happened: Input, state: State) -> None:  # noqa: PLR0912 - one case for each input
        lost_now = state is State.CONNECTED and isinstance(happened, Failing | Ended)
        match happened:
            case Opened():
                self.line = "opened"
            case Ready():
                self.line = "ready"
                if state is State.CONNECTING:
                    self.resuming = False
            case Ended():
                self.line = None
            case Alarm():
                self.alarm = None
            case Cancelled():
                self.owed -= 1
            case Reconnect() if not self.closed:
                self.stopped = False
                # The owner gave up the old line and took a new attempt on himself.
                if state is State.CONNECTED:
                    self.resuming = False
            case Disconnect() if not self.closed:
                self.stopped, self.resuming = True, False
            case Close():
                self.closed, self.resuming = True, False
            case _:
                pass
        if isinstance(happened, Failing | Ended) and state in (State.CONNECTING, State.CONNECTED):
            self.failure = happened.error
            if lost_now and self.machine.reconnect is not None:
                self.resuming = True
            was_up = self.machine.claim is Claim.RESUME or happened.up_for >= PROVEN_AFTER
            if not happened.error.retryable and not (happened.error is POLICY and was_up):
                self.resuming = False

    def _perform(self, effect: Effect, happened: Input) -> None:  # noqa: PLR0912 - one case for each effect
        match effect:
            case fx.Dial(epoch):
                self._dial(epoch)
            case fx.HangUp(epoch, code, reason):
                assert (self.line is not None, epoch) == (True, self.last_epoch), "hung up on nobody"
                assert not self.hung_up, "one close is enough"
                wanted = (happened.code, happened.reason) if isinstance(happened, Failing) else (1000, "")
                assert (code, reason) == wanted
                self.hung_up = True
            case fx.Abort(epoch, code):
                assert (self.line is not None, epoch) == (True, self.last_epoch), "aborted nobody"
                dead = isinstance(happened, Failing) and happened.dead
                assert isinstance(happened, Alarm) or dead, "never closes before it is established"
                assert code == (happened.code if isinstance(happened, Failing) else None)
                self.aborted = True
            case fx.SetAlarm():
                self._set_alarm(effect)
            case fx.ClearAlarm():
                self.alarm = None
            case fx.ResolveCallers():
                assert self.owed, "nobody to resolve"
                assert isinstance(happened, Ready)
                self.owed = 0
            case fx.RejectCallers(error):
                self._reject(error, happened)
            case fx.ReleaseLeavers():
                assert isinstance(happened, Ended), "nobody is told of an end that has not come"
                self.leavers = 0
            case fx.Wait():
                if isinstance(happened, Connect | Reconnect) and happened.wait:
                    self.owed += 1
            case fx.AwaitEnd():
                assert self.line is not None
                self.leavers = 1
            case fx.Done() | fx.Answer():
                assert (self.line is None) == isinstance(effect, fx.Done)
            case _:
                pass

    def _dial(self, epoch: int) -> None:
        assert self.line is None, "at most one: dialled before the last line had ended"
        assert epoch == self.last_epoch + 1, "an epoch is never reused"
        assert not self.stopped, "the owner said no"
        assert not self.closed, "closed is final"
        self.line, self.last_epoch = "dialled", epoch
        self.hung_up = self.aborted = False
        self.failure = None
        assert self.alarm == (AlarmKind.OPEN, epoch), "no attempt without its deadline, not even for a moment"

    def _set_alarm(self, alarm: fx.SetAlarm) -> None:
        if alarm.kind is AlarmKind.OPEN:  # set just before the line is dialled
            assert alarm.epoch == self.last_epoch + 1
            self.rung_for = frozenset()
        else:
            assert alarm.epoch == self.last_epoch
        assert alarm.kind not in self.rung_for, "the same kind and epoch twice: a late alarm would be believed"
        policy = self.machine.reconnect
        match alarm.kind:
            case AlarmKind.OPEN:
                assert alarm.at == self.now + OPEN_TIMEOUT
            case AlarmKind.CLOSE:
                assert alarm.at == self.now + CLOSE_TIMEOUT
            case AlarmKind.STABLE:
                assert policy is not None
                assert alarm.at == self.now + policy.stable_after
            case AlarmKind.RETRY:
                assert alarm.at == self.machine.retry_at
                assert alarm.at >= self.now
        self.rung_for |= {alarm.kind}
        self.alarm, self.alarm_at = (alarm.kind, alarm.epoch), alarm.at

    def _reject(self, error: OnesocketError, happened: Input) -> None:
        assert self.owed, "nobody to reject"
        self.owed = 0
        match happened:
            case Disconnect():
                assert isinstance(error, ConnectAborted)
            case Close():
                assert isinstance(error, ClientClosed)
            case _:
                reason = error.__cause__ if isinstance(error, RetriesExhausted) else error
                if self.failure is None:
                    assert isinstance(reason, OpenTimeout)
                elif self.failure is POLICY and reason is not POLICY:
                    assert isinstance(reason, UpstreamBusy)
                    assert reason.__cause__ is POLICY
                else:
                    assert reason is self.failure, "everybody who joined gets what that attempt failed with"

    def _check_answer(self, happened: Input, effects: tuple[Effect, ...]) -> None:
        answers = [effect for effect in effects if isinstance(effect, ANSWERS)]
        match happened:
            case Connect() | Reconnect():
                assert len(answers) == 1, "a question has exactly one answer"
                assert isinstance(answers[0], fx.Answer | fx.Refuse | fx.Wait)
                no = self.closed or (self.stopped and isinstance(happened, Connect))
                assert isinstance(answers[0], fx.Refuse) == no, "refused exactly while the owner says no"
            case Disconnect() | Close():
                assert len(answers) == 1, "a question has exactly one answer"
                assert isinstance(answers[0], fx.Done | fx.AwaitEnd)
            case _:
                assert not answers, "nobody asked"

    # --- what always holds ------------------------------------------------------------------------------------------

    def check(self) -> None:
        machine = self.machine
        state = machine.state
        assert machine.waiting == self.owed, "every waiting caller is resolved exactly once"
        assert machine.alarm == self.alarm
        assert (machine.line is not None) == (self.line is not None)
        assert (machine.destination is not None) == (state is State.CLOSING), "where a close leads is known"
        assert (machine.retry_at is not None) == (state is State.BACKING_OFF)
        rings = self.alarm and self.alarm[0]
        if state is State.CONNECTING:
            assert self.line in ("dialled", "opened")
            assert rings is AlarmKind.OPEN, "every attempt has its deadline"
        elif state is State.CONNECTED:
            assert self.line == "ready"
            assert rings in (None, AlarmKind.STABLE)
        elif state is State.CLOSING:
            assert self.line is not None
            assert self.hung_up or self.aborted, "a close is really under way"
            wanted = AlarmKind.OPEN if self.line == "dialled" else AlarmKind.CLOSE
            assert rings is wanted or self.aborted, "every close is bounded"
        else:
            assert self.line is None, "nothing is left"
            assert rings is (AlarmKind.RETRY if state is State.BACKING_OFF else None)
        if self.owed or self.leavers:
            assert rings is not None or self.aborted, "never hangs: something must still come"
            assert state in (State.CONNECTING, State.CLOSING)
        if self.closed:
            assert state is State.CLOSED or machine.destination is Destination.CLOSE
        elif self.stopped:
            assert state is State.STOPPED or machine.destination is Destination.STOP
        if state is State.BACKING_OFF or machine.destination is Destination.BACK_OFF:
            assert self.resuming, "only an established line is resumed, and only if that can help"
        if self.resuming:
            assert state not in AT_REST, "a lost line is resumed, whoever comes and goes meanwhile"
            leads = (None, Destination.BACK_OFF, Destination.ATTEMPT)
            assert machine.destination in leads, "a lost line is resumed, whoever comes and goes meanwhile"

    def check_nothing_from_the_past(self) -> int:
        """Feed everything stale: it changes nothing and is counted. Returns how much that was."""
        machine = self.machine
        before = dict(vars(machine))
        fed = 0
        for happened in self.from_the_past():
            fed += 1
            assert machine.handle(happened, self.now) == (), f"{happened} is from the past"
            before["stale"] += 1
            assert vars(machine) == before
        return fed
