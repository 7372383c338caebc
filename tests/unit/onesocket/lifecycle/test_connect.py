"""`connect()`, `reconnect()`, `disconnect()` and `aclose()` in each state."""

from __future__ import annotations

import pytest

from onesocket.errors import ClientClosed, ConnectAborted, ManuallyDisconnected
from onesocket.lifecycle import _effects as fx
from onesocket.lifecycle._actions import IllegalEvent
from onesocket.lifecycle._effects import Outcome
from onesocket.lifecycle._events import TimerKind
from onesocket.lifecycle._states import AfterClose, State
from tests.unit.onesocket.lifecycle.machine_driver import CLOSE_TIMEOUT, FATAL, LOST, OPEN_TIMEOUT, MachineDriver

# --- connect() ------------------------------------------------------------------------------------------------------


def test_disconnected_starts_the_one_attempt() -> None:
    drive = MachineDriver().connect()
    assert drive.effects == (
        fx.StateChanged(State.DISCONNECTED, State.CONNECTING, 1, "Connect", None),
        fx.SetTimer(TimerKind.OPEN, 1, drive.now + OPEN_TIMEOUT),
        fx.Dial(1),
        fx.AwaitOutcome(Outcome.OPENED),
    )


def test_connecting_makes_no_second_attempt_and_waits_for_that_one() -> None:
    drive = MachineDriver().connect().connect()
    assert drive.effects == (fx.AwaitOutcome(Outcome.JOINED),)
    drive.opened().ready()
    assert drive.has(fx.ResolveCallers)
    assert (drive.state, drive.machine.waiting) == (State.CONNECTED, 0)


def test_those_who_joined_get_the_error_of_that_attempt() -> None:
    drive = MachineDriver().connect().connect().ended(FATAL)
    assert drive.the(fx.RejectCallers).error is FATAL
    assert (drive.state, drive.machine.waiting) == (State.FAILED, 0)


def test_connected_returns_at_once() -> None:
    drive = MachineDriver().up().connect()
    assert drive.effects == (fx.ReturnOutcome(Outcome.ALREADY_CONNECTED),)


def test_failed_makes_one_new_attempt() -> None:
    drive = MachineDriver().connect().ended(FATAL).connect()
    assert drive.the(fx.Dial).epoch == 2
    assert drive.the(fx.AwaitOutcome).outcome is Outcome.OPENED


def test_a_failing_attempt_is_cleaned_up_before_the_next_one_begins() -> None:
    drive = MachineDriver().connect().opened().failing(FATAL).connect()
    assert drive.the(fx.RejectCallers).error is FATAL, "the first caller has its answer"
    assert drive.the(fx.AwaitOutcome).outcome is Outcome.OPENED
    assert not drive.all(fx.Dial)
    assert drive.ended().the(fx.Dial).epoch == 2


def test_backing_off_attempts_now_and_others_join() -> None:
    drive = MachineDriver().backing_off().connect()
    assert drive.the(fx.Dial).epoch == 2
    assert drive.the(fx.AwaitOutcome).outcome is Outcome.OPENED
    assert drive.connect().effects == (fx.AwaitOutcome(Outcome.JOINED),)
    assert drive.machine.retry_at is None


def test_closing_towards_disconnected_waits_for_the_close_then_attempts() -> None:
    drive = MachineDriver().connect().opened().cancelled()
    assert drive.machine.after_close is AfterClose.DISCONNECTED
    assert drive.connect().effects == (fx.AwaitOutcome(Outcome.OPENED),)
    assert drive.ended().the(fx.Dial).epoch == 2


def test_closing_towards_a_new_attempt_joins_it() -> None:
    drive = MachineDriver().up().reconnect()
    assert drive.machine.after_close is AfterClose.NEW_ATTEMPT
    assert drive.connect().effects == (fx.AwaitOutcome(Outcome.JOINED),)
    assert drive.ended().the(fx.Dial).epoch == 2
    assert drive.opened().ready().has(fx.ResolveCallers)


@pytest.mark.parametrize("closing", [True, False], ids=["closing", "stopped"])
def test_stopped_refuses_and_says_what_lifts_it(closing: bool) -> None:
    drive = MachineDriver().up().disconnect()
    if not closing:
        drive.ended()
    error = drive.connect().the(fx.RaiseError).error
    assert isinstance(error, ManuallyDisconnected)
    assert "reconnect()" in str(error)
    assert len(drive.effects) == 1


@pytest.mark.parametrize("closing", [True, False], ids=["closing", "closed"])
def test_closed_refuses_connect_and_reconnect(closing: bool) -> None:
    drive = MachineDriver().up().close()
    if not closing:
        drive.ended()
    for refused in (drive.connect().effects, drive.reconnect().effects):
        assert [type(effect) for effect in refused] == [fx.RaiseError]
        assert isinstance(refused[0], fx.RaiseError)
        assert isinstance(refused[0].error, ClientClosed)


# --- connect_nowait() and cancellation ------------------------------------------------------------------------------


def test_connect_nowait_starts_the_attempt_and_nobody_waits() -> None:
    drive = MachineDriver().connect(wait=False)
    assert drive.the(fx.AwaitOutcome).outcome is Outcome.OPENED
    assert drive.machine.waiting == 0
    assert not drive.opened().ready().all(fx.ResolveCallers)


def test_a_failed_attempt_that_nobody_waits_for_rejects_nobody() -> None:
    drive = MachineDriver().connect(wait=False).ended(FATAL)
    assert not drive.all(fx.RejectCallers)
    assert drive.state is State.FAILED


def test_one_callers_cancellation_does_not_hurt_the_others() -> None:
    drive = MachineDriver().connect().connect().cancelled()
    assert drive.effects == ()
    assert (drive.state, drive.machine.waiting) == (State.CONNECTING, 1)


def test_the_last_callers_cancellation_winds_the_attempt_down_but_not_before_the_upgrade_is_answered() -> None:
    drive = MachineDriver().connect().cancelled()
    assert (drive.state, drive.machine.after_close) == (State.CLOSING, AfterClose.DISCONNECTED)
    assert drive.the(fx.CloseConnection) == fx.CloseConnection(1, 1000, "")
    assert drive.machine.timer == (TimerKind.OPEN, 1), "the deadline of the attempt goes on"
    assert drive.opened().effects == (fx.SetTimer(TimerKind.CLOSE, 1, drive.now + CLOSE_TIMEOUT),)
    assert drive.ended().state is State.DISCONNECTED


@pytest.mark.parametrize("joined", [True, False], ids=["joined", "started"])
def test_an_attempt_that_connect_nowait_wants_survives_the_last_cancellation(joined: bool) -> None:
    drive = MachineDriver().connect(wait=joined).connect(wait=not joined).cancelled()
    assert drive.effects == ()
    assert drive.state is State.CONNECTING


def test_an_attempt_that_resumes_a_connection_survives_the_last_cancellation() -> None:
    drive = MachineDriver().resuming().connect().cancelled()
    assert drive.effects == ()
    assert drive.state is State.CONNECTING


@pytest.mark.parametrize("wait", [True, False])
def test_connect_while_a_lost_connection_is_closed_only_makes_the_resumption_sooner(wait: bool) -> None:
    drive = MachineDriver().up().failing().connect(wait=wait)
    assert drive.the(fx.AwaitOutcome).outcome is Outcome.OPENED
    if wait:
        drive.cancelled()
    assert drive.machine.after_close is AfterClose.NEW_ATTEMPT, (
        "the client resumes the connection, whoever comes and goes"
    )
    assert drive.ended().state is State.CONNECTING
    assert drive.ended().state is State.BACKING_OFF, "it is still a resumption: a failure is not final"


def test_the_last_cancellation_before_the_attempt_began_calls_it_off() -> None:
    drive = MachineDriver().up().reconnect().connect().cancelled()
    assert drive.machine.after_close is AfterClose.NEW_ATTEMPT
    assert drive.cancelled().effects == ()
    assert drive.ended().state is State.DISCONNECTED
    assert not drive.all(fx.Dial)


def test_who_waits_for_a_failing_attempt_may_be_cancelled_without_consequence() -> None:
    drive = MachineDriver().connect().opened().failing(FATAL).cancelled()
    assert drive.effects == ()
    assert drive.ended(FATAL).state is State.FAILED
    assert not drive.all(fx.RejectCallers)


@pytest.mark.parametrize("closing", [True, False])
def test_a_cancellation_when_nobody_waits_is_a_bug_of_the_shell(closing: bool) -> None:
    drive = MachineDriver().connect(wait=False)
    if closing:
        drive.disconnect()
    with pytest.raises(IllegalEvent, match="no caller waits"):
        drive.cancelled()


# --- disconnect(), reconnect(), aclose() ----------------------------------------------------------------------------


def test_disconnect_closes_gracefully_and_ends_in_stopped() -> None:
    drive = MachineDriver().up().disconnect()
    assert drive.effects == (
        fx.StateChanged(State.CONNECTED, State.CLOSING, 1, "Disconnect", None),
        fx.SetTimer(TimerKind.CLOSE, 1, drive.now + CLOSE_TIMEOUT),
        fx.CloseConnection(1, 1000, ""),
        fx.AwaitEnd(),
    )
    drive.ended()
    assert drive.state is State.STOPPED
    assert drive.has(fx.ReleaseClosers)


def test_disconnect_while_connecting_tells_the_callers_at_once() -> None:
    drive = MachineDriver().connect().disconnect()
    assert isinstance(drive.the(fx.RejectCallers).error, ConnectAborted)
    assert drive.the(fx.CloseConnection).code == 1000
    assert drive.machine.after_close is AfterClose.STOP


def test_disconnect_overrides_whatever_a_close_was_leading_to() -> None:
    drive = MachineDriver().up().reconnect().disconnect()
    assert isinstance(drive.the(fx.RejectCallers).error, ConnectAborted)
    assert not drive.all(fx.CloseConnection), "a close is under way already"
    assert drive.disconnect().effects == (fx.AwaitEnd(),)
    assert drive.ended().state is State.STOPPED


def test_disconnect_does_not_reopen_what_aclose_is_closing() -> None:
    drive = MachineDriver().up().close().disconnect()
    assert drive.effects == (fx.AwaitEnd(),)
    assert drive.ended().state is State.CLOSED


@pytest.mark.parametrize(
    "drive", [MachineDriver(), MachineDriver().connect().ended(FATAL), MachineDriver().backing_off()]
)
def test_disconnect_without_a_connection_is_done_at_once(drive: MachineDriver) -> None:
    drive.disconnect()
    assert drive.has(fx.ReturnAtOnce)
    assert (drive.state, drive.machine.timer) == (State.STOPPED, None)
    assert drive.disconnect().effects == (fx.ReturnAtOnce(),), "and again"


@pytest.mark.parametrize(
    "drive",
    [
        MachineDriver(),
        MachineDriver().connect().ended(FATAL),
        MachineDriver().backing_off(),
        MachineDriver().disconnect(),
    ],
)
def test_aclose_without_a_connection_is_done_at_once(drive: MachineDriver) -> None:
    drive.close()
    assert drive.has(fx.ReturnAtOnce)
    assert (drive.state, drive.machine.timer) == (State.CLOSED, None)
    assert drive.close().effects == (fx.ReturnAtOnce(),), "and again"
    assert drive.disconnect().effects == (fx.ReturnAtOnce(),)


@pytest.mark.parametrize(
    "drive",
    [
        MachineDriver().connect(),
        MachineDriver().up(),
        MachineDriver().up().reconnect(),
        MachineDriver().up().disconnect(),
    ],
)
def test_aclose_ends_in_closed_and_tells_the_callers(drive: MachineDriver) -> None:
    waited = drive.machine.waiting
    drive.close()
    assert [type(effect.error) for effect in drive.all(fx.RejectCallers)] == [ClientClosed] * waited
    assert drive.has(fx.AwaitEnd)
    assert drive.ended().state is State.CLOSED
    assert drive.has(fx.ReleaseClosers)


def test_reconnect_closes_what_is_open_and_opens_one_new() -> None:
    drive = MachineDriver().up().reconnect()
    assert drive.the(fx.CloseConnection).epoch == 1
    assert drive.the(fx.AwaitOutcome).outcome is Outcome.OPENED
    assert not drive.all(fx.Dial)
    assert drive.reconnect().effects == (fx.AwaitOutcome(Outcome.JOINED),), "concurrent calls share it"
    assert drive.ended().the(fx.Dial).epoch == 2


def test_reconnect_lifts_a_stop() -> None:
    drive = MachineDriver().disconnect().reconnect()
    assert drive.the(fx.Dial).epoch == 1
    assert drive.state is State.CONNECTING


def test_reconnect_lifts_a_stop_that_is_still_closing_and_releases_who_waits_for_the_end() -> None:
    drive = MachineDriver().up().disconnect().reconnect()
    assert drive.the(fx.AwaitOutcome).outcome is Outcome.OPENED
    assert drive.machine.after_close is AfterClose.NEW_ATTEMPT
    drive.ended()
    assert drive.the(fx.Dial).epoch == 2
    assert drive.has(fx.ReleaseClosers)


@pytest.mark.parametrize(
    "drive", [MachineDriver(), MachineDriver().connect().ended(FATAL), MachineDriver().backing_off()]
)
def test_reconnect_without_a_connection_is_a_connect(drive: MachineDriver) -> None:
    epoch = drive.machine.epoch
    assert drive.reconnect().the(fx.Dial).epoch == epoch + 1


def test_reconnect_joins_an_attempt_in_flight() -> None:
    assert MachineDriver().connect().reconnect().effects == (fx.AwaitOutcome(Outcome.JOINED),)


def test_a_connection_lost_while_it_was_closed_on_purpose_is_no_failure() -> None:
    drive = MachineDriver().up().disconnect().failing(LOST)
    assert drive.effects == ()
    assert drive.ended(LOST).state is State.STOPPED
    assert drive.machine.error is None
