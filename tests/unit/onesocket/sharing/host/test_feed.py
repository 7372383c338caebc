"""The feed of a follower: messages and gaps that the owner forwards."""

import asyncio
from typing import Any

import pytest

from onesocket import Gap, Json, OnesocketError, Raw, Status
from onesocket.client import GapReason
from onesocket.client._gap import merge_gaps
from onesocket.client._status import Change
from onesocket.errors import ConnectionReset, DecodeError
from onesocket.protocols._protocol import as_is
from onesocket.sharing.host._inbound_buffer import InboundBuffer
from onesocket.sharing.host._ipc_frames import SnapshotAnswer, SnapshotRequest
from onesocket.sharing.host._snapshot_requests import SnapshotRequests


class RecordingReceiver:
    def __init__(self) -> None:
        self.items: list[Any] = []

    def messages(self, batch: list[Any]) -> None:
        self.items.append(batch)

    def gap(self, gap: Gap) -> None:
        self.items.append((gap.reason, gap.missed))

    def changed(self, change: Change, status: Status) -> None:
        raise NotImplementedError

    def failed(self, error: OnesocketError) -> None:
        raise NotImplementedError


EACH = 64
"""Bytes that a kept message, and a kept batch, count beside their own length."""


def make_feed(limit: int = 1_000) -> tuple[InboundBuffer, RecordingReceiver]:
    feed, seen = InboundBuffer(Json().frame_decoder() or Raw().frame_decoder(), limit), RecordingReceiver()
    feed.attach(seen)
    return feed, seen


def test_a_message_that_cannot_be_read_leaves_a_marker_in_its_place() -> None:
    feed, seen = make_feed()
    feed.on_messages(["1", "{", "2", "3"])
    assert seen.items == [[1], (GapReason.UNDECODABLE, 1), [2, 3]]


def test_a_marker_that_is_due_comes_before_the_next_message() -> None:
    feed, seen = make_feed()
    feed.due = Gap(GapReason.RECONNECTED, 2)
    feed.on_messages(["1"])
    feed.on_messages(["2"])
    assert seen.items == [(GapReason.RECONNECTED, None), [1], [2]]


def test_what_is_held_comes_later_and_what_does_not_fit_is_counted() -> None:
    feed, seen = make_feed(limit=5 * EACH + 3)
    feed.hold()
    feed.on_messages(["1", "2"])
    feed.on_gap(Gap(GapReason.RECONNECTED, 2))
    feed.on_messages(["3", "4"])
    feed.on_messages(["5"])
    assert seen.items == []
    feed.release()
    assert seen.items == [[1, 2], (GapReason.RECONNECTED, None), [3], (GapReason.OVERFLOW, 2)]
    feed.on_messages(["6"])
    assert seen.items[-1] == [6]


def test_what_the_owner_dropped_meanwhile_is_counted_with_what_was_dropped_here() -> None:
    feed, seen = make_feed(limit=2 * EACH + 1)
    feed.hold()
    feed.on_messages(["1", "2"])
    feed.on_gap(Gap(GapReason.OVERFLOW, 1, 5))
    feed.on_messages(["3"])
    feed.release()
    assert seen.items == [[1], (GapReason.OVERFLOW, 7)]


def test_one_that_is_longer_than_the_limit_waits_alone() -> None:
    feed, seen = make_feed(limit=2 * EACH + 1)
    for _ in range(2):
        feed.hold()
        feed.on_messages(["1" * 1_000])
        feed.on_messages(["2"])
        feed.release()
        feed.hold()
        feed.on_messages(["3"])
        feed.on_messages(["4" * 1_000])
        feed.release()
        assert seen.items == [[int("1" * 1_000)], (GapReason.OVERFLOW, 1), [3], (GapReason.OVERFLOW, 1)]
        seen.items.clear()


def test_markers_side_by_side_become_one() -> None:
    feed, seen = make_feed()
    feed.hold()
    feed.on_gap(Gap(GapReason.OVERFLOW, 1, 5))
    feed.on_gap(Gap(GapReason.OVERFLOW, 1, 2))
    feed.release()
    feed.hold()
    feed.on_gap(Gap(GapReason.OVERFLOW, 1, 5))
    feed.on_gap(Gap(GapReason.RECONNECTED, 2))
    feed.on_gap(Gap(GapReason.OVERFLOW, 2, 1))
    feed.release()
    assert seen.items == [(GapReason.OVERFLOW, 7), (GapReason.RECONNECTED, None)]


def test_an_unknown_number_stays_unknown() -> None:
    feed, seen = make_feed(limit=2 * EACH + 1)
    feed.hold()
    feed.on_messages(["1", "2"])
    feed.on_gap(Gap(GapReason.RECONNECTED, 2))
    feed.release()
    assert seen.items == [[1], (GapReason.RECONNECTED, None)]


def test_held_again_by_what_was_just_handed_on() -> None:
    feed, seen = make_feed()
    feed.hold()
    feed.on_messages(["1"])
    feed.on_messages(["2"])
    hand_on = seen.messages

    def full(batch: list[Any]) -> None:
        hand_on(batch)
        feed.hold()

    seen.messages = full  # type: ignore[method-assign]
    feed.release()
    assert seen.items == [[1]]
    feed.on_messages(["3"])
    seen.messages = hand_on  # type: ignore[method-assign]
    feed.release()
    assert seen.items == [[1], [2], [3]]


def test_markers_do_not_pile_up_while_it_is_held() -> None:
    feed, seen = make_feed()
    feed.hold()
    for epoch in range(10_000):
        feed.on_gap(Gap(GapReason.RECONNECTED, epoch))
    feed.release()
    assert seen.items == [(GapReason.RECONNECTED, None)]


def test_empty_messages_fill_it_too() -> None:
    for batch in ([""], [""] * 100):
        feed = InboundBuffer(as_is, 1_000)
        seen = RecordingReceiver()
        feed.attach(seen)
        for _ in range(2):  # what was handed on leaves its room behind
            feed.hold()
            for _ in range(500):
                feed.on_messages(list(batch))
            feed.release()
            messages = [item for item in seen.items if isinstance(item, list)]
            kept = sum(map(len, messages))
            assert 1 <= kept <= 1_000 // EACH
            assert seen.items == [*messages, (GapReason.OVERFLOW, 500 * len(batch) - kept)]
            seen.items.clear()


@pytest.mark.parametrize("held", [False, True])
def test_a_new_connection_is_the_reason_whatever_else_is_missing_there(*, held: bool) -> None:
    feed, seen = make_feed(limit=1)
    feed.hold()
    if held:
        feed.on_messages(["1", "2"])
    lost = ConnectionReset("lost")
    gaps = [
        Gap(GapReason.RECONNECTED, 2, error=lost),
        Gap(GapReason.UNDECODABLE, 2, 1, DecodeError("no")),
        Gap(GapReason.OVERFLOW, 2, 4),
    ]
    for gap in gaps:
        feed.on_gap(gap)
    feed.release()
    assert seen.items == [*([[1]] if held else []), (GapReason.RECONNECTED, None)]
    assert merge_gaps(gaps[0], gaps[1]) == merge_gaps(gaps[1], gaps[0]) == gaps[0]


def test_merged_gaps_have_the_keys_of_both_and_one_without_keys_is_about_all() -> None:
    one, other, every = (Gap(GapReason.RECONNECTED, 1, keys=keys) for keys in (frozenset("a"), frozenset("b"), None))
    assert merge_gaps(one, other).keys == frozenset("ab")
    assert merge_gaps(one, every).keys is merge_gaps(every, one).keys is None


def test_a_snapshot_keeps_its_place_while_the_feed_is_held() -> None:
    feed, seen = make_feed(limit=400)
    asked: list[int] = []
    feed.on_snapshot = lambda number, messages, *, more: seen.items.append((number, messages, more))
    feed.ask_again = asked.append
    feed.on_answer(SnapshotAnswer(1, ["1"], more=True))
    feed.hold()
    feed.on_messages(["2"])
    feed.on_answer(SnapshotAnswer(1, ["3", "no JSON"]))
    feed.on_messages(["4"])
    feed.on_messages(["x" * 400])
    feed.on_answer(SnapshotAnswer(2, ["5"]))
    feed.release()
    number, messages, more = seen.items.pop(2)
    assert (number, messages[0], messages[1].reason, more) == (1, 3, GapReason.UNDECODABLE, False)
    # Messages were dropped before the second answer, and would be behind it as well: it is asked for again.
    assert seen.items == [(1, [1], True), [2], [4], (GapReason.OVERFLOW, 1)]
    assert asked == [2]


def test_a_request_for_a_snapshot_outlives_the_owner() -> None:
    class Role:
        def __init__(self) -> None:
            self.frames: list[SnapshotRequest] = []

        def submit(self, frame: SnapshotRequest) -> None:
            self.frames.append(frame)

    class NoMembership:
        usable_role: Role | None = None

    membership: Any = NoMembership()
    requests = SnapshotRequests(membership)
    got: list[list[Any]] = []
    requests.ask(got.append)
    first, second = Role(), Role()
    membership.usable_role = first
    requests.on_role_taken()
    (asked,) = first.frames
    requests.on_answer(asked.number, ["a quarter of it"], more=True)
    membership.usable_role = second
    requests.on_role_taken()
    requests.on_answer(asked.number, ["another, which waited in this process"], more=True)
    (again,) = second.frames
    requests.on_answer(again.number, ["a"], more=True)
    requests.on_answer(again.number, ["b"], more=False)
    requests.on_answer(again.number, ["late"], more=False)
    assert got == [["a", "b"]]
    requests.on_role_taken()
    assert second.frames == [again]


def test_a_batch_that_found_no_memory_leaves_a_marker_before_the_next_message(monkeypatch: pytest.MonkeyPatch) -> None:
    feed, seen = make_feed()

    def fail(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(seen, "messages", fail)
        with pytest.raises(MemoryError):
            feed.on_messages(["1"])
    feed.on_messages(["2"])
    assert seen.items == [(GapReason.OVERFLOW, None), [2]]


async def test_what_waits_behind_a_batch_that_failed_follows_it_and_its_marker(monkeypatch: pytest.MonkeyPatch) -> None:
    feed, seen = make_feed()
    feed.hold()
    feed.on_messages(["1"])
    feed.on_messages(["2"])

    def fail(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(seen, "messages", fail)
        with pytest.raises(MemoryError):
            feed.release()
    await asyncio.sleep(0)
    assert seen.items == [(GapReason.OVERFLOW, None), [2]]


@pytest.mark.parametrize("held", [False, True])
async def test_a_marker_that_found_no_memory_comes_before_the_next_message(
    monkeypatch: pytest.MonkeyPatch, *, held: bool
) -> None:
    feed, seen = make_feed()

    def fail(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(seen, "gap", fail)
        if held:
            feed.hold()
            feed.on_gap(Gap(GapReason.OVERFLOW, 1, 3))
            feed.on_messages(["1"])
        with pytest.raises(MemoryError):
            feed.release() if held else feed.on_gap(Gap(GapReason.OVERFLOW, 1, 3))
    if not held:
        feed.on_messages(["1"])
    await asyncio.sleep(0)  # what waits behind it goes on
    assert seen.items == [(GapReason.OVERFLOW, 3), [1]]


def test_batches_that_found_no_memory_one_after_another_leave_a_marker(monkeypatch: pytest.MonkeyPatch) -> None:
    feed, seen = make_feed()

    def fail(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(seen, "messages", fail)
        patch.setattr(seen, "gap", fail)
        for data in ("1", "2"):
            with pytest.raises(MemoryError):
                feed.on_messages([data])
    feed.on_messages(["3"])
    assert seen.items == [(GapReason.OVERFLOW, None), [3]]


async def test_a_snapshot_that_found_no_memory_after_a_hold_is_asked_for_again() -> None:
    feed, seen = make_feed()
    asked: list[int] = []
    feed.ask_again = asked.append

    def fail(*_: object, more: bool) -> None:
        raise MemoryError

    feed.on_snapshot = fail
    feed.hold()
    feed.on_answer(SnapshotAnswer(3, ["1"]))
    feed.on_messages(["2"])
    with pytest.raises(MemoryError):
        feed.release()
    await asyncio.sleep(0)
    assert (asked, seen.items) == ([3], [[2]])
