"""The two ends of a measurement between processes, for any carrier."""

from __future__ import annotations

import abc
from collections.abc import Callable

BATCH_SIZE = 256
"""As many messages as a socket's read brings; so many are handed over in one turn of the loop."""
MessageCallback = Callable[[str | bytes], object]


class Producer(abc.ABC):
    """Has the messages."""

    def __init__(self, address: str) -> None:
        self.address = address

    @abc.abstractmethod
    async def open(self) -> None:
        """Be ready to hand messages over."""

    @abc.abstractmethod
    async def burst(self, message: str, count: int) -> None:
        """Hand over so many of these, as fast as can be."""

    async def one(self, make: Callable[[], str]) -> None:
        """Have a message made, and hand it over at once."""
        await self.burst(make(), 1)

    @abc.abstractmethod
    async def close(self) -> None:
        """Leave nothing behind."""


class Consumer(abc.ABC):
    """Gets them."""

    def __init__(self, address: str, take: MessageCallback) -> None:
        self.address = address
        self.take = take

    @abc.abstractmethod
    async def open(self) -> None:
        """Pass each message to `take`, in the thread in which users of the peer get it."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Leave nothing behind."""
