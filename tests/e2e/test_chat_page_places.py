"""Which conversation the chat's page shows: the first one, the last one, one that is gone, or none."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from onesocket_discord.rest import Rest
from onesocket_discord.server import ChatServer
from tools.screenshots import PASSWORD

from .chat_browser import PagePerson, person

pytestmark = pytest.mark.timeout(120)

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 740}, "has_touch": True, "is_mobile": True}


class Owner:
    """Eve, who owns the default server, by HTTP."""

    def __init__(self, rest: Rest, guild: str, general: str) -> None:
        self.rest = rest
        self.guild = guild
        self.general = general

    async def ids(self) -> dict[str, str]:
        """The ids of the people of the default server, by name."""
        return {one["user"]["username"]: one["user"]["id"] async for one in self.rest.members(self.guild)}

    async def write_to(self, name: str, text: str) -> None:
        """Send a direct message."""
        channel = await self.rest.create_dm((await self.ids())[name])
        await self.rest.send_message(channel["id"], text)

    async def kick(self, name: str) -> None:
        """Remove somebody from the default server."""
        params = {"guild_id": self.guild, "user_id": (await self.ids())[name]}
        await self.rest.request("DELETE", "/guilds/{guild_id}/members/{user_id}", params=params)

    async def delete_channel(self, channel_id: str) -> None:
        """Delete a channel."""
        await self.rest.request("DELETE", "/channels/{channel_id}", params={"channel_id": channel_id})


@asynccontextmanager
async def owner_of(server: ChatServer) -> AsyncIterator[Owner]:
    async with Rest(await server.create_user("eve", PASSWORD), api_url=server.api_url, token_type=None) as rest:
        guild = (await rest.guilds())[0]["id"]
        yield Owner(rest, guild, (await rest.guild_channels(guild))[0]["id"])


async def is_without_conversation(one: PagePerson, title: str, text: str) -> None:
    """Check what stands in place of a conversation: sentences, nothing to write in, and the focus is there."""
    await expect(one.page.locator(".empty h2")).to_have_text(title)
    await expect(one.page.locator(".empty")).to_contain_text(text)
    await expect(one.field).to_be_hidden()
    await expect(one.page.locator(".messages")).to_be_hidden()


async def test_one_who_is_removed_from_the_only_server_sees_that_and_what_to_do(
    server: ChatServer, chromium: Browser
) -> None:
    async with owner_of(server) as eve, person(chromium, server.page_url) as ada:
        await ada.sign_in("ada", new=True)
        await eve.rest.send_message(eve.general, "said before")
        await expect(ada.message("said before")).to_be_visible()
        await ada.field.fill("half a thought")
        await eve.kick("ada")
        await is_without_conversation(ada, "onesocket is gone", "you were removed from it, or it was deleted")
        await expect(ada.page.locator(".empty h2")).to_be_focused()  # what is typed on goes nowhere
        await expect(ada.page.get_by_label("What you wrote there was not sent:")).to_have_value("half a thought")
        await ada.page.reload()
        await ada.connected()
        await is_without_conversation(ada, "You are in no server yet", "an invite")
        # A way back: the conversation is opened when there is one.
        code = (await eve.rest.create_invite(eve.general))["code"]
        await ada.page.locator(".empty").get_by_role("button", name="Use an invite").click()
        await ada.page.get_by_label("The code").fill(code)
        await ada.page.keyboard.press("Enter")
        await expect(ada.message("said before")).to_be_visible()
        await expect(ada.field).to_be_focused()


async def test_what_is_open_is_deleted_and_nothing_is_written_elsewhere(server: ChatServer, chromium: Browser) -> None:
    async with owner_of(server) as eve, person(chromium, server.page_url) as ada:
        await ada.sign_in("ada", new=True)
        plans = await eve.rest.create_channel(eve.guild, "plans")
        await ada.open("plans")
        await ada.field.press_sequentially("half a")
        file = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"for no other place"}
        await ada.page.locator("input[type=file]").set_input_files(file)  # type: ignore[arg-type]
        asks = "!dispatchEvent(new Event('beforeunload', { cancelable: true }))"
        assert await ada.page.evaluate(asks)
        await eve.delete_channel(plans["id"])
        await is_without_conversation(ada, "#plans is gone", "was deleted, or you may no longer see it")
        await ada.page.keyboard.type(" thought")
        await ada.page.keyboard.press("Enter")
        await expect(ada.page.get_by_label("What you wrote there was not sent:")).to_have_value("half a")
        assert await eve.rest.messages(eve.general) == []
        assert not await ada.page.evaluate(asks)  # nobody can send the file any more, or take it back
        await ada.page.get_by_role("button", name="Go to #general").click()
        await expect(ada.field).to_be_focused()
        await expect(ada.field).to_have_value("")
        # A whole server; one that the user leaves needs no explanation.
        for last in ("delete", "leave"):
            garden = await eve.rest.create_guild("Garden")
            channel = (await eve.rest.guild_channels(garden["id"]))[0]
            await eve.rest.send_message(channel["id"], f"in the garden to {last}")
            await accept(ada.page, (await eve.rest.create_invite(channel["id"]))["code"])
            await ada.page.locator("nav.sidebar section", has_text="Garden").locator("a.channel").click()
            await expect(ada.message(f"in the garden to {last}")).to_be_visible()
            if last == "delete":
                await eve.rest.request("DELETE", "/guilds/{guild_id}", params={"guild_id": garden["id"]})
                await is_without_conversation(ada, "Garden is gone", "you were removed from it, or it was deleted")
                await ada.page.get_by_role("button", name="Go to #general").click()
            else:
                await ada.page.get_by_role("button", name="Leave Garden").click()
                await ada.page.get_by_role("dialog").get_by_role("button", name="Leave").click()
                await expect(ada.page.locator("nav.sidebar section", has_text="Garden")).to_have_count(0)
                await expect(ada.page.locator("nav.sidebar [aria-current]")).to_have_text("#general")
                await expect(ada.page.locator(".empty")).to_be_hidden()
        # The last one there is.
        await eve.delete_channel(eve.general)
        await is_without_conversation(ada, "#general is gone", "was deleted")
        await ada.page.reload()
        await is_without_conversation(ada, "No channels yet", "There is none in the servers that you are in.")


async def accept(page: Page, code: str) -> None:
    """Use an invite."""
    await page.locator("nav.sidebar").get_by_role("button", name="Use an invite").click()
    await page.get_by_label("The code").fill(code)
    await page.keyboard.press("Enter")


async def test_the_button_that_leaves_a_server_is_not_taken_for_one_that_closes_the_list(
    server: ChatServer, chromium: Browser
) -> None:
    """On a phone it is where drawers have their cross."""
    async with owner_of(server), person(chromium, server.page_url, **PHONE) as ada:
        await ada.sign_in("ada", new=True)
        await ada.page.get_by_role("button", name="Channels", exact=True).click()
        leave = ada.page.get_by_role("button", name="Leave onesocket").locator("path")
        drawn = await leave.get_attribute("d")
        await ada.page.get_by_role("button", name="Use an invite").click()
        cross = ada.page.get_by_role("dialog").get_by_role("button", name="Close").locator("path")
        assert drawn != await cross.get_attribute("d")


async def test_the_server_of_an_invite_is_opened(server: ChatServer, chromium: Browser) -> None:
    async with owner_of(server) as eve, person(chromium, server.page_url, **PHONE) as ada:
        await ada.sign_in("ada", new=True)
        garden = await eve.rest.create_guild("Garden")
        channel = (await eve.rest.guild_channels(garden["id"]))[0]
        await eve.rest.send_message(channel["id"], "in the garden")
        await ada.page.get_by_role("button", name="Channels", exact=True).click()
        await accept(ada.page, (await eve.rest.create_invite(channel["id"]))["code"])
        await expect(ada.message("in the garden")).to_be_visible()
        await expect(ada.page.locator("nav.sidebar")).to_be_hidden()


async def test_a_conversation_outlives_the_other_one_s_account(server: ChatServer, chromium: Browser) -> None:
    async with owner_of(server) as eve, person(chromium, server.page_url) as ada:
        await ada.sign_in("ada", new=True)
        await eve.write_to("ada", "psst")
        await ada.open("eve")
        await expect(ada.message("psst")).to_be_visible()
        await server.service.accounts.remove("eve")
        await ada.write("are you there?")
        failed = ada.page.locator("article.is-failed")
        await expect(failed).to_contain_text("Not sent. No messages can be sent to this person.")
        await failed.get_by_role("button", name="Discard").click()
        await expect(ada.message("psst")).to_be_visible()


async def test_the_first_conversation_is_the_same_whatever_comes_first_and_the_last_one_is_remembered(
    server: ChatServer, chromium: Browser
) -> None:
    async with owner_of(server) as eve, person(chromium, server.page_url) as ada:
        await server.create_user("ada", PASSWORD)
        await eve.write_to("ada", "psst")
        # READY has the conversation; the server comes half a second later.
        with server.faults.delay_dispatches(0.5, user="ada"):
            await ada.sign_in("ada")
            await expect(ada.page.locator("nav.sidebar a.channel", has_text="eve")).to_be_visible()
            await expect(ada.page.locator(".empty")).to_have_text("Loading…")
            await expect(ada.page.locator(".topbar h1")).to_have_text("#general")
            await expect(ada.field).to_be_focused()
        await ada.open("eve")
        await expect(ada.message("psst")).to_be_visible()
        await ada.page.goto(server.page_url)
        await ada.connected()
        await expect(ada.page.locator(".topbar h1")).to_have_text("eve")
        # An address says where, also one of a server that comes later.
        with server.faults.delay_dispatches(0.5, user="ada"):
            await ada.page.goto(f"{server.page_url}channels/{eve.guild}/{eve.general}")
            await expect(ada.page.locator("nav.sidebar a.channel", has_text="eve")).to_be_visible()
            await expect(ada.page.locator(".topbar h1")).to_have_text("#general")
        await ada.page.goto(f"{server.page_url}channels/1/2")  # it leads nowhere
        await ada.connected()
        await expect(ada.page.locator(".topbar h1")).to_have_text("#general")


async def test_a_new_channel_and_a_new_server_are_opened_although_their_events_come_late(
    server: ChatServer, chromium: Browser
) -> None:
    await server.create_user("ada", PASSWORD)
    async with person(chromium, server.page_url) as ada:
        await ada.sign_in("ada")
        with server.faults.delay_dispatches(0.5, user="ada"):
            for button, name in (("New channel in onesocket", "plans"), ("New server", "Garden")):
                await ada.page.get_by_role("button", name=button).click()
                await ada.page.get_by_label("Its name").fill(name)
                await ada.page.keyboard.press("Enter")
                await expect(ada.page.locator(".topbar")).to_contain_text(name)
                await expect(ada.field).to_be_focused()


async def test_on_a_phone_the_menu_tells_what_is_new_and_the_title_stays_without_a_connection(
    server: ChatServer, chromium: Browser
) -> None:
    async with owner_of(server) as eve, person(chromium, server.page_url, **PHONE) as ada:
        await ada.sign_in("ada", new=True)
        menu, badge = ada.page.locator(".menu"), ada.page.locator(".menu-badge")
        await expect(badge).to_be_hidden()
        made = await eve.rest.create_channel(eve.guild, "plans-for-all-of-next-year-and-for-all-of-us")
        await eve.rest.send_message(made["id"], "to all")
        await expect(menu).to_have_accessible_name("Channels, unread")
        await expect(badge).to_be_visible()
        await expect(badge).to_be_empty()
        await eve.write_to("ada", "psst")
        await expect(menu).to_have_accessible_name("Channels, 1 mention")
        await expect(badge).to_have_text("1")
        await menu.tap()
        await ada.open("eve")
        await expect(badge).to_be_empty()
        await menu.tap()
        await ada.page.locator("nav.sidebar a.channel", has_text="plans").tap()
        await expect(badge).to_be_hidden()
        with server.faults.refuse_upgrade(503, times=None):
            await server.faults.drop_connection(user="ada")
            await expect(ada.pill).to_have_attribute("data-state", "waiting")
            await expect(ada.page.get_by_role("button", name="Try now")).to_be_visible()
            title = ada.page.locator(".topbar h1")
            assert await title.evaluate("(one) => one.clientWidth") > 180
            await expect(ada.page.locator(".topbar-guild")).to_have_text("onesocket")
            await expect(ada.page.locator(".topbar-guild")).to_be_visible()
            assert await ada.page.evaluate("document.documentElement.scrollWidth") == 390
