"""The machine against a naive oracle, written from the promises in words and not from the table."""

from __future__ import annotations

import os

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
from onesocket.lifecycle._actions import Initiator
from onesocket.lifecycle._events import TimerKind
from onesocket.lifecycle._machine import Machine
from onesocket.lifecycle._peer_errors import closed_by_peer
from onesocket.lifecycle._retry import ReconnectPolicy

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
INITIATORS = {Initiator.CALLERS: "callers", Initiator.DETACHED: "no caller", Initiator.RESUME: "lost connection"}
TARGETS = STATES_AT_REST | {ATTEMPT: "a new attempt"}


class Oracle:
    """A connection, what is meant to come after it, and who waits. The state is read off these; it is not kept."""

    def __init__(self, policy: ReconnectPolicy | None) -> None:
        self.policy = policy
        self.now = 0.0
        self.epoch = 0
        self.phase: str | None = None  # none, upgrading, open, ready
        self.closing = False
        self.then = REST
        self.owner = "callers"  # callers, no caller, lost connection
        self.waiting: list[str] = []
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

    def connect(self, *, waits: bool, lifts: bool) -> None:
        state = self.state
        if self.then == END:
            self.say("refuse", ClientClosed)
        elif self.then == STOP and not lifts:
            self.say("refuse", ManuallyDisconnected)
        elif state == "connecting" or (state == "closing" and self.then == ATTEMPT):
            if not waits and self.owner == "callers":
                self.owner = "no caller"
            self._wait("joined", waits=waits)
        elif state == "connected" and not lifts:
            self.say("answer", "already connected")
        else:
            # One attempt: at once, or when the connection that is still there has ended.
            if self.then == RETRY:
                self.owner = "lost connection"  # only sooner
            else:
                self.owner, self.losses = ("callers" if waits else "no caller"), 0
            self._tell_all(self.why)
            if state == "connected":
                self._close(1000, "")
            if self.phase is not None:
                self.then = ATTEMPT
            else:
                self._attempt()
            self._wait("opened", waits=waits)

    def cancel(self) -> None:
        self.waiting.pop()
        if self.waiting or self.owner != "callers":
            return
        if self.state == "connecting":
            self._close(1000, "")
            self.then = REST
        elif self.then == ATTEMPT:
            self.then = REST

    def leave(self, *, for_good: bool) -> None:
        if self.phase is not None:
            error = ClientClosed() if for_good else ConnectAborted()
            self._tell_all(error)
            if not self.closing:
                self._close(1000, "")
            self.leaving = True
            self.say("await end")
        else:
            self.rings = None
            self.say("done")
        if for_good or self.then != END:
            self.then = END if for_good else STOP

    def _wait(self, outcome: str, *, waits: bool) -> None:
        self.say("wait", outcome)
        if waits:
            self.waiting.append(outcome)

    def _tell_all(self, error: OnesocketError | None) -> None:
        if self.waiting:
            self.say("reject", type(error))
        self.waiting = []

    # --- the connection ---------------------------------------------------------------------------------------------

    def _attempt(self) -> None:
        self.epoch += 1
        self.phase, self.closing, self.then = "upgrading", False, REST
        self.rings = ("open timeout", self.now + OPEN_TIMEOUT)
        self.say("dial", self.epoch)

    def _close(self, code: int, reason: str) -> None:
        self.closing = True
        if self.phase != "upgrading":
            self.rings = ("close timeout", self.now + CLOSE_TIMEOUT)
        self.say("close", code, reason)

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
            self.waiting, self.why = [], None
            proves = self.policy is not None and self.losses > 0
            self.rings = ("stable", self.now + self.policy.stable_after) if proves and self.policy else None
            self.up_since = self.now
        self.phase = "ready"

    def failing(self, error: OnesocketError, code: int, reason: str, *, dead: bool, up_for: float) -> None:
        if self.closing:
            return
        self.then = self._fails(self._means(error, up_for))
        if dead:
            self.closing = True
            self.rings = None
            self.say("abort", code)
        else:
            self._close(code, reason)

    def ended(self, error: OnesocketError, jitter: float, up_for: float) -> None:
        if not self.closing:
            self.then = self._fails(self._means(error, up_for))
        self.phase, self.closing = None, False
        if self.then == ATTEMPT:
            self._attempt()
        else:
            self._tell_all(self.why)
            self.rings = ("retry", self.now + self._delay(jitter)) if self.then == RETRY else None
        if self.then == RETRY:
            self.owner = "lost connection"
        if self.leaving:
            self.say("release")
        self.leaving = False

    def timer_fired(self) -> None:
        state, self.rings = self.state, None
        if state == "backing off":
            self._attempt()
        elif state == "connected":
            self.losses = 0
        else:
            if state == "connecting":
                self.then = self._fails(OpenTimeout())
                self.closing = True
            self.say("abort", None)

    def _means(self, error: OnesocketError, up_for: float) -> OnesocketError:
        """1008 without a word of the protocol's or about a limit: no to a newcomer, not now to whom was in before."""
        was_in = self.owner == "lost connection" or up_for >= 1
        passes = isinstance(error, ClosedByPeer) and error.retryable_once_established and self.policy is not None
        return ServerBusy(str(error)) if passes and was_in else error

    def _fails(self, error: OnesocketError) -> str:
        """Count it, and decide what it leads to. First connects fail for good; established connections come back."""
        resumes = self.phase == "ready" or self.owner == "lost connection"
        if self.losses and self.phase == "ready":  # so long up makes up for so long away
            self.away_since = min(self.now, self.away_since + 2 * (self.now - self.up_since))
        self.away_since = self.away_since if self.losses else self.now
        self.losses += 1
        self.why = error
        if self.policy is None or not resumes or not error.retryable:
            return GIVE_UP
        if self.policy.max_attempts is not None and self.losses >= self.policy.max_attempts:
            self.why = RetriesExhausted()
            return GIVE_UP
        return RETRY

    def _delay(self, jitter: float) -> float:
        policy, error = self.policy, self.why
        if policy is None or error is None:
            raise AssertionError
        if isinstance(error, ServerBusy) and error.retry_after is None:
            return min(policy.busy_delay * (1 + jitter), max(policy.cap, policy.busy_delay))
        if error.retry_after is not None and not error.backs_off:
            return error.retry_after
        back_off = 0.0
        if self.losses > 1:
            most = min(policy.cap, policy.initial * policy.factor ** (self.losses - 2))
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
            case fx.CloseConnection(_, code, reason):
                words.append(("close", code, reason))
            case fx.Abort(_, code):
                words.append(("abort", code))
            case fx.ResolveCallers():
                words.append(("resolve",))
            case fx.RejectCallers(error):
                words.append(("reject", type(error)))
            case fx.ReleaseClosers():
                words.append(("release",))
            case _:  # the clock is compared by what it is set to, the state by what it is
                pass
    return words


class MachineAgainstOracle(RuleBasedStateMachine):
    """Everything that may happen happens to both."""

    machine: Machine
    oracle: Oracle
    rings: tuple[str, float] | None

    @initialize(policy=POLICIES, established=st.booleans())
    def begin(self, policy: ReconnectPolicy | None, established: bool) -> None:
        self.machine = Machine(open_timeout=OPEN_TIMEOUT, close_timeout=CLOSE_TIMEOUT, reconnect=policy)
        self.oracle = Oracle(policy)
        self.rings = None
        if established:
            self.connect(waits=True)
            self.all_goes_well()

    def handle(self, event: events.Event) -> None:
        effects = self.machine.handle(event, self.oracle.now)
        if isinstance(event, events.TimerFired):
            self.rings = None
        for effect in effects:
            if isinstance(effect, fx.SetTimer):
                self.rings = (effect.kind.value, effect.at)
            elif isinstance(effect, fx.CancelTimer):
                self.rings = None
        said, self.oracle.said = self.oracle.said, []
        heard = as_oracle_words(effects)
        # A release without a caller that waits for the end means nothing: the machine may say so.
        if ("release",) in heard and ("release",) not in said:
            heard.remove(("release",))
        assert sorted(map(repr, heard)) == sorted(map(repr, said))

    # --- people -----------------------------------------------------------------------------------------------------

    @rule(waits=st.booleans())
    def connect(self, waits: bool) -> None:
        self.oracle.connect(waits=waits, lifts=False)
        self.handle(events.Connect(wait=waits))

    @rule(waits=st.booleans())
    def reconnect(self, waits: bool) -> None:
        self.oracle.connect(waits=waits, lifts=True)
        self.handle(events.Reconnect(wait=waits))

    @precondition(lambda self: self.oracle.waiting)
    @rule()
    def cancel(self) -> None:
        self.oracle.cancel()
        self.handle(events.CallerCancelled())

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
        if self.oracle.rings is None or self.oracle.now + seconds < self.oracle.rings[1]:
            self.oracle.now += seconds

    @precondition(lambda self: self.oracle.rings is not None)
    @rule()
    def the_alarm_rings(self) -> None:
        assert self.rings is not None
        kind, self.oracle.now = self.rings
        self.oracle.timer_fired()
        self.handle(events.TimerFired(self.machine.epoch, TimerKind(kind)))

    @precondition(lambda self: self.oracle.phase == "upgrading")
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

    @precondition(lambda self: self.oracle.phase == "upgrading")
    @rule()
    def all_goes_well(self) -> None:
        """Twice as often as chance would have it."""
        self.opened()
        self.ready()

    @precondition(lambda self: self.oracle.phase is not None)
    @rule(error=ERRORS, code=st.sampled_from([1000, 1002, 4000]), dead=st.booleans(), up_for=UP_FOR)
    def failing(self, error: OnesocketError, code: int, dead: bool, up_for: float) -> None:
        up_for = up_for if self.oracle.phase == "ready" else 0.0
        self.oracle.failing(error, code, "told", dead=dead, up_for=up_for)
        self.handle(events.ConnectionFailing(self.machine.epoch, error, code, "told", dead, up_for))

    @precondition(lambda self: self.oracle.phase is not None)
    @rule(error=ERRORS, jitter=JITTERS, up_for=UP_FOR)
    def ended(self, error: OnesocketError, jitter: float, up_for: float) -> None:
        up_for = up_for if self.oracle.phase == "ready" else 0.0
        self.oracle.ended(error, jitter, up_for)
        self.handle(events.ConnectionGone(self.machine.epoch, error, jitter, up_for))

    @rule(ago=st.integers(min_value=1, max_value=3), error=ERRORS)
    def something_of_the_past(self, ago: int, error: OnesocketError) -> None:
        epoch = self.oracle.epoch - ago
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
        assert machine.waiting == len(oracle.waiting)
        assert machine.failures == oracle.losses
        assert self.rings == oracle.rings
        assert type(machine.error) is type(oracle.why)
        if oracle.state == "connecting" or (oracle.closing and oracle.then == ATTEMPT):
            assert INITIATORS[machine.initiator] == oracle.owner
        target = machine.after_close and machine.after_close.value
        assert target == (TARGETS[oracle.then] if oracle.closing else None)
        assert machine.retry_at == (oracle.rings[1] if oracle.rings and oracle.state == "backing off" else None)


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
