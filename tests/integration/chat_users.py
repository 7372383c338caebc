"""Users of the chat application, signed in to a server on loopback, and the server's view of their messages."""

import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from onesocket.lifecycle._retry import ReconnectPolicy
from onesocket_chat.session import SessionOptions
from onesocket_chat.widgets._composer import Composer
from onesocket_discord.rest import Rest
from onesocket_discord.server import ChatServer
from tests.unit.onesocket_chat.driver import AppDriver, signed_in_driver

FAST = SessionOptions(reconnect=ReconnectPolicy(initial=0.05, cap=0.2))
_NUMBERS = itertools.count()


@asynccontextmanager
async def signed_in(server: ChatServer, *names: str) -> AsyncIterator[list[AppDriver]]:
    """Register a user for each name, with #general open."""
    async with AsyncExitStack() as stack:
        drivers = [
            await stack.enter_async_context(signed_in_driver(server.api_url, name, options=FAST)) for name in names
        ]
        for driver in drivers:
            await driver.open("#general")
        yield drivers


def composer_text(driver: AppDriver) -> str:
    """The text in the composer of the active panel."""
    return driver.panel.query_one(Composer).text


async def stored(server: ChatServer, channel: int) -> list[str]:
    """Texts of the messages that the server has stored in the channel, the oldest first."""
    async with Rest(await server.create_bot(f"auditor{next(_NUMBERS)}"), api_url=server.api_url) as auditor:
        return [message["content"] async for message in auditor.history(channel)][::-1]
