"""Scroll position of the list of messages, whatever happens to it: what stands on the screen counts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from onesocket_chat.model._chat_state import ChatState
from onesocket_chat.model._history import MAX_MESSAGES, ChannelHistory
from onesocket_chat.model._outbox import Draft, Outbox
from onesocket_chat.widgets._message_list import MessageList
from onesocket_chat.widgets._rows import row_id
from tests.unit.onesocket_chat.payloads import GENERAL, message

LONG = "words that have to be wrapped " * 6


class MessageListApp(App[None]):
    """The list alone, and what it knows."""

    def __init__(self, *numbers: int, content: str = "") -> None:
        super().__init__()
        self.history = ChannelHistory(is_whole=True, is_stale=False)
        self.outbox = Outbox()
        self.reached: list[str] = []
        for number in numbers:
            self.history = self.history.put(message(number, 2 + number % 2, content=f"message {number} {content}"))

    def compose(self) -> ComposeResult:
        yield MessageList(GENERAL)

    def on_mount(self) -> None:
        self.show()

    def on_message_list_end_reached(self) -> None:
        self.reached.append("end")

    @property
    def messages(self) -> MessageList:
        return self.query_one(MessageList)

    @property
    def lines(self) -> list[str]:
        strips = self.screen._compositor.render_strips()
        return ["".join(segment.text for segment in strip).strip(" ▁▂▃▄▅▆▇") for strip in strips]

    def show(self) -> None:
        self.messages.show(ChatState(histories={GENERAL: self.history}, outbox=self.outbox))

    def put(self, *numbers: int, content: str = "") -> None:
        for number in numbers:
            self.history = self.history.put(message(number, 2 + number % 2, content=f"message {number} {content}"))
        self.show()


@asynccontextmanager
async def shown(app: MessageListApp, size: tuple[int, int] = (60, 20)) -> AsyncIterator[Pilot[None]]:
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield pilot


async def drawn(pilot: Pilot[None]) -> None:
    for _ in range(3):
        await pilot.pause(0)


def is_at_end(app: MessageListApp) -> bool:
    return app.messages.is_at_end


def first_message(app: MessageListApp) -> str:
    """The first message that is seen whole."""
    return next(line for line in app.lines if line.startswith("message "))


async def test_the_bottom_is_kept_when_more_messages_come_than_are_kept() -> None:
    app = MessageListApp(*range(1, MAX_MESSAGES + 1))
    async with shown(app) as pilot:
        for number in range(MAX_MESSAGES + 1, MAX_MESSAGES + 31):
            app.put(number)
            assert app.messages.is_at_end  # at once, and not after the next refresh
            if number % 7 == 0:
                await drawn(pilot)
        await drawn(pilot)
        assert f"message {MAX_MESSAGES + 30}" in app.lines
        assert app.messages.max_scroll_y == app.messages.scroll_offset.y
        assert not app.reached


@pytest.mark.parametrize(("before", "after"), [((160, 40), (60, 20)), ((60, 20), (160, 40)), ((80, 30), (30, 8))])
async def test_the_bottom_is_kept_in_another_size(before: tuple[int, int], after: tuple[int, int]) -> None:
    app = MessageListApp(*range(1, 101), content=LONG)
    async with shown(app, before) as pilot:
        for width in range(before[0], after[0], 7 if after[0] > before[0] else -7):
            await pilot.resize_terminal(width, after[1])
        await pilot.resize_terminal(*after)
        await drawn(pilot)
        assert app.messages.max_scroll_y == app.messages.scroll_offset.y
        assert app.messages.is_at_end
        app.put(101)
        await drawn(pilot)
        assert "message 101" in app.lines


async def test_the_bottom_is_kept_when_rows_change_their_heights() -> None:
    app = MessageListApp(*range(1, 41))
    async with shown(app) as pilot:
        app.put(40, content=LONG)  # edited
        app.put(20, content=LONG)
        reactions = [{"emoji": {"id": None, "name": "👍"}, "count": 2, "me": True}]
        app.history = app.history.put(message(40, content="message 40", reactions=reactions))
        app.show()
        await drawn(pilot)
        assert "👍 2" in app.lines
        app.history = app.history.drop([39, 3])
        app.show()
        await drawn(pilot)
        assert {"message 38", "message 40", "👍 2"} <= set(app.lines)
        assert app.messages.is_at_end


async def test_what_waits_and_is_stored_then_keeps_the_bottom() -> None:
    app = MessageListApp(*range(1, 41))
    async with shown(app) as pilot:
        for number in range(41, 46):
            app.outbox = app.outbox.add(Draft(f"n{number}", GENERAL, f"message {number}", since=0.0))
            app.show()
        await drawn(pilot)
        assert "message 45" in app.lines
        for number in range(41, 46):
            app.outbox = app.outbox.without(f"n{number}")
            app.put(number)
        await drawn(pilot)
        assert "message 45" in app.lines
        assert app.messages.is_at_end


async def test_messages_that_come_do_not_take_away_what_somebody_reads() -> None:
    app = MessageListApp(*range(1, 101))
    async with shown(app) as pilot:
        app.messages.scroll_to(y=120, animate=False)
        await drawn(pilot)
        read = first_message(app)
        app.put(*range(101, 151), content=LONG)
        app.put(1, 2, 3, content=LONG)  # edited, above
        app.history = app.history.drop([5, 7])
        app.show()
        await drawn(pilot)
        assert first_message(app) == read
        assert app.reached == []
        app.messages.scroll_end(animate=False)
        await drawn(pilot)
        assert app.messages.is_at_end
        assert app.reached == ["end"]


async def test_older_messages_and_the_loss_of_the_oldest_leave_the_place() -> None:
    app = MessageListApp(*range(1000, 1100))
    async with shown(app) as pilot:
        app.messages.scroll_to(y=4, animate=False)
        await drawn(pilot)
        read = first_message(app)
        app.history = app.history.extended([message(number) for number in range(950, 1000)])
        app.show()
        await drawn(pilot)
        assert first_message(app) == read
        for number in range(1100, 1100 + MAX_MESSAGES - 152):
            app.put(number)
        assert app.messages.rows[0] == app.history.messages[0]
        await drawn(pilot)
        assert first_message(app) == read
        app.put(*range(1448, 1520))  # now what is read goes: what follows it is shown
        await drawn(pilot)
        assert first_message(app) == f"message {app.history.oldest}"
        assert not app.messages.is_at_end


async def test_the_place_is_kept_in_another_size() -> None:
    app = MessageListApp(*range(1, 101), content=LONG)
    async with shown(app, (100, 30)) as pilot:
        app.messages.scroll_to(y=200, animate=False)
        await drawn(pilot)
        read = first_message(app).split()[1]
        for size in ((60, 20), (30, 10), (140, 50), (100, 30)):
            await pilot.resize_terminal(*size)
            await drawn(pilot)
            assert abs(int(first_message(app).split()[1]) - int(read)) <= 1
            assert not app.messages.is_at_end


async def test_a_click_or_tab_into_the_list_leaves_it_where_it_is() -> None:
    app = MessageListApp(*range(1, 101))
    async with shown(app) as pilot:
        app.set_focus(None)
        app.messages.scroll_to(y=100, animate=False)
        await drawn(pilot)
        read = first_message(app)
        app.messages.focus()
        await drawn(pilot)
        assert first_message(app) == read
        assert app.messages.highlighted_option is not None
        await pilot.press("up", "down")
        assert first_message(app) == read


async def test_the_highlight_stays_with_its_message() -> None:
    app = MessageListApp(*range(1000, 1100))
    async with shown(app) as pilot:
        app.messages.highlighted = 60
        app.history = app.history.extended([message(number) for number in range(950, 1000)])
        app.show()
        assert app.messages.highlighted == 110
        app.history = app.history.drop([1060])
        app.show()
        await drawn(pilot)
        highlighted = app.messages.highlighted
        assert highlighted is not None
        assert row_id(app.messages.rows[highlighted]) == "m1061"


async def test_the_keys_act_on_a_message_that_is_seen_when_the_list_is_entered_again() -> None:
    app = MessageListApp(*range(1, 41))
    async with shown(app) as pilot:
        app.messages.focus()
        await pilot.press("up", "up")
        place = app.messages.highlighted
        app.set_focus(None)
        app.messages.focus()
        await drawn(pilot)
        assert app.messages.highlighted == place  # as it is in sight
        app.set_focus(None)
        app.put(*range(41, 61))
        app.messages.focus()
        await drawn(pilot)
        assert row_id(app.messages.rows[app.messages.highlighted or 0]) == "m60"
        assert app.messages.is_at_end


async def test_replies_and_other_changes_of_one_message_are_drawn() -> None:
    app = MessageListApp(1, 2)
    async with shown(app) as pilot:
        found = app.history.find(1)
        assert found is not None
        app.history = app.history.put(replace(found, content="changed"))
        app.show()
        await drawn(pilot)
        assert "changed" in app.lines
        assert "message 1" not in app.lines


async def test_far_back_the_list_stays_where_it_is_when_newer_messages_are_loaded() -> None:
    app = MessageListApp(*range(1000, 1100))
    async with shown(app) as pilot:
        app.history = replace(app.history, anchor=1050)
        app.outbox = app.outbox.add(Draft("n", GENERAL, "a draft", since=0.0))
        app.show()
        app.messages.scroll_end(animate=False)
        await drawn(pilot)
        assert not is_at_end(app)  # there are newer ones
        assert "a draft" not in app.lines
        read = first_message(app)
        app.history = app.history.appended([message(number) for number in range(1100, 1150)], missed=0)
        app.show()
        await drawn(pilot)
        assert first_message(app) == read
        app.history = app.history.appended([], missed=0)
        app.show()
        app.messages.action_last()
        await drawn(pilot)
        assert is_at_end(app)
        assert "a draft" in app.lines


async def test_a_message_is_gone_to_when_it_is_loaded() -> None:
    app = MessageListApp(*range(1000, 1100))
    async with shown(app) as pilot:
        app.messages.go_to(520)
        await drawn(pilot)
        assert "message 1099" in app.lines
        app.history = app.history.aimed(520).renewed([message(number) for number in range(500, 540)], since=0)
        app.show()
        await drawn(pilot)
        assert "message 520" in app.lines
        highlighted = app.messages.highlighted
        assert highlighted is not None
        assert row_id(app.messages.rows[highlighted]) == "m520"


@pytest.mark.parametrize("key", ["pagedown", "down"])
async def test_newer_messages_are_wanted_at_the_bottom_however_it_was_reached(key: str) -> None:
    app = MessageListApp(*range(1000, 1008))  # all are on the screen: nothing can be scrolled
    async with shown(app, (60, 40)) as pilot:
        app.messages.focus()
        await pilot.press(key)
        assert app.reached == []
        app.history = replace(app.history, anchor=1004)
        app.show()
        app.messages.go_to(1007)
        await drawn(pilot)
        await pilot.press(key)
        assert app.reached == ["end"]
