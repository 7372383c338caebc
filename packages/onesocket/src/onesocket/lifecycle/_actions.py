"""The actions that rules of the transition table refer to: they change the data of the machine."""

from __future__ import annotations

from typing import Final

from ..errors import (
    ClientClosed,
    ConnectAborted,
    ManuallyDisconnected,
    OnesocketError,
    OpenTimeout,
    RetriesExhausted,
    ServerBusy,
)
from . import _effects as fx
from . import _events as events
from ._effects import Outcome
from ._events import TimerKind
from ._guards import Guards, Initiator
from ._peer_errors import MIN_UPTIME
from ._states import AfterClose, State
from ._verdict import Verdict

MAX_WAIT: Final = 3600.0
"""Seconds: the longest time that a `Retry-After` may keep calls from an attempt where no policy says another."""


class IllegalEvent(AssertionError):
    """An event that can't happen in this state: a bug of the shell, never of the user."""


def timeout_error(open_timeout: float, detail: str) -> OpenTimeout:
    """The error of an attempt that has missed its deadline; `detail`: the phase that it was in."""
    still = f": still {detail}" if detail else ""
    return OpenTimeout(f"not ready within open_timeout ({open_timeout:g} s){still}")


class Actions(Guards):
    """The actions, which change the data and append effects."""

    # --- actions: callers ---------------------------------------------------------------------------------------------

    def set_initiator(self) -> None:
        """The attempt runs for this call, unless it only makes a retry that was due anyway sooner."""
        if self.after_close is not AfterClose.BACK_OFF:
            self.failures = self.refusals = 0
            self.initiator = Initiator.CALLERS
            self._inherit_outage(is_inherited=False)
        earlier = self._earlier()
        if earlier is not None:
            self.initiator = Initiator.RESUME
            self.failures, self.away_since = earlier.failures, self._now - earlier.away
            self._inherit_outage(is_inherited=earlier.failures > 1)
            self.error = earlier.error or self.error
            self.not_before = max(self.not_before, self._now + earlier.wait)
            self._note_ghost()

    def _detach_from_callers(self) -> None:
        """A call that does not wait keeps the attempt from being wound down with the last caller."""
        if self._has_waiting_caller() or self.initiator is Initiator.RESUME:
            return
        if self._retries():
            self.initiator = Initiator.RETRYING
        elif self.initiator is Initiator.CALLERS:
            self.initiator = Initiator.DETACHED

    def add_opener(self) -> None:
        """This call waits for the attempt that it starts."""
        self._add_caller(Outcome.OPENED)

    def add_joiner(self) -> None:
        """This call waits for an attempt in flight; one that does not wait detaches it from its callers."""
        self._add_caller(Outcome.JOINED)

    def _add_caller(self, outcome: Outcome) -> None:
        self._detach_from_callers()
        if self._has_waiting_caller():
            self.waiting += 1
            self.retrying += self._retries()
        self._effects.append(fx.AwaitOutcome(outcome))

    def _has_waiting_caller(self) -> bool:
        return isinstance(self._event, events.CALLS) and self._event.wait

    def drop_caller(self) -> None:
        """One waiting caller less."""
        if self.waiting == 0:
            raise IllegalEvent(f"CallerCancelled in {self.state.name}, but no caller waits")
        self.waiting -= 1
        self.retrying -= isinstance(self._event, events.CallerCancelled) and self._event.retries

    def resolve_callers(self) -> None:
        """The attempt succeeded."""
        self.error = None
        self.not_before = 0.0
        self._inherit_outage(is_inherited=False)
        if self.waiting:
            self.waiting = self.retrying = 0
            self._effects.append(fx.ResolveCallers())

    def reject_callers(self) -> None:
        """The attempt failed with the present error."""
        if self.error is not None:
            self._reject(self.error)

    def reject_callers_of_attempt(self) -> None:
        """The attempt failed, and another follows: only callers that wait for that one as well are spared."""
        if self.error is None or self.meets_ghost or self.waiting == self.retrying:
            return
        self.waiting = self.retrying
        self._effects.append(fx.RejectCallers(self.error, spares_retrying=True))

    def abort_callers(self) -> None:
        """Reject callers because of `disconnect()`."""
        self._reject(ConnectAborted("disconnect() was called while this connect() was waiting"))

    def close_callers(self) -> None:
        """Reject callers because of `aclose()`."""
        self._reject(ClientClosed("aclose() was called while this connect() was waiting"))

    def _reject(self, error: OnesocketError) -> None:
        if self.waiting:
            self.waiting = self.retrying = 0
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

    def refuse_early(self) -> None:
        """Answer the call with `ServerBusy`: the time that the server named has not come."""
        rest = self.not_before - self._now
        text = f"the server asked for no attempt before {rest:.1f} s from now"
        error = ServerBusy(text if self.error is None else f"{text}: {self.error}", retry_after=rest)
        error.__cause__ = self.error
        self._effects.append(fx.RaiseError(error))

    def await_end(self) -> None:
        """`disconnect()` or `aclose()` waits for the end of the connection."""
        self._effects.append(fx.AwaitEnd())

    def release_closers(self) -> None:
        """The end that `disconnect()` and `aclose()` waited for has come."""
        self._effects.append(fx.ReleaseClosers())

    # --- actions: the connection --------------------------------------------------------------------------------------

    def dial(self) -> None:
        """Start an attempt with a new epoch and its deadline."""
        self.last_epoch += 1
        self.epoch = self.live_epoch = self.last_epoch
        self.opened = self.has_place = self.meets_ghost = False
        self._set_timer(TimerKind.OPEN, self.open_timeout)
        self._effects.append(fx.Dial(self.epoch))

    def mark_opened(self) -> None:
        """The upgrade went through."""
        self.opened = self.has_place = True

    def mark_gone(self) -> None:
        """No socket and no task of the epoch is left."""
        if self.has_place:
            self._note_ghost()
        if self.state is State.CLOSING:
            self._note_refusal_while_closing()
        self.live_epoch = None
        self.opened = self.has_place = False

    def _note_refusal_while_closing(self) -> None:
        failure = self._failure()
        if failure is not None and self._names_date():
            self._note_date(failure.error)
            if self.after_close not in (None, AfterClose.BACK_OFF, AfterClose.FAIL):  # these have their reason
                self.error = failure.error

    def _note_ghost(self) -> None:
        """The server may count the connection that has ended for some time more."""
        self.ghost_until = self._now + self.ghost_seconds

    def resume_after_close(self) -> None:
        """The attempt after the close resumes the connection, which this side closes for that."""
        self.initiator = Initiator.RESUME

    def extend_deadline(self) -> None:
        """Move the deadline of the attempt: its login has to wait for a turn."""
        seconds = self._event.seconds if isinstance(self._event, events.DeadlineExtended) else 0.0
        self._set_timer(TimerKind.OPEN, self.timer_at + seconds - self._now)

    def close_connection(self) -> None:
        """Close in order, or abort if the peer is known to be dead."""
        code, reason = 1000, ""
        if self._leaves_place(self.epoch):
            self.has_place = False
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
        self.failures = self.refusals = 0

    def set_timeout_error(self) -> None:
        """The attempt has missed its deadline."""
        detail = self._event.detail if isinstance(self._event, events.TimerFired) else ""
        self.error = timeout_error(self.open_timeout, detail)

    def count_failure(self) -> None:
        """One failure more; the last one that the policy allows becomes `RetriesExhausted`."""
        failure = self._failure()
        if self.state is State.CONNECTED:
            self.initiator = Initiator.RESUME
            if isinstance(failure, events.ConnectionFailing) and failure.up_for >= MIN_UPTIME:
                self.ghost_until = 0.0  # the server had a place: what it counts now is another's
        self._count_refusal()
        self.meets_ghost = self._is_ghost()
        if failure is not None:
            self.error = failure.error
            if self.meets_ghost and failure.verdict is None:
                self.verdict = Verdict.RETRY  # it is gone in seconds
        self._note_date(self.error)
        if self.failures == 0:
            self.away_since = self._now
        elif self.state is State.CONNECTED:  # it has not proved itself: each second up makes up for one away
            self.away_since = min(self._now, self.away_since + 2 * (self._now - self.up_since))
        self.failures += 1
        last = self.error
        exhausted = self.reconnect is not None and self.reconnect.exhausted(self.failures)
        goes_on = self.is_resumed or self.meets_ghost
        if last is not None and self.verdict is not Verdict.FAIL and goes_on and exhausted:
            self.error = RetriesExhausted(f"gave up after {self.failures} failures in a row; the last one: {last}")
            self.error.__cause__ = last

    def _count_refusal(self) -> None:
        """Keep the verdict, and count the refusals of a token; one that was accepted for a while begins a new count."""
        self.verdict, failure = self._verdict(), self._failure()
        if failure is not None and self._refuses_token(failure):
            self._effects.append(fx.ReportRefusedToken(failure.error))
        if self.verdict is Verdict.NEW_TOKEN:
            self.refusals += 1
        elif self.state is State.CONNECTED:
            self.refusals = 0

    def _inherit_outage(self, *, is_inherited: bool) -> None:
        if is_inherited is not self.inherits_outage:  # else it stays in the class
            self.inherits_outage = is_inherited

    def _note_date(self, error: OnesocketError | None) -> None:
        """Keep the time that the server named for the next attempt."""
        named = None if error is None else error.retry_after
        longest = MAX_WAIT if self.reconnect is None else self.reconnect.retry_after_cap
        if named is not None:
            self.not_before = self._now + min(named, longest)

    def schedule_retry(self) -> None:
        """Set the timer for the next attempt."""
        if self.reconnect is None or not isinstance(self._event, events.ConnectionGone):
            raise IllegalEvent("a retry without a policy or an end")
        if self.error is None:  # none failed but a successor, which was refused until a date
            self.wait_for_date()
            return
        away = self._now - self.away_since
        failures = self.failures + self.meets_ghost  # a ghost of our own isn't gone at once
        delay = self.reconnect.delay(failures, self.error, self._event.jitter, away, verdict=self.verdict)
        self._set_timer(TimerKind.RETRY, max(delay, self.not_before - self._now))

    def wait_for_date(self) -> None:
        """Set the timer for the time that the server named, or for the end of another process's back-off."""
        earlier = self._earlier()
        self._set_timer(TimerKind.RETRY, max(self.not_before - self._now, earlier.back_off if earlier else 0.0))

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
