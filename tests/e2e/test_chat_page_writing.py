"""Writing and editing on the chat's page: code, what is too long, what is refused, and people who are blocked."""

import asyncio

import pytest
from playwright.async_api import Browser, Route, expect

from onesocket_discord.rest import Rest
from onesocket_discord.server import ChatServer
from tools.screenshots import PASSWORD

from .chat_browser import person

pytestmark = pytest.mark.timeout(120)


async def test_an_edit_goes_on_while_its_message_changes_and_says_what_is_too_long_or_empty(
    server: ChatServer, chromium: Browser
) -> None:
    token = await server.create_user("bob", PASSWORD)
    async with person(chromium, server.page_url) as ada, Rest(token, api_url=server.api_url, token_type=None) as bob:
        await ada.sign_in("ada", new=True)
        await ada.write("a message")
        await ada.sent("a message")
        channel = ada.page.url.rpartition("/")[2]
        (message,) = await bob.messages(channel)
        editor = ada.page.get_by_label("Edit the message")
        await ada.field.press("ArrowUp")
        await expect(editor).to_be_focused()
        await ada.page.keyboard.type(" edited")
        await bob.add_reaction(channel, message["id"], "👍")
        await expect(ada.page.get_by_role("button", name="👍 1 reaction")).to_be_visible()
        await expect(editor).to_be_focused()
        await ada.page.keyboard.type(" on")
        await expect(editor).to_have_value("a message edited on")
        # Left for another channel, it goes on where it was; Escape forgets it.
        await bob.create_channel(server.service.default_guild, "random")
        await ada.open("random")
        await ada.open("general")
        await expect(editor).to_have_count(0)
        for text in ("a message edited on", "a message"):
            await ada.field.press("ArrowUp")
            await expect(editor).to_have_value(text)
            await editor.press("Escape")
        # The limit counts characters, not the halves of an emoji, and nothing is cut off.
        await ada.field.press("ArrowUp")
        await editor.fill("😀" * 2001)
        await editor.press("Enter")
        await expect(ada.page.locator(".notice")).to_contain_text("A message has at most 2000 characters.")
        await editor.fill("😀" * 2000)
        await editor.press("Enter")
        await expect(editor).to_have_count(0)
        await expect(ada.page.locator(".notice")).to_have_count(0)
        assert (await bob.messages(channel))[0]["content"] == "😀" * 2000
        # Nothing left: it is deleted, or stays.
        question = ada.page.get_by_role("dialog", name="Delete this message?")
        for answer in ("Cancel", "Delete"):
            await ada.field.press("ArrowUp")
            await editor.fill(" ")
            await editor.press("Enter")
            await question.get_by_role("button", name=answer).click()
            await expect(editor).to_have_count(0)
        await expect(ada.page.locator("article.message")).to_have_count(0)
        assert await bob.messages(channel) == []


async def test_an_edit_that_is_saved_slowly_leaves_the_next_one_alone(server: ChatServer, chromium: Browser) -> None:
    released = asyncio.Event()

    async def hold(route: Route) -> None:
        if route.request.method == "PATCH":
            await released.wait()
        await route.continue_()

    async with person(chromium, server.page_url) as ada:
        await ada.sign_in("ada", new=True)
        for text in ("first", "second"):
            await ada.write(text)
            await ada.sent(text)
        await ada.page.route("**/messages/*", hold)
        editor = ada.page.get_by_label("Edit the message")
        await ada.field.press("ArrowUp")
        await editor.fill("second, edited")
        await editor.press("Enter")
        await ada.message("first").hover()
        await ada.message("first").get_by_role("button", name="Edit").click()
        await expect(editor).to_be_focused()
        async with ada.page.expect_response(lambda answer: answer.request.method == "PATCH"):
            released.set()
        await expect(ada.message("second, edited")).to_be_visible()
        await ada.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        await ada.page.keyboard.type(" too")
        await expect(editor).to_have_value("first too")
        await expect(ada.field).to_have_value("")


async def test_code_and_addresses_are_sent_as_they_are_written(server: ChatServer, chromium: Browser) -> None:
    token = await server.create_user("bob", PASSWORD)
    async with person(chromium, server.page_url) as ada, Rest(token, api_url=server.api_url, token_type=None) as bob:
        await ada.sign_in("ada", new=True)
        text = "`@bob @everyone` https://social.example/@bob"
        await ada.write(text)
        await ada.sent("social.example")
        (message,) = await bob.messages(ada.page.url.rpartition("/")[2])
        assert (message["content"], message["mentions"], message["mention_everyone"]) == (text, [], False)
        await expect(ada.page.get_by_role("link", name="https://social.example/@bob")).to_be_visible()


async def test_of_somebody_who_is_blocked_nothing_is_told(server: ChatServer, chromium: Browser) -> None:
    tokens = [await server.create_user(name, PASSWORD) for name in ("bob", "cat")]
    async with (
        person(chromium, server.page_url) as ada,
        Rest(tokens[0], api_url=server.api_url, token_type=None) as bob,
        Rest(tokens[1], api_url=server.api_url, token_type=None) as cat,
    ):
        await ada.sign_in("ada", new=True)
        await ada.open("general")
        channel = ada.page.url.rpartition("/")[2]
        me = await server.service.authenticate(await ada.page.evaluate("sessionStorage['onesocket.token']"))
        assert me is not None
        await server.service.relationships.put(me, int((await bob.me())["id"]), {"type": 2})
        random = await bob.create_channel(server.service.default_guild, "random")
        insult = await bob.send_message(channel, "an insult @everyone")
        await bob.send_message(random["id"], "another one @everyone")
        await bob.typing(channel)
        await cat.send_message(channel, "what did bob say?", reply_to=insult["id"])
        await expect(ada.message("what did bob say?")).to_be_visible()
        await expect(ada.page.locator(".messages-area > [role=status]")).to_have_text("cat: what did bob say?")
        await expect(
            ada.page.get_by_role("button", name="A message of somebody whom you blocked", exact=True)
        ).to_be_visible()
        await expect(ada.page.get_by_text("insult")).to_have_count(0)
        await expect(ada.page.locator(".typing")).to_have_text("")
        for _ in range(2):  # as it happens, and as READY tells it
            await expect(ada.page.locator("a.channel", has_text="random")).to_contain_text("unread")
            assert "(1)" not in await ada.page.title()
            await ada.page.reload()
            await ada.connected()
        await ada.page.keyboard.press("Control+f")
        await ada.page.get_by_label("Search messages").fill("insult")
        await expect(ada.page.locator(".results li")).to_contain_text("A message of somebody whom you blocked")
        await expect(ada.page.get_by_text("an insult")).to_have_count(0)


async def test_what_the_server_refuses_can_be_mended_in_its_dialog(server: ChatServer, chromium: Browser) -> None:
    async with person(chromium, server.page_url) as ada:
        await ada.sign_in("ada", new=True)
        # By the key, in whatever alphabet the keyboard writes.
        await ada.page.evaluate(
            "document.activeElement.dispatchEvent(new KeyboardEvent('keydown',"
            " { key: 'л', code: 'KeyK', ctrlKey: true, bubbles: true }))"
        )
        await expect(ada.page.get_by_role("dialog", name="Go to")).to_be_visible()
        await ada.page.keyboard.press("Escape")
        await ada.page.get_by_role("button", name="New server").click()
        dialog = ada.page.get_by_role("dialog")
        await dialog.get_by_label("Its name").fill("\u200b\u200b")
        await ada.page.keyboard.press("Enter")
        await expect(dialog.get_by_role("alert")).to_have_text("Must not be blank.")
        await dialog.get_by_label("Its name").fill("plans")
        await ada.page.keyboard.press("Enter")
        await expect(dialog).to_have_count(0)
        await expect(ada.page.get_by_role("button", name="Invite people to plans")).to_be_visible()
        await ada.page.get_by_role("button", name="Settings").click()
        await ada.page.get_by_role("button", name="Change the password").click()
        dialog = ada.page.get_by_role("dialog", name="Change the password")
        old, new = dialog.get_by_label("The old password"), dialog.get_by_label("The new password")
        for old_text, new_text, sentence, wrong in (
            ("not my password", "another good one", "This is not your password.", old),
            (PASSWORD, "password1", "one of those that are guessed first", new),
        ):
            await old.fill(old_text)
            await new.fill(new_text)
            await ada.page.keyboard.press("Enter")
            await expect(dialog.get_by_role("alert")).to_contain_text(sentence)
            await expect(wrong).to_be_focused()
        await new.fill("another good one")
        await ada.page.keyboard.press("Enter")
        await expect(dialog).to_have_count(0)
        await ada.connected()
        await expect(ada.page.locator(".notice")).to_have_count(0)
