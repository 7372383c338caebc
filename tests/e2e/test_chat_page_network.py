"""The chat's page on slow networks, without one, and in the browser's cache of pages for its Back button."""

import asyncio
import re

import pytest
from playwright.async_api import Browser, Route, async_playwright, expect

from onesocket_discord.rest import Rest
from onesocket_discord.server import ChatServer
from tools.screenshots import PASSWORD, find_chromium

from .chat_browser import PagePerson, person

pytestmark = pytest.mark.timeout(120)

MODES = {"worker": "", "tab": "globalThis.SharedWorker = undefined"}
"""Where the connection is: in a shared worker, or in the tab."""


class Gate:
    """Holds requests up, as a slow network does."""

    def __init__(self) -> None:
        self.is_open = asyncio.Event()

    async def handle(self, route: Route) -> None:
        """Let a request through once the gate is open."""
        await self.is_open.wait()
        await route.continue_()


async def test_on_a_slow_network_the_page_says_that_it_loads(server: ChatServer, chromium: Browser) -> None:
    token = await server.create_user("bob", PASSWORD)
    modules, history = Gate(), Gate()
    async with person(chromium, server.page_url) as ada, Rest(token, api_url=server.api_url, token_type=None) as bob:
        general = (await bob.guild_channels((await bob.guilds())[0]["id"]))[0]["id"]
        await bob.send_message(general, "said before")
        await ada.page.route("**/*.js", modules.handle)
        await ada.page.goto(server.page_url, wait_until="commit")
        await expect(ada.page.get_by_text("Loading…")).to_be_visible()
        await ada.page.wait_for_function("() => performance.getEntriesByName('first-contentful-paint').length")
        modules.is_open.set()
        await ada.page.get_by_role("button", name="Create an account").click()
        await ada.page.route("**/messages?limit=*", history.handle)
        await ada.sign_in_here("ada")
        loading = ada.page.locator(".messages-area .loading")
        await expect(loading).to_have_text("Loading messages…")
        await expect(loading).to_have_css("visibility", "visible")  # after half a second
        await expect(ada.page.locator(".messages")).to_have_attribute("aria-busy", "true")
        await ada.write("written meanwhile")
        await ada.sent("written meanwhile")
        history.is_open.set()
        await expect(ada.message("said before")).to_be_visible()
        await expect(loading).to_be_hidden()


async def test_what_fails_without_a_network_is_done_as_soon_as_it_is_back(
    server: ChatServer, chromium: Browser
) -> None:
    token = await server.create_user("bob", PASSWORD)
    async with person(chromium, server.page_url) as ada, Rest(token, api_url=server.api_url, token_type=None) as bob:
        guild = (await bob.guilds())[0]["id"]
        await ada.sign_in("ada", new=True)
        plans = (await bob.create_channel(guild, "plans"))["id"]
        await bob.send_message(plans, "first plan")
        await ada.page.context.set_offline(True)
        await ada.open("plans")
        await expect(ada.page.locator(".messages-area")).to_contain_text("The messages could not be loaded.")
        await ada.page.get_by_role("button", name="Try again").click()
        await ada.write("written without a network")
        await expect(ada.page.locator("article.is-pending .fate")).to_contain_text("Waits for the connection")
        await ada.page.context.set_offline(False)
        await expect(ada.message("first plan")).to_be_visible()
        await ada.sent("written without a network")
        await expect(ada.page.locator(".notice")).to_have_count(0)
        assert [one["content"] for one in await bob.messages(plans)] == ["written without a network", "first plan"]


async def test_the_last_keys_before_a_page_is_left_are_kept_too(server: ChatServer, chromium: Browser) -> None:
    async with person(chromium, server.page_url) as ada:
        await ada.sign_in("ada", new=True)
        async with ada.page.expect_navigation():
            await ada.field.evaluate(
                """(field) => {
                field.value = 'the last keys'
                field.dispatchEvent(new Event('input', { bubbles: true }))
                location.reload()
            }"""
            )
        await ada.connected()
        await expect(ada.field).to_have_value("the last keys")


@pytest.mark.parametrize("mode", MODES)
async def test_back_and_forward_come_to_a_live_page_with_one_connection(mode: str, server: ChatServer) -> None:
    await server.create_user("ada", PASSWORD)
    token = await server.create_user("bob", PASSWORD)
    async with async_playwright() as playwright, Rest(token, api_url=server.api_url, token_type=None) as bob:
        general = (await bob.guild_channels((await bob.guilds())[0]["id"]))[0]["id"]
        chromium = await playwright.chromium.launch(
            executable_path=find_chromium(),
            args=["--no-sandbox"],
            ignore_default_args=["--disable-back-forward-cache"],  # by which Playwright switches it off
        )
        ada = PagePerson(await chromium.new_page(), server.page_url)
        await ada.page.add_init_script(f"{MODES[mode]}; addEventListener('pageshow', () => (window.isShown = true))")
        await ada.sign_in("ada")
        await ada.field.fill("half a thought")
        await ada.page.goto(f"{server.page_url}assets/style/base.css")
        await server.wait_for(lambda stats: stats.open == 0)  # a page that is put away holds no connection
        await bob.send_message(general, "said meanwhile")
        await ada.page.go_back(wait_until="commit")
        await ada.page.wait_for_function("() => window.isShown")  # from the cache, or anew: the browser decides
        await ada.connected()
        await expect(ada.message("said meanwhile")).to_be_visible()
        await expect(ada.field).to_have_value("half a thought")
        await ada.field.press("Enter")
        await ada.sent("half a thought")
        await bob.send_message(general, "still live?")
        await expect(ada.message("still live?")).to_be_visible()
        assert server.stats.open == 1
        # The same if the browser tells that it keeps the page, as it does mostly.
        await ada.page.locator("input[type=file]").set_input_files(
            {"name": "a.txt", "mimeType": "", "buffer": b"chosen"}
        )
        await ada.page.evaluate(TELL, "pagehide")
        await server.wait_for(lambda stats: stats.open == 0)
        await ada.page.evaluate(TELL, "pageshow")
        await ada.connected()
        await ada.write("and again")
        await ada.sent("and again")
        await expect(ada.message("and again").locator(".file", has_text="a.txt")).to_be_visible()
        assert server.stats.open == 1
        assert ada.problems == []
        await chromium.close()


TELL = "(kind) => void window.dispatchEvent(new PageTransitionEvent(kind, { persisted: true }))"

BLOCKED = """
    window.asked = 0
    Object.defineProperty(Notification, 'permission', { get: () => 'denied' })
    Notification.requestPermission = async () => (window.asked += 1, 'denied')
"""


async def test_notifications_that_are_blocked_are_told_in_the_settings_alone(
    server: ChatServer, chromium: Browser
) -> None:
    async with person(chromium, server.page_url) as ada:
        await ada.page.add_init_script(BLOCKED)
        await ada.sign_in("ada", new=True)
        await ada.page.evaluate("localStorage.setItem('onesocket.notifications', 'true')")  # allowed once
        await ada.page.reload()
        await ada.connected()
        await expect(ada.page.locator(".notice")).to_have_count(0)
        await ada.page.get_by_role("button", name="Settings").click()
        box = ada.page.get_by_label("Notifications on the desktop")
        sentence = "The browser blocks notifications of this page. Its settings for the page can allow them."
        await expect(box).not_to_be_checked()
        await expect(box).to_have_accessible_description(sentence)
        await expect(ada.page.get_by_text(sentence)).to_be_visible()
        await box.click()
        await expect(box).not_to_be_checked()
        assert await ada.page.evaluate("window.asked") == 0


async def test_a_full_storage_keeps_nobody_from_signing_in_and_writing(server: ChatServer, chromium: Browser) -> None:
    full = "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError') }"
    token = await server.create_user("bob", PASSWORD)
    async with person(chromium, server.page_url) as ada, Rest(token, api_url=server.api_url, token_type=None) as bob:
        general = (await bob.guild_channels((await bob.guilds())[0]["id"]))[0]["id"]
        await ada.page.add_init_script(full)
        await ada.sign_in("ada", new=True)
        for text in ("one", "two"):
            await ada.write(text)
            await ada.sent(text)
        assert [one["content"] for one in await bob.messages(general)] == ["two", "one"]
        await ada.field.fill("half a thought")
        await bob.create_channel((await bob.guilds())[0]["id"], "plans")
        await ada.open("plans")
        await ada.open("general")
        await expect(ada.field).to_have_value("half a thought")


async def test_on_a_device_of_others_nothing_stays_and_signing_out_forgets_what_was_written(
    server: ChatServer, chromium: Browser
) -> None:
    async with person(chromium, server.page_url) as ada:
        await ada.sign_in("ada", new=True)
        with server.faults.refuse_upgrade(503, times=None):
            await server.faults.drop_connection(user="ada")
            await expect(ada.pill).to_have_attribute("data-state", "waiting")
            await ada.write("waits")
            await ada.field.fill("half a thought")
            await expect(ada.message("waits")).to_have_class(re.compile("is-pending"))
            await ada.page.wait_for_function("() => Object.keys(sessionStorage).some((key) => key.includes('text.'))")
            assert await ada.page.evaluate("Object.keys(localStorage)") == []
            await ada.page.reload()  # it outlives that
        await ada.connected()
        await ada.sent("waits")
        await expect(ada.field).to_have_value("half a thought")
        with server.faults.refuse_upgrade(503, times=None):
            await server.faults.drop_connection(user="ada")
            await expect(ada.pill).to_have_attribute("data-state", "waiting")
            await ada.write("never sent")
            await ada.page.get_by_role("button", name="Settings").click()
            await ada.page.get_by_role("button", name="Sign out").click()
            question = ada.page.get_by_role("dialog", name="Sign out?")
            await expect(question).to_contain_text("1 message of yours was not sent, and will be discarded.")
            await question.get_by_role("button", name="Sign out").click()
        await expect(ada.page.get_by_role("heading", name="Sign in")).to_be_visible()
        assert await ada.page.evaluate("[...Object.keys(localStorage), ...Object.keys(sessionStorage)]") == []
