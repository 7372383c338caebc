"""Registering by invite, and what people and moderators do about each other, on the chat's page in Chromium."""

import pytest
from playwright.async_api import Browser, expect

from onesocket_discord.server import ChatServer
from tools.screenshots import PASSWORD

from .chat_browser import person

pytestmark = pytest.mark.timeout(120)


async def test_a_server_by_invite_says_so_and_asks_for_one(chromium: Browser) -> None:
    async with ChatServer(registration="invite") as server, person(chromium, server.page_url) as ada:
        page, error = ada.page, ada.page.get_by_role("alert")
        await page.goto(server.page_url)
        await expect(page.get_by_label("Invite")).to_be_hidden()
        await page.get_by_role("button", name="Create an account").click()
        await expect(page.get_by_role("status")).to_contain_text("by invite only")
        await page.get_by_label("Name").fill("ada")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_label("Invite").fill("wrong")
        await page.keyboard.press("Enter")
        await expect(error).to_have_text("This invite is not valid, or has expired.")
        await expect(page.get_by_label("Invite")).to_be_focused()
        made = await server.service.invites.create_for_server(server.service.default_guild, max_age=60, max_uses=1)
        await page.goto(f"{server.page_url}invite/{made['code']}")
        await page.get_by_role("button", name="Create an account").click()
        await expect(page.get_by_label("Invite")).to_have_value(made["code"])
        await page.get_by_label("Name").fill("ada")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.keyboard.press("Enter")
        await ada.connected()
        await expect(page.get_by_role("dialog")).to_have_count(0)  # it was used


async def test_a_closed_server_says_so(chromium: Browser) -> None:
    async with ChatServer(registration="closed") as server, person(chromium, server.page_url) as ada:
        await ada.page.goto(server.page_url)
        await ada.page.get_by_role("button", name="Create an account").click()
        await expect(ada.page.get_by_role("status")).to_contain_text("takes no new accounts")


async def test_reporting_blocking_and_banning(server: ChatServer, chromium: Browser) -> None:
    token = await server.create_user("ada", PASSWORD)  # the owner
    await server.create_user("bob", PASSWORD)
    async with person(chromium, server.page_url) as ada, person(chromium, server.page_url) as bob:
        await bob.sign_in("bob")
        await ada.sign_in("ada")
        for one in (ada, bob):
            await one.open("general")
        await bob.write("something rude")
        message = ada.message("something rude")
        await message.hover()
        await ada.page.get_by_role("button", name="Report").click()
        await ada.page.get_by_label("What is wrong with it?").fill("it is rude")
        await ada.page.keyboard.press("Enter")
        await expect(ada.page.get_by_text("Reported", exact=True)).to_be_visible()
        (report,) = await server.service.reports.list_open()
        assert (report["author"], report["reason"], report["content"]) == ("bob", "it is rude", "something rude")

        async def choose(action: str, *, certain: bool = True) -> None:
            more = ada.page.get_by_role("button", name="More about bob")
            if not await more.is_visible():
                await ada.page.get_by_role("button", name="People").click()
            await more.click()
            await ada.page.get_by_role("dialog").get_by_role("button", name=action, exact=True).click()
            if certain:
                await ada.page.get_by_role("dialog").get_by_role("button", name=action, exact=True).click()

        await choose("Block")
        hidden = ada.page.get_by_role("button", name="A message of somebody whom you blocked: show it")
        await hidden.click()
        await expect(message).to_be_visible()
        await choose("Unblock", certain=False)
        await choose("Ban")
        await expect(message).to_have_count(0)
        await expect(bob.page.locator("nav.sidebar a.channel", has_text="general")).to_have_count(0)
        ada_account = await server.service.authenticate(token)
        assert ada_account is not None
        bans = await server.service.bans.all(ada_account, server.service.default_guild)
        assert [one["user"]["username"] for one in bans] == ["bob"]


async def test_a_ban_is_listed_and_lifted_and_an_invite_lets_in_again(server: ChatServer, chromium: Browser) -> None:
    owner = await server.service.authenticate(await server.create_user("ada", PASSWORD))
    assert owner is not None
    guild = server.service.default_guild
    for name in ("bob", "m" * 32):
        await server.create_user(name, PASSWORD)
        user_id = await server.service.accounts.user_id_of(name)
        await server.service.bans.ban(owner, guild, user_id, {}, reason=None if name == "bob" else "x" * 200)
    phone = {"viewport": {"width": 390, "height": 740}}
    async with person(chromium, server.page_url, **phone) as ada, person(chromium, server.page_url) as bob:
        await ada.sign_in("ada")
        await bob.sign_in("bob")
        invite = await server.service.invites.create_for_server(guild, max_age=600, max_uses=0)
        general = bob.page.locator("nav.sidebar a.channel", has_text="general")

        await bob.page.get_by_role("navigation").get_by_role("button", name="Use an invite").click()
        asked = bob.page.get_by_role("dialog", name="Use an invite")
        await asked.get_by_label("The code").fill(invite["code"])
        await bob.page.keyboard.press("Enter")
        await expect(asked.get_by_role("alert")).to_have_text("You are banned from this server.")
        await ada.page.get_by_role("button", name="Channels").click()
        banned = ada.page.get_by_role("button", name="Banned people of onesocket")
        await banned.press("Enter")
        dialog = ada.page.get_by_role("dialog", name="Banned people of onesocket")
        await expect(dialog.get_by_role("listitem")).to_have_count(2)
        bobs = dialog.get_by_role("listitem").filter(has_text="bob")
        await expect(bobs).to_contain_text("No reason was given")
        await expect(dialog.get_by_role("listitem").filter(has_text="mmm")).to_contain_text("x" * 200)
        assert await dialog.evaluate("dialog => dialog.scrollWidth <= dialog.clientWidth")
        await expect(dialog.get_by_role("button", name="Close")).to_be_focused()
        await ada.page.keyboard.press("Tab")
        await expect(dialog.get_by_role("button", name="Lift the ban of bob")).to_be_focused()
        await ada.page.keyboard.press("Enter")
        await ada.page.keyboard.press("Enter")  # neither lifts another one
        await expect(dialog.get_by_role("status")).to_contain_text("bob can come back with an invite.")
        await expect(bobs.get_by_text("Lifted")).to_be_focused()
        await bob.page.keyboard.press("Enter")  # the code is there yet
        await expect(general).to_be_visible()
        await expect(bob.page.get_by_role("button", name="Leave onesocket")).to_be_visible()
        await expect(bob.page.get_by_role("button", name="Banned people of")).to_have_count(0)
        await ada.page.keyboard.press("Tab")
        await ada.page.keyboard.press("Enter")
        await expect(dialog.get_by_role("button", name="Lift the ban")).to_have_count(0)
        await ada.page.keyboard.press("Escape")
        await expect(banned).to_be_focused()
        assert await server.service.bans.all(owner, guild) == []
        await banned.click()
        await expect(dialog.get_by_role("status")).to_have_text("Nobody is banned from onesocket.")


async def test_a_moderator_makes_channels_and_a_member_does_not(server: ChatServer, chromium: Browser) -> None:
    await server.create_user("eve", PASSWORD)  # the owner
    async with person(chromium, server.page_url) as bob:
        await bob.sign_in("bob", new=True)
        make = bob.page.get_by_role("button", name="New channel in onesocket")
        await expect(bob.page.get_by_role("button", name="Leave onesocket")).to_be_visible()
        await expect(make).to_have_count(0)
        user_id, guild = await server.service.accounts.user_id_of("bob"), server.service.default_guild
        await server.service.roles.set_moderator(guild, user_id, is_one=True)
        await make.click()
        await bob.page.get_by_label("Its name").fill("plans")
        await bob.page.keyboard.press("Enter")
        await expect(bob.page.locator(".topbar h1")).to_contain_text("plans")
        await server.service.roles.set_moderator(guild, user_id, is_one=False)
        await expect(make).to_have_count(0)


async def test_a_report_says_that_it_goes_to_whoever_runs_the_chat(server: ChatServer, chromium: Browser) -> None:
    """The owner of a guild, which the page calls a server, doesn't see it."""
    await server.create_user("eve", PASSWORD)
    async with person(chromium, server.page_url) as ada, person(chromium, server.page_url) as bob:
        await ada.sign_in("ada", new=True)
        await bob.sign_in("bob", new=True)
        await bob.write("something rude")
        await ada.message("something rude").hover()
        await ada.page.get_by_role("button", name="Report").click()
        await expect(ada.page.get_by_role("dialog")).to_contain_text("Whoever runs this chat sees")
        await ada.page.get_by_label("What is wrong with it?").fill("it is rude")
        await ada.page.keyboard.press("Enter")
        await expect(ada.page.locator(".notice")).to_contain_text("Whoever runs this chat will see it.")
