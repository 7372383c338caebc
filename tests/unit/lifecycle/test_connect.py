"""What `connect()`, `reconnect()`, `disconnect()` and `aclose()` do in each state."""

from __future__ import annotations

import pytest

from onesocket.errors import ClientClosed, ConnectAborted, ManuallyDisconnected
from onesocket.lifecycle import effects as fx
from onesocket.lifecycle.effects import Outcome
from onesocket.lifecycle.inputs import AlarmKind
from onesocket.lifecycle.machine import IllegalInput
from onesocket.lifecycle.states import Destination, State
from tests.unit.lifecycle.drive import CLOSE_TIMEOUT, FATAL, LOST, OPEN_TIMEOUT, Drive

# --- connect() ------------------------------------------------------------------------------------------------------


def test_disconnected_starts_the_one_attempt() -> None:
    drive = Drive().connect()
    assert drive.effects == (
        fx.Changed(State.DISCONNECTED, State.CONNECTING, 1, "Connect", None),
        fx.SetAlarm(AlarmKind.OPEN, 1, drive.now + OPEN_TIMEOUT),
        fx.Dial(1),
        fx.Wait(Outcome.OPENED),
    )


def test_connecting_makes_no_second_attempt_and_waits_for_that_one() -> None:
    drive = Drive().connect().connect()
    assert drive.effects == (fx.Wait(Outcome.JOINED),)
    drive.opened().ready()
    assert drive.has(fx.ResolveCallers)
    assert (drive.state, drive.machine.waiting) == (State.CONNECTED, 0)


def test_those_who_joined_get_the_error_of_that_attempt() -> None:
    drive = Drive().connect().connect().ended(FATAL)
    assert drive.the(fx.RejectCallers).error is FATAL
    assert (drive.state, drive.machine.waiting) == (State.FAILED, 0)


def test_connected_returns_at_once() -> None:
    drive = Drive().up().connect()
    assert drive.effects == (fx.Answer(Outcome.ALREADY_CONNECTED),)


def test_failed_makes_one_new_attempt() -> None:
    drive = Drive().connect().ended(FATAL).connect()
    assert drive.the(fx.Dial).epoch == 2
    assert drive.the(fx.Wait).outcome is Outcome.OPENED


def test_a_failing_attempt_is_cleaned_up_before_the_next_one_begins() -> None:
    drive = Drive().connect().opened().failing(FATAL).connect()
    assert drive.the(fx.RejectCallers).error is FATAL, "the first caller has its answer"
    assert drive.the(fx.Wait).outcome is Outcome.OPENED
    assert not drive.all(fx.Dial)
    assert drive.ended().the(fx.Dial).epoch == 2


def test_backing_off_attempts_now_and_others_join() -> None:
    drive = Drive().backing_off().connect()
    assert drive.the(fx.Dial).epoch == 2
    assert drive.the(fx.Wait).outcome is Outcome.OPENED
    assert drive.connect().effects == (fx.Wait(Outcome.JOINED),)
    assert drive.machine.retry_at is None


def test_closing_towards_disconnected_waits_for_the_close_then_attempts() -> None:
    drive = Drive().connect().opened().cancelled()
    assert drive.machine.destination is Destination.REST
    assert drive.connect().effects == (fx.Wait(Outcome.OPENED),)
    assert drive.ended().the(fx.Dial).epoch == 2


def test_closing_towards_a_new_attempt_joins_it() -> None:
    drive = Drive().up().reconnect()
    assert drive.machine.destination is Destination.ATTEMPT
    assert drive.connect().effects == (fx.Wait(Outcome.JOINED),)
    assert drive.ended().the(fx.Dial).epoch == 2
    assert drive.opened().ready().has(fx.ResolveCallers)


@pytest.mark.parametrize("closing", [True, False], ids=["closing", "stopped"])
def test_stopped_refuses_and_says_what_lifts_it(closing: bool) -> None:
    drive = Drive().up().disconnect()
    if not closing:
        drive.ended()
    error = drive.connect().the(fx.Refuse).error
    assert isinstance(error, ManuallyDisconnected)
    assert "reconnect()" in str(error)
    assert len(drive.effects) == 1


@pytest.mark.parametrize("closing", [True, False], ids=["closing", "closed"])
def test_closed_refuses_connect_and_reconnect(closing: bool) -> None:
    drive = Drive().up().close()
    if not closing:
        drive.ended()
    for refused in (drive.connect().effects, drive.reconnect().effects):
        assert [type(effect) for effect in refused] == [fx.Refuse]
        assert isinstance(refused[0], fx.Refuse)
        assert isinstance(refused[0].error, ClientClosed)


# --- connect_nowait() and cancellation ------------------------------------------------------------------------------


def test_connect_nowait_starts_the_attempt_and_nobody_waits() -> None:
    drive = Drive().connect(wait=False)
    assert drive.the(fx.Wait).outcome is Outcome.OPENED
    assert drive.machine.waiting == 0
    assert not drive.opened().ready().all(fx.ResolveCallers)


def test_a_failed_attempt_that_nobody_waits_for_rejects_nobody() -> None:
    drive = Drive().connect(wait=False).ended(FATAL)
    assert not drive.all(fx.RejectCallers)
    assert drive.state is State.FAILED


def test_one_callers_cancellation_does_not_hurt_the_others() -> None:
    drive = Drive().connect().connect().cancelled()
    assert drive.effects == ()
    assert (drive.state, drive.machine.waiting) == (State.CONNECTING, 1)


def test_the_last_callers_cancellation_winds_the_attempt_down_but_not_before_the_upgrade_is_answered() -> None:
    drive = Drive().connect().cancelled()
    assert (drive.state, drive.machine.destination) == (State.CLOSING, Destination.REST)
    assert drive.the(fx.HangUp) == fx.HangUp(1, 1000, "")
    assert drive.machine.alarm == (AlarmKind.OPEN, 1), "the deadline of the attempt goes on"
    assert drive.opened().effects == (fx.SetAlarm(AlarmKind.CLOSE, 1, drive.now + CLOSE_TIMEOUT),)
    assert drive.ended().state is State.DISCONNECTED


@pytest.mark.parametrize("joined", [True, False], ids=["joined", "started"])
def test_an_attempt_that_connect_nowait_wants_survives_the_last_cancellation(joined: bool) -> None:
    drive = Drive().connect(wait=joined).connect(wait=not joined).cancelled()
    assert drive.effects == ()
    assert drive.state is State.CONNECTING


def test_an_attempt_that_resumes_a_line_survives_the_last_cancellation() -> None:
    drive = Drive().resuming().connect().cancelled()
    assert drive.effects == ()
    assert drive.state is State.CONNECTING


@pytest.mark.parametrize("wait", [True, False])
def test_connect_while_a_lost_line_is_closed_only_makes_the_resumption_sooner(wait: bool) -> None:
    drive = Drive().up().failing().connect(wait=wait)
    assert drive.the(fx.Wait).outcome is Outcome.OPENED
    if wait:
        drive.cancelled()
    assert drive.machine.destination is Destination.ATTEMPT, "the client resumes the line, whoever comes and goes"
    assert drive.ended().state is State.CONNECTING
    assert drive.ended().state is State.BACKING_OFF, "it is still a resumption: a failure is not final"


def test_the_last_cancellation_before_the_attempt_began_calls_it_off() -> None:
    drive = Drive().up().reconnect().connect().cancelled()
    assert drive.machine.destination is Destination.ATTEMPT
    assert drive.cancelled().effects == ()
    assert drive.ended().state is State.DISCONNECTED
    assert not drive.all(fx.Dial)


def test_who_waits_for_a_failing_attempt_may_be_cancelled_without_consequence() -> None:
    drive = Drive().connect().opened().failing(FATAL).cancelled()
    assert drive.effects == ()
    assert drive.ended(FATAL).state is State.FAILED
    assert not drive.all(fx.RejectCallers)


@pytest.mark.parametrize("closing", [True, False])
def test_a_cancellation_when_nobody_waits_is_a_bug_of_the_shell(closing: bool) -> None:
    drive = Drive().connect(wait=False)
    if closing:
        drive.disconnect()
    with pytest.raises(IllegalInput, match="nobody waits"):
        drive.cancelled()


# --- disconnect(), reconnect(), aclose() ----------------------------------------------------------------------------


def test_disconnect_closes_gracefully_and_ends_in_stopped() -> None:
    drive = Drive().up().disconnect()
    assert drive.effects == (
        fx.Changed(State.CONNECTED, State.CLOSING, 1, "Disconnect", None),
        fx.SetAlarm(AlarmKind.CLOSE, 1, drive.now + CLOSE_TIMEOUT),
        fx.HangUp(1, 1000, ""),
        fx.AwaitEnd(),
    )
    drive.ended()
    assert drive.state is State.STOPPED
    assert drive.has(fx.ReleaseLeavers)


def test_disconnect_while_connecting_tells_the_callers_at_once() -> None:
    drive = Drive().connect().disconnect()
    assert isinstance(drive.the(fx.RejectCallers).error, ConnectAborted)
    assert drive.the(fx.HangUp).code == 1000
    assert drive.machine.destination is Destination.STOP


def test_disconnect_overrides_whatever_a_close_was_leading_to() -> None:
    drive = Drive().up().reconnect().disconnect()
    assert isinstance(drive.the(fx.RejectCallers).error, ConnectAborted)
    assert not drive.all(fx.HangUp), "a close is under way already"
    assert drive.disconnect().effects == (fx.AwaitEnd(),)
    assert drive.ended().state is State.STOPPED


def test_disconnect_does_not_reopen_what_aclose_is_closing() -> None:
    drive = Drive().up().close().disconnect()
    assert drive.effects == (fx.AwaitEnd(),)
    assert drive.ended().state is State.CLOSED


@pytest.mark.parametrize("drive", [Drive(), Drive().connect().ended(FATAL), Drive().backing_off()])
def test_disconnect_without_a_line_is_done_at_once(drive: Drive) -> None:
    drive.disconnect()
    assert drive.has(fx.Done)
    assert (drive.state, drive.machine.alarm) == (State.STOPPED, None)
    assert drive.disconnect().effects == (fx.Done(),), "and again"


@pytest.mark.parametrize(
    "drive", [Drive(), Drive().connect().ended(FATAL), Drive().backing_off(), Drive().disconnect()]
)
def test_aclose_without_a_line_is_done_at_once(drive: Drive) -> None:
    drive.close()
    assert drive.has(fx.Done)
    assert (drive.state, drive.machine.alarm) == (State.CLOSED, None)
    assert drive.close().effects == (fx.Done(),), "and again"
    assert drive.disconnect().effects == (fx.Done(),)


@pytest.mark.parametrize(
    "drive", [Drive().connect(), Drive().up(), Drive().up().reconnect(), Drive().up().disconnect()]
)
def test_aclose_ends_in_closed_and_tells_the_callers(drive: Drive) -> None:
    waited = drive.machine.waiting
    drive.close()
    assert [type(effect.error) for effect in drive.all(fx.RejectCallers)] == [ClientClosed] * waited
    assert drive.has(fx.AwaitEnd)
    assert drive.ended().state is State.CLOSED
    assert drive.has(fx.ReleaseLeavers)


def test_reconnect_closes_what_is_open_and_opens_one_new() -> None:
    drive = Drive().up().reconnect()
    assert drive.the(fx.HangUp).epoch == 1
    assert drive.the(fx.Wait).outcome is Outcome.OPENED
    assert not drive.all(fx.Dial)
    assert drive.reconnect().effects == (fx.Wait(Outcome.JOINED),), "concurrent calls share it"
    assert drive.ended().the(fx.Dial).epoch == 2


def test_reconnect_lifts_a_stop() -> None:
    drive = Drive().disconnect().reconnect()
    assert drive.the(fx.Dial).epoch == 1
    assert drive.state is State.CONNECTING


def test_reconnect_lifts_a_stop_that_is_still_closing_and_releases_who_waits_for_the_end() -> None:
    drive = Drive().up().disconnect().reconnect()
    assert drive.the(fx.Wait).outcome is Outcome.OPENED
    assert drive.machine.destination is Destination.ATTEMPT
    drive.ended()
    assert drive.the(fx.Dial).epoch == 2
    assert drive.has(fx.ReleaseLeavers)


@pytest.mark.parametrize("drive", [Drive(), Drive().connect().ended(FATAL), Drive().backing_off()])
def test_reconnect_without_a_line_is_a_connect(drive: Drive) -> None:
    epoch = drive.machine.epoch
    assert drive.reconnect().the(fx.Dial).epoch == epoch + 1


def test_reconnect_joins_an_attempt_in_flight() -> None:
    assert Drive().connect().reconnect().effects == (fx.Wait(Outcome.JOINED),)


def test_a_line_lost_while_it_was_closed_on_purpose_is_no_failure() -> None:
    drive = Drive().up().disconnect().failing(LOST)
    assert drive.effects == ()
    assert drive.ended(LOST).state is State.STOPPED
    assert drive.machine.error is None
