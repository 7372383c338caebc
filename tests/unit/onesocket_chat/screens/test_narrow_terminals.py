"""Terminals of every size: it lives, what is needed is on the screen, and nothing that was typed is lost."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from onesocket.lifecycle._effects import Outcome
from onesocket.notices import NoticeLevel
from onesocket_chat import ChatApp
from onesocket_chat.model._reducer import renew_history
from onesocket_chat.screens._chat import ChatScreen
from onesocket_chat.session import ChatSession, ServerAddress
from onesocket_chat.session._read_marker import ReadMarker
from onesocket_chat.widgets._composer import Composer
from onesocket_chat.widgets._member_list import MemberList
from onesocket_chat.widgets._sidebar import Sidebar
from tests.unit.onesocket_chat.driver import AppDriver, running_app
from tests.unit.onesocket_chat.payloads import DIRECT, GENERAL, RANDOM, initial_state, message, state_after

# A safety net: hundreds of screens are drawn, long where the cores are busy.
pytestmark = [pytest.mark.usefixtures("_no_connection"), pytest.mark.timeout(180)]
MORE = 103, 104


@pytest.fixture
def _no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace joining, as there is no server."""

    async def join(_: ChatSession) -> Outcome:
        return Outcome.ALREADY_CONNECTED

    monkeypatch.setattr(ChatSession, "join", join)


@asynccontextmanager
async def chatting(size: tuple[int, int], *channels: int) -> AsyncIterator[AppDriver]:
    """The chat with these channels open beside each other, without a server."""
    async with running_app(ChatApp("127.0.0.1:1"), size) as driver:
        session = ChatSession(ServerAddress("http://127.0.0.1:1/api/v10"), "t.o.ken", driver.app.notices)
        driver.app.session = session
        world = renew_history(initial_state(), GENERAL, [message(number) for number in range(1, 40)], since=0)
        for channel in MORE:
            data = {"id": str(channel), "type": 0, "name": f"more{channel}", "guild_id": "10", "position": channel}
            world = state_after(("CHANNEL_CREATE", data), world=world)
        session.store.state = world
        screen = ChatScreen(session)
        driver.app.call_later(driver.app.push_screen, screen)
        await driver.until(lambda: driver.app.screen is screen)
        for channel in channels:
            await driver.do(lambda channel=channel: screen.open(channel, beside=True))  # type: ignore[misc]
            await driver.until(lambda channel=channel: screen.active_channel == channel)  # type: ignore[misc]
        yield driver


def displayed(driver: AppDriver) -> list[int]:
    return [panel.channel_id for panel in driver.chat.panels if panel.display]


def composers(driver: AppDriver) -> dict[int, str]:
    return {panel.channel_id: panel.query_one(Composer).text for panel in driver.chat.panels}


@pytest.mark.parametrize("size", [(40, 12), (40, 24), (60, 16), (80, 24), (100, 30), (140, 40), (300, 100)])
async def test_in_every_usual_size_one_sees_the_newest_message_and_what_one_writes(size: tuple[int, int]) -> None:
    async with chatting(size, GENERAL) as driver:
        await driver.type(*"what I write")
        await driver.until(lambda: driver.is_drawn("what I write"))
        for text in ("#general", "message 39", "not connected yet"):
            assert driver.is_drawn(text), "\n".join(driver.lines())
        bottom = next(number for number, line in enumerate(driver.lines()) if "what I write" in line)
        assert bottom == size[1] - 3  # above the status and the keys


async def test_the_columns_fold_and_keys_show_them() -> None:
    async with chatting((140, 30), GENERAL) as driver:
        sidebar, members = driver.chat.query_one(Sidebar), driver.chat.query_one(MemberList)
        await driver.type(*"typed")
        await driver.until(lambda: driver.is_drawn("#random") and driver.is_drawn("● bob"))
        await driver.resize(80, 24)
        await driver.until(lambda: driver.is_drawn("#random") and not driver.is_drawn("● bob"))
        assert driver.is_drawn("F7 people")
        assert not driver.is_drawn("F4 channels")
        await driver.resize(40, 12)
        await driver.until(lambda: not driver.is_drawn("#random") and driver.is_drawn("F4 channels"))
        assert isinstance(driver.app.focused, Composer)

        await driver.press("f4")
        await driver.until(lambda: driver.is_drawn("#random"))
        assert sidebar.has_class("over")
        await driver.until(lambda: driver.app.focused is sidebar)
        await driver.press("f7")
        await driver.until(lambda: driver.is_drawn("● bob") and not driver.is_drawn("#random"))
        await driver.until(lambda: driver.app.focused is members)
        await driver.press("f7")
        await driver.until(lambda: driver.is_drawn("typed") and not driver.is_drawn("● bob"))
        await driver.press("f4", "escape")
        await driver.until(lambda: not driver.is_drawn("#random"))
        await driver.type("!")
        assert composers(driver) == {GENERAL: "typed!"}

        await driver.press("f4", "down", "enter")
        await driver.until(lambda: driver.chat.active_channel == RANDOM)
        await driver.until(lambda: driver.is_drawn("#random  loading") and not sidebar.display)
        await driver.resize(140, 30)
        await driver.until(lambda: driver.is_drawn("#general") and driver.is_drawn("● bob"))


async def test_without_a_channel_the_channels_are_shown_however_narrow_it_is() -> None:
    async with chatting((40, 12)) as driver:
        await driver.until(lambda: driver.chat.active_channel == GENERAL)  # the first one, opened by itself
        await driver.press("ctrl+w")
        await driver.until(lambda: driver.is_drawn("#random"))
        await driver.press("enter")
        await driver.until(lambda: driver.chat.active_channel == GENERAL)
        await driver.until(lambda: not driver.is_drawn("#random"))
        await driver.press("ctrl+w")
        await driver.until(lambda: driver.is_drawn("#random"))


async def test_panels_without_room_wait_their_turn_with_what_was_typed() -> None:
    opened = (GENERAL, RANDOM, DIRECT, MORE[0])
    async with chatting((200, 30), *opened) as driver:
        for channel in opened:
            await driver.do(lambda channel=channel: driver.chat.open(channel))  # type: ignore[misc]
            await driver.until(lambda channel=channel: driver.chat.active_channel == channel)  # type: ignore[misc]
            await driver.type(*f"text {channel}")
        assert displayed(driver) == list(opened)
        await driver.resize(80, 24)
        await driver.until(lambda: displayed(driver) == [DIRECT, MORE[0]])
        await driver.until(lambda: driver.is_drawn("4/4"))
        await driver.resize(40, 12)
        await driver.until(lambda: displayed(driver) == [MORE[0]])
        for channel in (*opened, GENERAL):
            await driver.press("f6")
            await driver.until(lambda channel=channel: displayed(driver) == [channel])  # type: ignore[misc]
            await driver.until(lambda channel=channel: driver.is_drawn(f"text {channel}"))  # type: ignore[misc]
        await driver.resize(300, 100)
        await driver.until(lambda: displayed(driver) == list(opened))
        assert composers(driver) == {channel: f"text {channel}" for channel in opened}


@pytest.mark.parametrize("seed", range(4))
async def test_a_storm_of_sizes_ends_nothing_and_loses_nothing(seed: int) -> None:
    chance = random.Random(seed)
    opened = (GENERAL, RANDOM, DIRECT, MORE[0])[: 1 + seed]
    async with chatting((120, 30), *opened) as driver:
        typed = ""
        sizes = [(columns, chance.choice((1, 3, 12, 24))) for columns in range(70 - seed % 3, 0, -3)]
        sizes += [(chance.randint(1, 120), chance.randint(1, 40)) for _ in range(8)]
        for number, size in enumerate(sizes):
            await driver.pilot.resize_terminal(*size)
            if number % 5 == 0:
                await driver.type("x")
                typed += "x"
            if number % 20 == 0:
                driver.app.notices.post("n", NoticeLevel.ERROR, "Trouble", f"{size} " + "long " * 40)
            if number % 17 == 0:
                await driver.press(chance.choice(("f4", "f7", "f6", "f3")))
                await driver.press("escape", "escape")
                await driver.do(driver.panel.focus_composer)
        await driver.resize(140, 40)
        assert sorted("".join(composers(driver).values())) == sorted(typed)
        await driver.until(lambda: driver.is_drawn("#general") and driver.is_drawn("● bob"))


@pytest.mark.parametrize("seed", range(2))
async def test_the_form_and_the_questions_live_in_every_size(seed: int) -> None:
    chance = random.Random(seed)
    async with running_app(ChatApp("127.0.0.1:1"), (80, 24)) as driver:
        await driver.until(lambda: driver.app.screen.query("#password"))
        for _ in range(15):
            await driver.pilot.resize_terminal(chance.randint(1, 100), chance.randint(1, 30))
        await driver.resize(40, 12)
        await driver.type(*"ada", "\t", *"secret")
        await driver.until(lambda: driver.is_drawn("ada") and driver.is_drawn("••••••") and driver.is_drawn("Register"))
    async with chatting((80, 24), GENERAL) as driver:
        await driver.do(driver.chat.create_guild)
        await driver.until(lambda: driver.is_drawn("Name of the new server"))
        for _ in range(15):
            await driver.pilot.resize_terminal(chance.randint(1, 100), chance.randint(1, 30))
        await driver.resize(40, 12)
        await driver.until(lambda: driver.is_drawn("Name of the new server"))


@pytest.mark.parametrize("seed", range(2))
async def test_the_screens_of_the_account_live_in_every_size(seed: int) -> None:
    chance = random.Random(seed)
    async with chatting((80, 24), GENERAL) as driver:
        for show, shown in (
            (driver.chat.show_logins, ("Where you are signed in", "Escape: back")),
            (
                driver.chat.change_password,
                ("Change the password", "Old password", "New password, again", "Enter: go on"),
            ),
        ):
            await driver.do(show)
            await driver.until(lambda: driver.app.screen is not driver.chat)
            for _ in range(15):
                await driver.pilot.resize_terminal(chance.randint(1, 100), chance.randint(1, 30))
            await driver.resize(40, 12)
            for text in shown:
                await driver.until(lambda text=text: driver.is_drawn(text), text)  # type: ignore[misc]
            await driver.press("escape")
            driver.session.request_errors.dismiss()
            await driver.until(lambda: driver.app.screen is driver.chat)


async def test_a_column_that_has_the_focus_and_folds_gives_it_back() -> None:
    async with chatting((140, 30), GENERAL) as driver:
        await driver.press("f7")
        assert driver.app.focused is driver.chat.query_one(MemberList)
        await driver.resize(60, 16)
        await driver.type(*"here")
        await driver.until(lambda: composers(driver) == {GENERAL: "here"} or driver.chat.query_one(MemberList).display)


async def test_what_nobody_sees_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(ReadMarker, "seen", lambda _, channel_id: seen.append(channel_id))
    async with chatting((200, 30), GENERAL, RANDOM) as driver:
        history = replace(driver.world.history(RANDOM), is_stale=False)
        change = {**driver.world.histories, RANDOM: history}
        await driver.resize(40, 12)
        await driver.until(lambda: displayed(driver) == [RANDOM])
        seen.clear()
        driver.session.store.change(lambda world: replace(world, histories=change))
        await driver.until(lambda: RANDOM in seen)
        assert GENERAL not in seen
