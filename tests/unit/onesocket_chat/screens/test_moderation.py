"""The menu of actions about another user, its questions, and the messages of those who are blocked."""

from typing import Any

import pytest
from msgspec.structs import replace

from onesocket_chat import ChatApp
from onesocket_chat.model._chat_state import ChatState
from onesocket_chat.model._models import Ban, User
from onesocket_chat.screens._menu import MenuScreen
from onesocket_chat.screens._moderation import possible_actions
from onesocket_chat.session._moderation import Moderation
from onesocket_chat.widgets._member_list import MemberList
from onesocket_chat.widgets._message_list import MessageList
from tests.unit.onesocket_chat.driver import AppDriver
from tests.unit.onesocket_chat.offline import offline_chat
from tests.unit.onesocket_chat.payloads import ADA, BOB, GENERAL, GUILD, guild, initial_state, message, state_after

MESSAGES = (
    message(1, BOB, content="rude"),
    message(2, ADA, content="mine"),
    message(3, BOB, content="rude again"),
    message(4, ADA, type=19, referenced_message={"id": "1", "author": {"id": str(BOB)}, "content": "rude"}),
)
BLOCKED = "a message of somebody whom you blocked"


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Requests to the server, in their order."""
    calls: list[Any] = []

    def record(name: str) -> Any:
        async def call(_: Moderation, *arguments: Any) -> bool:
            calls.append((name, *arguments))
            return True

        return call

    for name in ("block", "unblock", "kick", "ban", "lift_ban", "report"):
        monkeypatch.setattr(Moderation, name, record(name))
    return calls


def test_the_menu_has_what_is_permitted_alone() -> None:
    owner = initial_state()
    bob, ada = owner.people[BOB], owner.people[ADA]
    assert possible_actions(owner, bob, GUILD, MESSAGES[0]) == {
        "report": "Report",
        "block": "Block",
        "kick": "Remove",
        "ban": "Ban",
    }
    assert list(possible_actions(owner, bob, None, None)) == ["block"]
    assert list(possible_actions(replace(owner, blocked=frozenset({BOB})), bob, None, None)) == ["unblock"]
    assert possible_actions(owner, ada, GUILD, MESSAGES[1]) == {}
    member = state_after(("GUILD_CREATE", guild(owner_id=str(BOB))), world=owner)
    assert list(possible_actions(member, bob, GUILD, MESSAGES[0])) == ["report", "block"]
    gone = state_after(("GUILD_MEMBER_REMOVE", {"guild_id": str(GUILD), "user": {"id": str(BOB)}}), world=owner)
    assert list(possible_actions(gone, bob, GUILD, MESSAGES[0])) == ["report", "block", "ban"]


async def choose(driver: AppDriver, *keys: str) -> None:
    await driver.until(lambda: isinstance(driver.app.screen, MenuScreen))
    await driver.press(*keys)


async def test_an_author_is_banned_after_a_question(done: list[Any]) -> None:
    async with offline_chat(messages=MESSAGES) as driver:
        await driver.mark("rude")
        await driver.press("m")
        await choose(driver, "down", "down", "down", "enter")
        await driver.until_shown("Ban bob from the guild? They can't come back,")
        await driver.confirm("n")
        assert done == []
        await driver.press("m")
        await choose(driver, "up", "enter")  # from the first to the last
        await driver.confirm("y")
        await driver.until(lambda: done)
        assert done == [("ban", GUILD, BOB)]


async def test_a_ban_is_chosen_from_the_list_and_lifted(done: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    banned = [Ban(User(7, "mallory"), "rude"), Ban(User(8, "eve"))]

    async def bans(_: Moderation, guild_id: int) -> list[Ban]:
        assert guild_id == GUILD
        return banned

    monkeypatch.setattr(Moderation, "bans", bans)
    async with offline_chat(messages=MESSAGES) as driver:
        await driver.do(driver.chat.show_bans)
        await driver.until_shown("mallory: rude")
        await choose(driver, "escape")
        assert done == []
        await driver.do(driver.chat.show_bans)
        await driver.until_shown("eve: no reason was given")
        await choose(driver, "down", "enter")
        await driver.until_toast("bans")
        assert done == [("lift_ban", GUILD, 8)]
        assert driver.toasts["bans"] == "eve can come back with an invite."
        banned.clear()
        await driver.do(driver.chat.show_bans)
        await driver.until(lambda: driver.toasts.get("bans") == "Nobody is banned from the guild.")


async def test_the_bans_are_for_those_who_may_lift_them(monkeypatch: pytest.MonkeyPatch) -> None:
    bells: list[bool] = []
    monkeypatch.setattr(ChatApp, "bell", lambda _: bells.append(True))
    state = state_after(("GUILD_CREATE", guild(owner_id=str(BOB))), world=initial_state())
    async with offline_chat(messages=MESSAGES, state=state) as driver:
        await driver.do(driver.chat.show_bans)
        await driver.until(lambda: bells)
        assert driver.app.screen is driver.chat


async def test_a_message_is_reported_with_a_reason_and_not_without(done: list[Any]) -> None:
    async with offline_chat(messages=MESSAGES) as driver:
        await driver.mark("rude")
        for reason in ("", "it is rude"):
            await driver.press("m")
            await choose(driver, "enter")
            await driver.until_shown("Whoever runs this chat sees the message as it is now, and")
            await driver.answer(reason)
        await driver.until_toast("reported")
        assert done == [("report", MESSAGES[0], "it is rude")]


async def test_people_are_blocked_from_the_list_and_nothing_is_there_for_oneself(done: list[Any]) -> None:
    async with offline_chat(messages=MESSAGES) as driver:
        people = driver.chat.query_one(MemberList)
        people.focus()
        await driver.until(lambda: people.highlighted == 0)
        await driver.press("m")
        await choose(driver, "enter")
        await driver.until_shown("Block bob? You no longer write to each other, and their")
        await driver.confirm("y")
        await driver.until(lambda: done == [("block", BOB)])
        await driver.press("down", "m")
        assert driver.app.screen is driver.chat
        driver.session.store.change(lambda world: replace(world, blocked=frozenset({BOB})))
        await driver.until(lambda: driver.is_drawn("bob blocked"))
        await driver.press("up", "m")
        await choose(driver, "enter")
        await driver.until(lambda: done[1:] == [("unblock", BOB)])


async def test_messages_of_blocked_people_are_hidden_until_they_are_asked_for() -> None:
    state: ChatState = replace(initial_state(), blocked=frozenset({BOB}))
    async with offline_chat(messages=MESSAGES, state=state) as driver:
        await driver.until(lambda: driver.is_drawn(f"{BLOCKED} (s: show)"))
        assert driver.is_drawn(f"↳ {BLOCKED}")
        assert not driver.is_drawn("rude")
        driver.panel.query_one(MessageList).focus()
        await driver.press("up", "s")
        await driver.until(lambda: driver.is_drawn("rude again"))
        await driver.press("s")
        await driver.until(lambda: not driver.is_drawn("rude again"))
        typing = {"channel_id": str(GENERAL), "user_id": str(BOB)}
        now = driver.session.now
        driver.session.store.change(lambda world: state_after(("TYPING_START", typing), world=world, now=now))
        driver.session.store.change(lambda world: replace(world, blocked=frozenset()))
        await driver.until(lambda: driver.is_drawn("bob is writing") and driver.is_drawn("rude again"))
