"""The settings of the chat's page: where one is signed in, and signing out."""

import re

import pytest
from playwright.async_api import Browser, expect

from onesocket_discord.server import ChatServer

from .chat_browser import person

pytestmark = pytest.mark.timeout(120)


async def test_a_dialog_over_another_one_has_its_own_name(server: ChatServer, chromium: Browser) -> None:
    async with person(chromium, server.page_url) as ada:
        await ada.sign_in("ada", new=True)
        await ada.page.get_by_role("button", name="Settings").click()
        for name in ("Keys", "Where you are signed in", "Change the password"):
            await ada.page.get_by_role("button", name=name).click()
            await expect(ada.page.get_by_role("dialog", name=name, exact=True)).to_be_visible()
            await ada.page.keyboard.press("Escape")
        await expect(ada.page.get_by_role("dialog")).to_have_count(1)


async def test_the_login_that_one_is_in_is_named_and_others_can_be_ended(server: ChatServer, chromium: Browser) -> None:
    async with person(chromium, server.page_url) as ada, person(chromium, server.page_url) as other:
        await ada.sign_in("ada", new=True)
        await other.sign_in("ada")
        await ada.page.get_by_role("button", name="Settings").click()
        await ada.page.get_by_role("button", name="Where you are signed in").click()
        logins = ada.page.get_by_role("dialog", name="Where you are signed in").get_by_role("listitem")
        await expect(logins).to_have_count(2)
        here = logins.filter(has_text="(here)")
        await expect(here).to_have_text(re.compile(r" \(here\)last used on \w+, \w+ \d+, \d+$"))
        await logins.filter(has_not_text="(here)").get_by_role("button", name="End").click()
        await expect(logins).to_have_count(1)
        await expect(other.page.get_by_role("alert")).to_contain_text("You were signed out")


async def test_signing_out_asks_before_it_forgets_what_was_being_written(server: ChatServer, chromium: Browser) -> None:
    async with person(chromium, server.page_url) as ada:
        await ada.sign_in("ada", new=True)
        question = ada.page.get_by_role("dialog", name="Sign out?")
        for answer in ("Cancel", "Sign out"):
            await ada.field.fill("half a thought")
            await ada.page.get_by_role("button", name="Settings").click()
            await ada.page.get_by_role("button", name="Sign out").click()
            await expect(question).to_contain_text("What you were writing was not sent, and will be discarded.")
            await question.get_by_role("button", name=answer).click()
            if answer == "Cancel":
                await expect(ada.field).to_have_value("half a thought")
        await expect(ada.page.get_by_role("heading", name="Sign in")).to_be_visible()
        await ada.sign_in_here("ada")
        await ada.page.get_by_role("button", name="Settings").click()
        await ada.page.get_by_role("button", name="Sign out").click()  # nothing was written
        await expect(ada.page.get_by_role("heading", name="Sign in")).to_be_visible()
