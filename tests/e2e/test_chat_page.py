"""The chat's page at the address of `onesocket serve`, as two people use it, in Chromium."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, Page, Route, expect

from onesocket_discord.rest import Rest
from onesocket_discord.server import ChatServer
from tools.screenshots import PASSWORD

from .chat_browser import PagePerson, page_of, person

pytestmark = pytest.mark.timeout(120)


@asynccontextmanager
async def rest_of(server: ChatServer, token: str) -> AsyncIterator[tuple[Rest, str]]:
    """HTTP in the name of a person, and the id of #general."""
    async with Rest(token, api_url=server.api_url, token_type=None) as rest:
        guild = (await rest.guilds())[0]["id"]
        yield rest, (await rest.guild_channels(guild))[0]["id"]


@asynccontextmanager
async def ada_and_bob(server: ChatServer, chromium: Browser) -> AsyncIterator[tuple[PagePerson, PagePerson]]:
    await server.create_user("ada", PASSWORD)
    await server.create_user("bob", PASSWORD)
    async with person(chromium, server.page_url) as ada, person(chromium, server.page_url) as bob:
        await ada.sign_in("ada")
        await bob.sign_in("bob")
        yield ada, bob


async def test_signing_in_says_what_is_wrong_in_sentences(server: ChatServer, chromium: Browser) -> None:
    await server.create_user("ada", PASSWORD)
    async with person(chromium, server.page_url) as one:
        page, error = one.page, one.page.get_by_role("alert")
        await page.goto(server.page_url)
        name, password = page.get_by_label("Name"), page.get_by_label("Password")
        await expect(name).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(error).to_have_text("Type your name.")
        await name.fill("ada")
        await password.fill("not this one")
        await page.keyboard.press("Enter")
        await expect(error).to_have_text("The name or the password is wrong.")
        await page.get_by_role("button", name="Create an account").click()
        await password.fill("short")
        await page.keyboard.press("Enter")
        await expect(error).to_have_text("A password has at least 8 characters.")
        await password.fill(PASSWORD)
        await page.keyboard.press("Enter")
        await expect(error).to_have_text("This name is taken. Choose another one.")
        await expect(name).to_be_focused()
        await name.fill("carol")
        await page.keyboard.press("Enter")
        await one.connected()
        await expect(page.locator(".own-name")).to_have_text("carol")
        await expect(one.field).to_be_focused()


async def test_two_people_talk(server: ChatServer, chromium: Browser) -> None:
    async with ada_and_bob(server, chromium) as (ada, bob):
        assert server.stats.open == 2
        await bob.field.press_sequentially("hel")
        await expect(ada.page.locator(".typing")).to_have_text("bob is typing…")
        await bob.field.press_sequentially("lo @ad")  # completed by Enter, sent by the next one
        await expect(bob.page.get_by_role("option", name="ada")).to_be_visible()
        await bob.field.press("Enter")
        await bob.field.press("Enter")
        await bob.sent("hello @ada")
        await expect(ada.message("hello @ada").locator(".mention.of-me")).to_have_text("@ada")
        await expect(ada.message("hello @ada")).to_have_class(re.compile("is-mention"))
        await expect(ada.page.locator(".typing")).to_be_empty()

        # A reply, with its way back; a reaction by the picker, taken back by a click.
        await ada.message("hello @ada").hover()
        await ada.page.get_by_role("button", name="Reply").click()
        await ada.write("hello **back**")
        await expect(bob.message("hello back").locator("strong")).to_have_text("back")
        await expect(bob.message("hello back").locator(".reply")).to_contain_text("hello @ada")
        await bob.message("hello back").hover()
        await bob.page.get_by_role("button", name="Add a reaction").click()
        await bob.page.get_by_label("Search emoji").fill("tada")
        await bob.page.keyboard.press("Enter")
        reaction = ada.message("hello back").locator(".reaction")
        await expect(reaction).to_have_text("🎉1")
        await reaction.click()
        await expect(bob.message("hello back").locator(".reaction")).to_have_text("🎉2")
        await bob.message("hello back").locator(".reaction").click()
        await expect(reaction).to_have_text("🎉1")

        # Up edits the last message; deleting asks first.
        await ada.field.press("ArrowUp")
        editor = ada.page.get_by_label("Edit the message")
        await expect(editor).to_be_focused()
        await expect(editor).to_have_value("hello **back**")
        await editor.fill("hello again")
        await editor.press("Enter")
        await expect(bob.message("hello again").locator(".edited")).to_be_visible()
        await ada.message("hello again").hover()
        await ada.page.get_by_role("button", name="Delete").click()
        await ada.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await expect(bob.message("hello again")).to_have_count(0)


async def test_what_is_new_calls_for_attention_and_stops_when_it_is_read(server: ChatServer, chromium: Browser) -> None:
    async with ada_and_bob(server, chromium) as (ada, bob):
        # A conversation appears on the other side, with a count, in the title and in the icon.
        await bob.page.locator(".member", has_text="ada").click()
        await expect(bob.page.locator(".topbar h1")).to_have_text("ada")
        await bob.write("psst")
        await bob.sent("psst")
        conversation = ada.page.locator("nav.sidebar a.channel", has_text="bob")
        await expect(conversation.locator(".count-badge")).to_contain_text("1")
        await expect(ada.page).to_have_title("(1) #general · onesocket")
        await expect(ada.page.locator("link[rel=icon]")).to_have_attribute("href", "/assets/icons/favicon-mention.svg")
        await ada.open("bob")
        await expect(ada.message("psst")).to_be_visible()
        await expect(ada.page.get_by_role("separator", name="New messages")).to_be_visible()
        await expect(ada.page).to_have_title("bob · onesocket")
        await expect(ada.page.locator("link[rel=icon]")).to_have_attribute("href", "/assets/icons/favicon.svg")
        await expect(conversation.locator(".count-badge")).to_have_count(0)
        # A message without a mention elsewhere is a dot.
        await bob.open("general")
        await bob.write("to everyone in general")
        await expect(ada.page).to_have_title("• bob · onesocket")


async def test_a_desktop_notification_for_a_mention_out_of_sight(server: ChatServer, chromium: Browser) -> None:
    token = await server.create_user("bob", PASSWORD)
    await server.create_user("ada", PASSWORD)
    async with person(chromium, server.page_url, permissions=["notifications"]) as ada:
        await ada.page.add_init_script(
            "window.shown = []; window.Notification = class { static permission = 'granted';"
            " static requestPermission = async () => 'granted';"
            " constructor(title, options) { window.shown.push([title, options.body]) } close() {} }"
        )
        await ada.sign_in("ada")
        await ada.page.get_by_role("button", name="Settings").click()
        await ada.page.get_by_label("Notifications on the desktop").check()
        await ada.page.keyboard.press("Escape")
        me = await ada.page.evaluate("location.pathname")
        async with rest_of(server, token) as (rest, general):
            assert general in me
            guild = (await rest.guilds())[0]["id"]
            people = {one["user"]["username"]: one["user"]["id"] async for one in rest.members(guild)}
            await rest.send_message(general, f"seen <@{people['ada']}>")
            await expect(ada.message("seen @ada")).to_be_visible()
            channel = await rest.create_dm(people["ada"])
            await rest.send_message(channel["id"], "**not** seen\nyet")
            await ada.page.wait_for_function("window.shown.length > 0")
            assert await ada.page.evaluate("window.shown") == [["bob", "not seen yet"]]


async def test_history_is_loaded_as_one_scrolls_and_one_jumps_in_it(server: ChatServer, chromium: Browser) -> None:
    token = await server.create_user("bob", PASSWORD)
    async with rest_of(server, token) as (rest, general):
        first = await rest.send_message(general, "the very first one")
        for number in range(180):
            await rest.send_message(general, f"message {number}")
        await rest.send_message(general, "an answer", reply_to=first["id"])
    async with person(chromium, server.page_url) as bob:
        await bob.sign_in("bob")
        await expect(bob.message("an answer")).to_be_visible()
        assert await bob.message("the very first one").count() == 0
        await bob.message("an answer").locator(".reply").click()  # not loaded: a jump over a hole
        await expect(bob.message("the very first one")).to_be_focused()
        await expect(bob.page.get_by_role("heading", name="#general", level=2)).to_be_visible()
        await bob.page.get_by_role("button", name="To the newest messages").click()
        await expect(bob.message("an answer")).to_be_visible()
        await scroll_until(bob.page, "the very first one")
        numbers = [int(text.split()[1]) for text in await bob.texts() if text.startswith("message ")]
        assert numbers == sorted(numbers)
        # While one reads above, new messages are counted, not jumped to.
        top = await bob.page.locator(".messages").evaluate("(one) => one.scrollTop")
        async with person(chromium, server.page_url) as carol:
            await carol.sign_in("carol", new=True)
            await carol.write("new below")
            await carol.sent("new below")
        await expect(bob.page.locator(".below")).to_have_text("1 new message")
        assert abs(await bob.page.locator(".messages").evaluate("(one) => one.scrollTop") - top) < 2
        await bob.page.locator(".below").click()
        await expect(bob.message("new below")).to_be_visible()
        await expect(bob.page.locator(".below")).to_be_hidden()


async def test_at_the_newest_message_a_window_may_get_narrower_and_taller(
    server: ChatServer, chromium: Browser
) -> None:
    token = await server.create_user("bob", PASSWORD)
    async with rest_of(server, token) as (rest, general), person(chromium, server.page_url) as ada:
        await ada.sign_in("ada", new=True)
        await ada.page.set_viewport_size({"width": 1280, "height": 661})
        for number in range(30):
            text = "a text that takes a line more where it is narrow" if number in {20, 22, 24, 26} else ""
            await rest.send_message(general, f"{number}: {text}")
        await expect(ada.message("29: ")).to_be_in_viewport(ratio=0.9)
        for width, height in [(390, 800), (800, 390), (390, 800)]:
            await ada.page.set_viewport_size({"width": width, "height": height})
            await asyncio.sleep(0.3)  # the list is drawn in the frames that follow
            await expect(ada.message("29: ")).to_be_in_viewport(ratio=0.9)
            await expect(ada.page.locator(".below")).to_be_hidden()


async def test_with_many_new_messages_one_begins_where_reading_ended(server: ChatServer, chromium: Browser) -> None:
    token = await server.create_user("bob", PASSWORD)
    async with rest_of(server, token) as (rest, general), person(chromium, server.page_url) as ada:
        await rest.send_message(general, "read before")
        await ada.sign_in("ada", new=True)
        await ada.write("the last that was read")
        await ada.sent("the last that was read")
        me = await ada.page.evaluate("sessionStorage.getItem('onesocket.user')")
        await ada.page.goto("about:blank")
        for number in range(120):
            await rest.send_message(general, f"new {number}" + (f" <@{me}>" if number in {3, 90} else ""))
        await ada.page.goto(server.page_url)
        await ada.connected()
        line = ada.page.get_by_role("separator", name="New messages")
        await expect(line).to_be_in_viewport()
        await expect(line.locator("xpath=..")).to_contain_text("new 0")
        assert "the last that was read" in await ada.texts()
        # Nothing counts as read yet, and mentions from before are counted.
        await expect(ada.page).to_have_title("(2) #general · onesocket")
        await ada.page.get_by_role("button", name="newest messages").click()
        await expect(ada.message("new 119")).to_be_in_viewport()
        await expect(ada.page).to_have_title("#general · onesocket")


async def test_a_picture_takes_its_place_before_it_is_loaded(server: ChatServer, chromium: Browser) -> None:
    token = await server.create_user("bob", PASSWORD)
    async with rest_of(server, token) as (_, general), person(chromium, server.page_url) as ada:
        await ada.sign_in("ada", new=True)
        loaded = asyncio.Event()

        async def late(route: Route) -> None:
            await loaded.wait()
            await route.continue_()

        await ada.page.route("**/attachments/**", late)
        await ada.page.evaluate(SEND_PICTURES, [server.api_url, general, token])
        images = ada.page.locator(".image img")
        await expect(images).to_have_count(3)
        await ada.page.wait_for_function("() => document.querySelectorAll('.image img')[2].clientHeight > 0")
        boxes = "(all) => all.map((one) => [one.complete && one.naturalWidth > 0, one.clientWidth, one.clientHeight])"
        before = await images.evaluate_all(boxes)
        loaded.set()
        await ada.page.wait_for_function("() => [...document.images].every((one) => one.naturalWidth > 0)")
        after = await images.evaluate_all(boxes)
        assert [each[0] for each in before] == [False] * 3
        assert [each[1:] for each in before] == [each[1:] for each in after] == [[420, 210], [160, 320], [30, 20]]


SEND_PICTURES = """async ([api, channel, token]) => {
    const form = new FormData()
    form.append('payload_json', JSON.stringify({ content: 'pictures' }))
    const kinds = [['png', 1000, 500], ['jpeg', 400, 800], ['webp', 30, 20]]
    for (const [index, [kind, width, height]] of kinds.entries()) {
        const canvas = Object.assign(document.createElement('canvas'), { width, height })
        canvas.getContext('2d').fillRect(0, 0, width / 2, height / 2)
        const blob = await new Promise((done) => canvas.toBlob(done, `image/${kind}`))
        form.append(`files[${index}]`, blob, `picture.${kind}`)
    }
    const headers = { Authorization: token }
    await fetch(`${api}/channels/${channel}/messages`, { method: 'POST', body: form, headers })
}"""


async def scroll_until(page: Page, text: str) -> None:
    """Scroll up by the wheel until a message is drawn."""
    await page.locator(".messages").hover()
    for _ in range(100):
        if await page.locator("article.message .content", has_text=text).count():
            return
        await page.mouse.wheel(0, -1_000)
        await page.wait_for_function("() => new Promise((done) => requestAnimationFrame(() => done(true)))")
    raise AssertionError(f"{text!r} was not reached")


async def test_reload_and_back_and_two_tabs(server: ChatServer, chromium: Browser) -> None:
    await server.create_user("ada", PASSWORD)
    async with person(chromium, server.page_url) as ada:
        await ada.page.goto(server.page_url)
        await ada.page.get_by_label("Stay signed in").check()
        await ada.sign_in_here("ada")
        await ada.page.get_by_role("button", name="New channel in onesocket").click()
        await ada.page.get_by_label("Its name").fill("plans")
        await ada.page.keyboard.press("Enter")
        await ada.open("plans")
        await ada.write("first plan")
        await ada.sent("first plan")
        await ada.field.fill("half a thought")
        await ada.message("first plan").hover()
        await ada.page.get_by_role("button", name="Reply").click()
        await ada.open("general")
        await expect(ada.field).to_have_value("")
        await ada.page.go_back()
        await expect(ada.page.locator(".topbar h1")).to_have_text("#plans")
        await expect(ada.field).to_have_value("half a thought")
        await ada.page.reload()
        await ada.connected()
        await expect(ada.message("first plan")).to_be_visible()
        await expect(ada.field).to_have_value("half a thought")
        await expect(ada.page.locator(".composing")).to_contain_text("Reply to ada first plan")
        await ada.page.get_by_role("button", name="Don’t reply").click()
        asks = "!dispatchEvent(new Event('beforeunload', { cancelable: true }))"
        assert not await ada.page.evaluate(asks)
        file = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"of no reload"}
        await ada.page.locator("input[type=file]").set_input_files(file)  # type: ignore[arg-type]
        await expect(ada.page.locator(".chosen-files .file")).to_have_count(1)
        await ada.open("general")
        assert await ada.page.evaluate(asks)
        await ada.open("plans")
        await ada.page.get_by_role("button", name="Don’t send notes.txt").click()
        assert not await ada.page.evaluate(asks)
        assert "token" not in ada.page.url
        # A second tab is signed in, and what is read in one is read in the other.
        async with page_of(ada.page.context, server.page_url) as second:
            await second.page.goto(server.page_url)
            await second.connected()
            await second.open("plans")
            await second.write("second plan")
            await expect(ada.message("second plan")).to_be_visible()
            await expect(ada.page.locator("nav.sidebar a.channel.is-unread")).to_have_count(0)
            # Signing out in one ends the other, which says so.
            await second.page.get_by_role("button", name="Settings").click()
            await second.page.get_by_role("button", name="Sign out").click()
            await expect(second.page.get_by_role("heading", name="Sign in")).to_be_visible()
        await expect(ada.page.get_by_role("alert")).to_have_text("You were signed out. Sign in again.")
        await server.wait_for(lambda stats: stats.open == 0)


async def test_without_staying_signed_in_another_tab_knows_nothing(server: ChatServer, chromium: Browser) -> None:
    await server.create_user("ada", PASSWORD)
    async with person(chromium, server.page_url) as ada:
        await ada.sign_in("ada")
        await ada.page.reload()
        await ada.connected()
        async with page_of(ada.page.context, server.page_url) as second:
            await second.page.goto(server.page_url)
            await expect(second.page.get_by_role("heading", name="Sign in")).to_be_visible()
            assert await second.page.evaluate("document.cookie") == ""


async def test_servers_invites_and_people(server: ChatServer, chromium: Browser) -> None:
    async with ada_and_bob(server, chromium) as (ada, bob):
        await bob.page.get_by_role("button", name="New server").click()
        await bob.page.get_by_label("Its name").fill("Garden")
        await bob.page.keyboard.press("Enter")
        await expect(bob.page.get_by_role("heading", name="Garden")).to_be_visible()
        await bob.page.get_by_role("button", name="Invite people to Garden").click()
        link = await bob.page.get_by_label("Whoever has this link").input_value()
        code = link.removeprefix(f"{server.page_url}invite/")
        await bob.page.keyboard.press("Escape")
        await ada.page.get_by_role("button", name="Use an invite").click()
        await ada.page.get_by_label("The code").fill("not-a-code")
        await ada.page.keyboard.press("Enter")
        dialog = ada.page.get_by_role("dialog")
        await expect(dialog.get_by_role("alert")).to_have_text("This invite is not valid, or has expired.")
        await expect(ada.page.get_by_label("The code")).to_be_focused()
        await ada.page.get_by_label("The code").fill(f"https://chat.example/invite/{code}/")
        await ada.page.keyboard.press("Enter")
        await expect(dialog).to_have_count(0)
        await expect(ada.page.get_by_role("heading", name="Garden")).to_be_visible()
        await expect(ada.page.locator(".notice")).to_have_count(0)
        await expect(ada.page.locator(".member", has_text="bob").locator(".dot.is-online")).to_be_visible()
        # Somebody without an account opens the link.
        async with person(chromium, server.page_url) as cat:
            await cat.page.goto(link)
            await expect(cat.page.get_by_role("status")).to_contain_text("You have an invite.")
            await cat.page.get_by_role("button", name="Create an account").click()
            await cat.sign_in_here("cat")
            await expect(cat.page.get_by_role("dialog").get_by_label("The code")).to_have_value(code)
            await cat.page.keyboard.press("Enter")
            await expect(cat.page.get_by_role("heading", name="Garden")).to_be_visible()
            await cat.page.reload()
            await cat.connected()
            await expect(cat.page.get_by_role("dialog")).to_have_count(0)
        await ada.page.get_by_role("button", name="Leave Garden").click()
        await ada.page.get_by_role("dialog").get_by_role("button", name="Leave").click()
        await expect(ada.page.get_by_role("heading", name="Garden")).to_have_count(0)
