"""Print a feed in a task and in a thread; all processes that run this program share one WebSocket.

Usage: python examples/shared_feed.py ws://127.0.0.1:8765/
"""

import asyncio
import sys
import threading

import onesocket


async def read(name: str) -> None:
    """Print the feed."""
    async with onesocket.join(sys.argv[1], scope="host") as feed:
        async for message in feed:
            print(name, message, flush=True)


threading.Thread(target=lambda: asyncio.run(read("thread:")), daemon=True).start()
asyncio.run(read("task:"))
