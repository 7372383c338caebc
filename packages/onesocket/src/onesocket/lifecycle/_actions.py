"""The data of the machine, and the guards and actions that rules of the transition table refer to."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final

from ..errors import (
    ClientClosed,
    ConnectAborted,
    ManuallyDisconnected,
    OnesocketError,
    OpenTimeout,
    RetriesExhausted,
)
from . import _effects as fx
from . import _events as events
from ._effects import Effect, Outcome
from ._events import Event, TimerKind
from ._retry import ReconnectPolicy, RetryClass, classify
from ._states import AfterClose, State


class Initiator(enum.StrEnum):
    """The party that an attempt runs for: decides the meaning of its failure and of its callers' cancellation."""

    CALLERS = "callers"
    """Waiting callers: the attempt is wound down with the last one; a failure is final."""
    DETACHED = "detached"
    """A call that does not wait (`connect_nowait`): no cancellation ends the attempt; a failure is final."""
    RESUME = "resume"
    """The resumption of an established connection: a failure leads to the next attempt."""


class IllegalEvent(AssertionError):
    """An event that can't happen in this state: a bug of the shell, never of the user."""


class Actions:
    """Plain data of one connection's lifecycle. Guards read it; actions change it and append effects."""

    def __init__(self, *, open_timeout: float, close_timeout: float, reconnect: ReconnectPolicy | None) -> None:
        self.open_timeout: Final = open_timeout
        self.close_timeout: Final = close_timeout
        self.reconnect: Final = reconnect
        self.state = State.DISCONNECTED
        self.epoch = 0
        """The newest epoch; 0 before the first attempt."""
        self.live_epoch: int | None = None
        """The epoch whose socket or task still exists, if any."""
        self.opened = False
        """True once the upgrade of that epoch went through."""
        self.after_close: AfterClose | None = None
        """The next step after CLOSING; None in every other state."""
        self.initiator = Initiator.CALLERS
        self.waiting = 0
        """Callers that wait for an attempt's outcome."""
        self.failures = 0
        """Failures in a row since a connection last proved itself."""
        self.away_since = 0.0
        """Start of the back-off: the time of the first of these failures, plus the time up since then."""
        self.up_since = 0.0
        """Time at which a connection was last logged in."""
        self.timer: tuple[TimerKind, int] | None = None
        self.timer_at = 0.0
        """Time at which the timer fires, if it is set."""
        self.error: OnesocketError | None = None
        """Reason for the loss of the connection or the failure of the attempt; None while all is well."""
        self._event: Event = events.Connect()
        """The event that is being handled, and ..."""
        self._now = 0.0
        """... its time, and ..."""
        self._effects: list[Effect] = []
        """... its effects so far."""

    @property
    def retry_at(self) -> float | None:
        """Time of the next attempt, while BACKING_OFF."""
        return self.timer_at if self.state is State.BACKING_OFF else None

    # --- guards -------------------------------------------------------------------------------------------------------

    def retry_helps(self) -> bool:
        """True if the connection is resumed after this failure."""
        if self.reconnect is None or not self._resumes() or self.reconnect.exhausted(self.failures + 1):
            return False
        # The one failure that has no error yet is a missed deadline, and that may pass.
        return (
            not isinstance(self._event, events.ConnectionFailing | events.ConnectionGone)
            or classify(self._event.error) is not RetryClass.FATAL
        )

    def is_last_caller(self) -> bool:
        """True if the attempt was for this caller alone."""
        return self.waiting == 1 and self.initiator is Initiator.CALLERS

    def _resumes(self) -> bool:
        return self.state is State.CONNECTED or self.initiator is Initiator.RESUME

    # --- actions: callers ---------------------------------------------------------------------------------------------

    def set_initiator(self) -> None:
        """The attempt runs for this call, unless it only makes a retry that was due anyway sooner."""
        if self.after_close is AfterClose.BACK_OFF:
            self.initiator = Initiator.RESUME
            return
        self.failures = 0
        self.initiator = Initiator.CALLERS if self._has_waiting_caller() else Initiator.DETACHED

    def add_opener(self) -> None:
        """This call waits for the attempt that it starts."""
        self._add_caller(Outcome.OPENED)

    def add_joiner(self) -> None:
        """This call waits for an attempt in flight; one that does not wait detaches it from its callers."""
        if not self._has_waiting_caller() and self.initiator is Initiator.CALLERS:
            self.initiator = Initiator.DETACHED
        self._add_caller(Outcome.JOINED)

    def _add_caller(self, outcome: Outcome) -> None:
        self.waiting += self._has_waiting_caller()
        self._effects.append(fx.AwaitOutcome(outcome))

    def _has_waiting_caller(self) -> bool:
        return isinstance(self._event, events.Connect | events.Reconnect) and self._event.wait

    def drop_caller(self) -> None:
        """One waiting caller less."""
        if self.waiting == 0:
            raise IllegalEvent(f"CallerCancelled in {self.state.name}, but no caller waits")
        self.waiting -= 1

    def resolve_callers(self) -> None:
        """The attempt succeeded."""
        self.error = None
        if self.waiting:
            self.waiting = 0
            self._effects.append(fx.ResolveCallers())

    def reject_callers(self) -> None:
        """The attempt failed with the present error."""
        if self.error is not None:
            self._reject(self.error)

    def abort_callers(self) -> None:
        """Reject callers because of `disconnect()`."""
        self._reject(ConnectAborted("disconnect() was called while this connect() was waiting"))

    def close_callers(self) -> None:
        """Reject callers because of `aclose()`."""
        self._reject(ClientClosed("aclose() was called while this connect() was waiting"))

    def _reject(self, error: OnesocketError) -> None:
        if self.waiting:
            self.waiting = 0
            self._effects.append(fx.RejectCallers(error))

    def return_already_connected(self) -> None:
        """Answer the call with ALREADY_CONNECTED."""
        self._effects.append(fx.ReturnOutcome(Outcome.ALREADY_CONNECTED))

    def return_at_once(self) -> None:
        """Answer `disconnect()` or `aclose()`: nothing is left to close."""
        self._effects.append(fx.ReturnAtOnce())

    def refuse_stopped(self) -> None:
        """Answer the call with `ManuallyDisconnected`."""
        self._effects.append(fx.RaiseError(ManuallyDisconnected()))

    def refuse_closed(self) -> None:
        """Answer the call with `ClientClosed`."""
        self._effects.append(fx.RaiseError(ClientClosed()))

    def await_end(self) -> None:
        """`disconnect()` or `aclose()` waits for the end of the connection."""
        self._effects.append(fx.AwaitEnd())

    def release_closers(self) -> None:
        """The end that `disconnect()` and `aclose()` waited for has come."""
        self._effects.append(fx.ReleaseClosers())

    # --- actions: the connection --------------------------------------------------------------------------------------

    def dial(self) -> None:
        """Start an attempt with a new epoch and its deadline."""
        self.epoch += 1
        self.live_epoch = self.epoch
        self.opened = False
        self._set_timer(TimerKind.OPEN, self.open_timeout)
        self._effects.append(fx.Dial(self.epoch))

    def mark_opened(self) -> None:
        """The upgrade went through."""
        self.opened = True

    def mark_gone(self) -> None:
        """No socket and no task of the epoch is left."""
        self.live_epoch = None
        self.opened = False

    def extend_deadline(self) -> None:
        """Move the deadline of the attempt: its login has to wait for a turn."""
        seconds = self._event.seconds if isinstance(self._event, events.DeadlineExtended) else 0.0
        self._set_timer(TimerKind.OPEN, self.timer_at + seconds - self._now)

    def close_connection(self) -> None:
        """Close in order, or abort if the peer is known to be dead."""
        code, reason = 1000, ""
        if isinstance(self._event, events.ConnectionFailing):
            if self._event.dead:
                self.abort()
                return
            code, reason = self._event.code, self._event.reason
        if self.opened:
            self.set_close_timeout()
        # Otherwise the deadline of the attempt goes on bounding it: a socket whose upgrade was asked for is waited for.
        self._effects.append(fx.CloseConnection(self.epoch, code, reason))

    def set_close_timeout(self) -> None:
        """Bound the close handshake."""
        self._set_timer(TimerKind.CLOSE, self.close_timeout)

    def abort(self) -> None:
        """End the socket now."""
        self.cancel_timer()
        code = self._event.code if isinstance(self._event, events.ConnectionFailing) else None
        self._effects.append(fx.Abort(self.epoch, code))

    # --- actions: failures and timers ---------------------------------------------------------------------------------

    def forget_failures(self) -> None:
        """The connection has proved itself."""
        self.timer = None
        self.failures = 0

    def set_timeout_error(self) -> None:
        """The attempt has missed its deadline."""
        detail = self._event.detail if isinstance(self._event, events.TimerFired) else ""
        self.error = OpenTimeout(
            f"not ready within open_timeout ({self.open_timeout:g} s)" + (f": still {detail}" if detail else "")
        )

    def count_failure(self) -> None:
        """One failure more; the last one that the policy allows becomes `RetriesExhausted`."""
        if isinstance(self._event, events.ConnectionFailing | events.ConnectionGone):
            self.error = self._event.error
        if self.failures == 0:
            self.away_since = self._now
        elif self.state is State.CONNECTED:  # it has not proved itself: each second up makes up for one away
            self.away_since = min(self._now, self.away_since + 2 * (self._now - self.up_since))
        self.failures += 1
        last = self.error
        exhausted = self.reconnect is not None and self.reconnect.exhausted(self.failures)
        if last is not None and last.retryable and self._resumes() and exhausted:
            self.error = RetriesExhausted(f"gave up after {self.failures} failures in a row; the last one: {last}")
            self.error.__cause__ = last

    def schedule_retry(self) -> None:
        """Set the timer for the next attempt."""
        if self.reconnect is None or self.error is None or not isinstance(self._event, events.ConnectionGone):
            raise IllegalEvent("a retry without a policy, a reason or an end")
        self.initiator = Initiator.RESUME
        away = self._now - self.away_since
        self._set_timer(TimerKind.RETRY, self.reconnect.delay(self.failures, self.error, self._event.jitter, away))

    def watch_stability(self) -> None:
        """Set the timer after which earlier failures are forgotten, if there are any."""
        self.up_since = self._now
        if self.reconnect is None or self.failures == 0:
            self.cancel_timer()
        else:
            self._set_timer(TimerKind.STABLE, self.reconnect.stable_after)

    def cancel_timer(self) -> None:
        """Stop the timer."""
        self.timer = None
        self._effects.append(fx.CancelTimer())

    def _set_timer(self, kind: TimerKind, delay: float) -> None:
        self.timer, self.timer_at = (kind, self.epoch), self._now + delay
        self._effects.append(fx.SetTimer(kind, self.epoch, self.timer_at))


Action = Callable[[Actions], None]
Guard = Callable[[Actions], bool]
