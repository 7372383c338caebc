"""Connect a thousand callers by one handshake."""

import asyncio

from onesocket import Client
from onesocket.testing import FaultyServer  # a server on loopback that counts and echoes; use your own URL instead


async def main() -> None:
    """Connect, send a message, receive its echo, close."""
    async with FaultyServer() as server:
        client = Client(server.url)
        await asyncio.gather(*(client.connect() for _ in range(1000)))
        print(server.counts.handshakes, "handshake for", client.stats.opened + client.stats.joined, "callers")
        messages = client.subscribe()
        await client.send("hello")
        print(await anext(messages))
        await client.aclose()
        print(server.counts.close_codes)


asyncio.run(main())
