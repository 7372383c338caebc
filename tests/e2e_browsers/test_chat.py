"""The chat's page in Firefox and in WebKit: two people, files, the search, tabs, drafts, a phone; the server counts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from onesocket_discord.rest import Rest
from onesocket_discord.server import ChatServer

from .chat_page import FIELD, MESSAGE, PASSWORD, ChatPage
from .tab import BrowserEngine, Profile

pytestmark = pytest.mark.timeout(120)


@asynccontextmanager
async def rest_of(server: ChatServer, name: str) -> AsyncIterator[tuple[Rest, str]]:
    """A new account that speaks by HTTP, and the id of #general."""
    token = await server.create_user(name, PASSWORD)
    async with Rest(token, api_url=server.api_url, token_type=None) as rest:
        yield rest, (await rest.guild_channels((await rest.guilds())[0]["id"]))[0]["id"]


@pytest.fixture
async def ada(profile: Profile, server: ChatServer) -> ChatPage:
    """A page on which Ada has registered."""
    page = ChatPage(await profile.new_tab(), server.page_url)
    await page.sign_in("ada", new=True, stay=True)
    return page


async def test_two_people_talk(engine: BrowserEngine, server: ChatServer, ada: ChatPage) -> None:
    async with rest_of(server, "cat") as (cat, general), AsyncExitStack() as stack:
        profile = await engine.new_profile()
        stack.push_async_callback(profile.close)
        bob = ChatPage(await profile.new_tab(), server.page_url)
        await bob.sign_in("bob", new=True)
        assert server.stats.open == 2
        # A name and an emoji are completed by Enter; the next Enter sends.
        await bob.type("hello @ad")
        await ada.tab.see(".typing", "bob is typing…")
        await bob.tab.see('[role="option"]', "ada")
        await bob.tab.press("Enter")
        await bob.tab.type(":tad")
        await bob.tab.see('[role="option"]', "tada")
        await bob.tab.press("Enter")
        await bob.tab.press("Enter")
        await ada.sent("hello @ada")
        await ada.tab.see("article.is-mention .mention.of-me", "@ada")
        # A reply, a reaction by the picker, and an edit by Up.
        await ada.choose("hello @ada", "Reply")
        await ada.tab.type("hello **back**")
        await ada.tab.press("Enter")
        await bob.tab.see("article.message .content strong", "back")
        await bob.tab.see("article.message .reply", "hello @ada")
        await bob.choose("hello back", "Add a reaction")
        await bob.tab.see('[aria-label="Search emoji"]')
        await bob.tab.type("tada")
        await bob.tab.press("Enter")
        await ada.tab.see(".reaction", "🎉1")
        await ada.tab.click(FIELD)
        await ada.tab.press("ArrowUp")
        await ada.focused(".editor")
        await ada.tab.type(" again")
        await ada.tab.press("Enter")
        await bob.tab.see("article.message .edited")
        answer, question = await cat.messages(general)
        assert answer["content"] == "hello **back** again"
        assert [one["username"] for one in question["mentions"]] == ["ada"]
        assert question["content"].endswith("🎉")
        assert server.stats.identifies == 2


async def test_what_is_new_is_told_in_the_title_and_the_icon_until_it_is_read(
    server: ChatServer, ada: ChatPage
) -> None:
    async with rest_of(server, "bob") as (bob, _):
        guild = (await bob.guilds())[0]["id"]
        people = {one["user"]["username"]: one["user"]["id"] async for one in bob.members(guild)}
        await bob.send_message((await bob.create_dm(people["ada"]))["id"], "psst")
        await ada.title("(1) #general · onesocket")
        await ada.tab.see("nav.sidebar a.channel .count-badge", "1")
        await ada.tab.wait_for("() => document.querySelector('link[rel=icon]').href.endsWith('favicon-mention.svg')")
        await ada.open("bob")
        await ada.sent("psst")
        await ada.title("bob · onesocket")
        await ada.tab.wait_for("() => document.querySelector('link[rel=icon]').href.endsWith('favicon.svg')")


async def test_a_file_is_sent(server: ChatServer, ada: ChatPage, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("one socket", "utf-8")
    await ada.tab.choose_file("input[type=file]", tmp_path / "notes.txt")
    await ada.write("with a file")
    await ada.sent("with a file")
    await ada.tab.see("a.file", "notes.txt")
    address = "() => document.querySelector('a.file').href"
    assert await ada.tab.evaluate(f"async () => (await fetch(({address})())).text()") == "one socket"


async def test_a_message_is_found_in_a_long_history_of_which_few_are_drawn(server: ChatServer, ada: ChatPage) -> None:
    async with rest_of(server, "bob") as (bob, general):
        await bob.send_message(general, "the very first boat")
        for number in range(160):
            await bob.send_message(general, f"message {number}")
        await ada.sent("message 159")
        await ada.tab.press("Control+f")
        await ada.tab.see('[aria-label="Search messages"]')
        await ada.tab.type("boat")
        await ada.tab.click(".result", "the very first boat")
        await ada.sent("the very first boat")
        assert 5 < await ada.tab.count("article.message") < 120
        await ada.tab.click(".below", "To the newest messages")
        await ada.sent("message 159")
        assert await ada.tab.count("article.message") < 120
        assert server.stats.identifies == 1


async def test_drafts_are_kept_on_the_way_back_and_over_a_reload(server: ChatServer, ada: ChatPage) -> None:
    await ada.tab.click('[aria-label="New channel in onesocket"]')
    await ada.tab.see("dialog[open] input")
    await ada.tab.type("plans")
    await ada.tab.press("Enter")
    await ada.tab.see(".topbar h1", "#plans")
    # By the keyboard alone.
    await ada.focused(FIELD)
    await ada.tab.press("Control+k")
    await ada.tab.see("dialog[open] input")
    await ada.tab.type("gener")
    await ada.tab.see("dialog[open] .choice", "general")
    await ada.tab.press("Enter")
    await ada.tab.see(".topbar h1", "#general")
    await ada.open("plans")
    await ada.type("half a thought")
    await ada.open("general")
    await ada.draft("")
    await ada.tab.back()
    await ada.tab.see(".topbar h1", "#plans")
    await ada.draft("half a thought")
    await ada.tab.reload()
    await ada.connected()
    await ada.draft("half a thought")
    await server.wait_for(lambda stats: stats.open == 1)


async def test_two_tabs_are_one_connection_that_outlives_the_first(
    server: ChatServer, profile: Profile, ada: ChatPage
) -> None:
    second = ChatPage(await profile.new_tab(), server.page_url)
    await second.tab.goto(server.page_url)
    await second.connected()
    await ada.write("from the first")
    await second.sent("from the first")
    await second.write("from the second")
    await ada.sent("from the second")
    assert (server.stats.open, server.stats.identifies) == (1, 1)
    await ada.tab.close()
    await second.write("still there")
    await second.sent("still there")
    assert (server.stats.open, server.stats.identifies) == (1, 1)


async def test_a_page_as_narrow_as_a_phone_is_no_wider_than_its_window(server: ChatServer, ada: ChatPage) -> None:
    await ada.tab.resize(390, 700)
    await ada.write("from a phone")
    await ada.sent("from a phone")
    assert await ada.tab.evaluate("() => document.documentElement.scrollWidth") == 390
    right = "(field) => document.querySelector(field).getBoundingClientRect().right"
    assert await ada.tab.evaluate(right, FIELD) <= 390
    await ada.tab.see(MESSAGE, "from a phone")
    assert server.stats.open == 1
