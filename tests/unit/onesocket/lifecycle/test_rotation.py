"""Rotations: a successor beside the connection, which takes its place once it has caught up."""

from __future__ import annotations

from collections.abc import Hashable

import pytest

from onesocket.errors import ClientClosed, ConnectAborted, OnesocketError, OpenTimeout, ServerBusy
from onesocket.lifecycle import _effects as fx
from onesocket.lifecycle import _events as events
from onesocket.lifecycle._actions import IllegalEvent
from onesocket.lifecycle._effects import Outcome
from onesocket.lifecycle._events import TimerKind
from onesocket.lifecycle._peer_errors import closed_by_peer, handshake_rejected
from onesocket.lifecycle._side_data import GHOST_SECONDS
from onesocket.lifecycle._states import AfterClose, Side, State
from tests.unit.onesocket.lifecycle.machine_driver import CLOSE_TIMEOUT, FATAL, LOST, OPEN_TIMEOUT, MachineDriver

LIMIT = closed_by_peer(1008, "connection limit exceeded")
NAMED = handshake_rejected(503, {"retry-after": "7"}, "")


def rotating(drive: MachineDriver | None = None, **options: bool) -> MachineDriver:
    """Connected, with a successor that is being opened."""
    return (drive or MachineDriver()).up().rotate(**options)


def rotated() -> MachineDriver:
    """The successor has taken over; its predecessor is being closed."""
    return rotating().side_opened().side_ready()


def test_a_successor_is_dialled_beside_the_connection() -> None:
    drive = rotating()
    assert (drive.state, drive.machine.side, drive.machine.epoch) == (State.CONNECTED, Side.OPENING, 1)
    assert drive.effects == (
        fx.SetTimer(TimerKind.OPEN, 2, drive.now + OPEN_TIMEOUT, is_side=True),
        fx.DialSuccessor(2),
        fx.AwaitOutcome(Outcome.OPENED),
    )


def test_it_takes_over_when_it_has_caught_up_and_then_the_old_connection_is_closed() -> None:
    drive = rotating().side_opened().side_ready()
    assert (drive.state, drive.machine.side, drive.machine.epoch) == (State.CONNECTED, Side.CLOSING, 2)
    assert drive.effects == (
        fx.SetTimer(TimerKind.OPEN, 2, drive.now + OPEN_TIMEOUT),
        fx.CancelTimer(is_side=True),
        fx.TakeOver(2),
        fx.SetTimer(TimerKind.CLOSE, 1, drive.now + CLOSE_TIMEOUT, is_side=True),
        fx.CloseConnection(1, 1000, ""),
        fx.CancelTimer(),
    )
    drive.side_gone()
    assert (drive.state, drive.machine.side, drive.machine.waiting) == (State.CONNECTED, Side.NONE, 0)
    assert list(drive.effects) == [fx.CancelTimer(is_side=True), fx.ResolveCallers()]


def test_a_rotation_is_joined_until_it_is_over() -> None:
    drive = rotating().rotate()
    assert drive.the(fx.AwaitOutcome).outcome is Outcome.JOINED
    drive.side_opened().side_ready().rotate()
    assert drive.the(fx.AwaitOutcome).outcome is Outcome.JOINED
    assert drive.machine.waiting == 3
    assert drive.cancelled().machine.waiting == 2
    assert drive.machine.side is Side.CLOSING, "it goes on without its caller"
    assert drive.side_gone().has(fx.ResolveCallers)
    assert drive.rotate().the(fx.DialSuccessor).epoch == 3


@pytest.mark.parametrize("wait", [True, False])
def test_without_a_connection_it_is_a_connect(wait: bool) -> None:
    assert MachineDriver().rotate(wait=wait).state is State.CONNECTING
    assert MachineDriver().connect().rotate(wait=wait).the(fx.AwaitOutcome).outcome is Outcome.JOINED
    assert MachineDriver().backing_off().rotate(wait=wait).state is State.CONNECTING
    assert MachineDriver().disconnect().rotate(wait=wait).has(fx.RaiseError)
    assert MachineDriver().close().rotate(wait=wait).has(fx.RaiseError)
    drive = rotating(wait=False).side_opened().side_ready().side_gone()
    assert list(drive.effects) == [fx.CancelTimer(is_side=True)], "no caller waits for it"


@pytest.mark.parametrize("error", [LOST, FATAL, LIMIT, NAMED], ids=str)
@pytest.mark.parametrize("opened", [True, False])
@pytest.mark.parametrize("told", [True, False])
def test_a_refusal_of_the_successor_never_harms_the_connection(
    error: OnesocketError, *, opened: bool, told: bool
) -> None:
    drive = rotating()
    if opened:
        drive.side_opened()
    if told:
        drive.side_failing(error, 1002)
        assert drive.the(fx.CloseConnection) == fx.CloseConnection(2, 1002, "told")
        assert not drive.has(fx.RejectCallers)
    drive.side_gone(error)
    assert (drive.state, drive.machine.epoch, drive.machine.side) == (State.CONNECTED, 1, Side.NONE)
    assert drive.the(fx.RejectCallers).error is error
    assert drive.machine.error is None
    assert not drive.has(fx.Dial)


@pytest.mark.parametrize("wait", [True, False])
def test_the_date_that_a_successor_was_told_holds_for_an_attempt_after_a_disconnect(*, wait: bool) -> None:
    drive = rotating().side_gone(NAMED)
    date = drive.now + 7
    drive.disconnect().reconnect(wait=wait, retry=True)
    assert (drive.state, drive.machine.after_close) == (State.CLOSING, AfterClose.BACK_OFF)
    drive.ended()
    assert (drive.state, drive.machine.retry_at) == (State.BACKING_OFF, date)
    assert drive.timer(TimerKind.RETRY).state is State.CONNECTING


def test_a_successor_has_its_deadline() -> None:
    drive = rotating().side_opened().handle(events.DeadlineExtended(2, 3.0))
    assert drive.the(fx.SetTimer) == fx.SetTimer(TimerKind.OPEN, 2, drive.now + OPEN_TIMEOUT + 3, is_side=True)
    drive.handle(events.TimerFired(2, TimerKind.OPEN, "logging in"))
    assert drive.the(fx.Abort) == fx.Abort(2)
    drive.side_gone()
    assert isinstance(drive.the(fx.RejectCallers).error, OpenTimeout)
    assert drive.state is State.CONNECTED


def test_a_dead_successor_is_aborted_and_each_close_is_bounded() -> None:
    assert rotating().side_opened().side_failing(LOST, 4000, dead=True).the(fx.Abort) == fx.Abort(2, 4000)
    drive = rotating().disconnect()  # the upgrade of the successor is awaited
    assert {effect.epoch for effect in drive.all(fx.CloseConnection)} == {1, 2}
    drive.side_opened()
    assert drive.the(fx.SetTimer) == fx.SetTimer(TimerKind.CLOSE, 2, drive.now + CLOSE_TIMEOUT, is_side=True)
    assert drive.handle(events.TimerFired(2, TimerKind.CLOSE)).the(fx.Abort) == fx.Abort(2)


def test_what_comes_from_a_side_connection_that_is_being_closed_is_ignored() -> None:
    drive = rotated()
    for event in (events.ProtocolReady(1), events.DeadlineExtended(1, 1.0), events.ConnectionFailing(1, FATAL)):
        assert drive.handle(event).effects == ()
    assert drive.state is State.CONNECTED


@pytest.mark.parametrize("told", [True, False])
def test_the_successor_is_the_next_attempt_when_the_connection_is_lost_first(told: bool) -> None:
    drive = rotating()
    if told:
        drive.failing(LOST, 1002)
        assert drive.the(fx.CloseConnection) == fx.CloseConnection(1, 1002, "told")
    else:
        drive.ended(LOST)
        assert not drive.has(fx.CloseConnection)
    assert (drive.state, drive.machine.epoch, drive.machine.failures) == (State.CONNECTING, 2, 1)
    assert drive.has(fx.TakeOver)
    assert not drive.has(fx.Dial)
    drive.opened().ready()
    assert (drive.state, drive.machine.waiting) == (State.CONNECTED, 0)
    assert drive.has(fx.ResolveCallers)


def test_a_dead_connection_is_aborted_while_its_successor_goes_on() -> None:
    drive = rotating().failing(LOST, 4000, dead=True)
    assert drive.the(fx.Abort) == fx.Abort(1, 4000)
    assert drive.state is State.CONNECTING


@pytest.mark.parametrize("told", [True, False])
def test_a_loss_that_no_retry_helps_ends_both(told: bool) -> None:
    drive = rotating()
    drive = drive.failing(FATAL) if told else drive.ended(FATAL)
    assert (drive.state, drive.machine.after_close) == (State.CLOSING, AfterClose.FAIL)
    drive = drive.ended(FATAL) if told else drive
    assert (drive.state, drive.machine.epoch, drive.machine.side) == (State.CLOSING, 2, Side.NONE)
    drive.ended()
    assert drive.state is State.FAILED
    assert drive.the(fx.RejectCallers).error is FATAL


def test_no_attempt_follows_before_both_are_gone() -> None:
    drive = rotated().ended(LOST)  # the new one is lost while the old one is still being closed
    assert (drive.state, drive.machine.after_close, drive.machine.epoch) == (State.CLOSING, AfterClose.BACK_OFF, 1)
    assert drive.has(fx.TakeOver)
    assert drive.the(fx.SetTimer).kind is TimerKind.CLOSE
    assert drive.ended().state is State.BACKING_OFF
    drive = rotated().handle(events.TimerFired(1, TimerKind.CLOSE)).ended(LOST)
    assert fx.CancelTimer() in drive.effects, "the old one was aborted, so nothing bounds it any more"
    assert drive.ended().timer(TimerKind.RETRY).the(fx.Dial).epoch == 3
    drive = rotated().failing(LOST).ended()
    assert (drive.state, drive.machine.epoch) == (State.CLOSING, 1)
    assert drive.ended().state is State.BACKING_OFF


def test_reconnect_closes_both_and_its_attempt_waits_for_both() -> None:
    drive = rotating().reconnect()
    assert {effect.epoch for effect in drive.all(fx.CloseConnection)} == {1, 2}
    assert drive.ended().state is State.CLOSING
    drive.ended()
    assert (drive.state, drive.the(fx.Dial).epoch, drive.machine.waiting) == (State.CONNECTING, 3, 2)


@pytest.mark.parametrize(("call", "error"), [(events.Disconnect(), ConnectAborted), (events.Close(), ClientClosed)])
def test_disconnect_and_aclose_end_both_and_tell_the_callers(
    call: events.Disconnect | events.Close, error: type[OnesocketError]
) -> None:
    drive = rotating().side_opened().handle(call)
    assert isinstance(drive.the(fx.RejectCallers).error, error)
    assert drive.side_gone().state is State.CLOSING
    assert not drive.has(fx.ReleaseClosers)
    assert drive.ended().has(fx.ReleaseClosers)
    assert drive.state in (State.STOPPED, State.CLOSED)


def test_where_a_second_connection_is_refused_the_first_is_closed_before_it_is_opened() -> None:
    for told in (True, False):
        drive = rotating(MachineDriver(closes_first=True))
        if told:
            drive.handle(events.ConnectionFailing(2, LIMIT, by_peer=True))
        drive.side_gone(LIMIT)
        assert (drive.state, drive.machine.after_close) == (State.CLOSING, AfterClose.NEW_ATTEMPT)
        assert drive.the(fx.CloseConnection) == fx.CloseConnection(1, 1000, "")
        assert drive.ended().the(fx.Dial).epoch == 3
        assert drive.machine.waiting == 1
        assert drive.ended(LIMIT).state is State.BACKING_OFF, "an established connection is resumed"
    drive = rotating(MachineDriver(None, closes_first=True)).side_gone(LIMIT)
    assert drive.state is State.CONNECTED, "it might not be resumed"


def test_a_place_that_is_kept_by_a_ghost_of_ours_is_no_reason_to_close_first() -> None:
    drive = rotating(MachineDriver(closes_first=True)).side_opened().side_ready().side_gone()
    assert drive.rotate().side_gone(LIMIT).state is State.CONNECTED
    drive.now += GHOST_SECONDS
    assert drive.rotate().side_gone(LIMIT).state is State.CLOSING


def test_a_date_that_a_successor_was_told_is_obeyed() -> None:
    drive = rotating().side_gone(NAMED)
    for early in (drive.rotate, drive.reconnect):
        error = early().the(fx.RaiseError).error
        assert isinstance(error, ServerBusy)
        assert error.retry_after == 7
    assert drive.ended(LOST).the(fx.SetTimer).at >= drive.now + 7, "also after a loss that names none"
    drive = rotating().side_gone(NAMED)
    drive.now += 7
    assert drive.rotate().has(fx.DialSuccessor)


def test_a_date_named_while_a_close_is_awaited_is_obeyed() -> None:
    drive = rotating().reconnect().side_gone(NAMED).ended()
    assert (drive.state, drive.has(fx.Dial)) == (State.FAILED, False)
    assert drive.the(fx.RejectCallers).error is NAMED
    drive = rotating().reconnect(retry=True).side_gone(NAMED).ended()
    assert (drive.state, drive.machine.retry_at) == (State.BACKING_OFF, drive.now + 7)


def test_a_refused_token_is_reported() -> None:
    refused = handshake_rejected(401, {}, "")
    drive = rotating(MachineDriver(renews_token=True)).side_gone(refused)
    assert drive.the(fx.ReportRefusedToken).error is refused
    assert drive.state is State.CONNECTED


def test_the_successor_proves_itself_where_its_predecessor_had_not() -> None:
    drive = MachineDriver().resuming().opened().ready().rotate().handle(events.Opened(3))
    drive.handle(events.ProtocolReady(3))
    assert fx.SetTimer(TimerKind.STABLE, 3, drive.now + 10) in drive.effects
    assert drive.timer(TimerKind.STABLE).machine.failures == 0


def test_a_side_connection_that_is_not_there_has_no_actions() -> None:
    machine = MachineDriver().up().machine
    machine.close_side()
    assert machine.side is Side.NONE
    for action in (machine.abort_side, machine.set_side_close_timeout, machine.take_over):
        with pytest.raises(IllegalEvent, match="no side connection"):
            action()


def test_the_reason_for_a_refusal_is_a_part_of_the_condition_as_it_decides() -> None:
    def key_after(error: OnesocketError) -> Hashable:
        drive = rotating(MachineDriver(closes_first=True)).side_failing(error)
        return drive.machine.state_key(drive.now)

    assert len({key_after(error) for error in (LOST, LIMIT, NAMED)}) == 3
