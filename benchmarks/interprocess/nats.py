"""NATS: nats-py and a real server; the address is its URL."""

from __future__ import annotations

import asyncio
from typing import Any

from ..subjects.base import load
from .base import BATCH_SIZE, Consumer, Producer

_SUBJECT = "bench"


async def connect(address: str) -> Any:
    """Return a client that is connected."""
    return await load("nats", "nats-py").connect(address, allow_reconnect=False)


class NatsProducer(Producer):
    """`publish`."""

    async def open(self) -> None:
        """Connect."""
        self.client = await connect(self.address)

    async def burst(self, message: str, count: int) -> None:
        """With a turn for the writer now and then, else it would begin only at the end."""
        publish, payload = self.client.publish, message.encode()
        for number in range(count):
            await publish(_SUBJECT, payload)
            if number % BATCH_SIZE == BATCH_SIZE - 1:
                await asyncio.sleep(0)

    async def close(self) -> None:
        """Close."""
        await self.client.close()


class NatsConsumer(Consumer):
    """A callback."""

    async def open(self) -> None:
        """Subscribe, and have that confirmed."""
        self.client = await connect(self.address)
        take = self.take

        async def received(message: Any) -> None:
            take(message.data)

        await self.client.subscribe(_SUBJECT, cb=received)
        await self.client.flush()

    async def close(self) -> None:
        """Close."""
        await self.client.close()
