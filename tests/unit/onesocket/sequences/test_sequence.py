"""Numbered messages in order, each once, with a marker for each hole."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onesocket.errors import InvalidOption
from onesocket.sequences import Sequence, SequenceGap

KEY = "BTC-USD"


def add(sequence: Sequence[int], *numbers: int, now: float = 0.0) -> list[int | SequenceGap]:
    return [item for number in numbers for item in sequence.add(number, last=number, now=now)]


def test_the_first_message_begins_the_sequence_unless_its_number_is_known() -> None:
    assert add(Sequence(), 7, 8) == [7, 8]
    assert add(Sequence(KEY, start=6), 7, 8) == [SequenceGap(KEY, 6, 6), 7, 8]


def test_a_hole_is_told_at_once_and_a_late_message_is_left_out() -> None:
    sequence = Sequence[int](KEY)
    assert add(sequence, 1, 1, 4, 2, 4, 5) == [1, SequenceGap(KEY, 2, 3), 4, 5]
    assert (sequence.number, sequence.gap, sequence.deadline) == (5, None, None)


def test_a_late_message_fills_the_hole_within_the_patience() -> None:
    sequence = Sequence[int](KEY, patience=2)
    assert add(sequence, 1, now=10) == [1]
    assert add(sequence, 3, 6, now=11) == []
    assert (sequence.gap, sequence.deadline) == (SequenceGap(KEY, 2, 2), 13)
    assert add(sequence, 2, now=12) == [2, 3]
    assert (sequence.gap, sequence.deadline) == (SequenceGap(KEY, 4, 5), 13)
    assert sequence.expire(12.9) == []
    assert sequence.expire(13) == [SequenceGap(KEY, 4, 5), 6]
    assert sequence.expire(99) == []


def test_the_age_of_a_hole_is_not_that_of_the_message_behind_it() -> None:
    sequence = Sequence[int](KEY, patience=2)
    assert add(sequence, 1, 9, now=0) == [1]
    assert add(sequence, 5, now=1.5) == []
    assert sequence.deadline == 2
    # Behind 5 there is another hole, which is as old as the message 9.
    assert sequence.expire(2) == [SequenceGap(KEY, 2, 4), 5, SequenceGap(KEY, 6, 8), 9]


def test_a_message_that_exceeds_the_limit_gives_up_the_oldest_hole() -> None:
    sequence = Sequence[int](KEY, patience=60, limit=2)
    assert add(sequence, 1, 3, 5) == [1]
    assert add(sequence, 7) == [SequenceGap(KEY, 2, 2), 3]
    assert sequence.gap == SequenceGap(KEY, 4, 4)
    assert add(Sequence(KEY, patience=60, limit=0), 1, 3) == [1, SequenceGap(KEY, 2, 2), 3]


def test_messages_may_have_ranges_and_name_the_number_that_they_follow() -> None:
    sequence = Sequence[str](KEY)
    assert sequence.add("a", first=1, last=5) == ["a"]
    assert sequence.add("b", first=6, last=9) == ["b"]
    assert sequence.add("c", previous=9, last=20) == ["c"]
    assert sequence.add("overlaps", first=15, last=22) == ["overlaps"]
    assert sequence.add("d", previous=24, last=30) == [SequenceGap(KEY, 23, 24), "d"]


def test_a_restart_forgets_everything() -> None:
    sequence = Sequence[int](KEY, patience=9)
    add(sequence, 5, 7)
    sequence.restart(0)
    assert (sequence.deadline, sequence.gap, sequence.number) == (None, None, -1)
    assert add(sequence, 0, 1) == [0, 1]
    sequence.restart()
    assert add(sequence, 0) == [0]


@pytest.mark.parametrize(
    "options",
    [{"limit": -1}, {"limit": 1.5}, {"patience": -1}, {"patience": "1"}, {"patience": float("nan")}, {"start": "1"}],
)
def test_bad_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match=next(iter(options))):
        Sequence(**options)


@pytest.mark.parametrize(
    "numbers", [{"last": "7"}, {"last": 7.0}, {"last": True}, {"last": 7, "first": 8}, {"last": 7, "previous": 7}]
)
def test_bad_numbers_are_refused(numbers: dict[str, Any]) -> None:
    sequence = Sequence[str]()
    with pytest.raises(InvalidOption):
        sequence.add("message", **numbers)
    with pytest.raises(InvalidOption, match="start="):
        sequence.restart(1.0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - refused
    assert sequence.number is None


STEPS = st.lists(st.tuples(st.integers(0, 25), st.floats(0, 3)), max_size=60)


@settings(max_examples=200, deadline=None)
@given(STEPS, st.integers(0, 5), st.sampled_from([0, 1, 4]), st.sampled_from([None, 0]))
def test_messages_and_gaps_cover_each_number_once(
    steps: list[tuple[int, float]], limit: int, patience: float, start: int | None
) -> None:
    sequence = Sequence[int](KEY, limit=limit, patience=patience, start=start)
    came: dict[int, float] = {}
    told: list[int] = []
    now = 0.0
    for number, wait in steps:
        now += wait
        items = sequence.expire(now)
        told_by_expiry = len(items)
        items += sequence.add(number, last=number, now=now)
        for place, item in enumerate(items):
            if place == told_by_expiry:
                came.setdefault(number, now)
            if isinstance(item, SequenceGap):
                missing = range(item.first, item.last + 1)
                assert missing
                assert item.key == KEY
                assert not came.keys() & set(missing), "a message that came in time isn't missing"
                told += missing
            else:
                assert item in came
                told.append(item)
        came.setdefault(number, now)
        begin = start if start is not None else steps[0][0]
        assert told == list(range(begin, begin + len(told)))
        assert sequence.number == begin + len(told) - 1
        waiting = {late for late in came if late >= begin + len(told)}
        assert len(waiting) <= limit
        if not waiting:
            assert sequence.deadline is None
        else:
            # The oldest of those that wait tells how old the hole is, and none is older than the patience.
            assert sequence.deadline == min(came[late] for late in waiting) + patience > now
            assert sequence.gap == SequenceGap(KEY, begin + len(told), min(waiting) - 1)
