"""Attempts that did not reach the server: when another host should try."""

from typing import Final

import pytest

from onesocket import OnesocketError, State
from onesocket.errors import (
    ClosedByPeer,
    ConnectionRefused,
    ConnectionReset,
    HandshakeRejected,
    NameResolutionFailed,
    OpenTimeout,
    OutOfResources,
    ProxyFailed,
    ServerBusy,
)
from onesocket.sharing.cluster._failed_dials import FailedDials
from tests.unit.onesocket.sharing.cluster.test_leader_status import status

TTL: Final = 10.0
REFUSED: Final = ConnectionRefused("no")


def fail(dials: FailedDials, now: float, error: OnesocketError = REFUSED) -> bool:
    """One attempt that fails; returns whether another host should try."""
    assert not dials.note(status(State.CONNECTING), now)
    return dials.note(status(State.BACKING_OFF, last_error=error), now)


@pytest.mark.parametrize(
    "error",
    [REFUSED, NameResolutionFailed("x"), OpenTimeout("x"), OutOfResources("x"), ProxyFailed("x")],
    ids=lambda error: type(error).__name__,
)
def test_three_failures_and_a_lease_are_enough(error: OnesocketError) -> None:
    dials = FailedDials(TTL, 0)
    assert [fail(dials, now, error) for now in (100, 109, 109.9, 110)] == [False, False, False, True]
    dials = FailedDials(TTL, 0)
    assert [fail(dials, now, error) for now in (100, 150, 200)] == [False, False, True]


@pytest.mark.parametrize(
    "error",
    [
        HandshakeRejected("x", status=503, retryable=True),
        ServerBusy("x"),
        ClosedByPeer("x", code=1012, reason="", retryable=True),
        ConnectionReset("x"),
        ProxyFailed("x", status=503, retry_after=7),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_answer_of_the_server_holds_for_all_hosts(error: OnesocketError) -> None:
    dials = FailedDials(TTL, 0)
    assert not any(fail(dials, now, error) for now in (100, 200, 300, 400))
    assert not any(fail(dials, now) for now in (500, 600))
    assert not fail(dials, 700, error)
    assert not fail(dials, 800)


@pytest.mark.parametrize("state", [State.CONNECTED, State.STOPPED, State.FAILED])
def test_a_connection_or_its_end_begins_a_new_count(state: State) -> None:
    dials = FailedDials(TTL, 0)
    assert not any(fail(dials, now) for now in (100, 200))
    assert not dials.note(status(state), 250)
    assert [fail(dials, now) for now in (300, 310, 320)] == [False, False, True]


def test_the_back_off_of_an_earlier_leader_is_no_attempt_of_this_one() -> None:
    dials = FailedDials(TTL, 0)
    assert not any(dials.note(status(State.BACKING_OFF, last_error=REFUSED), now) for now in (100, 200, 300, 400))
    assert [fail(dials, now) for now in (500, 600, 700)] == [False, False, True]


def test_each_pass_doubles_the_time_up_to_a_limit() -> None:
    for passes, needed in ((0, 10), (1, 20), (3, 80), (4, 160), (9, 160)):
        dials = FailedDials(TTL, passes)
        assert not any(fail(dials, now) for now in (100, 101, 100 + needed - 0.1))
        assert fail(dials, 100 + needed)
