"""The reconnect policy."""

from __future__ import annotations

import math
from typing import Any

import pytest

from onesocket.errors import (
    ConnectionRefused,
    ConnectionReset,
    HandshakeRejected,
    InvalidOption,
    NameResolutionFailed,
    OnesocketError,
    OpenTimeout,
    ServerBusy,
)
from onesocket.lifecycle._retry import ReconnectPolicy
from onesocket.lifecycle._verdict import Verdict, verdict_of
from tests.unit.onesocket.lifecycle.machine_driver import BUSY, FATAL, LOST

POLICY = ReconnectPolicy(initial=1, factor=2, cap=5, busy_delay=30)


def test_the_verdict_follows_what_the_error_says_of_itself() -> None:
    assert verdict_of(LOST) is Verdict.RETRY
    assert verdict_of(OpenTimeout("late")) is Verdict.RETRY
    assert verdict_of(FATAL) is Verdict.FAIL
    assert verdict_of(BUSY) is Verdict.SLOW


@pytest.mark.parametrize("jitter", [0.0, 0.5, 0.999])
def test_the_first_attempt_after_a_loss_is_made_at_once(jitter: float) -> None:
    assert POLICY.delay(1, LOST, jitter) == 0


@pytest.mark.parametrize(("failures", "most"), [(2, 1), (3, 2), (4, 4), (5, 5), (6, 5), (5_000, 5)])
def test_the_jitter_is_over_half_of_a_bound_that_doubles_up_to_the_cap(failures: int, most: float) -> None:
    assert POLICY.delay(failures, LOST, 0.0) == most / 2
    assert POLICY.delay(failures, LOST, 0.5) == most * 0.75
    assert POLICY.delay(failures, LOST, 0.999) == pytest.approx(most, rel=0.01)


@pytest.mark.parametrize(("away", "most"), [(0, 1), (5, 3), (10, 5), (1000, 5)])
def test_the_bound_grows_with_the_time_away_too(away: float, most: float) -> None:
    assert POLICY.delay(9, LOST, 0.999, away) == pytest.approx(most, rel=0.01)


@pytest.mark.parametrize("error", [ConnectionRefused("nothing listens"), NameResolutionFailed("unknown")])
def test_what_costs_the_service_nothing_has_a_cap_of_its_own(error: OnesocketError) -> None:
    assert verdict_of(error) is Verdict.RETRY
    assert ReconnectPolicy().delay(100, error, 0.999, 1e6) == pytest.approx(3, rel=0.01)
    assert ReconnectPolicy(cap=2).delay(100, error, 0.999, 1e6) == pytest.approx(2, rel=0.01)
    # Who asked for a long first delay gets it.
    assert ReconnectPolicy(initial=30).delay(100, error, 0.999, 1e6) == pytest.approx(30, rel=0.01)


def test_ever_more_failures_do_not_overflow() -> None:
    assert ReconnectPolicy().delay(100_000, LOST, 0.5) == 45


@pytest.mark.parametrize("failures", [1, 2, 9])
def test_a_named_date_is_never_undercut(failures: int) -> None:
    for error in (
        HandshakeRejected("later", status=503, retryable=True, retry_after=90),
        ServerBusy("later", retry_after=90),
    ):
        assert POLICY.delay(failures, error, 0.0) == 90
        assert 90 <= POLICY.delay(failures, error, 0.9) <= 95


@pytest.mark.parametrize("named", [3601, 99_999_999, 2.0**31])
def test_a_named_date_is_obeyed_up_to_a_cap_of_its_own(named: float) -> None:
    for error in (
        HandshakeRejected("later", status=503, retryable=True, retry_after=named),
        ServerBusy("later", retry_after=named),
    ):
        assert ReconnectPolicy().delay(1, error, 0.0) == 3600
        assert ReconnectPolicy(cap=60).delay(1, error, 0.999) == pytest.approx(3660, rel=0.01)
        assert ReconnectPolicy(retry_after_cap=5).delay(1, error, 0.0) == 5
        assert error.retry_after == named


def test_a_date_that_is_nearer_than_the_back_off_does_not_shorten_it() -> None:
    soon = HandshakeRejected("now", status=503, retryable=True, retry_after=0)
    assert POLICY.delay(9, soon, 0.5) == POLICY.delay(9, LOST, 0.5) == 3.75


def test_a_pause_that_the_protocol_prescribes_can_stand_for_the_back_off() -> None:
    refused = ConnectionReset("begin anew")
    refused.retry_after, refused.backs_off = 2.5, False
    assert POLICY.delay(9, refused, 0.999) == 2.5


def test_busy_waits_at_least_its_own_delay_and_at_most_the_cap_if_that_is_longer() -> None:
    assert POLICY.delay(1, BUSY, 0.9) == 30
    roomy = ReconnectPolicy(cap=40, busy_delay=30)
    assert [roomy.delay(1, BUSY, jitter) for jitter in (0.0, 0.2, 0.9)] == [30, 36, 40]


def test_it_is_exhausted_at_max_attempts_or_never() -> None:
    assert not POLICY.exhausted(10**9)
    assert [ReconnectPolicy(max_attempts=2).exhausted(n) for n in (1, 2, 3)] == [False, True, True]


@pytest.mark.parametrize(
    "name", ["initial", "cap", "unreachable_cap", "stable_after", "busy_delay", "retry_after_cap", "factor"]
)
@pytest.mark.parametrize("value", [-1, math.nan, math.inf])
def test_what_is_out_of_range_is_refused_by_name(name: str, value: float) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises(InvalidOption, match=name):
        ReconnectPolicy(**options)


def test_no_attempts_at_all_is_not_a_policy() -> None:
    with pytest.raises(InvalidOption, match="max_attempts"):
        ReconnectPolicy(max_attempts=0)


def test_the_verdict_decides_the_delay() -> None:
    assert POLICY.delay(1, LOST, 0.5, verdict=Verdict.SLOW) == 30
    assert POLICY.delay(1, BUSY, 0.5, verdict=Verdict.RETRY) == 0


@pytest.mark.parametrize("first", [1, None, "yes"])
def test_first_is_true_or_false(first: Any) -> None:
    with pytest.raises(InvalidOption, match="first must be True or False"):
        ReconnectPolicy(first=first)


def test_the_hook_is_a_plain_function() -> None:
    async def late(_: OnesocketError) -> None: ...

    class Late:
        async def __call__(self, _: OnesocketError) -> None: ...

    for hook in (late, Late()):
        with pytest.raises(InvalidOption, match="coroutine function"):
            ReconnectPolicy(verdict=hook)  # type: ignore[arg-type] # that is the point
    with pytest.raises(InvalidOption, match="must be a function or None, not 7"):
        ReconnectPolicy(verdict=7)  # type: ignore[arg-type] # that is the point
    assert ReconnectPolicy(verdict=lambda _: Verdict.FAIL).verdict is not None
