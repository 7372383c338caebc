"""The time from the owner's SIGKILL until all other processes receive again, over a new connection."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from typing import Final

import picows
from picows import WSListener, WSMsgType, WSTransport, WSUpgradeRequest

from onesocket.sharing.host import listing

from ..cores import unpin
from ..interprocess.workers import Worker
from ..workload import Sample, Workload
from .base import Subject
from .interprocess import CONSUMERS, loop_name

TICK_INTERVAL: Final = 0.002
_PATIENCE: Final = 20.0


class _Ticker(WSListener):
    """Sends its number every few milliseconds while its connection is up."""

    def __init__(self, number: int) -> None:
        self._message = f"{number} ".ljust(256, "x").encode()
        self._timer: asyncio.TimerHandle | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Begin."""
        transport.send(WSMsgType.TEXT, self._message)
        self._timer = asyncio.get_running_loop().call_later(TICK_INTERVAL, self.on_ws_connected, transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """End."""
        del transport
        if self._timer is not None:
            self._timer.cancel()


class FailOver(Subject):
    """An owner and four followers, with a server that sends all the time. The dead one is replaced, uncounted."""

    distribution = "onesocket"
    lasting = True

    @classmethod
    def check(cls) -> None:
        """Do nothing: the library is always installed."""

    async def open(self) -> None:
        """All five."""
        unpin()
        self.stack = contextlib.AsyncExitStack()
        self.directory = self.stack.enter_context(tempfile.TemporaryDirectory(prefix="fail-over-"))
        self.connections = 0
        self.members: list[Worker] = []
        self.server = await picows.ws_create_server(self._accept, "127.0.0.1", 0)
        self.stack.callback(self.server.close)
        self.address = f"ws://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/|{self.directory}"
        try:
            for _ in range(CONSUMERS + 1):
                await self._add()
        except BaseException:
            await self.close()
            raise

    def _accept(self, request: WSUpgradeRequest) -> _Ticker:
        del request
        self.connections += 1
        return _Ticker(self.connections)

    async def _add(self) -> None:
        member = await Worker.start("onesocket", "watcher", self.address, loop_name())
        self.members.append(member)
        await member.hear()  # its first message

    async def close(self) -> None:
        """All of them; each is the owner in its turn, so they are ended without a word."""
        for member in self.members:
            await member.kill()
        await self.stack.aclose()

    async def warm_up(self, work: Workload) -> None:
        """There's nothing to be warmed up."""

    async def run(self, work: Workload) -> Sample | None:
        """So many times."""
        each = [await self._once() for _ in range(work.count)]
        return Sample(0.0, sum(each), tuple(each))

    async def _once(self) -> float:
        owner = await self._owner()
        self.members.remove(owner)
        before = self.connections
        killed = time.monotonic()
        await owner.kill()
        news = await asyncio.gather(*(member.hear() for member in self.members))
        if {answer["connection"] for answer in news} != {before + 1} or self.connections != before + 1:
            raise RuntimeError(f"they did not come back by one new connection: {news}")
        await self._add()
        return max(float(answer["at"]) for answer in news) - killed

    async def _owner(self) -> Worker:
        async with asyncio.timeout(_PATIENCE):
            while True:
                pids = {one.pid for one in await asyncio.to_thread(listing, self.directory)}
                for member in self.members:
                    if member.process.pid in pids:
                        return member
                await asyncio.sleep(TICK_INTERVAL)
