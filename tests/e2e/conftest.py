"""Fixtures of the tests in a browser."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser

from onesocket_discord.server import ChatServer
from tools.screenshots import browser


@pytest.fixture
async def server() -> AsyncIterator[ChatServer]:
    """A chat server in memory."""
    async with ChatServer() as one:
        yield one


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    """A headless Chromium."""
    async with browser() as one:
        yield one
