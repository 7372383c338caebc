"""The interface of all subjects of the measurements."""

from __future__ import annotations

import abc
import asyncio
import importlib
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from ..workload import Sample, Workload


class MissingPeer(Exception):
    """A library that takes part is not installed."""


def load(module: str, distribution: str) -> Any:
    """Import a peer when it's needed, and only then: each worker carries no library but its own."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingPeer(
            f"{distribution} is not installed here: use `make bench`, or pip install --group bench; "
            "--allow-missing goes on without it"
        ) from error


class Subject(abc.ABC):
    """One library, used in one way. Opened, asked for work, and closed for each measurement.

    Each writes its loops out itself: a common helper would cost the fast ones more than the slow ones.
    """

    distribution: ClassVar[str]
    blocking: ClassVar[bool] = False
    """True if the subject uses no event loop, so that there is no second row for uvloop."""
    lasting: ClassVar[bool] = False
    """True if the subject takes long to open: a process of its own, opened and closed once."""
    environment: ClassVar[Mapping[str, str]] = {}
    """Variables that its process needs."""

    def __init__(self, url: str) -> None:
        self.url = url

    @classmethod
    @abc.abstractmethod
    def check(cls) -> None:
        """Raise `MissingPeer` unless its library is here."""

    @abc.abstractmethod
    async def open(self) -> None:
        """Connect."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Leave nothing behind."""

    def another(self) -> Self:
        """Return one more subject of the same program; this one is open."""
        return type(self)(self.url)

    async def warm_up(self, work: Workload) -> None:
        """A tenth of the work, unmeasured."""
        await self.run(Workload(work.scenario, max(1, work.count // 10), work.size))

    async def run(self, work: Workload) -> Sample | None:
        """Do it all. A subject that has to prepare each operation returns the cost of the rest."""
        match work.scenario:
            case "receive":
                await self.receive(work.count, work.size)
            case "send":
                await self.send(work.count, "x" * work.size)
            case "echo":
                await self.echo(work.count, "x" * work.size)
            case "connect":
                await self.connect_and_close(work.count)
            case other:
                raise ValueError(f"there is no scenario {other!r}")
        return None

    async def receive(self, count: int, size: int) -> None:
        """Ask for so many messages and read them."""
        raise NotImplementedError

    async def send(self, count: int, payload: str) -> None:
        """Send so many messages, in order, heeding back-pressure; until the server has them all."""
        raise NotImplementedError

    async def echo(self, count: int, payload: str) -> None:
        """Send one, await its answer, and so on."""
        raise NotImplementedError

    async def connect_and_close(self, count: int) -> None:
        """Open and close so many more connections, one after another."""
        for _ in range(count):
            another = self.another()
            await another.open()
            await another.close()


class Countdown:
    """Lets a coroutine wait for the last of so many callbacks."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def finish(self) -> None:
        """End the measurement after the last message."""
        if not self.done.done():
            self.done.set_result(None)
