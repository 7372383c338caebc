"""Bounds of the feed, counted by its writer."""

from typing import Any

import pytest

from onesocket.errors import InvalidOption
from onesocket.sharing.cluster._coordinator import START, Position
from onesocket.sharing.cluster._feed_retention import FeedRetention, Retention


def oldest(retention: Retention, sizes: list[int], step: float = 0.0) -> list[int]:
    """The number of the oldest record to keep after each of these; -1: all."""
    counted = FeedRetention(retention, 3, 0.0)
    found: list[int] = []
    for number, size in enumerate(sizes, 1):
        position = counted.add(number, size, number * step)
        assert position in (START, Position(3, position.number))
        found.append(-1 if position == START else position.number)
    return found


def test_the_newest_records_are_kept() -> None:
    assert oldest(Retention(records=3), [1] * 5) == [-1, -1, 1, 2, 3]


def test_the_sizes_are_bounded_and_the_newest_record_always_stays() -> None:
    assert oldest(Retention(size=10), [4, 4, 4, 11, 1]) == [-1, -1, 2, 4, 5]


def test_old_records_are_dropped() -> None:
    assert oldest(Retention(seconds=2), [1] * 5, step=1.0) == [-1, -1, 1, 2, 3]


def test_a_repeated_record_counts_once() -> None:
    counted = FeedRetention(Retention(size=10), 3, 0.0)
    assert [counted.add(1, 6, 0.0) for _ in range(3)] == [START] * 3
    assert counted.add(2, 6, 0.0) == Position(3, 2)


@pytest.mark.parametrize(
    "options", [{"records": 0}, {"records": 1.5}, {"size": True}, {"seconds": 0}, {"seconds": float("nan")}]
)
def test_bounds_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        Retention(**options)
