"""The settings of the chat's page: where one is signed in, and signing out."""

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
