"""A limit on connections just after the end of our own: the server still counts a connection that is gone."""

from __future__ import annotations

import pytest

from onesocket.errors import ServerBusy
from onesocket.lifecycle import _effects as fx
from onesocket.lifecycle import _events as events
from onesocket.lifecycle._events import TimerKind
from onesocket.lifecycle._peer_errors import closed_by_peer, handshake_rejected
from onesocket.lifecycle._retry import ReconnectPolicy
from onesocket.lifecycle._side_data import GHOST_SECONDS
from onesocket.lifecycle._states import State
from onesocket.lifecycle._verdict import Verdict
from tests.unit.onesocket.lifecycle.machine_driver import BUSY, LOST, MachineDriver

LIMIT = closed_by_peer(1008, "connection limit exceeded")


def test_the_words_of_limits_on_connections_are_known() -> None:
    for words in ("connection limit exceeded", "Too many sessions", "max clients reached", "already_connected"):
        for error in (closed_by_peer(1008, words), closed_by_peer(4008, words), handshake_rejected(429, {}, words)):
            assert isinstance(error, ServerBusy)
            assert error.is_connection_limit, words
    assert isinstance(handshake_rejected(503, {}, "connection limit exceeded"), ServerBusy)
    for error in (closed_by_peer(1008, "too many requests"), closed_by_peer(1013), handshake_rejected(429, {})):
        assert isinstance(error, ServerBusy)
        assert not error.is_connection_limit


ENDS = {
    "our own close": lambda drive: drive.failing(LOST).ended(),  # the protocol closes, to connect anew
    "no CLOSE": lambda drive: drive.ended(LOST),
    "no answer": lambda drive: drive.failing(LOST, dead=True).ended(),
}
REFUSALS = {
    "upgrade": lambda drive: drive.ended(LIMIT),
    "login": lambda drive: drive.opened().failing(LIMIT).ended(),  # a place that wasn't given leaves no ghost
    "close": lambda drive: drive.opened().closed_by_peer(LIMIT),
}


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("seconds", [GHOST_SECONDS, 60.0])
def test_a_place_that_may_be_ours_is_asked_for_quickly_and_then_slowly(end: str, refusal: str, seconds: float) -> None:
    drive = MachineDriver(ghost_seconds=seconds).up()
    ENDS[end](drive)
    ended_at, attempts = drive.now, 0
    while drive.now < ended_at + seconds:
        REFUSALS[refusal](drive.timer(TimerKind.RETRY))
        attempts += 1
        drive.now, before = drive.the(fx.SetTimer).at, drive.now
        assert 0.3 < drive.now - before < 5.1
    assert 3 <= attempts <= 20
    REFUSALS[refusal](drive.timer(TimerKind.RETRY))
    assert drive.the(fx.SetTimer).at >= drive.now + 30


def test_a_service_that_keeps_no_place_leaves_no_ghost() -> None:
    drive = MachineDriver(ghost_seconds=0.0).up().ended(LOST).timer(TimerKind.RETRY).ended(LIMIT)
    assert drive.the(fx.SetTimer).at >= drive.now + 30


def test_a_login_that_missed_its_deadline_leaves_a_ghost() -> None:
    drive = MachineDriver().up().ended(LOST).timer(TimerKind.RETRY).opened()
    drive.now += GHOST_SECONDS
    drive.timer(TimerKind.OPEN).ended(LOST).timer(TimerKind.RETRY).ended(LIMIT)
    assert drive.the(fx.SetTimer).at < drive.now + 5


def test_callers_wait_for_the_place_as_long_as_it_may_be_ours() -> None:
    drive = MachineDriver().up().reconnect().ended().ended(LIMIT)
    assert drive.state is State.BACKING_OFF
    assert not drive.has(fx.RejectCallers)
    assert drive.timer(TimerKind.RETRY).opened().ready().has(fx.ResolveCallers)
    drive = MachineDriver().up().disconnect().ended().reconnect().connect().ended(LIMIT)
    assert drive.state is State.BACKING_OFF
    assert drive.cancelled().state is State.BACKING_OFF
    assert drive.cancelled().state is State.DISCONNECTED
    drive = MachineDriver().up().reconnect().ended().ended(LIMIT).timer(TimerKind.RETRY)
    drive.now += GHOST_SECONDS
    assert drive.ended(LIMIT).state is State.FAILED
    assert drive.the(fx.RejectCallers).error is LIMIT


def test_after_a_close_of_the_server_it_is_retried_slowly() -> None:
    drive = MachineDriver().up().closed_by_peer(closed_by_peer(1001)).timer(TimerKind.RETRY).ended(LIMIT)
    assert drive.the(fx.SetTimer).at >= drive.now + 30


def test_a_place_that_another_took_from_a_connection_that_was_up_is_no_ghost() -> None:
    for lost in (LIMIT, LOST):
        drive = MachineDriver().up().reconnect().ended().opened().ready()
        drive.now += 2
        drive.failing(lost, by_peer=True, up_for=2).ended(lost)
        if lost is LOST:
            drive.timer(TimerKind.RETRY).ended(LIMIT)
        assert drive.the(fx.SetTimer).at >= drive.now + 30
    drive = MachineDriver().up().reconnect().ended().opened().ready()
    drive.failing(LIMIT, by_peer=True, up_for=0.1).ended(LIMIT)  # accepted only to be refused
    assert drive.the(fx.SetTimer).at < drive.now + 5


def test_the_verdict_of_the_hook_counts_for_a_ghost_too() -> None:
    drive = MachineDriver().up().reconnect().ended().ended(LIMIT, verdict=Verdict.SLOW)
    assert drive.state is State.BACKING_OFF
    assert drive.the(fx.SetTimer).at >= drive.now + 30
    assert MachineDriver().up().reconnect().ended().ended(LIMIT, verdict=Verdict.FAIL).state is State.FAILED


def test_the_end_of_another_process_that_had_the_connection_leaves_a_ghost_too() -> None:
    resumes = events.Connect(wait=False, retry=True, resumes=events.EarlierConnection())
    drive = MachineDriver().handle(resumes).ended(LIMIT)
    assert drive.the(fx.SetTimer).at < drive.now + 5


def test_another_limit_is_no_ghost() -> None:
    drive = MachineDriver().up().failing(LOST).ended().timer(TimerKind.RETRY).ended(BUSY)
    assert drive.the(fx.SetTimer).at >= drive.now + 30
    assert MachineDriver().up().reconnect().ended().ended(BUSY).state is State.FAILED
    assert MachineDriver(None).up().reconnect().ended().ended(LIMIT).state is State.FAILED


def test_the_policy_limits_these_retries_too() -> None:
    drive = MachineDriver(ReconnectPolicy(max_attempts=1)).up().reconnect().ended().ended(LIMIT)
    assert drive.state is State.FAILED


def test_a_date_that_the_server_names_is_obeyed() -> None:
    named = handshake_rejected(429, {"retry-after": "7"}, "too many connections")
    drive = MachineDriver().up().reconnect().ended().ended(named)
    assert drive.the(fx.SetTimer).at >= drive.now + 7


def test_the_machine_tells_beforehand_if_another_attempt_follows_a_failure() -> None:
    assert MachineDriver().up().machine.goes_on_after(LOST, 100.0), "an established connection is resumed"
    assert not MachineDriver(None).up().machine.goes_on_after(LOST, 100.0)
    drive = MachineDriver().up().reconnect().ended()
    assert drive.machine.goes_on_after(LIMIT, drive.now), "the place may be that of our own connection"
    assert not drive.machine.goes_on_after(BUSY, drive.now)
