"""The feeds soak finds what it is made to find."""

from __future__ import annotations

from typing import Any

import pytest

from onesocket.testing.services import Disorder
from tests.campaigns.feeds.checks import EnvelopeCheck, NumberCheck
from tests.campaigns.feeds.report import FeedsFindings
from tests.campaigns.feeds.schedule import ROTATING, SERVICES, FaultSchedule, fate_of

SEED = 7
KEY = "trades.S0"
NUMBERS = range(1, 5_000)


def numbers_of(fate: Disorder | None) -> list[int]:
    return [number for number in NUMBERS if fate_of(SEED, KEY, number) is fate]


def quiet_run(length: int) -> int:
    """The first of so many numbers in a row that have no disorder."""
    return next(start for start in NUMBERS if all(fate_of(SEED, KEY, start + place) is None for place in range(length)))


class Numbers:
    """A check and what it has found."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.check = NumberCheck(KEY, SEED, self.found.append)

    def take(self, *numbers: int | None) -> list[str]:
        """Give it messages and gaps (None), a tenth of a second apart; returns what it found in the end."""
        for place, number in enumerate(numbers):
            if number is None:
                self.check.gap()
            else:
                self.check.take(number, place / 10)
        self.check.expire(1_000.0)
        return self.found


def test_the_same_seed_breaks_the_same() -> None:
    first, second = FaultSchedule(7, 1.0), FaultSchedule(7, 1.0)
    faults = [first.next() for _ in range(1_000)]
    assert faults == [second.next() for _ in range(1_000)]
    assert {fault["service"] for fault in faults} == set(SERVICES)
    assert {fault["service"] for fault in faults if fault["fault"] == "rotate()"} == ROTATING
    assert {*Disorder, None} == {fate_of(SEED, KEY, number) for number in NUMBERS}


def test_a_number_that_is_missing_is_found_unless_a_gap_tells_it() -> None:
    start = quiet_run(4)
    assert Numbers().take(start, start + 1, start + 2) == []
    assert Numbers().take(start, None, start + 2) == []
    assert Numbers().take(start, start + 2) == [f"{KEY}: [{start + 1}] didn't come, and no gap tells it"]


def test_a_number_that_the_venue_withheld_is_a_hole() -> None:
    hole = next(
        number
        for number in numbers_of(Disorder.HOLE)
        if {fate_of(SEED, KEY, number - 1), fate_of(SEED, KEY, number + 1)} == {None}
    )
    numbers = Numbers()
    assert numbers.take(hole - 1, hole + 1) == []
    assert numbers.check.holes == 1


def test_a_double_is_found_unless_the_venue_repeated_it() -> None:
    start = quiet_run(3)
    assert Numbers().take(start, start + 1, start + 1) == [f"{KEY}: {start + 1} came 2 times"]
    repeated = numbers_of(Disorder.REPEAT)[0]
    assert Numbers().take(repeated, repeated) == []
    assert Numbers().take(repeated, repeated, repeated) == [f"{KEY}: {repeated} came 3 times"]


def test_a_message_of_the_time_before_a_gap_is_found() -> None:
    start = quiet_run(3)
    assert f"{KEY}: {start} came behind a gap that stands behind {start + 1}" in Numbers().take(start + 1, None, start)


def test_an_envelope_may_come_twice_as_a_repetition_only() -> None:
    found: list[str] = []
    check = EnvelopeCheck("envelopes", found.append)
    for retry in (0, 1, 0):
        check.take(5, retry)
    assert found == ["envelopes: envelope 5 came twice, and not as a repetition"]


@pytest.mark.parametrize("change", [{}, {"wrong": ["something"]}, {"comparisons": 0}, {"few": True}])
def test_the_verdict(change: dict[str, Any]) -> None:
    findings = FeedsFindings(SEED, wrong=change.get("wrong", []), comparisons=change.get("comparisons", 1))
    findings.requests.update({"kraken: answered": 10, "kraken: RequestLost": 11 if "few" in change else 9})
    assert bool(findings.problems()) is bool(change)
