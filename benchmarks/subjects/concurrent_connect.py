"""Many callers at once: of `connect()`, and of one shared Future, which is the least that waiting can cost."""

from __future__ import annotations

import asyncio
import itertools
import os

from onesocket import Client

from ..server_process import control
from ..workload import Sample, Workload
from .onesocket_client import OnesocketSubject

_NUMBERS = itertools.count()


class ConcurrentConnect(OnesocketSubject):
    """So many concurrent `connect()` calls; the server has to count one handshake."""

    async def open(self) -> None:
        """Make a client that was never connected."""
        base, _, _ = self.url.rpartition("/")
        self.path = f"/join-{os.getpid()}-{next(_NUMBERS)}"
        self.server = base
        self.client = Client(base + self.path, ping_interval=None)

    async def warm_up(self, work: Workload) -> None:
        """Do nothing: the first connect is measured."""

    async def run(self, work: Workload) -> Sample | None:
        """Call, all at once."""
        client = self.client
        await asyncio.gather(*(client.connect() for _ in range(work.count)))
        handshakes = control(self.server, "COUNT", self.path)
        if handshakes != 1:
            raise RuntimeError(f"{work.count} callers of connect() made {handshakes} handshakes")
        return None


class SharedFuture(OnesocketSubject):
    """So many tasks that await the same Future."""

    async def open(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""

    async def warm_up(self, work: Workload) -> None:
        """Do nothing: the first connect is measured."""

    async def run(self, work: Workload) -> Sample | None:
        """Await, all at once."""
        loop = asyncio.get_running_loop()
        shared: asyncio.Future[None] = loop.create_future()

        async def wait() -> None:
            await shared

        everybody = asyncio.gather(*(wait() for _ in range(work.count)))
        loop.call_later(0.001, shared.set_result, None)  # about what a handshake takes
        await everybody
        return None
