"""A stretch of messages: in order, each once, without holes."""

import random

from onesocket_chat.model._history import MAX_MESSAGES, PAGE_SIZE, ChannelHistory
from onesocket_chat.model._models import Message
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


def page(first: int, last: int) -> list[Message]:
    """A page as the server sends it: the newest first."""
    return [message(number) for number in range(last, first - 1, -1)]


def far_back() -> ChannelHistory:
    """A history whose reader went back until its newest messages had to go."""
    history = ChannelHistory((message(2000),), is_stale=False)
    for first in range(1950, 1400, -PAGE_SIZE):
        history = history.extended(page(first, first + PAGE_SIZE - 1))
    return history


def test_older_pages_without_an_end_drop_the_newest_messages() -> None:
    history = far_back()
    assert len(history.messages) == MAX_MESSAGES
    assert (history.oldest, history.newest) == (1450, 1949)
    assert history.anchor == 1500  # where the reader is
    new = history.put(message(2001))
    assert ids(new) == ids(history)  # there would be a hole
    assert new.missed == 1
    assert new.put(message(1460, content="edited")).find(1460) == message(1460, content="edited")


def test_newer_pages_lead_back_to_the_newest_message() -> None:
    history = far_back().appended(page(1950, 1999), missed=0)
    assert (history.oldest, history.newest, history.anchor) == (1500, 1999, 1949)
    assert not history.is_whole
    end = history.appended(page(2000, 2000), missed=0)
    assert (end.newest, end.anchor) == (2000, None)
    assert end.put(message(2001)).newest == 2001


def test_a_message_that_came_while_the_last_page_was_on_its_way_is_not_lost() -> None:
    asked = far_back().appended(page(1950, 1999), missed=0)
    missed = asked.put(message(2001)).appended(page(2000, 2000), missed=asked.missed)
    assert missed.anchor == 1999  # so the next page is asked for
    assert missed.appended(page(2001, 2001), missed=missed.missed).anchor is None


def test_a_history_can_be_aimed_at_any_message() -> None:
    aimed = ChannelHistory((message(2000),), is_stale=False).aimed(100)
    around = aimed.drop([101]).renewed(page(80, 120), since=2000)
    assert ids(around) == [*range(80, 101), *range(102, 121)]
    assert (around.anchor, around.is_stale, around.is_whole) == (100, False, False)
    assert around.stale().renewed(page(90, 130), since=120).anchor == 100  # a gap leaves the reader there
    newest = around.aimed(None).put(message(2002)).renewed(page(1952, 2001), since=120)
    assert (newest.oldest, newest.newest, newest.anchor) == (1952, 2002, None)


def test_a_message_is_known_to_be_deleted_if_it_is_missing_between_others() -> None:
    history = ChannelHistory(tuple(map(message, (10, 20, 30))), is_stale=False).drop([20])
    assert [number for number in (9, 10, 20, 31) if history.is_deleted(number)] == [20]
    assert not history.stale().is_deleted(20)
    assert history.stale().drop([30]).is_deleted(30)
