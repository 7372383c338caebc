"""First connects and later losses: different policies. And deadlines, and what comes too late."""

from __future__ import annotations

import pytest

from onesocket.errors import (
    ConnectionRefused,
    HandshakeRejected,
    OnesocketError,
    OpenTimeout,
    RetriesExhausted,
    ServerBusy,
)
from onesocket.lifecycle import _effects as fx
from onesocket.lifecycle import _events as events
from onesocket.lifecycle._actions import Actions, IllegalEvent
from onesocket.lifecycle._events import TimerKind
from onesocket.lifecycle._peer_errors import closed_by_peer
from onesocket.lifecycle._retry import ReconnectPolicy
from onesocket.lifecycle._states import AfterClose, State
from onesocket.lifecycle._table import Rule
from tests.unit.onesocket.lifecycle.machine_driver import (
    BUSY,
    CLOSE_TIMEOUT,
    FATAL,
    LOST,
    OPEN_TIMEOUT,
    POLICY,
    MachineDriver,
)


def retry_in(drive: MachineDriver) -> float:
    """Seconds until the retry that was just scheduled."""
    timer = drive.the(fx.SetTimer)
    assert timer.kind is TimerKind.RETRY
    assert timer.at == drive.machine.retry_at
    return timer.at - drive.now


def lose_again(drive: MachineDriver, jitter: float = 0.5, *, takes: float = 0.0) -> float:
    """The next attempt is made at its time, and fails after so many seconds."""
    assert drive.machine.retry_at is not None
    drive.now = drive.machine.retry_at + takes
    return retry_in(drive.timer(TimerKind.RETRY).ended(LOST, jitter))


# --- the first connect ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [LOST, FATAL, BUSY])
@pytest.mark.parametrize("wait", [True, False])
def test_a_first_connect_is_one_attempt_without_retries(error: OnesocketError, wait: bool) -> None:
    drive = MachineDriver().connect(wait=wait).ended(error)
    assert drive.state is State.FAILED
    assert drive.machine.error is error
    assert drive.machine.timer is None


def test_a_refused_login_is_closed_in_order_before_the_caller_hears_of_it() -> None:
    drive = MachineDriver().connect().opened().failing(FATAL, 4004)
    assert drive.effects == (
        fx.StateChanged(State.CONNECTING, State.CLOSING, 1, "ConnectionFailing", FATAL),
        fx.SetTimer(TimerKind.CLOSE, 1, drive.now + CLOSE_TIMEOUT),
        fx.CloseConnection(1, 4004, "told"),
    )
    assert drive.ended().the(fx.RejectCallers).error is FATAL
    assert drive.state is State.FAILED


def test_a_connect_after_a_failure_starts_with_a_clean_count() -> None:
    assert MachineDriver().connect().ended().connect().machine.failures == 0


# --- an established connection that is lost -------------------------------------------------------------------------


def test_the_first_retry_is_immediate() -> None:
    drive = MachineDriver().up().ended(LOST, 0.9)
    assert drive.state is State.BACKING_OFF
    assert retry_in(drive) == 0
    assert drive.timer(TimerKind.RETRY).the(fx.Dial).epoch == 2


def test_further_retries_are_jittered_below_a_doubling_bound_up_to_the_cap() -> None:
    drive = MachineDriver().up().ended()  # each attempt takes so long that the time away bounds nothing
    assert [lose_again(drive, takes=10) for _ in range(5)] == [0.75, 1.5, 3, 3.75, 3.75]
    assert lose_again(drive, jitter=0.0) == 2.5


def test_a_retry_is_never_further_away_than_the_first_bound_and_two_fifths_of_the_time_away() -> None:
    drive = MachineDriver(ReconnectPolicy(initial=1, factor=10, cap=1000)).up().ended()
    lost_at = drive.now
    for _ in range(5):
        assert lose_again(drive, jitter=0.999) == pytest.approx(1 + 0.4 * (drive.now - lost_at), rel=0.001)


def test_where_nothing_answers_the_next_attempt_is_never_far() -> None:
    drive = MachineDriver(ReconnectPolicy(cap=60)).up().ended(ConnectionRefused("refused"))
    delays = []
    for _ in range(100):
        assert drive.machine.retry_at is not None
        drive.now = drive.machine.retry_at
        delays.append(retry_in(drive.timer(TimerKind.RETRY).ended(ConnectionRefused("refused"), 0.999)))
    assert max(delays) <= 3
    assert min(delays[20:]) > 2.9


def test_time_up_makes_up_for_time_away_until_it_proves_the_connection() -> None:
    drive = MachineDriver(ReconnectPolicy(initial=1, factor=1000, cap=1000, stable_after=60)).resuming().ended()
    drive.now += 20
    drive.timer(TimerKind.RETRY).opened().ready()
    drive.now += 15
    drive.ended()  # 20 s away, 15 s up
    assert retry_in(drive) == pytest.approx(0.75 * (1 + 0.4 * 5))
    drive.timer(TimerKind.RETRY).opened().ready()
    drive.now += 30
    drive.ended()
    assert retry_in(drive) == 0.75


def test_who_joined_a_resumption_gets_its_error_and_the_client_goes_on() -> None:
    drive = MachineDriver().resuming().connect().ended(LOST)
    assert drive.the(fx.RejectCallers).error is LOST
    assert drive.state is State.BACKING_OFF


def test_who_joined_a_resumption_gets_its_error_after_the_close() -> None:
    drive = MachineDriver().resuming().opened().connect().failing(LOST).ended()
    assert drive.the(fx.RejectCallers).error is LOST
    assert drive.state is State.BACKING_OFF


def test_a_loss_that_the_peer_announced_is_closed_first() -> None:
    drive = MachineDriver().up().failing(LOST)
    assert (drive.state, drive.machine.after_close) == (State.CLOSING, AfterClose.BACK_OFF)
    assert drive.has(fx.CloseConnection)
    assert retry_in(drive.ended()) == 0


def test_retry_after_is_obeyed_even_beyond_the_cap() -> None:
    drive = (
        MachineDriver().resuming().ended(HandshakeRejected("later", status=503, retryable=True, retry_after=120), 0.5)
    )
    assert retry_in(drive) == 122.5


def test_busy_is_retried_slowly_from_the_first_time_on() -> None:
    assert retry_in(MachineDriver().up().ended(BUSY, 0.5)) == POLICY.busy_delay
    assert retry_in(MachineDriver(ReconnectPolicy(cap=60, busy_delay=30)).up().ended(BUSY, 0.5)) == 45


def test_busy_with_a_date_is_retried_then() -> None:
    assert retry_in(MachineDriver().up().ended(ServerBusy("busy", retry_after=7), 0.5)) == pytest.approx(7.35)


@pytest.mark.parametrize("during", ["connection", "resumption"])
def test_a_fatal_loss_ends_in_failed(during: str) -> None:
    drive = MachineDriver().up() if during == "connection" else MachineDriver().resuming()
    assert drive.ended(FATAL).state is State.FAILED
    assert drive.machine.error is FATAL


def test_a_fatal_close_code_ends_in_failed_after_the_close() -> None:
    drive = MachineDriver().up().failing(FATAL)
    assert drive.machine.after_close is AfterClose.FAIL
    assert drive.ended().state is State.FAILED


# --- 1008: "not you", or "not now" ----------------------------------------------------------------------------------


@pytest.mark.parametrize("up_for", [0.0, 0.9])
def test_1008_is_final_for_a_connection_that_was_never_up(up_for: float) -> None:
    refused = closed_by_peer(1008, "who are you?")
    assert MachineDriver().connect().opened().failing(refused).ended().state is State.FAILED
    drive = MachineDriver().up().failing(refused, up_for=up_for).ended()
    assert drive.state is State.FAILED
    assert drive.machine.error is refused


@pytest.mark.parametrize("reason", ["", "policy", "who are you?"])
def test_1008_after_a_connection_was_up_is_retried_slowly_and_without_end(reason: str) -> None:
    refused = closed_by_peer(1008, reason)
    drive = MachineDriver().up().failing(refused, up_for=1.0).ended()
    for _ in range(50):
        assert drive.state is State.BACKING_OFF
        assert POLICY.busy_delay <= retry_in(drive) <= 2 * POLICY.busy_delay
        assert isinstance(drive.machine.error, ServerBusy)
        assert drive.machine.error.__cause__ is refused
        drive.timer(TimerKind.RETRY).opened().ready().failing(refused).ended()


def test_1008_while_a_lost_connection_is_resumed_is_retried_slowly_and_its_callers_are_told() -> None:
    refused = closed_by_peer(1008)
    drive = MachineDriver().resuming().opened().connect().failing(refused).ended()
    assert isinstance(drive.the(fx.RejectCallers).error, ServerBusy)
    assert retry_in(drive) >= POLICY.busy_delay
    assert retry_in(MachineDriver().resuming().opened().ready().ended(refused)) >= POLICY.busy_delay


def test_1008_counts_towards_the_limit_of_attempts() -> None:
    drive = MachineDriver(ReconnectPolicy(max_attempts=2)).up().ended(closed_by_peer(1008), up_for=5)
    assert drive.state is State.BACKING_OFF
    assert drive.timer(TimerKind.RETRY).ended(closed_by_peer(1008)).state is State.FAILED
    assert isinstance(drive.machine.error, RetriesExhausted)


def test_1008_is_final_where_the_protocol_says_so_or_nothing_is_resumed() -> None:
    assert MachineDriver().up().ended(closed_by_peer(1008, fatal={1008}), up_for=60).state is State.FAILED
    refused = closed_by_peer(1008)
    drive = MachineDriver(None).up().ended(refused, up_for=60)
    assert drive.state is State.FAILED
    assert drive.machine.error is refused


def test_a_new_attempt_of_the_owner_is_a_first_one_again() -> None:
    drive = MachineDriver().resuming().opened().ready().reconnect().ended().opened().ready()
    assert drive.failing(closed_by_peer(1008)).ended().state is State.FAILED


@pytest.mark.parametrize("announced", [True, False])
def test_without_a_policy_a_lost_connection_is_not_resumed(announced: bool) -> None:
    drive = MachineDriver(None).up()
    if announced:
        drive.failing(LOST)
    drive.ended(LOST)
    assert drive.state is State.FAILED
    assert drive.machine.error is LOST


def test_the_back_off_is_reset_only_when_the_new_connection_has_proved_itself() -> None:
    drive = MachineDriver().resuming().opened().ready()
    stable = drive.the(fx.SetTimer)
    assert (stable.kind, stable.at) == (TimerKind.STABLE, drive.now + POLICY.stable_after)
    assert drive.machine.failures == 1
    assert drive.timer(TimerKind.STABLE).effects == ()
    assert drive.machine.failures == 0
    assert retry_in(drive.ended()) == 0


def test_a_server_that_accepts_and_closes_is_not_hammered() -> None:
    drive = MachineDriver().up()
    delays = []
    for _ in range(5):
        delays.append(retry_in(drive.ended(LOST, 0.5)))
        drive.timer(TimerKind.RETRY).opened().ready()
    assert delays == [0, 0.75, 0.75, 0.75, 0.75]  # its clock stands still: see test_recovery.py


def test_a_first_connection_has_nothing_to_prove() -> None:
    assert MachineDriver().up().machine.timer is None
    assert MachineDriver(None).up().machine.timer is None


def test_after_max_attempts_it_gives_up_and_names_the_last_failure() -> None:
    drive = MachineDriver(ReconnectPolicy(max_attempts=2)).up().ended().timer(TimerKind.RETRY).connect().ended(LOST)
    assert drive.state is State.FAILED
    error = drive.the(fx.RejectCallers).error
    assert isinstance(error, RetriesExhausted)
    assert error.__cause__ is LOST
    assert "2 failures" in str(error)


def test_a_fatal_loss_is_named_as_such_even_at_the_limit() -> None:
    assert MachineDriver(ReconnectPolicy(max_attempts=1)).up().ended(FATAL).machine.error is FATAL


def test_ready_forgets_the_error() -> None:
    drive = MachineDriver().resuming()
    assert drive.machine.error is LOST
    assert drive.opened().ready().machine.error is None


def test_a_second_login_on_the_same_socket_changes_nothing() -> None:
    assert MachineDriver().up().ready().effects == ()
    assert MachineDriver().up().disconnect().ready().effects == ()


# --- deadlines ------------------------------------------------------------------------------------------------------


def test_an_attempt_that_misses_its_deadline_is_aborted_and_the_caller_hears_what_it_waited_for() -> None:
    drive = MachineDriver().connect().timer(TimerKind.OPEN, "logging in")
    assert drive.the(fx.Abort) == fx.Abort(1)
    assert (drive.state, drive.machine.after_close) == (State.CLOSING, AfterClose.FAIL)
    error = drive.ended().the(fx.RejectCallers).error
    assert isinstance(error, OpenTimeout)
    assert "10 s" in str(error)
    assert "logging in" in str(error)


def test_a_missed_deadline_without_a_detail_says_what_it_knows() -> None:
    assert "still" not in str(MachineDriver().connect().timer(TimerKind.OPEN).machine.error)


def test_a_resumption_that_misses_its_deadline_is_tried_again() -> None:
    drive = MachineDriver().resuming().timer(TimerKind.OPEN)
    assert drive.machine.after_close is AfterClose.BACK_OFF
    assert drive.ended().state is State.BACKING_OFF


def test_a_close_that_misses_its_deadline_is_aborted_and_goes_where_it_led() -> None:
    drive = MachineDriver().up().disconnect().timer(TimerKind.CLOSE)
    assert drive.effects == (fx.CancelTimer(), fx.Abort(1))
    assert drive.ended().state is State.STOPPED


def test_a_dead_peer_is_not_waited_for() -> None:
    drive = MachineDriver().up().failing(LOST, 4000, dead=True)
    assert drive.the(fx.Abort) == fx.Abort(1, 4000)
    assert not drive.all(fx.CloseConnection)


# --- what comes too late, and what can't come -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "late",
    [
        events.Opened(1),
        events.ProtocolReady(1),
        events.ConnectionFailing(1, FATAL, dead=True),
        events.ConnectionGone(1, FATAL),
        events.TimerFired(1, TimerKind.OPEN),
        events.TimerFired(1, TimerKind.RETRY),
        events.TimerFired(2, TimerKind.CLOSE),
    ],
)
@pytest.mark.parametrize(
    "now",
    [
        MachineDriver().resuming(),
        MachineDriver().resuming().opened().ready(),
        MachineDriver().backing_off().disconnect(),
    ],
)
def test_what_comes_too_late_is_dropped_and_counted(now: MachineDriver, late: events.Event) -> None:
    condition, counted = now.machine.state_key(0), now.machine.stale
    assert now.handle(late).effects == ()
    assert now.machine.state_key(0) == condition
    assert now.machine.stale == counted + 1


def test_what_cannot_happen_is_a_bug_of_the_shell() -> None:
    with pytest.raises(IllegalEvent, match="Opened in CONNECTED"):
        MachineDriver().up().opened()
    with pytest.raises(IllegalEvent, match="Cancelled in STOPPED"):
        MachineDriver().disconnect().cancelled()


def test_a_login_that_waits_for_its_turn_moves_the_deadline_of_its_attempt() -> None:
    drive = MachineDriver().connect().opened()
    drive.now += 4
    drive.handle(events.DeadlineExtended(1, 7))
    assert drive.effects == (fx.SetTimer(TimerKind.OPEN, 1, 100 + OPEN_TIMEOUT + 7),)
    assert drive.ready().handle(events.DeadlineExtended(1, 7)).effects == (), "a connection that is up has no deadline"
    assert drive.disconnect().handle(events.DeadlineExtended(1, 7)).effects == (), "nor is that of a close moved"


def test_a_row_of_the_table_that_schedules_a_retry_without_a_policy_is_refused() -> None:
    with pytest.raises(IllegalEvent, match="a retry without a policy"):
        MachineDriver(None).machine._follow(Rule((Actions.schedule_retry,)))


def test_a_copy_lives_its_own_life() -> None:
    drive = MachineDriver().connect()
    twin = drive.machine.copy()
    assert twin.state_key(0) == drive.machine.state_key(0)
    drive.opened().ready()
    assert twin.state is State.CONNECTING
    assert twin.state_key(0) != drive.machine.state_key(0)
