"""Subscriptions, counted over processes."""

from collections import Counter
from collections.abc import Hashable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onesocket.client._subscription_counts import SubscriptionCounts
from onesocket.errors import InvalidOption


def test_only_first_wishes_and_last_ones_count() -> None:
    counts: SubscriptionCounts[object] = SubscriptionCounts()
    assert counts.add_keys(1, ["a", "b"]) == ["a", "b"]
    assert counts.add_keys(2, ["b", "c"]) == ["c"]
    assert counts.add_keys(1, ["a"]) == []
    assert counts.remove_keys(1, ["a"]) == []
    assert counts.remove_keys(1, ["a"]) == ["a"]
    assert counts.remove_keys(1, ["a", "never"]) == []
    assert counts.drop(2) == ["c"]
    assert counts.wanted == {"b"}
    assert counts.drop(2) == []


def test_there_is_a_limit() -> None:
    counts: SubscriptionCounts[object] = SubscriptionCounts(max_keys=2)
    counts.add_keys(1, ["a", "b"])
    counts.add_keys(2, ["a"])
    with pytest.raises(InvalidOption):
        counts.add_keys(2, ["c"])
    assert counts.wanted == {"a", "b"}


_STEP = st.tuples(st.sampled_from(["want", "unwant", "drop"]), st.integers(0, 2), st.lists(st.integers(0, 3)))


@given(st.lists(_STEP))
def test_it_agrees_with_plain_counting(story: list[tuple[str, int, list[int]]]) -> None:
    counts: SubscriptionCounts[object] = SubscriptionCounts()
    plain: dict[int, Counter[int]] = {0: Counter(), 1: Counter(), 2: Counter()}
    live: set[Hashable] = set()
    for step, who, keys in story:
        match step:
            case "want":
                plain[who].update(keys)
                live |= set(counts.add_keys(who, keys))
            case "unwant":
                for key in keys:
                    if plain[who][key]:
                        plain[who][key] -= 1
                live -= set(counts.remove_keys(who, keys))
            case _:
                plain[who].clear()
                live -= set(counts.drop(who))
        wanted = set(+sum(plain.values(), Counter[int]()))
        assert counts.wanted == wanted == live


def test_what_is_over_the_limit_is_not_counted_in_part() -> None:
    counts: SubscriptionCounts[object] = SubscriptionCounts(max_keys=2)
    with pytest.raises(InvalidOption):
        counts.add_keys("a", ["x", "y", "z"])
    assert counts.wanted == frozenset()
    assert counts.add_keys("b", ["y", "y"]) == ["y"]


def test_refused_keys_are_taken_from_all_who_have_them() -> None:
    counts: SubscriptionCounts[str] = SubscriptionCounts()
    counts.add_keys("one", ["a", "b", "b"])
    counts.add_keys("two", ["b", "c"])
    counts.add_keys("three", ["c"])
    assert counts.refuse(["b", "never", "a"]) == [("one", ["b", "a"]), ("two", ["b"])]
    assert counts.wanted == {"c"}
    assert len(counts) == 1
    assert counts.remove_keys("one", ["b"]) == []
    assert counts.add_keys("one", ["b"]) == ["b"]
    assert counts.refuse([]) == []
