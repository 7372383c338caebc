"""The outbox: bounded, aged, and never silent."""

from __future__ import annotations

import math

import pytest

from onesocket.errors import InvalidOption, OutboxFull
from onesocket.lifecycle._outbox import Outbox, OutboxLimits


def filled_outbox(*items: str, age: float = 10) -> Outbox[str]:
    box: Outbox[str] = Outbox(OutboxLimits(messages=3, age=age))
    for now, item in enumerate(items):
        box.put(item, now)
    return box


def test_first_in_is_first_out() -> None:
    box = filled_outbox("a", "b")
    assert (box.take(), box.take(), len(box)) == ("a", "b", 0)
    with pytest.raises(IndexError):
        box.take()


def test_the_messages_of_one_outbox_are_not_in_another() -> None:
    box, other = filled_outbox(), filled_outbox()
    box.put("a", 0)
    box.put("b", 0, first=True)
    assert (len(box), len(other), other.has_first, other.expired(math.inf)) == (2, 0, False, [])


def test_a_full_outbox_refuses_and_keeps_what_it_has() -> None:
    box = filled_outbox("a", "b", "c")
    with pytest.raises(OutboxFull, match="3 messages") as caught:
        box.put("d", 3)
    assert caught.value.retryable
    assert [box.take() for _ in range(len(box))] == ["a", "b", "c"]


def test_an_outbox_without_room_refuses_everything() -> None:
    box: Outbox[str] = Outbox(OutboxLimits(messages=0))
    with pytest.raises(OutboxFull):
        box.put("a", 0)


def test_what_is_too_old_is_handed_back_exactly_at_its_time() -> None:
    box = filled_outbox("a", "b", "c")
    assert box.next_expiry() == 10
    assert box.expired(9.9) == []
    assert box.expired(11) == ["a", "b"]
    assert (box.next_expiry(), len(box)) == (12, 1)
    assert box.expired(12) == ["c"]
    assert box.next_expiry() is None
    assert box.expired(99) == []


def test_without_an_age_limit_nothing_expires() -> None:
    box = filled_outbox("a", age=math.inf)
    assert box.next_expiry() == math.inf
    assert box.expired(1e12) == []


def test_a_withdrawn_message_is_gone_and_its_room_is_free() -> None:
    a, b, c = "a", "b", "c"
    box = filled_outbox(a, b, c)
    assert box.discard(b)
    assert not box.discard(b)
    box.put("d", 3)
    assert [box.take() for _ in range(len(box))] == ["a", "c", "d"]


def test_of_two_equal_messages_the_very_one_is_withdrawn() -> None:
    first, second, third = [1], [2], [1]
    box: Outbox[list[int]] = Outbox(OutboxLimits())
    for item in (first, second, third):
        box.put(item, 0)
    assert box.discard(third)
    assert box.take() is first
    assert box.take() is second


@pytest.mark.parametrize("limits", [{"messages": -1}, {"age": 0}, {"age": -1}, {"age": math.nan}])
def test_limits_out_of_range_are_refused_by_name(limits: dict[str, float]) -> None:
    with pytest.raises(InvalidOption, match=next(iter(limits))):
        OutboxLimits(**limits)  # type: ignore[arg-type]


def test_the_oldest_can_be_looked_at_without_taking_it() -> None:
    box = filled_outbox("a", "b")
    assert box.peek() == "a"
    assert len(box) == 2
    assert box.take() == "a"
    assert box.peek() == "b"


def test_messages_that_go_first_go_first_and_count_and_age_like_the_others() -> None:
    box = filled_outbox("a")
    box.put("x", 5, first=True)
    assert (box.has_first, box.number, box.next_number) == (True, 2, 3)
    box.put("y", 6, first=True)
    with pytest.raises(OutboxFull):
        box.put("z", 7, first=True)
    assert box.next_expiry() == 10
    assert box.expired(10) == ["a"]
    assert box.next_expiry() == 15
    assert box.discard("y")
    assert (box.peek(), box.take(), box.has_first) == ("x", "x", False)
    with pytest.raises(IndexError):
        _ = box.number
