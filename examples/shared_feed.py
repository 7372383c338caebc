"""Print a feed in a task and in a thread; all processes that run this program share one WebSocket.

Usage: python examples/shared_feed.py ws://127.0.0.1:8765/
"""

import asyncio
import sys
import threading

import onesocket

URL = sys.argv[1]


async def task() -> None:
    """Print the feed in a task."""
    async with onesocket.join(URL, scope="host") as feed:
        async for message in feed:
            print("task:", message, flush=True)


def thread() -> None:
    """Print the feed in a thread without an event loop."""
    with onesocket.blocking.join(URL, scope="host") as feed:
        for message in feed:
            print("thread:", message, flush=True)


threading.Thread(target=thread, daemon=True).start()
asyncio.run(task())
