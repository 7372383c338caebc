"""Redis pub/sub: redis-py on asyncio, with hiredis, and a real server; the address is its URL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ..subjects.base import load
from .base import BATCH_SIZE, Consumer, Producer

_CHANNEL = "bench"


def client_of(address: str) -> Any:
    """Return a client of the server."""
    return load("redis.asyncio", "redis").from_url(address)


class RedisProducer(Producer):
    """`publish` in pipelines."""

    async def open(self) -> None:
        """Connect."""
        self.client = client_of(self.address)
        await self.client.ping()

    async def burst(self, message: str, count: int) -> None:
        """As many in a pipeline as the others hand over in a turn of the loop."""
        for start in range(0, count, BATCH_SIZE):
            pipeline = self.client.pipeline(transaction=False)
            for _ in range(min(BATCH_SIZE, count - start)):
                pipeline.publish(_CHANNEL, message)
            await pipeline.execute()

    async def one(self, make: Callable[[], str]) -> None:
        """Without a pipeline."""
        await self.client.publish(_CHANNEL, make())

    async def close(self) -> None:
        """Close."""
        await self.client.aclose()


class RedisConsumer(Consumer):
    """`listen()`."""

    async def open(self) -> None:
        """Subscribe, and have that confirmed."""
        self.client = client_of(self.address)
        self.messages = self.client.pubsub()
        await self.messages.subscribe(_CHANNEL)
        while (await self.messages.get_message(timeout=5.0) or {}).get("type") != "subscribe":
            pass
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        take = self.take
        async for message in self.messages.listen():
            if message["type"] == "message":
                take(message["data"])

    async def close(self) -> None:
        """Close."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.messages.aclose()
        await self.client.aclose()
