"""The queue of messages that are kept on disk: order, states, bounds and ages."""

from __future__ import annotations

import pytest

from onesocket.errors import DuplicateMessage, OutboxFull
from onesocket.lifecycle._stored_queue import StoredEntry, StoredQueue, StoredState


def put(queue: StoredQueue[str], text: str, *, expires: float = 100, is_marked: bool = True) -> StoredEntry[str]:
    return queue.put(text, text, f"ticket of {text}", expires=expires, is_marked=is_marked)


def filled_queue(*texts: str, is_marked: bool = True) -> StoredQueue[str]:
    queue: StoredQueue[str] = StoredQueue(messages=3, size=10)
    for text in texts:
        queue.stored(put(queue, text, is_marked=is_marked))
    return queue


def take_all(queue: StoredQueue[str]) -> list[str | bytes]:
    taken: list[str | bytes] = []
    while (entry := queue.next) is not None:
        queue.taken(entry)
        taken.append(entry.data)
    return taken


def test_a_message_is_not_next_before_it_is_stored() -> None:
    queue = filled_queue()
    entry = put(queue, "a")
    assert (queue.next, entry.state, len(queue)) == (None, StoredState.STORING, 1)
    queue.stored(entry)
    assert queue.next is entry


def test_what_was_sent_stays_and_is_sent_again_in_order_before_the_others() -> None:
    queue = filled_queue("a", "b")
    assert take_all(queue) == ["a", "b"]
    queue.stored(put(queue, "c"))
    assert [entry.data for entry in queue.rewind()] == ["a", "b"]
    assert take_all(queue) == ["a", "b", "c"]
    assert [entry.data for entry in queue.sent()] == [entry.data for entry in queue.entries] == ["a", "b", "c"]


def test_an_acknowledgement_removes_its_message_in_any_order_once() -> None:
    queue = filled_queue("a", "b")
    take_all(queue)
    second = queue.acknowledged("b")
    assert second is not None
    assert (second.ticket, second.state) == ("ticket of b", StoredState.GONE)
    assert queue.acknowledged("b") is queue.acknowledged("x") is None
    assert [entry.data for entry in queue.rewind()] == ["a"]


def test_a_late_acknowledgement_settles_a_message_that_waits_again() -> None:
    queue = filled_queue("a", "b")
    take_all(queue)
    queue.rewind()
    assert queue.acknowledged("a") is not None
    assert take_all(queue) == ["b"]


def test_a_message_that_was_never_sent_is_not_acknowledged() -> None:
    queue = filled_queue("a", is_marked=False)
    put(queue, "b")
    assert queue.acknowledged("a") is queue.acknowledged("b") is None
    assert len(queue) == 2


def test_messages_are_marked_up_to_the_last_one_that_waits() -> None:
    queue = filled_queue("a", "b", is_marked=False)
    last = queue.to_mark
    assert last is not None
    assert last.data == "b"
    queue.stored(put(queue, "c", is_marked=False))
    queue.marked(last.number)
    assert [entry.is_marked for entry in queue.entries] == [True, True, False]
    assert not queue.to_mark  # the next one is marked, and so may be sent
    queue.remove(queue.entries[0])
    queue.taken(queue.entries[0])
    [third] = [entry for entry in queue.entries if entry.data == "c"]
    assert queue.to_mark is third
    queue.remove(third)
    assert not queue.next


def test_a_message_behind_a_marked_one_is_marked_in_its_turn() -> None:
    """One that was stored while the connection came up, between others."""
    queue = filled_queue()
    early, later = put(queue, "a", is_marked=False), put(queue, "b", is_marked=True)
    queue.stored(early)
    queue.stored(later)
    assert queue.to_mark is later
    queue.remove(later)
    assert queue.to_mark is early


def test_a_full_queue_refuses_and_keeps_what_it_has() -> None:
    queue = filled_queue("a", "b", "c")
    with pytest.raises(OutboxFull, match=r"3 messages .*messages=") as caught:
        put(queue, "d")
    assert caught.value.retryable
    assert take_all(queue) == ["a", "b", "c"]


def test_bytes_are_counted_as_encoded_and_given_back() -> None:
    queue = filled_queue("äöü", "abc")  # 6 + 3 bytes of 10
    with pytest.raises(OutboxFull, match=r"2 bytes .*bytes="):
        queue.put(b"12", None, "", expires=1, is_marked=True)
    assert queue.acknowledged("äöü") is not None
    binary = queue.put(b"1234567", None, "", expires=1, is_marked=True)
    assert queue.remove(binary)
    queue.put(b"1234567", None, "", expires=1, is_marked=True)


def test_an_id_that_waits_is_refused_and_free_again_once_it_is_settled() -> None:
    queue = filled_queue("a")
    with pytest.raises(DuplicateMessage, match="'a'"):
        put(queue, "a")
    assert queue.acknowledged("a") is not None
    put(queue, "a")


def test_text_that_is_not_unicode_changes_nothing() -> None:
    queue = filled_queue()
    with pytest.raises(UnicodeEncodeError):
        put(queue, "\ud800")
    assert len(queue) == 0
    assert put(queue, "a").number == 1


def test_messages_expire_by_their_own_time_wherever_they_are() -> None:
    queue = filled_queue()
    assert queue.next_expiry() is None
    entries = [put(queue, text, expires=at) for text, at in (("a", 30), ("b", 10), ("c", 20))]
    for entry in entries:
        queue.stored(entry)
    queue.taken(entries[0])
    assert queue.next_expiry() == 10
    assert queue.expired(9) == []
    assert [entry.data for entry in queue.expired(20)] == ["b", "c"]
    assert queue.next is None
    assert queue.remove(entries[0])
    assert not queue.remove(entries[0])
    assert queue.next_expiry() is None


def test_restored_messages_come_first_and_are_not_bounded() -> None:
    queue: StoredQueue[str] = StoredQueue(messages=1, size=1)
    for number in (4, 7):
        queue.restore(StoredEntry(number, f"message {number}", number, 1.0, "", is_marked=number == 4))
    with pytest.raises(OutboxFull):
        put(queue, "a")
    assert [queue.find(number) is None for number in (4, 5, 7)] == [False, True, False]
    assert take_all(queue) == ["message 4", "message 7"]
    assert queue.acknowledged(4) is not None
    assert queue.acknowledged(7) is None  # not marked
    queue.remove(queue.entries[0])
    assert put(queue, "a").number == 8
