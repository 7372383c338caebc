"""How the chat's page looks with very long names, zoomed, without motion, and in colours of high contrast."""

from typing import Any

import pytest
from playwright.async_api import Browser, expect

from onesocket_discord.rest import Rest
from onesocket_discord.server import ChatServer
from tools.screenshots import PASSWORD

from .chat_browser import PagePerson, person

pytestmark = pytest.mark.timeout(120)

OUTSIDE = """(all) => all.filter((one) => {
    const { left, right, width } = one.getBoundingClientRect()
    return width > 0 && getComputedStyle(one).visibility === 'visible' && (left < -0.5 || right > innerWidth + 0.5)
}).map((one) => one.outerHTML.slice(0, 150))"""
ZOOMED = {"as it is": (1200, 760), "200 %": (600, 380), "a phone": (390, 740), "400 %": (320, 256)}


async def fits(ada: PagePerson, what: str) -> None:
    """Check that nothing that can be pressed is outside of the window, and the page does not scroll sideways."""
    assert await ada.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), what
    outside = await ada.page.locator("button:visible, a:visible, input:visible").evaluate_all(OUTSIDE)
    assert outside == [], what


async def test_very_long_names_and_zoom_push_nothing_out_of_the_window(server: ChatServer, chromium: Browser) -> None:
    token = await server.create_user("W" * 32, PASSWORD)
    async with person(chromium, server.page_url) as ada, Rest(token, api_url=server.api_url, token_type=None) as wide:
        await ada.sign_in("ada", new=True)
        guild = (await wide.guilds())[0]["id"]
        await wide.request("PATCH", "/guilds/{guild_id}", params={"guild_id": guild}, json={"name": "G" * 100})
        made = await wide.create_channel(guild, "c" * 100, topic="T" * 1024)
        await wide.send_message(made["id"], "a message " + "w" * 500)
        people = {one["user"]["username"]: one["user"]["id"] async for one in wide.members(guild)}
        direct = await wide.create_dm(people["ada"])
        await wide.send_message(direct["id"], "psst")
        await ada.page.locator("nav.sidebar a.channel", has_text="ccc").click()
        await expect(ada.message("a message")).to_be_visible()
        for name, (width, height) in ZOOMED.items():
            await ada.page.set_viewport_size({"width": width, "height": height})
            await expect(ada.field).to_be_in_viewport()
            await fits(ada, name)
            title = await ada.page.locator(".topbar h1").bounding_box()
            assert title is not None
            assert title["width"] > 100, name
            await ada.message("a message").hover(position={"x": 80, "y": 30})
            await fits(ada, f"{name}: a message with its buttons")
            for parts in (["Settings"], ["People"]):
                if width < 760 and parts == ["Settings"]:
                    await ada.page.locator(".menu").click()
                    await fits(ada, f"{name}: the channels")
                await ada.page.get_by_role("button", name=parts[0], exact=True).click()
                await fits(ada, f"{name}: {parts[0]}")
                if parts == ["Settings"]:  # all of it can be reached, however low the window is
                    last = ada.page.get_by_role("dialog").get_by_role("button", name="Sign out")
                    await last.scroll_into_view_if_needed()
                    await expect(last).to_be_in_viewport(ratio=0.9)
                    await ada.page.keyboard.press("Escape")
                    await ada.page.keyboard.press("Escape")
                else:
                    await (
                        ada.page.get_by_role("button", name="People", exact=True)
                        .or_(ada.page.get_by_role("complementary").get_by_role("button", name="Close"))
                        .last.click()
                    )


async def test_without_motion_nothing_moves(server: ChatServer, chromium: Browser) -> None:
    async with person(chromium, server.page_url, reduced_motion="reduce") as ada:
        await ada.sign_in("ada", new=True)
        moving = "document.getAnimations().filter((one) => one.animationName === 'appear').length"
        await ada.page.get_by_role("button", name="Settings").click()
        assert await ada.page.evaluate(moving) == 0
        await ada.page.keyboard.press("Escape")
        await ada.page.emulate_media(reduced_motion="no-preference")
        await ada.page.get_by_role("button", name="Settings").click()
        assert await ada.page.evaluate(moving) == 1


STYLE = """(one, name) => getComputedStyle(one)[name]"""


async def test_in_colours_of_high_contrast_what_colours_tell_is_still_told(
    server: ChatServer, chromium: Browser
) -> None:
    token = await server.create_user("bob", PASSWORD)
    async with (
        person(chromium, server.page_url, forced_colors="active") as ada,
        Rest(token, api_url=server.api_url, token_type=None) as bob,
    ):
        await ada.sign_in("ada", new=True)
        guild = (await bob.guilds())[0]["id"]
        general = (await bob.guild_channels(guild))[0]["id"]
        await bob.send_message(general, "||a spoiler|| and @everyone")
        people = {one["user"]["username"]: one["user"]["id"] async for one in bob.members(guild)}
        await bob.send_message((await bob.create_dm(people["ada"]))["id"], "psst")
        canvas = await ada.page.evaluate("getComputedStyle(document.body).backgroundColor")

        async def style(selector: str, name: str) -> Any:
            one = ada.page.locator(selector).first
            await expect(one).to_be_visible()
            return await one.evaluate(STYLE, name)

        for selector in (".dot.is-online", ".pill-dot", ".count-badge"):
            assert await style(selector, "backgroundColor") != canvas, selector
        assert await style(".member-row:has-text('bob') .dot", "backgroundColor") == canvas  # offline: a ring
        assert await style(".member-row:has-text('bob') .dot", "borderTopColor") != canvas
        assert await style(".channel[aria-current]", "outlineStyle") == "solid"
        assert await style(".message.is-mention .line", "borderLeftStyle") == "solid"
        assert await style(".spoiler", "borderTopStyle") == "solid"
        await ada.page.keyboard.press("Control+k")
        assert await style(".choice[aria-selected='true']", "outlineStyle") == "solid"


async def test_on_a_phone_the_buttons_of_a_message_lie_beside_it(server: ChatServer, chromium: Browser) -> None:
    """All is done by the finger: a mouse that rests over another message would show the buttons there."""
    async with person(chromium, server.page_url, viewport={"width": 390, "height": 740}, has_touch=True) as ada:
        await ada.page.goto(server.page_url)
        for name in ("Create an account", "Show what is typed"):
            await ada.page.get_by_role("button", name=name).tap()
        await expect(ada.page.get_by_label("Password")).to_have_attribute("type", "text")
        await ada.sign_in_here("ada")
        for number in range(30):
            await ada.write(f"short {number}.")
        await ada.sent("short 29.")
        for text in ("short 29.", "short 28.", "short 20."):
            await ada.message(text).tap()
            buttons = ada.message(text).locator(".toolbar")
            await expect(buttons).to_be_in_viewport()
            over, words = await buttons.bounding_box(), await ada.message(text).locator(".content").bounding_box()
            assert over is not None
            assert words is not None
            above = over["y"] + over["height"] <= words["y"] + 1
            assert above or over["y"] >= words["y"] + words["height"] - 1, text
