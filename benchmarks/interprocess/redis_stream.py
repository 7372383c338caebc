"""A stream of Redis, one entry for each message: redis-py on asyncio, with hiredis; the address is the engine's URL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .base import BATCH_SIZE, Consumer
from .redis import RedisProducer, client_of

_STREAM = "bench"
_KEPT = 10_000
"""Entries, as of a cluster's feed."""
_MOST = 1000
"""Entries of one reply."""


class RedisStreamProducer(RedisProducer):
    """`XADD` in pipelines."""

    async def burst(self, message: str, count: int) -> None:
        """As many in a pipeline as the others hand over in a turn of the loop."""
        for start in range(0, count, BATCH_SIZE):
            pipeline = self.client.pipeline(transaction=False)
            for _ in range(min(BATCH_SIZE, count - start)):
                pipeline.xadd(_STREAM, {b"m": message}, maxlen=_KEPT)
            await pipeline.execute()

    async def one(self, make: Callable[[], str]) -> None:
        """Without a pipeline."""
        await self.client.xadd(_STREAM, {b"m": make()}, maxlen=_KEPT)


class RedisStreamConsumer(Consumer):
    """`XREAD`, which blocks."""

    async def open(self) -> None:
        """Begin with what is new, and be waiting for it."""
        self.client = client_of(self.address)
        newest = await self.client.xrevrange(_STREAM, count=1)
        self.task = asyncio.create_task(self._read(newest[0][0] if newest else b"0-0"))

    async def _read(self, last: bytes) -> None:
        take, read = self.take, self.client.xread
        while True:
            for _, entries in await read({_STREAM: last}, count=_MOST, block=1000):
                for _, fields in entries:
                    take(fields[b"m"])
                last = entries[-1][0]

    async def close(self) -> None:
        """Close."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.client.aclose()
