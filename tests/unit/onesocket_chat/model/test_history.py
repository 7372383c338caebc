"""A stretch of messages: in order, each once, without holes."""

import random

from onesocket_chat.model._history import MAX_MESSAGES, PAGE_SIZE, ChannelHistory
from tests.unit.onesocket_chat.payloads import message


def ids(history: ChannelHistory) -> list[int]:
    return [one.id for one in history.messages]


def test_messages_are_ordered_by_their_ids_and_none_is_there_twice() -> None:
    numbers = list(range(1, 60)) * 2
    random.Random(7).shuffle(numbers)
    history = ChannelHistory()
    for number in numbers:
        history = history.put(message(number))
    assert ids(history) == list(range(1, 60))


def test_the_same_id_again_replaces_the_message() -> None:
    history = ChannelHistory().put(message(1)).put(message(2)).put(message(1, content="changed"))
    assert [one.content for one in history.messages] == ["changed", "message 2"]


def test_it_is_bounded_and_then_no_longer_whole() -> None:
    history = ChannelHistory(is_whole=True)
    for number in range(MAX_MESSAGES + 5):
        history = history.put(message(number + 1))
    assert len(history.messages) == MAX_MESSAGES
    assert history.oldest == 6
    assert not history.is_whole
    assert history.is_full


def test_after_a_gap_the_page_replaces_everything_before_it() -> None:
    old = ChannelHistory(tuple(message(number) for number in range(1, 11)), is_stale=False).stale()
    # Missed: 11 to 99. Came meanwhile: 100.
    live = old.put(message(100))
    renewed = live.renewed([message(number) for number in range(99, 99 - PAGE_SIZE, -1)], since=10)
    assert ids(renewed) == list(range(50, 101))  # no hole between 10 and 50 is pretended away
    assert not renewed.is_stale
    assert not renewed.is_whole


def test_a_short_page_is_the_whole_channel() -> None:
    renewed = ChannelHistory().renewed([message(2), message(1)], since=0)
    assert ids(renewed) == [1, 2]
    assert renewed.is_whole


def test_the_page_knows_better_what_was_edited_and_deleted_during_the_gap() -> None:
    old = ChannelHistory((message(1), message(2), message(3)), is_stale=False).stale()
    renewed = old.renewed([message(3, content="edited"), message(1)], since=3)
    assert [(one.id, one.content) for one in renewed.messages] == [(1, "message 1"), (3, "edited")]


def test_what_was_deleted_while_the_page_was_on_its_way_does_not_come_back() -> None:
    stale = ChannelHistory((message(1), message(2)), is_stale=False).stale().drop([2])
    assert ids(stale.renewed([message(2), message(1)], since=2)) == [1]


def test_a_message_that_the_page_and_the_gateway_brought_is_there_once() -> None:
    stale = ChannelHistory().put(message(5))
    assert ids(stale.renewed([message(5), message(4)], since=0)) == [4, 5]


def test_only_changes_while_it_is_stale_count() -> None:
    fresh = ChannelHistory((), is_stale=False)
    assert fresh.touch().touched == 0
    assert fresh.stale().touch().touched == 1


def test_older_pages_go_before_it_without_doubles() -> None:
    history = ChannelHistory((message(50), message(51)), is_stale=False)
    more = history.extended([message(number) for number in range(50, 0, -1)])
    assert ids(more) == list(range(1, 52))
    assert not more.is_whole
    assert more.extended([]).is_whole
