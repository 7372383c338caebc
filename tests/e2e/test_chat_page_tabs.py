"""Tabs of the chat's page: those of one account are one connection, which the server counts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from onesocket_discord.rest import Rest
from onesocket_discord.server import ChatServer
from tools.screenshots import PASSWORD

from .chat_browser import PagePerson, page_of, person

pytestmark = pytest.mark.timeout(120)

MODES = {"worker": "", "leader": "globalThis.SharedWorker = undefined"}
"""Where the connection is: in a shared worker, or in one of the tabs."""
SIGNED_OUT = "You were signed out. Sign in again."


@asynccontextmanager
async def bob_of(server: ChatServer) -> AsyncIterator[tuple[Rest, str]]:
    """Bob by HTTP, and the id of #general."""
    token = await server.create_user("bob", PASSWORD)
    async with Rest(token, api_url=server.api_url, token_type=None) as rest:
        yield rest, (await rest.guild_channels((await rest.guilds())[0]["id"]))[0]["id"]


@asynccontextmanager
async def tabs_of(context: BrowserContext, url: str, count: int) -> AsyncIterator[list[PagePerson]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(page_of(context, url)) for _ in range(count)]


@asynccontextmanager
async def two_tabs(server: ChatServer, chromium: Browser, script: str = "") -> AsyncIterator[list[PagePerson]]:
    """Two tabs of Ada, who stays signed in; the second one joins late."""
    await server.create_user("ada", PASSWORD)
    context = await chromium.new_context(viewport={"width": 1200, "height": 760})
    await context.add_init_script(script or "1")
    async with tabs_of(context, server.page_url, 2) as tabs:
        await tabs[0].page.goto(server.page_url)
        await tabs[0].page.get_by_label("Stay signed in").check()
        await tabs[0].sign_in_here("ada")
        await tabs[1].page.goto(server.page_url)
        await tabs[1].connected()
        yield tabs
    await context.close()


async def crash(page: Page) -> None:
    session = await page.context.new_cdp_session(page)
    crashing = asyncio.ensure_future(session.send("Page.crash"))
    await page.wait_for_event("crash")
    crashing.cancel()


@pytest.mark.parametrize("mode", MODES)
async def test_two_tabs_are_one_connection_and_the_second_has_the_whole_state(
    mode: str, server: ChatServer, chromium: Browser
) -> None:
    async with bob_of(server) as (bob, general), two_tabs(server, chromium, MODES[mode]) as (first, second):
        assert (server.stats.open, server.stats.identifies) == (1, 1)
        for tab in (first, second):
            await expect(tab.page.get_by_role("heading", name="onesocket", exact=True)).to_be_visible()
            await expect(tab.page.get_by_role("heading", name="People — 2")).to_be_visible()
            await expect(tab.page.locator(".own-name")).to_have_text("ada")
        # What one tab is told all are told, and what is written in one is shown in all, once.
        await bob.send_message(general, "to both tabs")
        await first.write("from the first")
        await second.write("from the second")
        for tab in (first, second):
            for text in ("to both tabs", "from the first", "from the second"):
                await tab.sent(text)
                await expect(tab.message(text)).to_have_count(1)
        # What came before a third one joined is known to it: here a conversation with one unread message.
        people = {
            one["user"]["username"]: one["user"]["id"] async for one in bob.members((await bob.guilds())[0]["id"])
        }
        direct = await bob.create_dm(people["ada"])
        await bob.send_message(direct["id"], "psst")
        async with page_of(first.page.context, server.page_url) as third:
            await third.page.goto(server.page_url)
            await third.connected()
            conversation = third.page.locator("nav.sidebar a.channel", has_text="bob")
            await expect(conversation.locator(".count-badge")).to_contain_text("1")
            assert (server.stats.open, server.stats.identifies) == (1, 1)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("end", ["closed", "killed"])
async def test_the_end_of_the_first_tab_does_not_end_the_second(
    mode: str, end: str, server: ChatServer, chromium: Browser
) -> None:
    async with bob_of(server) as (bob, general), two_tabs(server, chromium, MODES[mode]) as (first, second):
        await (first.page.close() if end == "closed" else crash(first.page))
        # In a worker it goes on; else the second tab takes over, after the server has seen the end of the first.
        await server.wait_for(lambda stats: stats.identifies == (1 if mode == "worker" else 2) and stats.open == 1)
        await second.connected()
        await bob.send_message(general, "still there?")
        await second.sent("still there?")
        await second.write("yes")
        await second.sent("yes")
        assert server.stats.open == 1


async def test_two_accounts_are_two_connections_and_one_that_signs_in_twice_is_one(
    server: ChatServer, chromium: Browser
) -> None:
    for name in ("ada", "bob"):
        await server.create_user(name, PASSWORD)
    context = await chromium.new_context()
    async with tabs_of(context, server.page_url, 3) as (ada, bob, again):
        await ada.sign_in("ada")
        await bob.sign_in("bob")
        assert (server.stats.open, server.stats.identifies) == (2, 2)
        await expect(bob.page.locator(".own-name")).to_have_text("bob")
        await again.sign_in("ada")
        assert (server.stats.open, server.stats.identifies) == (2, 2)
        await again.write("once")
        await again.sent("once")
        await ada.sent("once")
        # Signing out in one tab signs out in all of this account, and in no other.
        await again.page.get_by_role("button", name="Settings").click()
        await again.page.get_by_role("button", name="Sign out").click()
        await expect(ada.page.get_by_role("alert")).to_have_text(SIGNED_OUT)
        await server.wait_for(lambda stats: stats.open == 1)
        await bob.write("not me")
        await bob.sent("not me")
    await context.close()


async def test_signing_out_without_a_server_signs_out_in_all_tabs(server: ChatServer, chromium: Browser) -> None:
    async with two_tabs(server, chromium) as (first, second):
        await first.page.context.route("**/api/**", lambda route: route.abort())
        await first.page.get_by_role("button", name="Settings").click()
        await first.page.get_by_role("button", name="Sign out").click()
        await expect(second.page.get_by_role("alert")).to_have_text(SIGNED_OUT)
        assert await second.page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 0]
        await server.wait_for(lambda stats: stats.open == 0)


async def test_a_login_that_is_ended_elsewhere_ends_its_tab_and_the_other_one_goes_on(
    server: ChatServer, chromium: Browser
) -> None:
    await server.create_user("ada", PASSWORD)
    context = await chromium.new_context()
    async with tabs_of(context, server.page_url, 2) as (first, second), aiohttp.ClientSession() as http:
        await first.sign_in("ada")
        await second.sign_in("ada")
        headers = {"Authorization": await first.page.evaluate("sessionStorage.getItem('onesocket.token')")}
        async with http.post(f"{server.api_url}/auth/logout", headers=headers, json={}) as answer:
            assert answer.status == 204
        await expect(first.page.get_by_role("alert")).to_have_text(SIGNED_OUT)
        await second.connected()
        await second.write("with a token of its own")
        await second.sent("with a token of its own")
        assert server.stats.open == 1
    await context.close()


async def test_all_tabs_go_on_when_the_password_is_changed_in_one(server: ChatServer, chromium: Browser) -> None:
    async with two_tabs(server, chromium) as (first, second):
        await first.page.get_by_role("button", name="Settings").click()
        await first.page.get_by_role("button", name="Change the password").click()
        await first.page.get_by_label("The old password").fill(PASSWORD)
        await first.page.get_by_label("The new password").fill("another horse")
        async with first.page.expect_navigation():  # it begins anew, with the new token
            await first.page.keyboard.press("Enter")
        await server.wait_for(lambda stats: stats.identifies >= 2)
        for number, tab in enumerate((first, second)):
            await tab.connected()
            await tab.write(f"with the new token {number}")
            await tab.sent(f"with the new token {number}")
        await server.wait_for(lambda stats: stats.open == 1)


BLOCKED = """
    const deny = () => { throw new DOMException('denied', 'SecurityError') };
    for (const name of ['localStorage', 'sessionStorage']) Object.defineProperty(globalThis, name, { get: deny });
    LockManager.prototype.request = async () => deny();
    globalThis.BroadcastChannel = class { constructor() { deny() } };
    globalThis.SharedWorker = class { constructor() { deny() } };
"""
INSECURE = "delete Navigator.prototype.locks; delete Crypto.prototype.randomUUID; delete globalThis.SharedWorker"


@pytest.mark.parametrize("script", [BLOCKED, INSECURE], ids=["storage is blocked", "no secure context"])
async def test_where_tabs_can_not_share_each_has_a_connection(
    script: str, server: ChatServer, chromium: Browser
) -> None:
    await server.create_user("ada", PASSWORD)
    context = await chromium.new_context()
    await context.add_init_script(script)
    async with tabs_of(context, server.page_url, 2) as tabs:
        for tab in tabs:
            await tab.sign_in("ada")
        assert server.stats.open == 2
        await tabs[0].write("hello")
        for tab in tabs:
            await tab.sent("hello")
        await server.faults.drop_connection(user="ada")
        for tab in tabs:
            await tab.connected()
    await context.close()


async def test_a_tab_of_another_version_has_a_connection_of_its_own(server: ChatServer, chromium: Browser) -> None:
    async with two_tabs(server, chromium) as (first, second):
        other: Any = "export const VERSION = 'of another release'"
        await second.page.route(
            "**/version.js", lambda route: route.fulfill(body=other, content_type="text/javascript")
        )
        await second.page.reload()
        await second.connected()
        assert server.stats.open == 2
        await first.write("hello")
        await second.sent("hello")


async def test_an_open_page_tells_of_a_newer_version(server: ChatServer, chromium: Browser) -> None:
    async with person(chromium, server.page_url) as ada:
        await ada.sign_in("ada", new=True)
        newer = "export const VERSION = 'of the next release'"
        await ada.page.route("**/assets/version.js", lambda route: route.fulfill(body=newer))
        await server.faults.drop_connection(user="ada")
        await ada.page.locator(".notice", has_text="out of date").get_by_role("button", name="Reload").click()
        await ada.connected()
        await expect(ada.page.locator(".notice")).to_have_count(0)


async def test_a_page_whose_modules_do_not_come_says_so(server: ChatServer, chromium: Browser) -> None:
    async with person(chromium, server.page_url) as ada:
        await ada.page.route("**/main.js", lambda route: route.fulfill(status=404))
        await ada.page.goto(server.page_url)
        await expect(ada.page.get_by_text("The page could not be loaded")).to_be_visible()


async def test_drafts_of_two_tabs_are_apart(server: ChatServer, chromium: Browser) -> None:
    """Text that is being written in a tab is not replaced by that of another one."""
    async with two_tabs(server, chromium) as (first, second):
        await first.field.fill("in the first")
        await second.field.fill("in the second")
        await first.page.wait_for_function("() => Object.keys(localStorage).some((key) => key.includes('text.'))")
        await expect(first.field).to_have_value("in the first")
        await first.field.press("Enter")
        await first.sent("in the first")
        await expect(second.field).to_have_value("in the second")
        # Each comes back to its own after a reload; one that is sent in a tab is gone there alone.
        await second.page.reload()
        await second.connected()
        await expect(second.field).to_have_value("in the second")
        await first.page.reload()
        await first.connected()
        await expect(first.field).to_have_value("")
        await second.field.press("Enter")
        await second.sent("in the second")
