"""Fixtures of the tests in several browsers."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from onesocket_discord.server import ChatServer

from .firefox import firefox
from .tab import BrowserEngine, Profile
from .webkit import webkit

_ENGINES = {"firefox": firefox, "webkit": webkit}


@pytest.fixture(params=_ENGINES)
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[BrowserEngine]:
    """A browser of each engine."""
    async with _ENGINES[request.param]() as one:
        yield one


@pytest.fixture
async def profile(engine: BrowserEngine) -> AsyncIterator[Profile]:
    """A profile of the browser."""
    async with AsyncExitStack() as stack:
        one = await engine.new_profile()
        stack.push_async_callback(one.close)
        yield one


@pytest.fixture
async def server() -> AsyncIterator[ChatServer]:
    """A chat server in memory."""
    async with ChatServer() as one:
        yield one
