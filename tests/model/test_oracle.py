"""The machine against a naive oracle, written from the promises in words and not from the table."""

from __future__ import annotations

import os
from dataclasses import dataclass

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from onesocket.errors import (
    ClientClosed,
    ClosedByPeer,
    ConnectAborted,
    ConnectionRefused,
    ConnectionReset,
    HandshakeRejected,
    ManuallyDisconnected,
    OnesocketError,
    OpenTimeout,
    RetriesExhausted,
    ServerBusy,
)
from onesocket.lifecycle import _effects as fx
from onesocket.lifecycle import _events as events
from onesocket.lifecycle._events import TimerKind
from onesocket.lifecycle._guards import MAX_TOKEN_REQUESTS, Initiator
from onesocket.lifecycle._machine import Machine
from onesocket.lifecycle._peer_errors import closed_by_peer
from onesocket.lifecycle._retry import ReconnectPolicy
from onesocket.lifecycle._side_data import GHOST_SECONDS
from onesocket.lifecycle._verdict import Verdict

OPEN_TIMEOUT, CLOSE_TIMEOUT = 10.0, 5.0

RESUME_REFUSED = ConnectionReset("begin anew")
RESUME_REFUSED.retry_after, RESUME_REFUSED.backs_off = 3.0, False

ERRORS = st.sampled_from(
    [
        ConnectionReset("lost"),
        ClosedByPeer("going away", code=1001, reason="", retryable=True),
        ClosedByPeer("message too big", code=1010, reason="", retryable=False),
        closed_by_peer(1008),
        closed_by_peer(1008, fatal={1008}),
        closed_by_peer(1008, "too many requests"),
        closed_by_peer(1008, "connection limit exceeded"),
        closed_by_peer(1008, "token expired"),
        closed_by_peer(3000),
        HandshakeRejected("unavailable", status=503, retryable=True, retry_after=120.0),
        HandshakeRejected("forbidden", status=403, retryable=False),
        ConnectionRefused("refused"),
        ServerBusy("limit exceeded"),
        ServerBusy("limit exceeded", retry_after=7.0),
        RESUME_REFUSED,
    ]
)
POLICIES = st.sampled_from(
    [
        None,
        ReconnectPolicy(initial=1, factor=2, cap=5, stable_after=10, busy_delay=30),
        ReconnectPolicy(initial=1, factor=3, cap=60, stable_after=2, busy_delay=20, max_attempts=3),
    ]
)
VERDICTS = st.sampled_from([None, None, None, None, *Verdict])
SECONDS = st.floats(min_value=0, max_value=4, allow_nan=False)
UP_FOR = st.sampled_from([0.0, 0.9, 1.0, 3600.0])
JITTERS = st.floats(min_value=0, max_value=1, exclude_max=True, allow_nan=False)

# What is to come when nothing is left of the connection that is being closed.
REST, ATTEMPT, RETRY, GIVE_UP, STOP, END = "rest", "attempt", "retry", "give up", "stop", "end"
STATES_AT_REST = {
    REST: "disconnected",
    RETRY: "backing off",
    GIVE_UP: "failed",
    STOP: "stopped",
    END: "closed",
}
INITIATORS = {
    Initiator.CALLERS: "callers",
    Initiator.DETACHED: "no caller",
    Initiator.RETRYING: "retries",
    Initiator.RESUME: "lost connection",
}
Failure = events.ConnectionFailing | events.ConnectionGone
TARGETS = STATES_AT_REST | {ATTEMPT: "a new attempt"}


def _is_limit(error: OnesocketError) -> bool:
    return isinstance(error, ServerBusy) and error.is_connection_limit


def _tells_end(failure: Failure) -> bool:
    """The server has ended the connection, or refused it: it doesn't count it."""
    return _is_limit(failure.error) or (isinstance(failure, events.ConnectionFailing) and failure.by_peer)


@dataclass
class Beside:
    """The connection beside the one that counts: one that is to follow it, or one that is being closed."""

    epoch: int
    phase: str = "upgrading"
    closing: bool = False
    is_known: bool = False
    rings: tuple[str, float] | None = None


class Oracle:
    """A connection, what is meant to come after it, and who waits. The state is read off these; it is not kept."""

    def __init__(self, policy: ReconnectPolicy | None, *, renews: bool, closes_first: bool) -> None:
        self.policy = policy
        self.closes_first = closes_first
        self.newest = 0
        self.beside: Beside | None = None
        self.rotation_failure: OnesocketError | None = None
        self.renews = renews
        self.now = 0.0
        self.epoch = 0
        self.phase: str | None = None  # none, upgrading, open, ready
        self.closing = False
        self.then = REST
        self.owner = "callers"  # callers, no caller, retries, lost connection
        self.waiting: list[bool] = []
        """For each caller, whether it waits through failures."""
        self.date = 0.0
        """The time that the server has named for the next attempt."""
        self.refusals = 0
        self.is_known = False
        """The server knows of the connection's end: it has closed or refused it."""
        self.ghost_until = 0.0
        self.meets_ghost = False
        self.verdict = Verdict.RETRY
        self.leaving = False
        self.losses = 0
        self.away_since = self.up_since = 0.0
        self.why: OnesocketError | None = None
        self.rings: tuple[str, float] | None = None
        self.said: list[object] = []

    @property
    def state(self) -> str:
        if self.phase is None:
            return STATES_AT_REST[self.then]
        if self.closing:
            return "closing"
        return "connected" if self.phase == "ready" else "connecting"

    def say(self, *word: object) -> None:
        self.said.append(word)

    # --- people -----------------------------------------------------------------------------------------------------

    def connect(self, *, waits: bool, lifts: bool, retry: bool) -> None:
        state = self.state
        persists = retry and self.policy is not None
        is_early = (lifts or state != "connected") and state != "connecting" and self.now < self.date
        if self.then == END or (self.then == STOP and not lifts):
            self.say("refuse", ClientClosed if self.then == END else ManuallyDisconnected)
        elif state == "connecting" or (state == "closing" and self.then == ATTEMPT):
            self._wait("joined", waits=waits, persists=persists)
        elif state == "connected" and not lifts:
            self.say("answer", "already connected")
        elif is_early and state == "connected":
            self.say("refuse", ServerBusy)
        elif is_early:
            self._connect_early(waits=waits, persists=persists)
        else:
            # One attempt: at once, or when the connection that is still there has ended.
            if self.then == RETRY:
                if self.phase is not None:
                    self._tell_impatient(self.why)  # only sooner
            else:
                self._begin_anew()
            if state == "connected":
                self._close(1000, "")
                self._close_successor()
            if self.phase is not None:
                self.then = ATTEMPT
            else:
                self._attempt()
            self._wait("opened", waits=waits, persists=persists)

    def rotate(self, *, waits: bool, retry: bool) -> None:
        """A successor beside the connection that counts; never a third."""
        if self.state != "connected":
            self.connect(waits=waits, lifts=False, retry=retry)
        elif self.beside is not None:
            self._wait("joined", waits=waits, persists=retry and self.policy is not None)
        elif self.now < self.date:
            self.say("refuse", ServerBusy)
        else:
            self.newest += 1
            self.beside = Beside(self.newest, rings=("open timeout", self.now + OPEN_TIMEOUT))
            self.rotation_failure = None
            self.say("dial beside", self.newest)
            self._wait("opened", waits=waits, persists=retry and self.policy is not None)

    def _connect_early(self, *, waits: bool, persists: bool) -> None:
        """One attempt, when the time comes that the server has named; only for those that wait for it."""
        if not persists:
            self.say("refuse", ServerBusy)
            self.then = REST if self.then == STOP else self.then
        elif self.then == RETRY:
            self._wait("joined", waits=waits, persists=persists)
        else:
            self._begin_anew()
            self.then = RETRY
            self.rings = ("retry", self.date) if self.phase is None else self.rings
            self._wait("opened", waits=waits, persists=persists)

    def _begin_anew(self) -> None:
        self.owner, self.losses, self.refusals = "callers", 0, 0
        if self.state != "connected":  # those that wait for a successor get the attempt
            self._tell_all(self.why)

    def cancel(self, *, persists: bool) -> None:
        self.waiting.remove(persists)
        if self.owner != "callers" or self.state == "connected":
            return
        if self.waiting:
            if persists and True not in self.waiting and self.closing and self.then == RETRY and not self.meets_ghost:
                self.then = GIVE_UP  # the others wanted one attempt
        elif self.state == "connecting":
            self._close(1000, "")
            self.then = REST
        elif self.then in (ATTEMPT, RETRY):
            self.rings = self.rings if self.closing else None
            self.then = REST

    def leave(self, *, for_good: bool) -> None:
        self._tell_all(ClientClosed() if for_good else ConnectAborted())
        if self.phase is not None:
            if not self.closing:
                self._close(1000, "")
                self._close_successor()
            self.leaving = True
            self.say("await end")
        else:
            self.rings = None
            self.say("done")
        if for_good or self.then != END:
            self.then = END if for_good else STOP

    def _wait(self, outcome: str, *, waits: bool, persists: bool) -> None:
        self.say("wait", outcome)
        if waits:
            self.waiting.append(persists)
        elif self.owner != "lost connection" and persists:
            self.owner = "retries"
        elif self.owner == "callers":
            self.owner = "no caller"

    def _tell_impatient(self, error: OnesocketError | None) -> None:
        """An attempt failed, and another follows: those that don't wait for it are told."""
        if not self.meets_ghost and False in self.waiting:
            self.say("reject", type(error))
            self.waiting = [each for each in self.waiting if each]

    def _tell_all(self, error: OnesocketError | None) -> None:
        if self.waiting:
            self.say("reject", type(error))
        self.waiting = []

    # --- the connection ---------------------------------------------------------------------------------------------

    def _attempt(self) -> None:
        self.newest += 1
        self.epoch = self.newest
        self.phase, self.closing, self.then = "upgrading", False, REST
        self.is_known = self.meets_ghost = False
        self.rings = ("open timeout", self.now + OPEN_TIMEOUT)
        self.say("dial", self.epoch)

    def _close(self, code: int, reason: str) -> None:
        self.closing = True
        if self.phase != "upgrading":
            self.rings = ("close timeout", self.now + CLOSE_TIMEOUT)
        self.say("close", self.epoch, code, reason)

    def _close_successor(self, code: int = 1000, reason: str = "", *, known: bool = False, dead: bool = False) -> None:
        beside = self.beside
        if beside is None or beside.closing:
            return
        beside.closing, beside.is_known = True, known
        if dead:
            beside.rings = None
            self.say("abort", beside.epoch, code)
            return
        if beside.phase != "upgrading":
            beside.rings = ("close timeout", self.now + CLOSE_TIMEOUT)
        self.say("close", beside.epoch, code, reason)

    def _change_places(self) -> None:
        """Let the connection beside count from now on; the one that counted is beside it, if it is still there."""
        beside = self.beside
        if beside is None:
            raise AssertionError
        old = None if self.phase is None else Beside(self.epoch, self.phase)
        self.beside = old
        self.epoch, self.phase, self.closing = beside.epoch, beside.phase, beside.closing
        self.is_known = beside.is_known
        self.rings = beside.rings
        self.say("take over", self.epoch)

    def opened(self) -> None:
        self.phase = "open"
        if self.closing:
            self.rings = ("close timeout", self.now + CLOSE_TIMEOUT)

    def extend(self, seconds: float) -> None:
        if self.state == "connecting" and self.rings is not None:
            kind, at = self.rings
            self.rings = kind, self.now + (at + seconds - self.now)

    def ready(self) -> None:
        if not self.closing and self.phase == "open":
            if self.waiting:
                self.say("resolve")
            self.waiting, self.why, self.date = [], None, 0.0
            proves = self.policy is not None and self.losses > 0
            self.rings = ("stable", self.now + self.policy.stable_after) if proves and self.policy else None
            self.up_since = self.now
        self.phase = "ready"

    def failing(self, failure: events.ConnectionFailing) -> None:
        if self.closing:
            return
        follows = self.state == "connected" and self.beside is not None and not self.beside.closing
        self.then = self._fails(failure)
        code, reason, dead = failure.code, failure.reason, failure.dead
        if follows and self.then == RETRY:
            self.then = REST
            self._change_places()
            self._close_successor(code, reason, known=_tells_end(failure), dead=dead)
            return
        self.is_known = _tells_end(failure)
        if dead:
            self.closing = True
            self.rings = None
            self.say("abort", self.epoch, code)
        else:
            self._close(code, reason)
        self._close_successor()

    # --- beside -----------------------------------------------------------------------------------------------------

    def side_opened(self, beside: Beside) -> None:
        beside.phase = "open"
        if beside.closing:
            beside.rings = ("close timeout", self.now + CLOSE_TIMEOUT)

    def side_extend(self, beside: Beside, seconds: float) -> None:
        if not beside.closing and beside.rings is not None:
            beside.rings = beside.rings[0], beside.rings[1] + seconds

    def side_ready(self, beside: Beside) -> None:
        beside.phase = "ready"
        if beside.closing:
            return
        self._change_places()
        self._close_successor()
        self.rings = ("stable", self.now + self.policy.stable_after) if self.policy and self.losses else None
        self.up_since = self.now

    def side_failing(self, beside: Beside, failure: events.ConnectionFailing) -> None:
        if beside.closing:
            return
        self._successor_fails(failure)
        self._close_successor(failure.code, failure.reason, known=_tells_end(failure), dead=failure.dead)

    def side_timer_fired(self, beside: Beside) -> None:
        if not beside.closing:
            self.rotation_failure = OpenTimeout()
        beside.closing, beside.rings = True, None
        self.say("abort", beside.epoch, None)

    def side_ended(self, beside: Beside, failure: events.ConnectionGone) -> None:
        refused = self.rotation_failure
        if not beside.closing:
            refused = self._means(failure)[0]
        is_limit = isinstance(refused, ServerBusy) and refused.is_connection_limit and refused.retry_after is None
        is_sound = self.state == "connected" and self.policy is not None
        closes_first = is_limit and is_sound and self.closes_first and self.now >= self.ghost_until
        if not beside.closing and not closes_first:
            self._successor_fails(failure)
        if beside.phase != "upgrading" and not beside.is_known:
            self.ghost_until = self.now + GHOST_SECONDS
        if failure.error.retry_after is not None:
            self._note_date(failure.error)
            if self.closing and self.then not in (RETRY, GIVE_UP):
                self.why = self._means(failure)[0]
        self.beside = None
        if closes_first:
            self.owner, self.then = "lost connection", ATTEMPT
            self._close(1000, "")
        elif self.state == "connected" and self.rotation_failure is not None:
            self._tell_all(self.rotation_failure)
        elif self.state == "connected" and self.waiting:
            self.say("resolve")
            self.waiting = []

    def _successor_fails(self, failure: Failure) -> None:
        """Its failure is told to those that wait for it; the connection that counts goes on."""
        self.rotation_failure, verdict = self._means(failure)
        self._note_date(self.rotation_failure)
        if verdict is Verdict.NEW_TOKEN:
            self.say("refused token", type(self.rotation_failure))

    # --- the one that counts ----------------------------------------------------------------------------------------

    def ended(self, failure: events.ConnectionGone) -> None:
        follows = self.state == "connected" and self.beside is not None and not self.beside.closing
        was_closing = self.closing
        if not self.closing:
            self.then = self._fails(failure)
        refused = failure.error.retry_after is not None and self.closing
        if refused:
            self._note_date(failure.error)
        refused = refused and self.then not in (RETRY, GIVE_UP)
        if refused:
            self.why = self._means(failure)[0]
        if self.phase != "upgrading" and not self.is_known:
            self.ghost_until = self.now + GHOST_SECONDS
        self.phase, self.closing, self.is_known = None, False, False
        if self.beside is not None:
            if follows and self.then == RETRY:
                self.then = REST
            elif not was_closing:
                self._close_successor()
            self._change_places()
            return
        refused = refused or self.now < self.date
        if self.then == ATTEMPT and refused:
            persists = self.owner in ("lost connection", "retries") or True in self.waiting
            self.then = RETRY if persists else GIVE_UP
            tell = self._tell_impatient if persists else self._tell_all
            tell(self.why)
            self.rings = ("retry", self.date) if persists else None
        elif self.then == ATTEMPT:
            self._attempt()
        elif self.then == RETRY:
            self._tell_impatient(self.why)
            self.rings = ("retry", self.now + max(self._delay(failure.jitter), self.date - self.now))
        else:
            self._tell_all(self.why)
            self.rings = None
        if self.leaving:
            self.say("release")
        self.leaving = False

    def timer_fired(self) -> None:
        state, self.rings = self.state, None
        if state == "backing off":
            self._attempt()
        elif state == "connected":
            self.losses = self.refusals = 0
        else:
            if state == "connecting":
                self.then = self._fails(None)
                self.closing = True
            self.say("abort", self.epoch, None)

    def _means(self, failure: Failure) -> tuple[OnesocketError, Verdict]:
        """1008 without a word of the protocol's or about a limit: no to a newcomer, not now to whom was in before."""
        error = failure.error
        was_in = self.owner == "lost connection" or failure.up_for >= 1
        passes = isinstance(error, ClosedByPeer) and error.retryable_once_established and self.policy is not None
        wants_token = self._wants_token(failure)
        if passes and was_in and failure.verdict is None and not (self.renews and wants_token):
            error = ServerBusy(str(error))
        usual = Verdict.FAIL if not error.retryable else Verdict.RETRY
        usual = Verdict.SLOW if isinstance(error, ServerBusy) else usual
        if not wants_token:
            return error, failure.verdict or usual
        if not self.renews:
            return error, usual
        another = self.refusals > 0 and failure.is_fresh_token
        return error, Verdict.FAIL if another or self.refusals == MAX_TOKEN_REQUESTS else Verdict.NEW_TOKEN

    def _wants_token(self, failure: Failure) -> bool:
        return failure.verdict is Verdict.NEW_TOKEN or (failure.verdict is None and failure.error.refuses_token)

    def _fails(self, failure: Failure | None) -> str:
        """Count it, and decide what it leads to. First connects fail for good; established connections come back."""
        error, verdict = (OpenTimeout(), Verdict.RETRY) if failure is None else self._means(failure)
        if self.phase == "ready":
            self.owner = "lost connection"
        if failure is not None and self.renews and self._wants_token(failure):
            self.say("refused token", type(error))
        if verdict is Verdict.NEW_TOKEN:
            self.refusals += 1
        elif self.phase == "ready":
            self.refusals = 0
        if self.phase == "ready" and failure is not None and failure.up_for >= 1:
            self.ghost_until = 0.0  # the place that is taken is another's
        if isinstance(failure, events.ConnectionGone) and self.phase != "upgrading" and not self.is_known:
            self.ghost_until = self.now + GHOST_SECONDS
        self.meets_ghost = _is_limit(error) and self.now < self.ghost_until
        if self.meets_ghost and failure is not None and failure.verdict is None:
            verdict = Verdict.RETRY
        self._note_date(error)
        goes_on = self.owner in ("lost connection", "retries") or True in self.waiting or self.meets_ghost
        if self.losses and self.phase == "ready":  # so long up makes up for so long away
            self.away_since = min(self.now, self.away_since + 2 * (self.now - self.up_since))
        self.away_since = self.away_since if self.losses else self.now
        self.losses += 1
        self.why, self.verdict = error, verdict
        if self.policy is None or not goes_on or verdict is Verdict.FAIL:
            return GIVE_UP
        if self.policy.max_attempts is not None and self.losses >= self.policy.max_attempts:
            self.why = RetriesExhausted()
            return GIVE_UP
        return RETRY

    def _note_date(self, error: OnesocketError) -> None:
        longest = 3600.0 if self.policy is None else self.policy.retry_after_cap
        self.date = self.date if error.retry_after is None else self.now + min(error.retry_after, longest)

    def _delay(self, jitter: float) -> float:
        policy, error = self.policy, self.why
        if policy is None:
            raise AssertionError
        if error is None:  # a successor was refused until a date, and nothing else failed
            return 0.0
        losses = self.losses + self.meets_ghost  # a place of our own is free in seconds, but not at once
        if self.verdict is Verdict.SLOW and error.retry_after is None:
            return min(policy.busy_delay * (1 + jitter), max(policy.cap, policy.busy_delay))
        if error.retry_after is not None and not error.backs_off:
            return error.retry_after
        back_off = 0.0
        if losses > 1:
            most = min(policy.cap, policy.initial * policy.factor ** (losses - 2))
            if isinstance(error, ConnectionRefused):
                most = min(most, max(policy.unreachable_cap, policy.initial))
            most = min(most, policy.initial + 0.4 * (self.now - self.away_since))
            back_off = most * (1 + jitter) / 2
        if error.retry_after is None:
            return back_off
        named = min(error.retry_after, policy.retry_after_cap)
        return max(back_off, named + jitter * min(0.1 * named, policy.cap))


def as_oracle_words(effects: tuple[fx.Effect, ...]) -> list[object]:  # noqa: PLR0912 - one case for each effect
    """The effects that are visible outside, in the terms of the oracle."""
    words: list[object] = []
    for effect in effects:
        match effect:
            case fx.RaiseError(error):
                words.append(("refuse", type(error)))
            case fx.ReturnOutcome(outcome):
                words.append(("answer", outcome.value))
            case fx.AwaitOutcome(outcome):
                words.append(("wait", outcome.value))
            case fx.AwaitEnd():
                words.append(("await end",))
            case fx.ReturnAtOnce():
                words.append(("done",))
            case fx.Dial(epoch):
                words.append(("dial", epoch))
            case fx.DialSuccessor(epoch):
                words.append(("dial beside", epoch))
            case fx.TakeOver(epoch):
                words.append(("take over", epoch))
            case fx.CloseConnection(epoch, code, reason):
                words.append(("close", epoch, code, reason))
            case fx.Abort(epoch, code):
                words.append(("abort", epoch, code))
            case fx.ResolveCallers():
                words.append(("resolve",))
            case fx.RejectCallers(error):
                words.append(("reject", type(error)))
            case fx.ReleaseClosers():
                words.append(("release",))
            case fx.ReportRefusedToken(error):
                words.append(("refused token", type(error)))
            case _:  # the clock is compared by what it is set to, the state by what it is
                pass
    return words


def rounded(rings: tuple[str, float] | None) -> tuple[str, float] | None:
    """The kind of a timer and its time, without the errors of floating-point sums."""
    return rings and (rings[0], round(rings[1], 6))


class MachineAgainstOracle(RuleBasedStateMachine):
    """Everything that may happen happens to both."""

    machine: Machine
    oracle: Oracle
    rings: tuple[str, float] | None
    side_rings: tuple[str, float] | None

    @initialize(policy=POLICIES, established=st.booleans(), renews=st.booleans(), closes_first=st.booleans())
    def begin(self, policy: ReconnectPolicy | None, established: bool, renews: bool, closes_first: bool) -> None:
        self.machine = Machine(
            open_timeout=OPEN_TIMEOUT,
            close_timeout=CLOSE_TIMEOUT,
            reconnect=policy,
            renews_token=renews,
            closes_first=closes_first,
        )
        self.oracle = Oracle(policy, renews=renews, closes_first=closes_first)
        self.rings = self.side_rings = None
        if established:
            self.connect(waits=True, retry=False)
            self.all_goes_well()

    def handle(self, event: events.Event) -> None:
        effects = self.machine.handle(event, self.oracle.now)
        for effect in effects:
            if isinstance(effect, fx.SetTimer | fx.CancelTimer):
                rings = (effect.kind.value, effect.at) if isinstance(effect, fx.SetTimer) else None
                if effect.is_side:
                    self.side_rings = rings
                else:
                    self.rings = rings
        said, self.oracle.said = self.oracle.said, []
        heard = as_oracle_words(effects)
        # A release without a caller that waits for the end means nothing: the machine may say so.
        if ("release",) in heard and ("release",) not in said:
            heard.remove(("release",))
        assert sorted(map(repr, heard)) == sorted(map(repr, said))

    # --- people -----------------------------------------------------------------------------------------------------

    @rule(waits=st.booleans(), retry=st.booleans())
    def connect(self, waits: bool, retry: bool) -> None:
        self.oracle.connect(waits=waits, lifts=False, retry=retry)
        self.handle(events.Connect(wait=waits, retry=retry))

    @rule(waits=st.booleans(), retry=st.booleans())
    def reconnect(self, waits: bool, retry: bool) -> None:
        self.oracle.connect(waits=waits, lifts=True, retry=retry)
        self.handle(events.Reconnect(wait=waits, retry=retry))

    @rule(waits=st.booleans(), retry=st.booleans())
    def rotate(self, waits: bool, retry: bool) -> None:
        self.oracle.rotate(waits=waits, retry=retry)
        self.handle(events.Rotate(wait=waits, retry=retry))

    @precondition(lambda self: self.oracle.waiting)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        retries = data.draw(st.sampled_from(self.oracle.waiting))
        self.oracle.cancel(persists=retries)
        self.handle(events.CallerCancelled(retries))

    @rule()
    def disconnect(self) -> None:
        self.oracle.leave(for_good=False)
        self.handle(events.Disconnect())

    @precondition(lambda self: self.oracle.epoch > 4)  # or most lives would be short
    @rule()
    def aclose(self) -> None:
        self.oracle.leave(for_good=True)
        self.handle(events.Close())

    # --- the connection and the clock -------------------------------------------------------------------------------

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: float) -> None:
        if all(self.oracle.now + seconds < rings[1] for rings in (self.rings, self.side_rings) if rings):
            self.oracle.now += seconds

    @precondition(lambda self: self.side_rings is not None)
    @rule()
    def the_alarm_rings_beside(self) -> None:
        beside, rings = self.oracle.beside, self.side_rings
        assert beside is not None
        assert rings is not None
        if self.rings is None or rings[1] <= self.rings[1]:
            self.oracle.now, self.side_rings = rings[1], None
            self.oracle.side_timer_fired(beside)
            self.handle(events.TimerFired(beside.epoch, TimerKind(rings[0])))

    @precondition(lambda self: self.oracle.rings is not None)
    @rule()
    def the_alarm_rings(self) -> None:
        assert self.rings is not None
        if self.side_rings is not None and self.side_rings[1] < self.rings[1]:
            self.the_alarm_rings_beside()
            return
        (kind, self.oracle.now), self.rings = self.rings, None
        self.oracle.timer_fired()
        self.handle(events.TimerFired(self.machine.epoch, TimerKind(kind)))

    @precondition(lambda self: self.oracle.phase == "upgrading" and not self.oracle.is_known)  # no upgrade after an end
    @rule()
    def opened(self) -> None:
        self.oracle.opened()
        self.handle(events.Opened(self.machine.epoch))

    @precondition(lambda self: self.oracle.phase in ("open", "ready"))
    @rule(seconds=SECONDS)
    def login_waits_for_its_turn(self, seconds: float) -> None:
        self.oracle.extend(seconds)
        self.handle(events.DeadlineExtended(self.machine.epoch, seconds))

    @precondition(lambda self: self.oracle.phase in ("open", "ready"))
    @rule()
    def ready(self) -> None:
        self.oracle.ready()
        self.handle(events.ProtocolReady(self.machine.epoch))

    @precondition(lambda self: self.oracle.phase == "upgrading" and not self.oracle.is_known)  # no upgrade after an end
    @rule()
    def all_goes_well(self) -> None:
        """Twice as often as chance would have it."""
        self.opened()
        self.ready()

    @precondition(lambda self: self.oracle.phase is not None)
    @rule(
        error=ERRORS,
        code=st.sampled_from([1000, 1002, 4000]),
        dead=st.booleans(),
        up_for=UP_FOR,
        by_peer=st.booleans(),
        verdict=VERDICTS,
        fresh=st.booleans(),
    )
    def failing(
        self,
        *,
        error: OnesocketError,
        code: int,
        dead: bool,
        up_for: float,
        by_peer: bool,
        verdict: Verdict | None,
        fresh: bool,
    ) -> None:
        up_for = up_for if self.oracle.phase == "ready" else 0.0
        event = events.ConnectionFailing(
            self.machine.epoch, error, code, "told", dead, up_for, by_peer, verdict, is_fresh_token=fresh
        )
        self.oracle.failing(event)
        self.handle(event)

    @precondition(lambda self: self.oracle.phase is not None)
    @rule(error=ERRORS, jitter=JITTERS, up_for=UP_FOR, verdict=VERDICTS, fresh=st.booleans())
    def ended(self, error: OnesocketError, jitter: float, up_for: float, verdict: Verdict | None, fresh: bool) -> None:
        if _is_limit(error) and self.oracle.phase != "upgrading" and not self.oracle.closing:
            return  # said with a CLOSE, the server's word on an open connection comes as `failing`
        up_for = up_for if self.oracle.phase == "ready" else 0.0
        event = events.ConnectionGone(self.machine.epoch, error, jitter, up_for, verdict, is_fresh_token=fresh)
        self.oracle.ended(event)
        self.handle(event)

    # --- the connection beside --------------------------------------------------------------------------------------

    @precondition(lambda self: self.oracle.beside is not None and self.oracle.beside.phase == "upgrading")
    @rule(ready=st.booleans())
    def opened_beside(self, ready: bool) -> None:
        beside = self.oracle.beside
        assert beside is not None
        self.oracle.side_opened(beside)
        self.handle(events.Opened(beside.epoch))
        if ready:
            self.ready_beside()

    @precondition(lambda self: self.oracle.beside is not None and self.oracle.beside.phase != "upgrading")
    @rule()
    def ready_beside(self) -> None:
        beside = self.oracle.beside
        assert beside is not None
        self.oracle.side_ready(beside)
        self.handle(events.ProtocolReady(beside.epoch))

    @precondition(lambda self: self.oracle.beside is not None and self.oracle.beside.phase != "upgrading")
    @rule(seconds=SECONDS)
    def catches_up_beside(self, seconds: float) -> None:
        beside = self.oracle.beside
        assert beside is not None
        self.oracle.side_extend(beside, seconds)
        self.handle(events.DeadlineExtended(beside.epoch, seconds))

    @precondition(lambda self: self.oracle.beside is not None)
    @rule(error=ERRORS, dead=st.booleans(), by_peer=st.booleans(), verdict=VERDICTS, fresh=st.booleans())
    def failing_beside(
        self, *, error: OnesocketError, dead: bool, by_peer: bool, verdict: Verdict | None, fresh: bool
    ) -> None:
        beside = self.oracle.beside
        assert beside is not None
        event = events.ConnectionFailing(
            beside.epoch, error, 1000, "told", dead, 0.0, by_peer, verdict, is_fresh_token=fresh
        )
        self.oracle.side_failing(beside, event)
        self.handle(event)

    @precondition(lambda self: self.oracle.beside is not None)
    @rule(error=ERRORS, jitter=JITTERS, verdict=VERDICTS, fresh=st.booleans())
    def ended_beside(self, error: OnesocketError, jitter: float, verdict: Verdict | None, fresh: bool) -> None:
        beside = self.oracle.beside
        assert beside is not None
        event = events.ConnectionGone(beside.epoch, error, jitter, 0.0, verdict, is_fresh_token=fresh)
        self.oracle.side_ended(beside, event)
        self.handle(event)

    @rule(ago=st.integers(min_value=1, max_value=3), error=ERRORS)
    def something_of_the_past(self, ago: int, error: OnesocketError) -> None:
        epoch = min(self.oracle.epoch, self.oracle.beside.epoch if self.oracle.beside else self.oracle.epoch) - ago
        dropped = self.machine.stale
        late: tuple[events.Event, ...] = (
            events.Opened(epoch),
            events.DeadlineExtended(epoch, 1.0),
            events.ProtocolReady(epoch),
            events.ConnectionFailing(epoch, error, dead=True),
            events.ConnectionGone(epoch, error),
            *(events.TimerFired(epoch, kind) for kind in TimerKind),
        )
        for event in late:
            assert self.machine.handle(event, self.oracle.now) == ()
        assert self.machine.stale == dropped + len(late)

    # --- what must agree --------------------------------------------------------------------------------------------

    @invariant()
    def they_agree(self) -> None:
        machine, oracle = self.machine, self.oracle
        assert machine.state.value == oracle.state
        assert machine.epoch == oracle.epoch
        assert (machine.waiting, machine.retrying) == (len(oracle.waiting), sum(oracle.waiting))
        assert machine.failures == oracle.losses
        assert rounded(self.rings) == rounded(oracle.rings)
        assert rounded(self.side_rings) == rounded(oracle.beside.rings if oracle.beside else None)
        assert machine.side_epoch == (oracle.beside and oracle.beside.epoch)
        assert oracle.beside is None or oracle.beside.closing or oracle.state == "connected"
        assert type(machine.error) is type(oracle.why)
        if oracle.state == "connecting" or (oracle.closing and oracle.then == ATTEMPT):
            assert INITIATORS[machine.initiator] == oracle.owner
        target = machine.after_close and machine.after_close.value
        assert target == (TARGETS[oracle.then] if oracle.closing else None)
        retry_at = oracle.rings[1] if oracle.rings and oracle.state == "backing off" else None
        assert machine.retry_at == pytest.approx(retry_at)


@pytest.mark.timeout(300)  # shrinking a failure may take a while; a pass takes seconds
class TestMachineAgainstOracle(MachineAgainstOracle.TestCase):  # type: ignore[valid-type,misc] # made by Hypothesis
    """Runs them."""


# The same lives in every CI run; elsewhere new ones, and a failure prints how to replay it.
TestMachineAgainstOracle.settings = settings(
    max_examples=600,
    stateful_step_count=40,
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    print_blob=True,
    phases=set(Phase) - {Phase.explain},
)
