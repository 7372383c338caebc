"""The heart: `handle(input, now) -> effects`, the only writer of the state.

No clock, no randomness, no input or output in here: they come in as inputs and go out as effects. What happens in which
state is data (`states.TABLE`); this file gives the names in that table their meaning: `_if_…` guards, `_do_…` actions.
"""

from __future__ import annotations

import copy
import dataclasses
import enum
from collections.abc import Callable, Hashable
from typing import Final, Self

from ..errors import (
    ClientClosed,
    ConnectAborted,
    ManuallyDisconnected,
    OnesocketError,
    OpenTimeout,
    RetriesExhausted,
)
from . import effects as fx
from . import inputs
from .effects import Effect, Outcome
from .inputs import AlarmKind, Input
from .retry import ReconnectPolicy, Verdict, verdict
from .states import IGNORE, TABLE, Destination, NonTransition, Rule, State
from .verdicts import PROVEN_AFTER, once_up


class Claim(enum.Enum):
    """On whose behalf the attempt runs: decides what its failure and its callers' cancellation mean."""

    CALLERS = "callers"
    """Wound down with its last caller; a failure is final."""
    DETACHED = "detached"
    """Started without a waiting caller (`connect_nowait`): nobody's cancellation ends it; a failure is final."""
    RESUME = "resume"
    """Resumes an established line: a failure leads to the next attempt."""


class IllegalInput(AssertionError):
    """An input that can't happen in this state: a bug of the shell, never of the user."""


class Machine:
    """One connection's lifecycle. Everything here is plain data; `handle` is the only way to change it."""

    def __init__(self, *, open_timeout: float, close_timeout: float, reconnect: ReconnectPolicy | None) -> None:
        self.open_timeout: Final = open_timeout
        self.close_timeout: Final = close_timeout
        self.reconnect: Final = reconnect
        self.state = State.DISCONNECTED
        self.epoch = 0
        """The newest epoch; 0 before the first attempt."""
        self.line: int | None = None
        """The epoch of which something is still there, if any."""
        self.opened = False
        """Whether that epoch's upgrade went through."""
        self.destination: Destination | None = None
        """Where CLOSING leads; None in every other state."""
        self.claim = Claim.CALLERS
        self.waiting = 0
        """Callers that wait for an attempt's outcome."""
        self.failures = 0
        """Failures in a row since a line last proved itself."""
        self.away_since = 0.0
        """Start of the back-off: the time of the first of these failures, plus the time up since then."""
        self.up_since = 0.0
        """Time at which a connection was last logged in."""
        self.alarm: tuple[AlarmKind, int] | None = None
        self.retry_at: float | None = None
        self.error: OnesocketError | None = None
        """Why the line was lost or the attempt failed; None while all is well."""
        self.stale = 0
        """Inputs of a past epoch or timer that were dropped."""
        self._effects: list[Effect] = []
        self._now = 0.0

    def copy(self) -> Self:
        """An independent machine in the same condition."""
        return copy.copy(self)  # the list of effects is made anew by each `handle`

    def condition(self) -> Hashable:
        """All that decides what the next input does (what only counts is left out)."""
        return (
            self.state,
            self.line is not None,
            self.opened,
            self.destination,
            self.claim,
            self.waiting,
            self.failures,
            self.alarm and self.alarm[0],
            self.error and (type(self.error), verdict(self.error)),
        )

    def handle(self, happened: Input, now: float) -> tuple[Effect, ...]:
        """Take one input at `now` (seconds, any monotonic clock) and return what is to be done, in order.

        Raises `IllegalInput` for what can't happen in this state.
        """
        if self._is_stale(happened):
            self.stale += 1
            return ()
        happened = self._seen_from_here(happened)
        cell = TABLE[self.state][type(happened)]
        if isinstance(cell, NonTransition):
            if cell is IGNORE:
                return ()
            raise IllegalInput(f"{type(happened).__name__} in {self.state.name}")
        rule = next(rule for rule in cell if self._holds(rule, happened))
        return self._follow(rule, happened, now)

    def _is_stale(self, happened: Input) -> bool:
        if isinstance(happened, inputs.FROM_LINE):
            return happened.epoch != self.line
        if isinstance(happened, inputs.Alarm):
            return (happened.kind, happened.epoch) != self.alarm
        return False

    def _seen_from_here(self, happened: Input) -> Input:
        """The same input; its error as it is meant for a connection that was up, if this one was."""
        if isinstance(happened, inputs.Failing | inputs.Ended) and self.reconnect is not None:
            error = once_up(happened.error)
            if error is not happened.error and (self.claim is Claim.RESUME or happened.up_for >= PROVEN_AFTER):
                return dataclasses.replace(happened, error=error)
        return happened

    def _holds(self, rule: Rule, happened: Input) -> bool:
        return rule.when == "always" or _GUARDS[rule.when](self, happened)

    def _follow(self, rule: Rule, happened: Input, now: float) -> tuple[Effect, ...]:
        done: list[Effect] = []
        self._effects = done
        self._now = now
        if isinstance(happened, inputs.Ended):
            self.line = None
            self.opened = False
        elif isinstance(happened, inputs.Alarm):
            self.alarm = None
        for action in rule.do:
            _ACTIONS[action](self, happened)
        if rule.to is not None:
            old, self.state = self.state, rule.to
            if rule.to is not State.CLOSING:
                self.destination = None
            if rule.to is not State.BACKING_OFF:
                self.retry_at = None
            done.insert(0, fx.Changed(old, rule.to, self.epoch, type(happened).__name__, self.error))
        return tuple(done)

    # --- guards -----------------------------------------------------------------------------------------------------

    def _if_retry_helps(self, happened: Input) -> bool:
        if self.reconnect is None or not self._resumes() or self._exhausted(self.failures + 1):
            return False
        # The one failure that has no error yet is a missed deadline, and that may pass.
        return not isinstance(happened, inputs.Failing | inputs.Ended) or verdict(happened.error) is not Verdict.FATAL

    def _if_last_claim(self, _happened: Input) -> bool:
        return self.waiting == 1 and self.claim is Claim.CALLERS

    def _if_last_claim_on_next(self, happened: Input) -> bool:
        return self.destination is Destination.ATTEMPT and self._if_last_claim(happened)

    def _resumes(self) -> bool:
        return self.state is State.CONNECTED or self.claim is Claim.RESUME

    def _exhausted(self, failures: int) -> bool:
        return self.reconnect is not None and self.reconnect.exhausted(failures)

    # --- actions: callers -------------------------------------------------------------------------------------------

    def _do_claim(self, happened: Input) -> None:
        if self.destination is Destination.BACK_OFF:
            self.claim = Claim.RESUME  # the attempt that was coming anyway is only made sooner
            return
        self.failures = 0
        self.claim = Claim.CALLERS if _waits(happened) else Claim.DETACHED

    def _do_wait_as_opener(self, happened: Input) -> None:
        self._wait(happened, Outcome.OPENED)

    def _do_wait_as_joiner(self, happened: Input) -> None:
        if not _waits(happened) and self.claim is Claim.CALLERS:
            self.claim = Claim.DETACHED
        self._wait(happened, Outcome.JOINED)

    def _wait(self, happened: Input, outcome: Outcome) -> None:
        if _waits(happened):
            self.waiting += 1
        self._effects.append(fx.Wait(outcome))

    def _do_drop_caller(self, _happened: Input) -> None:
        if self.waiting == 0:
            raise IllegalInput(f"Cancelled in {self.state.name}, but nobody waits")
        self.waiting -= 1

    def _do_resolve_callers(self, _happened: Input) -> None:
        self.error = None
        if self.waiting:
            self.waiting = 0
            self._effects.append(fx.ResolveCallers())

    def _do_reject_callers(self, _happened: Input) -> None:
        if self.error is not None:
            self._reject(self.error)

    def _do_abort_callers(self, _happened: Input) -> None:
        self._reject(ConnectAborted("disconnect() was called while this connect() was waiting"))

    def _do_close_callers(self, _happened: Input) -> None:
        self._reject(ClientClosed("aclose() was called while this connect() was waiting"))

    def _reject(self, error: OnesocketError) -> None:
        if self.waiting:
            self.waiting = 0
            self._effects.append(fx.RejectCallers(error))

    def _do_answer_connected(self, _happened: Input) -> None:
        self._effects.append(fx.Answer(Outcome.ALREADY_CONNECTED))

    def _do_answer_done(self, _happened: Input) -> None:
        self._effects.append(fx.Done())

    def _do_refuse_stopped(self, _happened: Input) -> None:
        self._effects.append(fx.Refuse(ManuallyDisconnected()))

    def _do_refuse_closed(self, _happened: Input) -> None:
        self._effects.append(fx.Refuse(ClientClosed()))

    def _do_await_end(self, _happened: Input) -> None:
        self._effects.append(fx.AwaitEnd())

    def _do_release_leavers(self, _happened: Input) -> None:
        self._effects.append(fx.ReleaseLeavers())

    # --- actions: the line ------------------------------------------------------------------------------------------

    def _do_dial(self, _happened: Input) -> None:
        self.epoch += 1
        self.line = self.epoch
        self.opened = False
        self._set_alarm(AlarmKind.OPEN, self.open_timeout)
        self._effects.append(fx.Dial(self.epoch))

    def _do_note_open(self, _happened: Input) -> None:
        self.opened = True

    def _do_hang_up(self, happened: Input) -> None:
        if isinstance(happened, inputs.Failing) and happened.dead:
            self._do_abort(happened)
            return
        if self.opened:
            self._do_bound_close(happened)
        # Otherwise the deadline of the attempt goes on bounding it: a socket whose upgrade was asked for is waited for.
        code, reason = (happened.code, happened.reason) if isinstance(happened, inputs.Failing) else (1000, "")
        self._effects.append(fx.HangUp(self.epoch, code, reason))

    def _do_bound_close(self, _happened: Input) -> None:
        self._set_alarm(AlarmKind.CLOSE, self.close_timeout)

    def _do_abort(self, happened: Input) -> None:
        self._do_clear_alarm(happened)
        code = happened.code if isinstance(happened, inputs.Failing) else None
        self._effects.append(fx.Abort(self.epoch, code))

    # --- actions: what comes next -----------------------------------------------------------------------------------

    def _do_lead_to_rest(self, _happened: Input) -> None:
        self.destination = Destination.REST

    def _do_lead_to_attempt(self, _happened: Input) -> None:
        self.destination = Destination.ATTEMPT

    def _do_lead_to_back_off(self, _happened: Input) -> None:
        self.destination = Destination.BACK_OFF

    def _do_lead_to_fail(self, _happened: Input) -> None:
        self.destination = Destination.FAIL

    def _do_lead_to_stop(self, _happened: Input) -> None:
        self.destination = Destination.STOP

    def _do_lead_to_close(self, _happened: Input) -> None:
        self.destination = Destination.CLOSE

    def _do_forget_failures(self, _happened: Input) -> None:
        self.failures = 0

    def _do_blame_deadline(self, happened: Input) -> None:
        detail = happened.detail if isinstance(happened, inputs.Alarm) else ""
        self.error = OpenTimeout(
            f"not ready within open_timeout ({self.open_timeout:g} s)" + (f": still {detail}" if detail else "")
        )

    def _do_count_failure(self, happened: Input) -> None:
        if isinstance(happened, inputs.Failing | inputs.Ended):
            self.error = happened.error
        if self.failures == 0:
            self.away_since = self._now
        elif self.state is State.CONNECTED:  # it has not proved itself: each second up makes up for one away
            self.away_since = min(self._now, self.away_since + 2 * (self._now - self.up_since))
        self.failures += 1
        last = self.error
        if last is not None and last.retryable and self._resumes() and self._exhausted(self.failures):
            self.error = RetriesExhausted(f"gave up after {self.failures} failures in a row; the last one: {last}")
            self.error.__cause__ = last

    def _do_schedule_retry(self, happened: Input) -> None:
        if self.reconnect is None or self.error is None or not isinstance(happened, inputs.Ended):
            raise IllegalInput("a retry without a policy, a reason or an end")
        self.claim = Claim.RESUME
        delay = self.reconnect.delay(self.failures, self.error, happened.roll, self._now - self.away_since)
        self.retry_at = self._now + delay
        self._set_alarm(AlarmKind.RETRY, delay)

    def _do_watch_stability(self, happened: Input) -> None:
        self.up_since = self._now
        if self.reconnect is None or self.failures == 0:
            self._do_clear_alarm(happened)
        else:
            self._set_alarm(AlarmKind.STABLE, self.reconnect.stable_after)

    def _set_alarm(self, kind: AlarmKind, delay: float) -> None:
        self.alarm = (kind, self.epoch)
        self._effects.append(fx.SetAlarm(kind, self.epoch, self._now + delay))

    def _do_clear_alarm(self, _happened: Input) -> None:
        self.alarm = None
        self._effects.append(fx.ClearAlarm())


def _waits(happened: Input) -> bool:
    return isinstance(happened, inputs.Connect | inputs.Reconnect) and happened.wait


def _leads_to(destination: Destination) -> Callable[[Machine, Input], bool]:
    return lambda machine, _happened: machine.destination is destination


_GUARDS: Final[dict[str, Callable[[Machine, Input], bool]]] = {
    **{name.removeprefix("_if_"): guard for name, guard in vars(Machine).items() if name.startswith("_if_")},
    "leads_to_attempt": _leads_to(Destination.ATTEMPT),
    "leads_to_back_off": _leads_to(Destination.BACK_OFF),
    "leads_to_fail": _leads_to(Destination.FAIL),
    "leads_to_stop": _leads_to(Destination.STOP),
    "leads_to_close": _leads_to(Destination.CLOSE),
}
_ACTIONS: Final[dict[str, Callable[[Machine, Input], None]]] = {
    name.removeprefix("_do_"): action for name, action in vars(Machine).items() if name.startswith("_do_")
}
