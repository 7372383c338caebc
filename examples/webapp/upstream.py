"""A server to try the application with: it counts its connections, and sends the time every second."""

from __future__ import annotations

import asyncio
import datetime as dt

from websockets.asyncio.server import ServerConnection, broadcast, serve

connections: set[ServerConnection] = set()
handshakes = 0


async def handle(connection: ServerConnection) -> None:
    """Broadcast each message to all connections."""
    global handshakes  # noqa: PLW0603 - a counter
    handshakes += 1
    connections.add(connection)
    print(f"{len(connections)} open, {handshakes} handshakes so far", flush=True)
    try:
        async for message in connection:
            broadcast(connections, message)
    finally:
        connections.discard(connection)
        print(f"{len(connections)} open, {handshakes} handshakes so far", flush=True)


async def main() -> None:
    """Serve until Ctrl-C."""
    async with serve(handle, "127.0.0.1", 8765):
        while True:
            broadcast(connections, f"it is {dt.datetime.now().astimezone():%H:%M:%S}")
            await asyncio.sleep(1)


if __name__ == "__main__":
    asyncio.run(main())
