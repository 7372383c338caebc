"""First connects that are retried, and the times that a server names for the next attempt."""

from __future__ import annotations

import pytest

from onesocket.errors import (
    ClientClosed,
    ConnectAborted,
    HandshakeRejected,
    OnesocketError,
    OpenTimeout,
    RetriesExhausted,
    ServerBusy,
)
from onesocket.lifecycle import _effects as fx
from onesocket.lifecycle import _events as events
from onesocket.lifecycle._events import TimerKind
from onesocket.lifecycle._guards import Initiator
from onesocket.lifecycle._peer_errors import closed_by_peer
from onesocket.lifecycle._retry import ReconnectPolicy
from onesocket.lifecycle._states import State
from onesocket.lifecycle._verdict import Verdict
from tests.unit.onesocket.lifecycle.machine_driver import FATAL, LOST, OPEN_TIMEOUT, POLICY, MachineDriver

FIRST = ReconnectPolicy(initial=1, factor=2, cap=5, first=True)
NAMED = HandshakeRejected("not now", status=503, retryable=True, retry_after=30)


@pytest.mark.parametrize(
    ("policy", "retry"), [(FIRST, None), (FIRST, True), (ReconnectPolicy(initial=1), True)], ids=str
)
def test_a_first_connect_is_retried_until_it_is_up(policy: ReconnectPolicy, retry: bool | None) -> None:
    drive = MachineDriver(policy).connect(retry=retry).ended()
    assert drive.state is State.BACKING_OFF
    assert not drive.has(fx.RejectCallers)
    assert drive.the(fx.SetTimer).at == drive.now
    drive.timer(TimerKind.RETRY).ended()
    assert drive.the(fx.SetTimer).at > drive.now
    drive.timer(TimerKind.RETRY).opened().ready()
    assert drive.has(fx.ResolveCallers)
    assert (drive.state, drive.machine.waiting, drive.machine.retrying) == (State.CONNECTED, 0, 0)


@pytest.mark.parametrize(("policy", "retry"), [(FIRST, False), (ReconnectPolicy(), None), (None, True)], ids=str)
def test_otherwise_it_is_one_attempt(policy: ReconnectPolicy | None, retry: bool | None) -> None:
    drive = MachineDriver(policy).connect(retry=retry).ended()
    assert drive.state is State.FAILED
    assert drive.the(fx.RejectCallers).error is LOST


def test_a_final_error_is_told_to_callers_that_wait() -> None:
    drive = MachineDriver(FIRST).connect().ended().timer(TimerKind.RETRY).ended(FATAL)
    assert drive.state is State.FAILED
    assert drive.the(fx.RejectCallers).error is FATAL


def test_a_newcomer_is_told_at_once_that_it_is_not_wanted() -> None:
    """A bare 1008 is slow only for a connection that was up before."""
    assert MachineDriver(FIRST).connect().ended(closed_by_peer(1008)).state is State.FAILED
    assert MachineDriver(FIRST).connect().ended(closed_by_peer(1008, "too many requests")).state is State.BACKING_OFF


def test_the_retries_of_a_first_connect_are_exhausted_too() -> None:
    drive = MachineDriver(ReconnectPolicy(max_attempts=2, first=True)).connect().ended().timer(TimerKind.RETRY).ended()
    error = drive.the(fx.RejectCallers).error
    assert isinstance(error, RetriesExhausted)
    assert error.__cause__ is LOST


def test_a_missed_deadline_is_retried_too() -> None:
    drive = MachineDriver(FIRST).connect().timer(TimerKind.OPEN)
    assert isinstance(drive.machine.error, OpenTimeout)
    assert drive.ended().state is State.BACKING_OFF
    drive = MachineDriver(FIRST).connect()
    drive.handle(events.TimerFired(1, TimerKind.OPEN, verdict=Verdict.FAIL))
    assert drive.ended().state is State.FAILED


def test_a_caller_without_retry_gets_the_failure_of_the_attempt_that_it_joined() -> None:
    drive = MachineDriver().connect(retry=True).connect().ended()
    assert drive.the(fx.RejectCallers) == fx.RejectCallers(LOST, spares_retrying=True)
    assert (drive.machine.waiting, drive.machine.retrying) == (1, 1)
    drive.connect()
    assert drive.the(fx.AwaitOutcome).outcome is fx.Outcome.OPENED
    drive.failing(LOST)
    assert drive.state is State.CLOSING
    drive.reconnect(retry=True)
    assert drive.the(fx.RejectCallers).spares_retrying
    assert drive.ended().state is State.CONNECTING


def test_the_last_caller_takes_the_attempt_and_the_back_off_along() -> None:
    assert MachineDriver().connect(retry=True).cancelled(retries=True).state is State.CLOSING
    drive = MachineDriver().connect(retry=True).ended().cancelled(retries=True)
    assert drive.state is State.DISCONNECTED
    assert drive.has(fx.CancelTimer)
    drive = MachineDriver().connect(retry=True).connect(retry=True).ended().cancelled(retries=True)
    assert drive.state is State.BACKING_OFF
    drive = MachineDriver().connect(retry=True).opened().failing().cancelled(retries=True).ended()
    assert drive.state is State.DISCONNECTED


def test_once_no_caller_waits_for_the_retry_the_failure_is_final() -> None:
    drive = MachineDriver().connect(retry=True).connect().opened().failing().cancelled(retries=True)
    assert drive.ended().state is State.FAILED
    assert drive.the(fx.RejectCallers).error is LOST


def test_a_call_that_does_not_wait_has_it_retried_without_callers() -> None:
    drive = MachineDriver().connect(wait=False).connect(wait=False, retry=True).connect(wait=False)
    assert drive.machine.initiator is Initiator.RETRYING
    assert drive.ended().state is State.BACKING_OFF
    drive = MachineDriver().connect(retry=True).ended().connect(wait=False, retry=True).cancelled(retries=True)
    assert drive.ended().state is State.BACKING_OFF


@pytest.mark.parametrize(("stop", "error"), [("disconnect", ConnectAborted), ("close", ClientClosed)])
def test_callers_in_the_back_off_are_released_by_the_owner(stop: str, error: type[OnesocketError]) -> None:
    drive = MachineDriver().connect(retry=True).ended()
    getattr(drive, stop)()
    assert isinstance(drive.the(fx.RejectCallers).error, error)
    assert drive.has(fx.ReturnAtOnce)
    assert drive.machine.retrying == 0


def test_the_loss_of_a_retried_connection_outlives_its_callers() -> None:
    drive = MachineDriver().connect(retry=True).opened().ready().ended().connect(retry=True)
    assert drive.cancelled(retries=True).state is State.CONNECTING
    assert drive.ended().state is State.BACKING_OFF


def test_a_connection_of_another_process_is_resumed_as_one_that_was_lost() -> None:
    drive = MachineDriver().handle(events.Connect(wait=False, retry=True, resumes=events.EarlierConnection()))
    assert drive.machine.initiator is Initiator.RESUME
    drive.ended(closed_by_peer(1008))
    assert drive.state is State.BACKING_OFF
    assert drive.the(fx.SetTimer).at >= drive.now + 30


# --- the server names a time ------------------------------------------------------------------------------------------


def test_no_attempt_is_made_before_the_time_that_the_server_has_named() -> None:
    drive = MachineDriver().connect().ended(NAMED)
    assert drive.state is State.FAILED
    drive.now += 20
    for call in (drive.connect, drive.reconnect):
        error = call().the(fx.RaiseError).error
        assert isinstance(error, ServerBusy)
        assert (error.retry_after, error.__cause__) == (10, NAMED)
        assert "10.0 s from now: not now" in str(error)
    drive.now += 10
    assert drive.connect().has(fx.Dial)


def test_a_date_that_another_process_was_told_is_obeyed() -> None:
    for policy in (POLICY, None):  # processes may differ in it
        drive = MachineDriver(policy).handle(
            events.Connect(wait=False, retry=True, resumes=events.EarlierConnection(wait=40))
        )
        assert drive.state is State.BACKING_OFF
        assert drive.the(fx.SetTimer).at == drive.now + 40
        assert drive.connect().the(fx.RaiseError).error.retry_after == 40
        assert drive.timer(TimerKind.RETRY).has(fx.Dial)
        assert drive.ended().state is (State.FAILED if policy is None else State.BACKING_OFF)


def test_the_back_off_of_another_process_goes_on() -> None:
    earlier = events.EarlierConnection(failures=5, away=100, back_off=7, error=LOST)
    drive = MachineDriver().handle(events.Connect(wait=False, retry=True, resumes=earlier))
    assert (drive.state, drive.machine.failures, drive.machine.error) == (State.BACKING_OFF, 5, LOST)
    assert drive.the(fx.SetTimer).at == drive.now + 7
    drive.connect(retry=True)
    assert (drive.the(fx.AwaitOutcome).outcome, drive.has(fx.Dial)) == (fx.Outcome.JOINED, False)
    assert drive.timer(TimerKind.RETRY).has(fx.Dial)
    drive.ended()
    assert (drive.machine.failures, drive.the(fx.SetTimer).at) == (6, drive.now + POLICY.delay(6, LOST, 0.5, 100))
    drive.connect(retry=True)  # it waited at the other process, and comes late
    assert (drive.the(fx.AwaitOutcome).outcome, drive.has(fx.Dial)) == (fx.Outcome.JOINED, False)


@pytest.mark.parametrize("end", [FATAL, None])
def test_a_new_outage_is_the_own_one(end: OnesocketError | None) -> None:
    earlier = events.EarlierConnection(failures=5, away=100, back_off=7)
    drive = MachineDriver().handle(events.Connect(wait=False, retry=True, resumes=earlier)).timer(TimerKind.RETRY)
    if end is None:
        drive.opened().ready().ended()
        assert drive.state is State.BACKING_OFF
    else:
        assert drive.ended(end).connect().has(fx.Dial)
        assert drive.ended().state is State.FAILED
    assert drive.connect(retry=True).has(fx.Dial)


def test_a_call_makes_the_attempt_of_another_process_sooner() -> None:
    earlier = events.EarlierConnection(failures=5, away=100, back_off=7)
    drive = MachineDriver().handle(events.Connect(wait=False, retry=True, resumes=earlier))
    assert drive.connect().has(fx.Dial)
    assert drive.machine.failures == 5


def test_a_call_with_retry_has_it_made_then() -> None:
    drive = MachineDriver().connect().ended(NAMED).connect(retry=True)
    assert drive.state is State.BACKING_OFF
    assert drive.the(fx.SetTimer).at == drive.now + 30
    assert drive.connect(retry=True).the(fx.AwaitOutcome).outcome is fx.Outcome.JOINED
    assert drive.connect().has(fx.RaiseError)
    drive.now += 30
    assert drive.timer(TimerKind.RETRY).has(fx.Dial)


@pytest.mark.parametrize("retry", [False, True])
def test_it_holds_during_a_close_too(retry: bool) -> None:
    drive = MachineDriver().connect().opened().failing(NAMED)
    drive.connect(retry=retry)
    assert drive.has(fx.RaiseError) is not retry
    drive.ended(NAMED)
    assert drive.state is (State.BACKING_OFF if retry else State.FAILED)
    if retry:
        assert drive.the(fx.SetTimer).at >= drive.now + 30
    drive = MachineDriver().up().failing(NAMED)
    assert drive.connect(retry=retry).has(fx.RaiseError) is not retry
    assert drive.ended(NAMED).state is State.BACKING_OFF


@pytest.mark.parametrize("retry", [False, True])
def test_it_holds_for_a_refusal_of_an_attempt_that_was_given_up(retry: bool) -> None:
    drive = MachineDriver().connect().cancelled().connect(retry=retry).ended(NAMED)
    assert not drive.has(fx.Dial)
    assert drive.state is (State.BACKING_OFF if retry else State.FAILED)
    if retry:
        assert drive.the(fx.SetTimer).at == drive.now + 30
        assert not drive.has(fx.RejectCallers)
    else:
        assert drive.the(fx.RejectCallers).error is NAMED
    drive = MachineDriver().connect().cancelled().ended(NAMED)
    assert drive.state is State.DISCONNECTED
    assert drive.connect().has(fx.RaiseError)


def test_it_holds_for_an_answer_that_comes_behind_the_deadline() -> None:
    drive = MachineDriver().connect().timer(TimerKind.OPEN).ended(NAMED)
    assert drive.state is State.FAILED
    assert isinstance(drive.machine.error, OpenTimeout)
    assert drive.connect().has(fx.RaiseError)
    drive = MachineDriver().resuming().timer(TimerKind.OPEN).ended(NAMED)
    assert drive.the(fx.SetTimer).at >= drive.now + 30


def test_reconnect_lifts_a_disconnect_also_before_that_time() -> None:
    drive = MachineDriver().connect().disconnect().ended(NAMED)
    assert drive.reconnect().has(fx.RaiseError)
    assert drive.state is State.DISCONNECTED
    drive = MachineDriver().connect().opened().failing(NAMED).disconnect()
    assert drive.reconnect().has(fx.RaiseError)
    assert drive.ended(NAMED).state is State.DISCONNECTED
    drive.now += 30
    assert drive.connect().has(fx.Dial)


def test_a_mistaken_date_holds_for_an_hour_at_most() -> None:
    named = HandshakeRejected("not now", status=503, retryable=True, retry_after=1e9)
    drive = MachineDriver(None).connect().ended(named)
    drive.now += 3600
    assert drive.connect().has(fx.Dial)
    drive = MachineDriver(ReconnectPolicy(retry_after_cap=5)).connect().ended(named)
    drive.now += 5
    assert drive.connect().has(fx.Dial)


def test_a_connection_that_comes_up_ends_the_wait() -> None:
    drive = MachineDriver().connect().ended(NAMED)
    drive.now += 30
    drive.connect().opened().ready().disconnect().ended()
    assert drive.reconnect().has(fx.Dial)
    assert drive.the(fx.SetTimer).at == drive.now + OPEN_TIMEOUT
