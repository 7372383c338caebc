"""The pictures of the chat's page in the documents."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from playwright.async_api import Browser

from onesocket_discord.server import ChatServer
from tools.screenshots import draw_page, populate

NAMES = ["chat-browser-dark.png", "chat-browser-offline.png", "chat-browser-phone.png", "chat-browser.png"]


@pytest.mark.timeout(120)
async def test_the_pictures_can_be_drawn_anew(server: ChatServer, chromium: Browser, tmp_path: Path) -> None:
    """`make screenshots` draws them into docs/images by the same function."""
    async with AsyncExitStack() as stack:
        await populate(server, stack)
        await draw_page(server, chromium, tmp_path)
    assert names_in(tmp_path) == NAMES


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
