"""One connection, many subscribers: callbacks, iterators, and asyncio.Queue for comparison."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, ClassVar

from .base import Countdown
from .onesocket_client import OnesocketSubject


class FanOut(OnesocketSubject):
    """Base of the three: `subscribers` of them read every message."""

    subscribers: ClassVar[int]

    async def receive(self, count: int, size: int) -> None:
        """Until every subscriber has had every message."""
        raise NotImplementedError


class Callbacks(FanOut):
    """`client.on()`, so many times."""

    async def receive(self, count: int, size: int) -> None:
        """Each callback counts."""
        countdown = Countdown(count * self.subscribers)

        def received(_message: object) -> None:
            countdown.left -= 1
            if not countdown.left:
                countdown.finish()

        for _ in range(self.subscribers):
            self.client.on(received)
        self.client.send_nowait(f"receive {count} {size}")
        await countdown.done
        for _ in range(self.subscribers):
            self.client.off(received)


class Iterators(FanOut):
    """`async for` over a subscription of one's own, in so many tasks."""

    async def receive(self, count: int, size: int) -> None:
        """Each task counts."""
        streams: list[Any] = [self.client.subscribe() for _ in range(self.subscribers)]
        readers = [asyncio.create_task(_read(stream, count)) for stream in streams]
        await self.client.send(f"receive {count} {size}")
        await asyncio.gather(*readers)
        for stream in streams:
            stream.close()


async def _read(stream: AsyncIterator[Any], count: int) -> None:
    async for _message in stream:
        count -= 1
        if not count:
            return


class Queues(FanOut):
    """One callback that puts every message into an asyncio.Queue for each of so many tasks."""

    async def receive(self, count: int, size: int) -> None:
        """Each task counts."""
        queues: list[asyncio.Queue[Any]] = [asyncio.Queue() for _ in range(self.subscribers)]
        readers = [asyncio.create_task(_get(queue, count)) for queue in queues]
        puts = tuple(queue.put_nowait for queue in queues)

        def received(message: object) -> None:
            for put in puts:
                put(message)

        self.client.on(received)
        await self.client.send(f"receive {count} {size}")
        await asyncio.gather(*readers)
        self.client.off(received)


async def _get(queue: asyncio.Queue[Any], count: int) -> None:
    get = queue.get
    for _ in range(count):
        await get()


def subject(kind: type[FanOut], subscribers: int) -> type[FanOut]:
    """Return a factory of this kind for so many subscribers."""
    return type(f"{kind.__name__}{subscribers}", (kind,), {"subscribers": subscribers})
