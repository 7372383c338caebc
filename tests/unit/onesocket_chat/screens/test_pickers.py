"""Going to a channel, a person or a message, and the list of keys."""

from typing import Any

import pytest
from msgspec.structs import replace
from textual.binding import Binding
from textual.widgets import Input

from onesocket_chat.model._models import Channel, Message, User
from onesocket_chat.screens._chat import ChatScreen
from onesocket_chat.screens._help import KEYS
from onesocket_chat.screens._jump import JumpTarget, find_targets
from onesocket_chat.session import ChatSession
from onesocket_chat.session._message_search import MessageSearch, SearchResult
from onesocket_chat.widgets._channel_panel import ChannelPanel
from onesocket_chat.widgets._composer import Composer
from onesocket_chat.widgets._message_list import MessageList
from onesocket_chat.widgets._sidebar import Sidebar
from tests.unit.onesocket_chat.driver import AppDriver
from tests.unit.onesocket_chat.offline import offline_chat
from tests.unit.onesocket_chat.payloads import BOB, DIRECT, GENERAL, RANDOM, message, state_after


def target(title: str, guild: str = "", *, is_unread: bool = False) -> JumpTarget:
    return JumpTarget(title, guild, 1, None, is_unread)


def test_targets_are_found_by_beginning_part_guild_and_letters() -> None:
    targets = [target("#lounge"), target("#general", "work"), target("#general", "home"), target("@ingrid")]
    titles = [(one.title, one.guild) for one in find_targets(targets, "g")]
    assert titles == [("#general", "work"), ("#general", "home"), ("#lounge", ""), ("@ingrid", "")]
    assert find_targets(targets, "gen ho") == [targets[2]]
    assert find_targets(targets, "#gnl") == targets[1:3]
    assert find_targets(targets, "xyz") == []
    unread = target("#news", is_unread=True)
    assert find_targets([*targets, unread], "")[0] is unread
    mentioned = target("#staff", is_unread=True)._replace(mentions=1)
    assert find_targets([*targets, unread, mentioned], "")[:2] == [mentioned, unread]


async def test_ctrl_k_counts_mentions() -> None:
    async with offline_chat() as driver:
        counts = {RANDOM: 3, GENERAL: 120}
        driver.session.store.change(lambda world: replace(world, mentions=counts))
        await driver.type("ctrl+k")
        await driver.until(
            lambda: driver.is_drawn("#random  3  the guild") and driver.is_drawn("#general  99+  the guild")
        )


async def test_ctrl_k_goes_to_a_channel_while_one_writes() -> None:
    async with offline_chat() as driver:
        await driver.type(*"half a sen", "ctrl+k", *"rand", "\r", *"hello")
        await driver.until(lambda: driver.chat.active_channel == RANDOM)
        assert driver.panel.query_one(Composer).text == "hello"
        await driver.type("ctrl+k", *"gen")
        await driver.until(lambda: driver.is_drawn("#general  the guild"))
        await driver.press("enter")
        await driver.until(lambda: driver.chat.active_channel == GENERAL)
        assert driver.panel.query_one(Composer).text == "half a sen"


async def test_ctrl_k_begins_a_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    async def direct(session: ChatSession, user_id: int) -> Channel:
        channel = Channel(DIRECT + user_id, type=1, recipients=(User(user_id, "eve"),))
        session.store.change(lambda world: state_after(("CHANNEL_CREATE", _body(channel)), world=world))
        return channel

    monkeypatch.setattr(ChatSession, "direct", direct)
    member = {"guild_id": "10", "user": {"id": "5", "username": "eve"}}
    async with offline_chat() as driver:
        driver.session.store.change(lambda world: state_after(("GUILD_MEMBER_ADD", member), world=world))
        await driver.type("ctrl+k", *"eve", "\r")
        await driver.until(lambda: driver.chat.active_channel == DIRECT + 5)


def _body(channel: Channel) -> dict[str, Any]:
    people = [{"id": str(one.id), "username": one.username} for one in channel.recipients]
    return {"id": str(channel.id), "type": 1, "recipients": people}


async def test_what_was_searched_is_listed_and_gone_to(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, str, int]] = []
    found = [message(number, content=f"\x1b[31mneedle[/] <@{BOB}> {number}") for number in range(30, 5, -1)]

    async def find(_: MessageSearch, channel_id: int, text: str, offset: int = 0) -> SearchResult:
        asked.append((channel_id, text, offset))
        return SearchResult(found[:2] if offset == 0 else [found[-1]], 3)

    monkeypatch.setattr(MessageSearch, "find", find)
    async with offline_chat((80, 20)) as driver:
        await driver.type("ctrl+r", *"needle", "\r")
        await driver.until(lambda: driver.is_drawn("2 of 3 found"))
        assert driver.is_drawn("\ufffd[31mneedle[/] @bob 30")
        await driver.press("down")
        await driver.until(lambda: driver.is_drawn("3 found"))
        assert asked == [(GENERAL, "needle", 0), (GENERAL, "needle", 2)]
        await driver.press("down", "enter")
        await driver.until(lambda: driver.app.screen is driver.chat)
        await driver.until(lambda: highlighted(driver) == 6)
        assert driver.is_drawn("message 6")
        assert isinstance(driver.app.focused, MessageList)


async def test_from_a_reply_one_goes_to_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = [message(number) for number in range(1, 40)]
    messages.append(message(40, type=19, referenced_message={"id": "3", "author": {"id": "2"}, "content": "x"}))
    async with offline_chat((80, 20), messages=messages) as driver:
        driver.panel.query_one(MessageList).focus()
        await driver.press("down", "enter")
        await driver.until(lambda: highlighted(driver) == 3)
        assert driver.is_drawn("message 3")
        aimed: list[int | None] = []
        monkeypatch.setattr(driver.session.loader, "aim", lambda _, anchor: aimed.append(anchor))
        await driver.do(lambda: driver.panel.go_to(7000))
        assert aimed == [7000]


def highlighted(driver: AppDriver) -> int | None:
    messages = driver.panel.query_one(MessageList)
    row = messages.rows[messages.highlighted] if messages.highlighted is not None else None
    return row.id if isinstance(row, Message) else None


@pytest.mark.parametrize(("part", "key"), [(Composer, "f1"), (MessageList, "?"), (Sidebar, "?")])
async def test_the_keys_are_listed_from_everywhere(part: type[Any], key: str) -> None:
    async with offline_chat((90, 90)) as driver:
        driver.chat.query_one(part).focus()
        await driver.press("question_mark" if key == "?" else key)
        for text in ("go to a channel or a person", "Shift-Tab         to the messages", "one that was not sent"):
            await driver.until(lambda text=text: driver.is_drawn(text))  # type: ignore[misc]
        await driver.press("escape")
        assert driver.app.screen is driver.chat
        driver.panel.focus_composer()
        await driver.type("?", "/")
        assert driver.panel.query_one(Composer).text == "?/"


def test_every_key_is_listed() -> None:
    listed = " ".join(f"{keys} {text}" for _, entries in KEYS for keys, text in entries).replace(",", "").split()
    names = {"question_mark": "?", "slash": "/", "plus": "+", "shift+up": "Shift-↑", "shift+down": "↓"}
    for owner in (ChatScreen, ChannelPanel, Composer, MessageList, Sidebar):
        for binding in owner.BINDINGS:
            assert isinstance(binding, Binding)
            for key in binding.key.split(","):
                shown = names.get(key, "-".join(part.capitalize() for part in key.split("+")))
                assert shown in listed or key in listed, key


async def test_an_empty_search_asks_for_nothing() -> None:
    async with offline_chat() as driver:
        await driver.type("ctrl+r", " ", "\r")
        await driver.until(lambda: isinstance(driver.app.focused, Input))
        await driver.press("escape")
        assert driver.app.screen is driver.chat
