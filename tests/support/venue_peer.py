"""A client of another project, `websockets`, that speaks JSON with a fake venue."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

DEADLINE = 10.0


class VenuePeer:
    """One connection to a venue."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, *messages: Any) -> None:
        """Send messages as JSON; text goes as it is."""
        for message in messages:
            await self.connection.send(message if isinstance(message, str) else json.dumps(message))

    async def receive(self) -> Any:
        """Return the next message, decoded."""
        async with asyncio.timeout(DEADLINE):
            return json.loads(await self.connection.recv())

    async def ask(self, message: Any) -> Any:
        """Send a message and return the next one that comes."""
        await self.send(message)
        return await self.receive()

    async def rest(self) -> tuple[list[Any], int | None, str | None]:
        """Return the messages until the end, with the close code and the reason that the venue sent."""
        messages: list[Any] = []
        async with asyncio.timeout(DEADLINE):
            try:
                while True:
                    messages.append(json.loads(await self.connection.recv()))
            except ConnectionClosed as error:
                if error.rcvd is None:
                    return messages, None, None
                return messages, error.rcvd.code, error.rcvd.reason


@asynccontextmanager
async def dial(url: str, **options: Any) -> AsyncIterator[VenuePeer]:
    """Connect to a venue, without a proxy."""
    async with connect(url, proxy=None, **options) as connection:
        yield VenuePeer(connection)
