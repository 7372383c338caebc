"""First connects and later losses: different policies. And deadlines, and what comes too late."""

from __future__ import annotations

import pytest

from onesocket.errors import OnesocketError, OpenTimeout, PortRefused, RetriesExhausted, UpgradeRefused, UpstreamBusy
from onesocket.lifecycle import effects as fx
from onesocket.lifecycle import inputs
from onesocket.lifecycle.inputs import AlarmKind
from onesocket.lifecycle.machine import IllegalInput
from onesocket.lifecycle.retry import ReconnectPolicy
from onesocket.lifecycle.states import Destination, Rule, State
from onesocket.lifecycle.verdicts import closed_by_peer
from tests.unit.lifecycle.drive import BUSY, CLOSE_TIMEOUT, FATAL, LOST, POLICY, Drive


def retry_in(drive: Drive) -> float:
    """Seconds until the retry that was just scheduled."""
    alarm = drive.the(fx.SetAlarm)
    assert alarm.kind is AlarmKind.RETRY
    assert alarm.at == drive.machine.retry_at
    return alarm.at - drive.now


def lose_again(drive: Drive, roll: float = 0.5, *, takes: float = 0.0) -> float:
    """The next attempt is made at its time, and fails after so many seconds."""
    assert drive.machine.retry_at is not None
    drive.now = drive.machine.retry_at + takes
    return retry_in(drive.alarm(AlarmKind.RETRY).ended(LOST, roll))


# --- the first connect ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [LOST, FATAL, BUSY])
@pytest.mark.parametrize("wait", [True, False])
def test_a_first_connect_is_one_attempt_without_retries(error: OnesocketError, wait: bool) -> None:
    drive = Drive().connect(wait=wait).ended(error)
    assert drive.state is State.FAILED
    assert drive.machine.error is error
    assert drive.machine.alarm is None


def test_a_refused_login_is_closed_in_order_before_the_caller_hears_of_it() -> None:
    drive = Drive().connect().opened().failing(FATAL, 4004)
    assert drive.effects == (
        fx.Changed(State.CONNECTING, State.CLOSING, 1, "Failing", FATAL),
        fx.SetAlarm(AlarmKind.CLOSE, 1, drive.now + CLOSE_TIMEOUT),
        fx.HangUp(1, 4004, "told"),
    )
    assert drive.ended().the(fx.RejectCallers).error is FATAL
    assert drive.state is State.FAILED


def test_a_connect_after_a_failure_starts_with_a_clean_count() -> None:
    assert Drive().connect().ended().connect().machine.failures == 0


# --- an established line that is lost -------------------------------------------------------------------------------


def test_the_first_retry_is_immediate() -> None:
    drive = Drive().up().ended(LOST, 0.9)
    assert drive.state is State.BACKING_OFF
    assert retry_in(drive) == 0
    assert drive.alarm(AlarmKind.RETRY).the(fx.Dial).epoch == 2


def test_further_retries_are_jittered_below_a_doubling_bound_up_to_the_cap() -> None:
    drive = Drive().up().ended()  # each attempt takes so long that the time away bounds nothing
    assert [lose_again(drive, takes=10) for _ in range(5)] == [0.75, 1.5, 3, 3.75, 3.75]
    assert lose_again(drive, roll=0.0) == 2.5


def test_a_retry_is_never_further_away_than_the_first_bound_and_two_fifths_of_the_time_away() -> None:
    drive = Drive(ReconnectPolicy(initial=1, factor=10, cap=1000)).up().ended()
    lost_at = drive.now
    for _ in range(5):
        assert lose_again(drive, roll=0.999) == pytest.approx(1 + 0.4 * (drive.now - lost_at), rel=0.001)


def test_where_nothing_answers_the_next_attempt_is_never_far() -> None:
    drive = Drive(ReconnectPolicy(cap=60)).up().ended(PortRefused("refused"))
    delays = []
    for _ in range(100):
        assert drive.machine.retry_at is not None
        drive.now = drive.machine.retry_at
        delays.append(retry_in(drive.alarm(AlarmKind.RETRY).ended(PortRefused("refused"), 0.999)))
    assert max(delays) <= 3
    assert min(delays[20:]) > 2.9


def test_time_up_makes_up_for_time_away_until_it_proves_the_connection() -> None:
    drive = Drive(ReconnectPolicy(initial=1, factor=1000, cap=1000, stable_after=60)).resuming().ended()
    drive.now += 20
    drive.alarm(AlarmKind.RETRY).opened().ready()
    drive.now += 15
    drive.ended()  # 20 s away, 15 s up
    assert retry_in(drive) == pytest.approx(0.75 * (1 + 0.4 * 5))
    drive.alarm(AlarmKind.RETRY).opened().ready()
    drive.now += 30
    drive.ended()
    assert retry_in(drive) == 0.75


def test_who_joined_a_resumption_gets_its_error_and_the_client_goes_on() -> None:
    drive = Drive().resuming().connect().ended(LOST)
    assert drive.the(fx.RejectCallers).error is LOST
    assert drive.state is State.BACKING_OFF


def test_who_joined_a_resumption_gets_its_error_after_the_close() -> None:
    drive = Drive().resuming().opened().connect().failing(LOST).ended()
    assert drive.the(fx.RejectCallers).error is LOST
    assert drive.state is State.BACKING_OFF


def test_a_loss_that_the_peer_announced_is_closed_first() -> None:
    drive = Drive().up().failing(LOST)
    assert (drive.state, drive.machine.destination) == (State.CLOSING, Destination.BACK_OFF)
    assert drive.has(fx.HangUp)
    assert retry_in(drive.ended()) == 0


def test_retry_after_is_obeyed_even_beyond_the_cap() -> None:
    drive = Drive().resuming().ended(UpgradeRefused("later", status=503, retryable=True, retry_after=120), 0.5)
    assert retry_in(drive) == 122.5


def test_busy_is_retried_slowly_from_the_first_time_on() -> None:
    assert retry_in(Drive().up().ended(BUSY, 0.5)) == POLICY.busy_delay
    assert retry_in(Drive(ReconnectPolicy(cap=60, busy_delay=30)).up().ended(BUSY, 0.5)) == 45


def test_busy_with_a_date_is_retried_then() -> None:
    assert retry_in(Drive().up().ended(UpstreamBusy("busy", retry_after=7), 0.5)) == pytest.approx(7.35)


@pytest.mark.parametrize("during", ["line", "resumption"])
def test_a_fatal_loss_ends_in_failed(during: str) -> None:
    drive = Drive().up() if during == "line" else Drive().resuming()
    assert drive.ended(FATAL).state is State.FAILED
    assert drive.machine.error is FATAL


def test_a_fatal_close_code_ends_in_failed_after_the_close() -> None:
    drive = Drive().up().failing(FATAL)
    assert drive.machine.destination is Destination.FAIL
    assert drive.ended().state is State.FAILED


# --- 1008: "not you", or "not now" ----------------------------------------------------------------------------------


@pytest.mark.parametrize("up_for", [0.0, 0.9])
def test_1008_is_final_for_a_connection_that_was_never_up(up_for: float) -> None:
    refused = closed_by_peer(1008, "who are you?")
    assert Drive().connect().opened().failing(refused).ended().state is State.FAILED
    drive = Drive().up().failing(refused, up_for=up_for).ended()
    assert drive.state is State.FAILED
    assert drive.machine.error is refused


@pytest.mark.parametrize("reason", ["", "policy", "who are you?"])
def test_1008_after_a_connection_was_up_is_retried_slowly_and_without_end(reason: str) -> None:
    refused = closed_by_peer(1008, reason)
    drive = Drive().up().failing(refused, up_for=1.0).ended()
    for _ in range(50):
        assert drive.state is State.BACKING_OFF
        assert POLICY.busy_delay <= retry_in(drive) <= 2 * POLICY.busy_delay
        assert isinstance(drive.machine.error, UpstreamBusy)
        assert drive.machine.error.__cause__ is refused
        drive.alarm(AlarmKind.RETRY).opened().ready().failing(refused).ended()


def test_1008_while_a_lost_line_is_resumed_is_retried_slowly_and_its_callers_are_told() -> None:
    refused = closed_by_peer(1008)
    drive = Drive().resuming().opened().connect().failing(refused).ended()
    assert isinstance(drive.the(fx.RejectCallers).error, UpstreamBusy)
    assert retry_in(drive) >= POLICY.busy_delay
    assert retry_in(Drive().resuming().opened().ready().ended(refused)) >= POLICY.busy_delay


def test_1008_counts_towards_the_limit_of_attempts() -> None:
    drive = Drive(ReconnectPolicy(max_attempts=2)).up().ended(closed_by_peer(1008), up_for=5)
    assert drive.state is State.BACKING_OFF
    assert drive.alarm(AlarmKind.RETRY).ended(closed_by_peer(1008)).state is State.FAILED
    assert isinstance(drive.machine.error, RetriesExhausted)


def test_1008_is_final_where_the_protocol_says_so_or_nothing_is_resumed() -> None:
    assert Drive().up().ended(closed_by_peer(1008, fatal={1008}), up_for=60).state is State.FAILED
    refused = closed_by_peer(1008)
    drive = Drive(None).up().ended(refused, up_for=60)
    assert drive.state is State.FAILED
    assert drive.machine.error is refused


def test_a_new_attempt_of_the_owner_is_a_first_one_again() -> None:
    drive = Drive().resuming().opened().ready().reconnect().ended().opened().ready()
    assert drive.failing(closed_by_peer(1008)).ended().state is State.FAILED


@pytest.mark.parametrize("announced", [True, False])
def test_without_a_policy_a_lost_line_is_not_resumed(announced: bool) -> None:
    drive = Drive(None).up()
    if announced:
        drive.failing(LOST)
    drive.ended(LOST)
    assert drive.state is State.FAILED
    assert drive.machine.error is LOST


def test_the_back_off_is_reset_only_when_the_new_line_has_proved_itself() -> None:
    drive = Drive().resuming().opened().ready()
    stable = drive.the(fx.SetAlarm)
    assert (stable.kind, stable.at) == (AlarmKind.STABLE, drive.now + POLICY.stable_after)
    assert drive.machine.failures == 1
    assert drive.alarm(AlarmKind.STABLE).effects == ()
    assert drive.machine.failures == 0
    assert retry_in(drive.ended()) == 0


def test_a_server_that_accepts_and_closes_is_not_hammered() -> None:
    drive = Drive().up()
    delays = []
    for _ in range(5):
        delays.append(retry_in(drive.ended(LOST, 0.5)))
        drive.alarm(AlarmKind.RETRY).opened().ready()
    assert delays == [0, 0.75, 0.75, 0.75, 0.75]  # its clock stands still: see test_recovery.py


def test_a_first_line_has_nothing_to_prove() -> None:
    assert Drive().up().machine.alarm is None
    assert Drive(None).up().machine.alarm is None


def test_after_max_attempts_it_gives_up_and_names_the_last_failure() -> None:
    drive = Drive(ReconnectPolicy(max_attempts=2)).up().ended().alarm(AlarmKind.RETRY).connect().ended(LOST)
    assert drive.state is State.FAILED
    error = drive.the(fx.RejectCallers).error
    assert isinstance(error, RetriesExhausted)
    assert error.__cause__ is LOST
    assert "2 failures" in str(error)


def test_a_fatal_loss_is_named_as_such_even_at_the_limit() -> None:
    assert Drive(ReconnectPolicy(max_attempts=1)).up().ended(FATAL).machine.error is FATAL


def test_ready_forgets_the_error() -> None:
    drive = Drive().resuming()
    assert drive.machine.error is LOST
    assert drive.opened().ready().machine.error is None


def test_a_second_login_on_the_same_socket_changes_nothing() -> None:
    assert Drive().up().ready().effects == ()
    assert Drive().up().disconnect().ready().effects == ()


# --- deadlines ------------------------------------------------------------------------------------------------------


def test_an_attempt_that_misses_its_deadline_is_aborted_and_the_caller_hears_what_it_waited_for() -> None:
    drive = Drive().connect().alarm(AlarmKind.OPEN, "logging in")
    assert drive.the(fx.Abort) == fx.Abort(1)
    assert (drive.state, drive.machine.destination) == (State.CLOSING, Destination.FAIL)
    error = drive.ended().the(fx.RejectCallers).error
    assert isinstance(error, OpenTimeout)
    assert "10 s" in str(error)
    assert "logging in" in str(error)


def test_a_missed_deadline_without_a_detail_says_what_it_knows() -> None:
    assert "still" not in str(Drive().connect().alarm(AlarmKind.OPEN).machine.error)


def test_a_resumption_that_misses_its_deadline_is_tried_again() -> None:
    drive = Drive().resuming().alarm(AlarmKind.OPEN)
    assert drive.machine.destination is Destination.BACK_OFF
    assert drive.ended().state is State.BACKING_OFF


def test_a_close_that_misses_its_deadline_is_aborted_and_goes_where_it_led() -> None:
    drive = Drive().up().disconnect().alarm(AlarmKind.CLOSE)
    assert drive.effects == (fx.ClearAlarm(), fx.Abort(1))
    assert drive.ended().state is State.STOPPED


def test_a_dead_peer_is_not_waited_for() -> None:
    drive = Drive().up().failing(LOST, 4000, dead=True)
    assert drive.the(fx.Abort) == fx.Abort(1, 4000)
    assert not drive.all(fx.HangUp)


# --- what comes too late, and what can't come -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "late",
    [
        inputs.Opened(1),
        inputs.Ready(1),
        inputs.Failing(1, FATAL, dead=True),
        inputs.Ended(1, FATAL),
        inputs.Alarm(1, AlarmKind.OPEN),
        inputs.Alarm(1, AlarmKind.RETRY),
        inputs.Alarm(2, AlarmKind.CLOSE),
    ],
)
@pytest.mark.parametrize(
    "now", [Drive().resuming(), Drive().resuming().opened().ready(), Drive().backing_off().disconnect()]
)
def test_what_comes_too_late_is_dropped_and_counted(now: Drive, late: inputs.Input) -> None:
    condition, counted = now.machine.condition(), now.machine.stale
    assert now.feed(late).effects == ()
    assert now.machine.condition() == condition
    assert now.machine.stale == counted + 1


def test_what_cannot_happen_is_a_bug_of_the_shell() -> None:
    with pytest.raises(IllegalInput, match="Opened in CONNECTED"):
        Drive().up().opened()
    with pytest.raises(IllegalInput, match="Cancelled in STOPPED"):
        Drive().disconnect().cancelled()


def test_a_row_of_the_table_that_schedules_a_retry_without_a_policy_is_refused() -> None:
    with pytest.raises(IllegalInput, match="a retry without a policy"):
        Drive(None).machine._follow(Rule(("schedule_retry",)), inputs.Ended(1, LOST), 0)


def test_a_copy_lives_its_own_life() -> None:
    drive = Drive().connect()
    twin = drive.machine.copy()
    assert twin.condition() == drive.machine.condition()
    drive.opened().ready()
    assert twin.state is State.CONNECTING
    assert twin.condition() != drive.machine.condition()
