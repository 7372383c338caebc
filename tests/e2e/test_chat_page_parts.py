"""Parts of the chat's page: the search, the buttons of a message, and lists in which only that changes which has to."""

import asyncio
import json
import re
from typing import Any, Final

import pytest
from playwright.async_api import Browser, Route, WebSocketRoute, expect

from onesocket_discord.rest import Rest
from onesocket_discord.server import ChatServer
from tools.screenshots import PASSWORD

from .chat_browser import person

pytestmark = pytest.mark.timeout(120)

CROWD: Final = 5_000


async def test_the_search_follows_what_is_typed_and_gives_its_place_back(server: ChatServer, chromium: Browser) -> None:
    token = await server.create_user("bob", PASSWORD)
    asked: list[str] = []
    released = asyncio.Event()

    async def late(route: Route) -> None:
        text = re.findall(r"content=([^&]*)", route.request.url)[0]
        asked.append(text)
        if text == "slow":
            await released.wait()
        await route.continue_()

    async with person(chromium, server.page_url) as ada, Rest(token, api_url=server.api_url, token_type=None) as bob:
        general = (await bob.guild_channels((await bob.guilds())[0]["id"]))[0]["id"]
        for text in ("a slow boat", "a slower train"):
            await bob.send_message(general, text)
        await ada.sign_in("ada", new=True)
        await ada.page.route("**/messages/search?*", late)
        people, results = ada.page.get_by_role("heading", name="People — 2"), ada.page.locator(".result")
        await ada.page.keyboard.press("Control+f")
        await expect(people).to_be_hidden()
        async with ada.page.expect_request("**/messages/search?*"):
            await ada.page.keyboard.type("slow")
        async with ada.page.expect_event("requestfailed"):  # it isn't wanted any more
            await ada.page.keyboard.type("er")
        await expect(results).to_have_count(1)
        await expect(results).to_contain_text("a slower train")
        released.set()
        await ada.page.keyboard.press("Enter")  # at once, and again
        await expect(results).to_have_count(1)
        assert asked == ["slow", "slower", "slower"]
        await ada.page.get_by_label("Search messages").fill("")
        await expect(results).to_have_count(0)
        for close in ("Escape", "button"):
            if close == "Escape":
                await ada.page.keyboard.press("Escape")
            else:
                await ada.page.keyboard.press("Control+f")
                await ada.page.get_by_role("complementary").get_by_role("button", name="Close").click()
                await expect(ada.field).to_be_focused()
            await expect(people).to_be_visible()
        # Where nothing was there before, nothing is there behind it.
        await ada.page.get_by_role("button", name="People", exact=True).click()
        await expect(people).to_be_hidden()
        await ada.page.keyboard.press("Control+f")
        await ada.page.keyboard.press("Escape")
        await expect(ada.page.get_by_role("complementary")).to_be_hidden()


async def test_more_of_what_was_found_is_of_the_same_server(server: ChatServer, chromium: Browser) -> None:
    token = await server.create_user("ada", PASSWORD)
    asked: list[tuple[str, str]] = []

    async def answer(route: Route) -> None:
        asked.append(re.findall(r"guilds/([0-9]+)/.*offset=([0-9]+)", route.request.url)[0])
        await route.fulfill(json={"total_results": 30, "messages": []})

    async with person(chromium, server.page_url) as ada, Rest(token, api_url=server.api_url, token_type=None) as rest:
        first = (await rest.guilds())[0]["id"]
        await rest.create_guild("Other place")
        await ada.sign_in("ada")
        await ada.page.route("**/messages/search?*", answer)
        await ada.page.locator("nav.sidebar section").first.locator("a.channel").first.click()
        await ada.page.keyboard.press("Control+f")
        await ada.page.keyboard.type("boat")
        more = ada.page.get_by_role("button", name="More", exact=True)
        await expect(more).to_be_visible()
        shown = ada.page.url
        await ada.page.locator("nav.sidebar section").nth(1).locator("a.channel").first.click()
        await ada.page.wait_for_function("(before) => location.href !== before", arg=shown)
        async with ada.page.expect_response("**/messages/search?*"):
            await more.click()
        assert asked == [(first, "0"), (first, "25")]


async def test_the_buttons_of_a_message_cover_no_field_and_go_with_the_focus(
    server: ChatServer, chromium: Browser
) -> None:
    async with person(chromium, server.page_url) as ada:
        await ada.sign_in("ada", new=True)
        await ada.write("a message")
        await ada.sent("a message")
        toolbar, editor = ada.page.locator(".toolbar"), ada.page.get_by_label("Edit the message")
        await ada.message("a message").hover()
        await toolbar.get_by_role("button", name="Edit").click()
        await expect(editor).to_be_focused()
        await expect(toolbar).to_have_count(0)
        await editor.press("Escape")
        await expect(ada.field).to_be_focused()
        await ada.message("a message").hover()
        await expect(toolbar).to_be_visible()
        await ada.field.press("ArrowUp")
        await expect(editor).to_be_focused()
        await ada.page.mouse.move(600, 500)
        await editor.hover()
        await expect(toolbar).to_have_count(0)
        await editor.fill("a message by mouse")
        await editor.press("Enter")
        await expect(ada.message("a message by mouse")).to_be_visible()
        # By keyboard alone: they come with the focus, and go with it.
        await ada.page.mouse.move(5, 5)
        await ada.page.keyboard.press("Shift+F6")
        await ada.page.keyboard.press("ArrowUp")
        await expect(ada.message("a message by mouse").locator(".toolbar")).to_be_visible()
        await ada.page.keyboard.press("e")
        await expect(editor).to_be_focused()
        await expect(toolbar).to_have_count(0)
        await editor.fill("a message by keys")
        await editor.press("Enter")
        await expect(ada.message("a message by keys")).to_be_visible()
        await expect(ada.field).to_be_focused()
        await expect(toolbar).to_have_count(0)


async def test_a_completion_goes_with_the_focus_and_not_after_it_is_back(server: ChatServer, chromium: Browser) -> None:
    await server.create_user("bob", PASSWORD)
    async with person(chromium, server.page_url) as ada:
        await ada.sign_in("ada", new=True)
        await ada.write("a message")
        await ada.sent("a message")
        choice = ada.page.get_by_role("option", name="bob")
        await ada.page.clock.install()
        await ada.message("a message").focus()
        await ada.field.press_sequentially("@bo")
        await expect(choice).to_be_visible()
        await ada.page.clock.run_for(1_000)
        await expect(choice).to_be_visible()
        await choice.click()  # which doesn't take the focus
        await expect(ada.field).to_be_focused()
        await expect(ada.field).to_have_value("@bob ")
        await ada.field.press_sequentially("@bo")
        await expect(choice).to_be_visible()
        await ada.message("a message").focus()
        await expect(choice).to_be_hidden()


OBSERVE = """() => {
    window.touched = { sidebar: new Set(), people: new Set() }
    const all = { subtree: true, childList: true, attributes: true, characterData: true }
    const rowOf = (node, kind) => {
        const element = node.nodeType === 1 ? node : node.parentElement
        const row = element?.closest(kind === 'sidebar' ? 'li' : '[data-row]')
        return row ? (row.querySelector('.channel-name, .member-name, h3')?.textContent ?? '') : ''
    }
    for (const [kind, name] of [['sidebar', '.sidebar'], ['people', '.panel']]) {
        new MutationObserver((records) => {
            for (const { target, addedNodes, removedNodes } of records) {
                const isList = target.matches?.('.rows, ul, .channel-list')
                const nodes = isList ? [...addedNodes, ...removedNodes] : [target]
                for (const node of nodes) window.touched[kind].add(rowOf(node, kind) || target.className)
            }
        }).observe(document.querySelector(name), all)
    }
}"""


async def test_a_presence_changes_one_row_of_the_lists_also_among_thousands(
    server: ChatServer, chromium: Browser
) -> None:
    """The server is one of two people; the test adds a crowd to what it tells, and makes presences of typing."""
    token = await server.create_user("bob", PASSWORD)
    presence: dict[str, Any] = {}

    def crowded(text: str | bytes) -> str | bytes:
        told = json.loads(text)
        if told["t"] == "GUILD_CREATE":
            names = [f"member {number:04}" for number in range(CROWD)]
            people = [{"id": str(number + 1), "username": name} for number, name in enumerate(names)]
            told["d"]["members"] += [{"user": user, "roles": []} for user in people]
            told["d"]["presences"] += [{"user": user, "status": "online"} for user in people]
        elif told["t"] == "TYPING_START":
            told |= {"t": "PRESENCE_UPDATE", "d": presence}
        return json.dumps(told)

    def between(socket: WebSocketRoute) -> None:
        upstream = socket.connect_to_server()
        upstream.on_message(lambda text: socket.send(crowded(text)))

    async with person(chromium, server.page_url) as ada, Rest(token, api_url=server.api_url, token_type=None) as bob:
        guild = (await bob.guilds())[0]["id"]
        general = (await bob.guild_channels(guild))[0]["id"]
        await ada.page.add_init_script("globalThis.SharedWorker = undefined")  # whose socket a test can't reach
        await ada.page.route_web_socket(re.compile("^ws"), between)
        await ada.sign_in("ada", new=True)
        people = {one["user"]["username"]: one["user"]["id"] async for one in bob.members(guild)}
        direct = await bob.create_dm(people["ada"])
        await bob.send_message(direct["id"], "psst")
        await expect(ada.page.locator("nav.sidebar .count-badge")).to_be_visible()
        await expect(ada.page.get_by_role("heading", name=f"Online — {CROWD + 1}")).to_be_visible()
        await ada.page.evaluate(OBSERVE)

        async def change(user: dict[str, str], status: str) -> dict[str, list[str]]:
            presence.update(user=user, status=status, guild_id=guild)
            await ada.page.evaluate("() => Object.values(window.touched).forEach((one) => one.clear())")
            await bob.typing(general)
            row = ada.page.locator(".presence", has_text=status)
            await expect(row.first).to_be_visible()
            code = "() => Object.fromEntries(Object.entries(window.touched).map(([kind, all]) => [kind, [...all]]))"
            found: dict[str, list[str]] = await ada.page.evaluate(code)
            return found

        assert await change({"id": "3"}, "idle") == {"sidebar": [], "people": ["member 0002"]}
        assert (await change({"id": people["bob"]}, "dnd"))["sidebar"] == ["bob"]
