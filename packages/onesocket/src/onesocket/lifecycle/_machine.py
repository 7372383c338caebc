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
from . import _effects as fx  # pyright: ignore[reportPrivateUsage] - of this package
from . import _events as events
from ._effects import Effect, Outcome
from ._events import Event, TimerKind
from ._peer_errors import MIN_UPTIME, as_established
from ._retry import ReconnectPolicy, RetryClass, classify
from ._states import IGNORE, TABLE, AfterClose, NonTransition, Rule, State


class Initiator(enum.StrEnum):
    """On whose behalf the attempt runs: decides what its failure and its callers' cancellation mean."""

    CALLERS = "callers"
    """Wound down with its last caller; a failure is final."""
    DETACHED = "detached"
    """Started without a waiting caller (`connect_nowait`): nobody's cancellation ends it; a failure is final."""
    RESUME = "resume"
    """Resumes an established line: a failure leads to the next attempt."""


class IllegalEvent(AssertionError):
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
        self.live_epoch: int | None = None
        """The epoch of which something is still there, if any."""
        self.opened = False
        """Whether that epoch's upgrade went through."""
        self.after_close: AfterClose | None = None
        """Where CLOSING leads; None in every other state."""
        self.initiator = Initiator.CALLERS
        self.waiting = 0
        """Callers that wait for an attempt's outcome."""
        self.failures = 0
        """Failures in a row since a line last proved itself."""
        self.away_since = 0.0
        """Start of the back-off: the time of the first of these failures, plus the time up since then."""
        self.up_since = 0.0
        """Time at which a connection was last logged in."""
        self.timer: tuple[TimerKind, int] | None = None
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

    def state_key(self) -> Hashable:
        """All that decides what the next input does (what only counts is left out)."""
        return (
            self.state,
            self.live_epoch is not None,
            self.opened,
            self.after_close,
            self.initiator,
            self.waiting,
            self.failures,
            self.timer and self.timer[0],
            self.error and (type(self.error), classify(self.error)),
        )

    def handle(self, happened: Event, now: float) -> tuple[Effect, ...]:
        """Take one input at `now` (seconds, any monotonic clock) and return what is to be done, in order.

        Raises `IllegalEvent` for what can't happen in this state.
        """
        if self._is_stale(happened):
            self.stale += 1
            return ()
        happened = self._with_error_as_established(happened)
        cell = TABLE[self.state][type(happened)]
        if isinstance(cell, NonTransition):
            if cell is IGNORE:
                return ()
            raise IllegalEvent(f"{type(happened).__name__} in {self.state.name}")
        rule = next(rule for rule in cell if self._holds(rule, happened))
        return self._follow(rule, happened, now)

    def _is_stale(self, happened: Event) -> bool:
        if isinstance(happened, events.CONNECTION_EVENTS):
            return happened.epoch != self.live_epoch
        if isinstance(happened, events.TimerFired):
            return (happened.kind, happened.epoch) != self.timer
        return False

    def _with_error_as_established(self, happened: Event) -> Event:
        """The same input; its error as it is meant for a connection that was up, if this one was."""
        if isinstance(happened, events.ConnectionFailing | events.ConnectionGone) and self.reconnect is not None:
            error = as_established(happened.error)
            if error is not happened.error and (self.initiator is Initiator.RESUME or happened.up_for >= MIN_UPTIME):
                return dataclasses.replace(happened, error=error)
        return happened

    def _holds(self, rule: Rule, happened: Event) -> bool:
        return rule.when == "always" or _GUARDS[rule.when](self, happened)

    def _follow(self, rule: Rule, happened: Event, now: float) -> tuple[Effect, ...]:
        done: list[Effect] = []
        self._effects = done
        self._now = now
        if isinstance(happened, events.ConnectionGone):
            self.live_epoch = None
            self.opened = False
        elif isinstance(happened, events.TimerFired):
            self.timer = None
        for action in rule.do:
            _ACTIONS[action](self, happened)
        if rule.to is not None:
            old, self.state = self.state, rule.to
            if rule.to is not State.CLOSING:
                self.after_close = None
            if rule.to is not State.BACKING_OFF:
                self.retry_at = None
            done.insert(0, fx.StateChanged(old, rule.to, self.epoch, type(happened).__name__, self.error))
        return tuple(done)

    # --- guards -----------------------------------------------------------------------------------------------------

    def _if_retry_helps(self, happened: Event) -> bool:
        if self.reconnect is None or not self._resumes() or self._exhausted(self.failures + 1):
            return False
        # The one failure that has no error yet is a missed deadline, and that may pass.
        return (
            not isinstance(happened, events.ConnectionFailing | events.ConnectionGone)
            or classify(happened.error) is not RetryClass.FATAL
        )

    def _if_last_claim(self, _happened: Event) -> bool:
        return self.waiting == 1 and self.initiator is Initiator.CALLERS

    def _if_last_claim_on_next(self, happened: Event) -> bool:
        return self.after_close is AfterClose.NEW_ATTEMPT and self._if_last_claim(happened)

    def _resumes(self) -> bool:
        return self.state is State.CONNECTED or self.initiator is Initiator.RESUME

    def _exhausted(self, failures: int) -> bool:
        return self.reconnect is not None and self.reconnect.exhausted(failures)

    # --- actions: callers -------------------------------------------------------------------------------------------

    def _do_claim(self, happened: Event) -> None:
        if self.after_close is AfterClose.BACK_OFF:
            self.initiator = Initiator.RESUME  # the attempt that was coming anyway is only made sooner
            return
        self.failures = 0
        self.initiator = Initiator.CALLERS if _has_waiting_caller(happened) else Initiator.DETACHED

    def _do_wait_as_opener(self, happened: Event) -> None:
        self._wait(happened, Outcome.OPENED)

    def _do_wait_as_joiner(self, happened: Event) -> None:
        if not _has_waiting_caller(happened) and self.initiator is Initiator.CALLERS:
            self.initiator = Initiator.DETACHED
        self._wait(happened, Outcome.JOINED)

    def _wait(self, happened: Event, outcome: Outcome) -> None:
        if _has_waiting_caller(happened):
            self.waiting += 1
        self._effects.append(fx.AwaitOutcome(outcome))

    def _do_drop_caller(self, _happened: Event) -> None:
        if self.waiting == 0:
            raise IllegalEvent(f"Cancelled in {self.state.name}, but nobody waits")
        self.waiting -= 1

    def _do_resolve_callers(self, _happened: Event) -> None:
        self.error = None
        if self.waiting:
            self.waiting = 0
            self._effects.append(fx.ResolveCallers())

    def _do_reject_callers(self, _happened: Event) -> None:
        if self.error is not None:
            self._reject(self.error)

    def _do_abort_callers(self, _happened: Event) -> None:
        self._reject(ConnectAborted("disconnect() was called while this connect() was waiting"))

    def _do_close_callers(self, _happened: Event) -> None:
        self._reject(ClientClosed("aclose() was called while this connect() was waiting"))

    def _reject(self, error: OnesocketError) -> None:
        if self.waiting:
            self.waiting = 0
            self._effects.append(fx.RejectCallers(error))

    def _do_answer_connected(self, _happened: Event) -> None:
        self._effects.append(fx.ReturnOutcome(Outcome.ALREADY_CONNECTED))

    def _do_answer_done(self, _happened: Event) -> None:
        self._effects.append(fx.ReturnAtOnce())

    def _do_refuse_stopped(self, _happened: Event) -> None:
        self._effects.append(fx.RaiseError(ManuallyDisconnected()))

    def _do_refuse_closed(self, _happened: Event) -> None:
        self._effects.append(fx.RaiseError(ClientClosed()))

    def _do_await_end(self, _happened: Event) -> None:
        self._effects.append(fx.AwaitEnd())

    def _do_release_leavers(self, _happened: Event) -> None:
        self._effects.append(fx.ReleaseClosers())

    # --- actions: the line ------------------------------------------------------------------------------------------

    def _do_dial(self, _happened: Event) -> None:
        self.epoch += 1
        self.live_epoch = self.epoch
        self.opened = False
        self._set_timer(TimerKind.OPEN, self.open_timeout)
        self._effects.append(fx.Dial(self.epoch))

    def _do_note_open(self, _happened: Event) -> None:
        self.opened = True

    def _do_hang_up(self, happened: Event) -> None:
        if isinstance(happened, events.ConnectionFailing) and happened.dead:
            self._do_abort(happened)
            return
        if self.opened:
            self._do_bound_close(happened)
        # Otherwise the deadline of the attempt goes on bounding it: a socket whose upgrade was asked for is waited for.
        code, reason = (
            (happened.code, happened.reason) if isinstance(happened, events.ConnectionFailing) else (1000, "")
        )
        self._effects.append(fx.CloseConnection(self.epoch, code, reason))

    def _do_bound_close(self, _happened: Event) -> None:
        self._set_timer(TimerKind.CLOSE, self.close_timeout)

    def _do_abort(self, happened: Event) -> None:
        self._do_clear_alarm(happened)
        code = happened.code if isinstance(happened, events.ConnectionFailing) else None
        self._effects.append(fx.Abort(self.epoch, code))

    # --- actions: what comes next -----------------------------------------------------------------------------------

    def _do_lead_to_rest(self, _happened: Event) -> None:
        self.after_close = AfterClose.DISCONNECTED

    def _do_lead_to_attempt(self, _happened: Event) -> None:
        self.after_close = AfterClose.NEW_ATTEMPT

    def _do_lead_to_back_off(self, _happened: Event) -> None:
        self.after_close = AfterClose.BACK_OFF

    def _do_lead_to_fail(self, _happened: Event) -> None:
        self.after_close = AfterClose.FAIL

    def _do_lead_to_stop(self, _happened: Event) -> None:
        self.after_close = AfterClose.STOP

    def _do_lead_to_close(self, _happened: Event) -> None:
        self.after_close = AfterClose.CLOSE

    def _do_forget_failures(self, _happened: Event) -> None:
        self.failures = 0

    def _do_blame_deadline(self, happened: Event) -> None:
        detail = happened.detail if isinstance(happened, events.TimerFired) else ""
        self.error = OpenTimeout(
            f"not ready within open_timeout ({self.open_timeout:g} s)" + (f": still {detail}" if detail else "")
        )

    def _do_count_failure(self, happened: Event) -> None:
        if isinstance(happened, events.ConnectionFailing | events.ConnectionGone):
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

    def _do_schedule_retry(self, happened: Event) -> None:
        if self.reconnect is None or self.error is None or not isinstance(happened, events.ConnectionGone):
            raise IllegalEvent("a retry without a policy, a reason or an end")
        self.initiator = Initiator.RESUME
        delay = self.reconnect.delay(self.failures, self.error, happened.jitter, self._now - self.away_since)
        self.retry_at = self._now + delay
        self._set_timer(TimerKind.RETRY, delay)

    def _do_watch_stability(self, happened: Event) -> None:
        self.up_since = self._now
        if self.reconnect is None or self.failures == 0:
            self._do_clear_alarm(happened)
        else:
            self._set_timer(TimerKind.STABLE, self.reconnect.stable_after)

    def _set_timer(self, kind: TimerKind, delay: float) -> None:
        self.timer = (kind, self.epoch)
        self._effects.append(fx.SetTimer(kind, self.epoch, self._now + delay))

    def _do_clear_alarm(self, _happened: Event) -> None:
        self.timer = None
        self._effects.append(fx.CancelTimer())


def _has_waiting_caller(happened: Event) -> bool:
    return isinstance(happened, events.Connect | events.Reconnect) and happened.wait


def _leads_to(destination: AfterClose) -> Callable[[Machine, Event], bool]:
    return lambda machine, _happened: machine.after_close is destination


_GUARDS: Final[dict[str, Callable[[Machine, Event], bool]]] = {
    **{name.removeprefix("_if_"): guard for name, guard in vars(Machine).items() if name.startswith("_if_")},
    "leads_to_attempt": _leads_to(AfterClose.NEW_ATTEMPT),
    "leads_to_back_off": _leads_to(AfterClose.BACK_OFF),
    "leads_to_fail": _leads_to(AfterClose.FAIL),
    "leads_to_stop": _leads_to(AfterClose.STOP),
    "leads_to_close": _leads_to(AfterClose.CLOSE),
}
_ACTIONS: Final[dict[str, Callable[[Machine, Event], None]]] = {
    name.removeprefix("_do_"): action for name, action in vars(Machine).items() if name.startswith("_do_")
}
