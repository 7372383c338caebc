"""A stream of JetStream, one message for each: nats-py; the address is the engine's URL."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from ..subjects.base import load
from .base import BATCH_SIZE, Consumer
from .nats import NatsProducer, connect

_STREAM = _SUBJECT = "bench"
_KEPT = 10_000
"""Messages, as of a cluster's feed."""


class NatsStreamProducer(NatsProducer):
    """`publish_async`, whose answers are awaited; as many in flight as the others hand over in a turn of the loop."""

    async def open(self) -> None:
        """Make the stream."""
        self.client = await connect(self.address)
        self.stream = self.client.jetstream(publish_async_max_pending=BATCH_SIZE)
        await self.stream.add_stream(name=_STREAM, subjects=[_SUBJECT], max_msgs=_KEPT)

    async def burst(self, message: str, count: int) -> None:
        """Hand all over, and await the answer to each."""
        publish, payload, waiting = self.stream.publish_async, message.encode(), deque[Any]()
        for _ in range(count):
            if len(waiting) == BATCH_SIZE:
                await waiting.popleft()
            waiting.append(await publish(_SUBJECT, payload))
        await asyncio.gather(*waiting)


class NatsStreamConsumer(Consumer):
    """An ordered consumer with a callback."""

    async def open(self) -> None:
        """Begin with what is new."""
        self.client = await connect(self.address)
        take = self.take

        async def received(message: Any) -> None:
            take(message.data)

        policy = load("nats.js.api", "nats-py").DeliverPolicy.NEW
        await self.client.jetstream().subscribe(_SUBJECT, cb=received, ordered_consumer=True, deliver_policy=policy)

    async def close(self) -> None:
        """Close."""
        await self.client.close()
