"""The chat's page for everybody: by keyboard alone, on a phone, with a screen reader, light and dark."""

import asyncio
import json
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import Browser, Page, expect

from onesocket_discord.rest import Rest
from onesocket_discord.server import ChatServer
from tests.engines.node_engine import install_package
from tools.screenshots import PASSWORD

from .chat_browser import PagePerson, person

pytestmark = pytest.mark.timeout(240)

AXE_VERSION: Final = "4.14.1"
ROOT: Final = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, from npm: a tool of these tests alone."""
    folder = ROOT / ".e2e"
    asyncio.run(install_package(folder, "axe-core", AXE_VERSION))
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")


async def check(page: Page, axe: str, what: str) -> None:
    """Let axe look at what is shown: no finding that is serious or critical."""
    found: list[Any] = await page.evaluate(
        f"""async () => {{ {axe}; const result = await window.axe.run(document, {{ resultTypes: ['violations'] }})
            return result.violations.map((one) => ({{ id: one.id, impact: one.impact,
                nodes: one.nodes.map((node) => node.html.slice(0, 200) + ' ' + (node.any[0]?.message ?? '')) }})) }}"""
    )
    serious = [one for one in found if one["impact"] in {"serious", "critical"}]
    assert not serious, f"{what}: {json.dumps(serious, indent=1, ensure_ascii=False)}"


async def fill_channel(server: ChatServer, token: str) -> str:
    """Write a few messages in the first channel; returns its id."""
    async with Rest(token, api_url=server.api_url, token_type=None) as rest:
        guild = (await rest.guilds())[0]["id"]
        general = (await rest.guild_channels(guild))[0]["id"]
        question = await rest.send_message(general, "A **question** with `code`, https://example.org and ||a spoiler||")
        await rest.send_message(general, "```py\nprint('an answer')\n```\n> quoted", reply_to=question["id"])
        await rest.add_reaction(general, question["id"], "👍")
        await rest.edit_message(general, question["id"], "An edited **question** @everyone, https://example.org ||no||")
    return str(general)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
async def test_axe_finds_nothing_serious(
    server: ChatServer, chromium: Browser, axe: str, scheme: str, width: int
) -> None:
    token = await server.create_user("bob", PASSWORD)
    general = await fill_channel(server, token)
    options = {"viewport": {"width": width, "height": 760}, "color_scheme": scheme, "reduced_motion": "reduce"}
    # Without motion: colours in the middle of it are not those that are read. Axe itself is no script of the page.
    async with person(chromium, server.page_url, bypass_csp=True, **options) as ada:
        await ada.page.goto(server.page_url)
        await ada.page.keyboard.press("Enter")
        await check(ada.page, axe, "the form with an error")
        await ada.sign_in("ada", new=True)
        await ada.write("hello @bob")
        await ada.sent("hello")
        await check(ada.page, axe, "a channel")
        await ada.message("question").focus()
        await check(ada.page, axe, "a message with its buttons")
        await ada.field.fill("@b")
        await ada.field.press_sequentially("o")
        await expect(ada.page.get_by_role("option")).to_have_count(1)
        await check(ada.page, axe, "a completion")
        await ada.page.keyboard.press("Escape")
        await ada.field.fill("")
        for name, keys in (("the search", "Control+f"), ("the places", "Control+k"), ("the keys", "Control+/")):
            await ada.page.keyboard.press(keys)
            await check(ada.page, axe, name)
            await ada.page.keyboard.press("Escape")
        if width < 760:
            await ada.page.get_by_role("button", name="Channels").click()
            await check(ada.page, axe, "the channels as a drawer")
        await ada.page.get_by_role("button", name="Settings").click()
        await check(ada.page, axe, "the settings")
        await ada.page.keyboard.press("Escape")
        await ada.page.keyboard.press("Escape")
        with server.faults.refuse_upgrade(503, times=None):
            await server.faults.drop_connection(user="ada")
            await expect(ada.page.locator(".notice")).to_be_visible()
            await check(ada.page, axe, "a notice")
        await ada.connected()
        await ada.field.fill("half a thought")
        async with Rest(token, api_url=server.api_url, token_type=None) as rest:
            await rest.request("DELETE", "/channels/{channel_id}", params={"channel_id": general})
        await expect(ada.page.locator(".empty h2")).to_have_text("#general is gone")
        await check(ada.page, axe, "a channel that is gone")


async def test_everything_by_keyboard(server: ChatServer, chromium: Browser) -> None:
    await fill_channel(server, await server.create_user("bob", PASSWORD))
    async with person(chromium, server.page_url) as ada:
        page, keys = ada.page, ada.page.keyboard
        await page.goto(server.page_url)
        await expect(page.get_by_label("Name")).to_be_focused()
        for key in ("Tab",) * 5:  # past the password and what shows it, the check box and the button
            await keys.press(key)
        await expect(page.get_by_role("button", name="Create an account")).to_be_focused()
        await keys.press("Enter")
        await keys.type("ada")
        await keys.press("Tab")
        await keys.type(PASSWORD)
        await keys.press("Enter")
        await ada.connected()
        await expect(ada.field).to_be_focused()
        await keys.type("written by keys")
        await keys.press("Enter")
        await ada.sent("written by keys")
        # To the messages: from one to the next, reply, react.
        await keys.press("Shift+F6")
        await expect(page.locator(".messages")).to_be_focused()
        await keys.press("ArrowUp")
        await expect(ada.message("written by keys")).to_be_focused()
        await keys.press("ArrowUp")
        await expect(ada.message("quoted")).to_be_focused()
        await keys.press("r")
        await expect(ada.field).to_be_focused()
        await keys.type("answered")
        await keys.press("Enter")
        await ada.sent("answered")
        await expect(ada.message("answered").locator(".reply")).to_be_visible()
        await keys.press("Shift+F6")
        await keys.press("ArrowUp")
        await keys.press("+")
        await keys.type("rocket")
        await keys.press("Enter")
        await expect(ada.message("answered").locator(".reaction")).to_have_text("🚀1")
        # Search, and go to what was found.
        await keys.press("Control+f")
        await keys.type("edited")
        await keys.press("Enter")
        await expect(page.locator(".result")).to_have_count(1)
        await keys.press("Tab")
        await keys.press("Tab")
        await keys.press("Enter")
        await expect(ada.message("An edited")).to_be_focused()
        # Edit and delete.
        await keys.press("Escape")
        await keys.press("Escape")
        await expect(ada.field).to_be_focused()
        await keys.press("ArrowUp")
        await expect(page.get_by_label("Edit the message")).to_be_focused()
        await keys.press("End")
        await keys.type(" and edited")
        await keys.press("Enter")
        await expect(ada.message("answered and edited")).to_be_visible()
        await expect(ada.field).to_be_focused()
        await keys.press("Shift+F6")
        await keys.press("ArrowUp")
        await keys.press("Delete")
        await expect(page.get_by_role("dialog")).to_be_visible()
        await keys.press("Tab")
        await keys.press("Enter")
        await expect(ada.message("answered and edited")).to_have_count(0)
        # A conversation by name.
        await keys.press("Control+k")
        await keys.type("bob")
        await keys.press("Enter")
        await expect(page.locator(".topbar h1")).to_have_text("bob")
        await expect(ada.field).to_be_focused()
        await keys.press("Alt+ArrowUp")
        await expect(page.locator(".topbar h1")).to_have_text("#general")


async def test_on_a_phone(server: ChatServer, chromium: Browser) -> None:
    await fill_channel(server, await server.create_user("bob", PASSWORD))
    options = {"viewport": {"width": 390, "height": 740}, "has_touch": True, "is_mobile": True}
    async with person(chromium, server.page_url, **options) as ada:
        page = ada.page
        await ada.sign_in("ada", new=True)
        await ada.write("from a phone " + "w" * 300)
        await ada.sent("from a phone")
        assert await page.evaluate("document.documentElement.scrollWidth") == 390
        await ada.message("from a phone").tap()
        await page.get_by_role("button", name="Edit", exact=True).tap()
        await page.get_by_label("Edit the message").fill("edited on a phone")
        await page.get_by_role("button", name="saves").tap()
        await expect(ada.message("edited on a phone")).to_be_visible()
        await page.get_by_role("button", name="Channels").tap()
        drawer = page.locator("nav.sidebar")
        await expect(drawer.get_by_role("link", name="general")).to_be_visible()
        await page.locator(".scrim").tap(position={"x": 370, "y": 400})
        await expect(drawer).to_be_hidden()
        await page.get_by_role("button", name="People").tap()
        await page.locator("button.member", has_text="bob").tap()
        await expect(page.locator(".topbar h1")).to_have_text("bob")
        await small_targets(ada)


async def small_targets(ada: PagePerson) -> None:
    """Check that buttons are 24 pixels or more in both directions (WCAG 2.2, 2.5.8)."""
    small: list[str] = await ada.page.locator("button:visible").evaluate_all(
        """(all) => all.filter((one) => {
            const { width, height } = one.getBoundingClientRect()
            return width > 0 && (width < 24 || height < 24)
        }).map((one) => one.outerHTML.slice(0, 120))"""
    )
    assert small == []


async def test_the_chosen_colours_stay(server: ChatServer, chromium: Browser) -> None:
    async with person(chromium, server.page_url, color_scheme="light") as ada:
        await ada.sign_in("ada", new=True)
        light = await ada.page.evaluate("getComputedStyle(document.body).backgroundColor")
        await ada.page.get_by_role("button", name="Settings").click()
        await ada.page.get_by_label("Dark").check()
        dark = await ada.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert dark != light
        await ada.page.reload()
        await ada.connected()
        assert await ada.page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
