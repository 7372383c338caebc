"""The times of a lease."""

import math

import pytest

from onesocket.errors import InvalidOption
from onesocket.sharing.cluster._boot_time import boot_time
from onesocket.sharing.cluster._coordinator import PreviousEpoch
from onesocket.sharing.cluster._lease_clock import LeaseClock


def test_without_a_lease_nothing_may_be_sent() -> None:
    clock = LeaseClock(9, 1)
    assert not clock.may_send(-1e9)


def test_a_lease_counts_from_before_the_request_and_ends_a_margin_early() -> None:
    clock = LeaseClock(9, 1)
    clock.granted(100.0)
    assert (clock.renew_at, clock.close_at) == (103.0, 108.0)
    assert clock.may_send(107.99)
    assert not clock.may_send(108.0)
    clock.granted(103.0)
    assert (clock.renew_at, clock.close_at) == (106.0, 111.0)


def test_the_late_reply_to_an_earlier_request_shortens_nothing() -> None:
    clock = LeaseClock(9, 1)
    clock.granted(103.0)
    clock.granted(100.0)
    assert (clock.renew_at, clock.close_at) == (106.0, 111.0)


def test_a_renewal_without_a_reply_is_repeated_in_what_is_left() -> None:
    clock = LeaseClock(9, 1)
    clock.granted(100.0)
    clock.renewal_failed(104.0)
    assert clock.renew_at == 105.0
    clock.renewal_failed(120.0)
    assert clock.renew_at == 120.0


def test_a_lease_that_ended_stays_so() -> None:
    clock = LeaseClock(9, 1)
    clock.granted(100.0)
    clock.ended()
    assert not clock.may_send(100.0)


def test_the_next_leader_dials_when_the_last_one_must_have_closed() -> None:
    clock = LeaseClock(9, 1)
    assert {previous: clock.dial_delay(previous) for previous in PreviousEpoch} == {
        PreviousEpoch.NONE: 0,
        PreviousEpoch.RELEASED: 0,
        PreviousEpoch.EXPIRED: 1,
        PreviousEpoch.LOST: 10,
    }


@pytest.mark.parametrize(("ttl", "margin"), [(0, 1), (9, 0), (9, 3.1), (float("inf"), 1), ("9", 1)])
def test_times_out_of_range_are_refused(ttl: float, margin: float) -> None:
    with pytest.raises(InvalidOption):
        LeaseClock(ttl, margin)


@pytest.mark.parametrize(("ttl", "margin"), [(0.3, 0.1), (0.6, 0.2), (6.0, 2.0)])
def test_a_margin_of_a_third_is_taken_however_it_is_rounded(ttl: float, margin: float) -> None:
    assert LeaseClock(ttl, margin).margin == margin


def test_the_clock_of_leases_never_goes_back() -> None:
    first = boot_time()
    assert boot_time() >= first > 0


def test_another_thread_resets_the_connection_behind_the_close_and_before_the_end() -> None:
    clock = LeaseClock(9.0, 2.0)
    assert clock.reset_at == math.inf
    clock.granted(100.0)
    assert (clock.close_at, clock.reset_at) == (107.0, 108.5)
    clock.ended()
    assert clock.reset_at == math.inf
