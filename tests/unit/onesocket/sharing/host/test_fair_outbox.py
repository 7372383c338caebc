"""Messages of several processes for one connection: each process has its bounds, and they take turns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onesocket.client import OutboxLimits
from onesocket.errors import OutboxFull
from onesocket.sharing.host._fair_outbox import FairOutbox


def filled(**counts: int) -> FairOutbox[str, str]:
    outbox: FairOutbox[str, str] = FairOutbox()
    for requester, count in counts.items():
        for number in range(count):
            outbox.put(requester, f"{requester}{number}", 0.0)
    return outbox


def all_of(outbox: FairOutbox[str, str]) -> list[str]:
    return [outbox.take() for _ in range(outbox.count)]


def test_a_single_message_waits_for_one_of_a_flooder_and_not_for_all() -> None:
    outbox = filled(flooder=1_000)
    outbox.put("other", "single", 0.0)
    assert [outbox.take(), outbox.take()] == ["flooder0", "single"]
    assert len(all_of(outbox)) == 999


def test_processes_take_turns_and_each_keeps_its_order() -> None:
    assert all_of(filled(a=3, b=1, c=2)) == ["a0", "b0", "c0", "a1", "c1", "a2"]


def test_the_bounds_are_those_of_each_process() -> None:
    outbox = filled()
    outbox.set_limits("small", OutboxLimits(1, 5.0))
    outbox.put("small", "s0", 0.0)
    with pytest.raises(OutboxFull):
        outbox.put("small", "s1", 0.0)
    assert outbox.put("other", "o0", 0.0) == OutboxLimits().age
    outbox.put("small", "lasting", 0.0, is_lasting=True)
    assert outbox.next_expiry() == 5.0
    assert outbox.expired(5.0) == ["s0", "lasting"]
    assert all_of(outbox) == ["o0"]
    assert outbox.next_expiry() is None


def test_a_process_that_is_gone_takes_only_its_own_messages_along() -> None:
    outbox = filled(a=2, b=1)
    outbox.put("b", withdrawn := "b1", 0.0)
    outbox.forget("a")
    outbox.discard("b", withdrawn)
    outbox.discard("b", withdrawn)
    assert not outbox.has("a")
    assert outbox.has("b")
    assert repr(outbox) == "<FairOutbox waiting=1 requesters=1>"
    assert all_of(outbox) == ["b0"]


@given(st.lists(st.sampled_from(["a", "b", "c", "take", "gone", "age", "discard"]), max_size=60))
def test_whatever_happens_each_message_leaves_once_and_in_order(story: list[str]) -> None:
    outbox: FairOutbox[str, tuple[str, int]] = FairOutbox()
    waiting: dict[str, list[tuple[str, int]]] = {"a": [], "b": [], "c": []}
    for requester, age in (("a", 3.0), ("b", 6.0), ("c", 9.0)):
        outbox.set_limits(requester, OutboxLimits(5, age))
    dues: dict[tuple[str, int], float] = {}
    for number, step in enumerate(story):
        now = float(number)
        match step:
            case "take" if outbox.count:
                item = outbox.take()
                assert waiting[item[0]].pop(0) == item
            case "take" | "discard" if not outbox.count:
                pass
            case "gone":
                waiting["b"].clear()
                outbox.forget("b")
                outbox.set_limits("b", OutboxLimits(5, 6.0))
            case "discard":
                item = max(item for items in waiting.values() for item in items)
                waiting[item[0]].remove(item)
                outbox.discard(item[0], item)
            case "age":
                late = outbox.expired(now)
                left = [item for items in waiting.values() for item in items if dues[item] > now]
                assert sorted([*late, *left]) == sorted(item for items in waiting.values() for item in items)
                for items in waiting.values():
                    items[:] = [item for item in items if item in left]
            case _:
                item = (step, number)
                if len(waiting[step]) == 5:
                    with pytest.raises(OutboxFull):
                        outbox.put(step, item, now)
                else:
                    dues[item] = outbox.put(step, item, now)
                    waiting[step].append(item)
        assert outbox.count == sum(map(len, waiting.values()))
        assert outbox.next_expiry() == min((dues[item] for items in waiting.values() for item in items), default=None)
    assert sorted(outbox.take() for _ in range(outbox.count)) == sorted(
        item for items in waiting.values() for item in items
    )
