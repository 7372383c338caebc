"""Tokens that the server refuses: the source is told, and gives a fresh one."""

from __future__ import annotations

import pytest

from onesocket.errors import HandshakeRejected, LoginRefused, OnesocketError
from onesocket.lifecycle import _effects as fx
from onesocket.lifecycle._events import TimerKind
from onesocket.lifecycle._guards import MAX_TOKEN_REQUESTS
from onesocket.lifecycle._peer_errors import closed_by_peer
from onesocket.lifecycle._states import State
from onesocket.lifecycle._verdict import Verdict
from tests.unit.onesocket.lifecycle.machine_driver import LOST, MachineDriver

REFUSED = HandshakeRejected("unauthorized", status=401, retryable=False)


@pytest.mark.parametrize(
    "error",
    [
        REFUSED,
        HandshakeRejected("forbidden", status=403, retryable=False),
        LoginRefused("wrong token"),
        closed_by_peer(3000),
        closed_by_peer(4001, "token expired"),
        closed_by_peer(1008, "invalid token"),
    ],
    ids=str,
)
def test_one_fresh_token_is_tried(error: OnesocketError) -> None:
    drive = MachineDriver(renews_token=True).backing_off().timer(TimerKind.RETRY).ended(error)
    assert drive.state is State.BACKING_OFF
    assert drive.the(fx.ReportRefusedToken).error is error
    assert drive.timer(TimerKind.RETRY).ended(error).machine.error is error
    assert drive.has(fx.CancelTimer)
    assert drive.has(fx.ReportRefusedToken)  # for the next call


def test_a_fresh_token_that_is_accepted_begins_a_new_count() -> None:
    drive = MachineDriver(renews_token=True).resuming().ended(REFUSED).timer(TimerKind.RETRY).opened().ready()
    drive.ended().timer(TimerKind.RETRY).ended(REFUSED)
    assert drive.state is State.BACKING_OFF
    drive.timer(TimerKind.RETRY).opened().ready().timer(TimerKind.STABLE).ended(closed_by_peer(3000))
    assert drive.state is State.BACKING_OFF


def test_a_server_that_accepts_and_then_refuses_gets_one_fresh_token_too() -> None:
    drive = MachineDriver(renews_token=True).up().closed_by_peer(closed_by_peer(3000))
    assert drive.state is State.BACKING_OFF
    drive.timer(TimerKind.RETRY).opened().ready()
    assert drive.closed_by_peer(closed_by_peer(3000)).machine.state is State.FAILED


def test_a_source_that_gives_the_same_token_is_asked_again_within_a_bound() -> None:
    drive = MachineDriver(renews_token=True).resuming().ended(REFUSED)
    requests = 0
    while drive.state is State.BACKING_OFF:
        requests += 1
        drive.timer(TimerKind.RETRY).ended(REFUSED, fresh=False)
    assert requests == MAX_TOKEN_REQUESTS
    assert drive.machine.error is REFUSED


def test_other_failures_meanwhile_count_neither_way() -> None:
    drive = MachineDriver(renews_token=True).resuming().ended(REFUSED).timer(TimerKind.RETRY).ended(LOST)
    assert drive.timer(TimerKind.RETRY).ended(REFUSED).state is State.FAILED


def test_a_token_that_never_changes_is_refused_for_good() -> None:
    assert MachineDriver().resuming().ended(REFUSED).state is State.FAILED
    assert MachineDriver().resuming().ended(closed_by_peer(3000)).state is State.BACKING_OFF  # as the code says
    assert MachineDriver().resuming().ended(LOST, verdict=Verdict.NEW_TOKEN).state is State.BACKING_OFF
    assert MachineDriver(renews_token=True).connect().ended(REFUSED).state is State.FAILED  # one attempt


def test_a_new_call_begins_anew() -> None:
    drive = MachineDriver(renews_token=True).resuming().ended(REFUSED).timer(TimerKind.RETRY).ended(REFUSED)
    assert drive.machine.refusals == 1
    drive.connect(retry=True)
    assert drive.machine.refusals == 0
    assert drive.ended(REFUSED).state is State.BACKING_OFF
