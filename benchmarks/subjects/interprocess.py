"""Messages from one process to four others: onesocket, NATS, Redis. An operation is one message that all four have."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import statistics
import tempfile
import time
from typing import ClassVar, Final

from ..cores import unpin
from ..interprocess.workers import Daemon, Worker
from ..workload import Sample, Workload
from .base import MissingPeer, Subject, load

CONSUMERS: Final = 4
BURST: Final = 5_000
RATE: Final = 200.0
_SYSTEM_PROGRAMS: Final = "/usr/local/sbin:/usr/sbin"


def find_program(name: str, path: str | None = None) -> str:
    """Where it is, in `path` or the usual places. Raises `MissingPeer`."""
    found = shutil.which(name, path=path or f"{os.environ.get('PATH', os.defpath)}:{_SYSTEM_PROGRAMS}")
    if found is None:
        raise MissingPeer(
            f"{name} is not installed here: apt-get install -y {name}; --allow-missing goes on without it"
        )
    return found


def loop_name() -> str:
    """Of the loop that runs here."""
    return "uvloop" if type(asyncio.get_running_loop()).__module__.startswith("uvloop") else "asyncio"


class InterprocessFanOut(Subject):
    """Neither end is this process, which only says what is to be done. The cost is that of all processes together."""

    lasting = True
    carrier: ClassVar[str]
    server: ClassVar[tuple[str, ...]] = ()
    scheme: ClassVar[str] = ""

    @classmethod
    def check(cls) -> None:
        """The server, if it needs one."""
        if cls.server:
            cls.program()

    @classmethod
    def program(cls) -> str:
        """The server's path. Raises `MissingPeer`."""
        return find_program(cls.server[0])

    async def open(self) -> None:
        """Start the producer first: with onesocket it is the owner."""
        unpin()
        self.stack = contextlib.AsyncExitStack()
        directory = self.stack.enter_context(tempfile.TemporaryDirectory(prefix="hop-"))
        self.daemon: Daemon | None = None
        self.consumers: list[Worker] = []
        try:
            address = directory
            if self.server:
                self.daemon = Daemon([self.program(), *self.server[1:]], directory)
                self.stack.push_async_callback(self.daemon.end)
                await self.daemon.ready()
                address = f"{self.scheme}://127.0.0.1:{self.daemon.port}"
            self.producer = await self._member("producer", address)
            for _ in range(CONSUMERS):
                self.consumers.append(await self._member("consumer", address))
        except BaseException:
            await self.stack.aclose()
            raise

    async def _member(self, role: str, address: str) -> Worker:
        member = await Worker.start(self.carrier, role, address, loop_name())
        self.stack.push_async_callback(member.end)
        return member

    async def close(self) -> None:
        """The consumers first."""
        await self.stack.aclose()

    async def run(self, work: Workload) -> Sample | None:
        """In bursts, or one after the other."""
        before = await self._cpu()
        wall = await (self._paced(work) if work.scenario == "paced" else self._bursts(work))
        return Sample(await self._cpu() - before, wall)

    async def _bursts(self, work: Workload) -> float:
        """The next one when all have the last one; seconds."""
        wall = 0.0
        for start in range(0, work.count, BURST):
            count = min(BURST, work.count - start)
            await self._expect(count, stamped=False)
            begin = time.perf_counter()
            self.producer.say(burst=count, size=work.size)
            await asyncio.gather(*(member.hear() for member in self.consumers))
            wall += time.perf_counter() - begin
            await self.producer.hear()
        return wall

    async def _paced(self, work: Workload) -> float:
        """The middle one of all delays, times the number of messages."""
        await self._expect(work.count, stamped=True)
        self.producer.say(paced=work.count, size=work.size, rate=RATE)
        answers = await asyncio.gather(*(member.hear() for member in self.consumers))
        await self.producer.hear()
        late: list[float] = [delay for answer in answers for delay in answer["late"]]
        return statistics.median(late) * work.count

    async def _expect(self, count: int, *, stamped: bool) -> None:
        await asyncio.gather(*(member.ask(expect=count, stamped=stamped) for member in self.consumers))

    async def _cpu(self) -> float:
        answers = await asyncio.gather(*(member.ask(cpu=1) for member in (self.producer, *self.consumers)))
        return sum(float(answer["cpu"]) for answer in answers) + (self.daemon.cpu() if self.daemon is not None else 0.0)


class HostFanOut(InterprocessFanOut):
    """`join(url, scope="host")`, as it is, in programs with one event loop."""

    distribution = "onesocket"
    carrier = "onesocket"


class HostFanOutOwnLoop(HostFanOut):
    """In every process the connection lives on the program's own loop."""

    carrier = "onesocket-offered"


class HostFanOutOwnerThread(HostFanOut):
    """The owner is a program without an event loop: its connection lives in a thread of the library."""

    carrier = "onesocket-owner-thread"


class HostFanOutBlocking(HostFanOut):
    """The four use `onesocket.blocking`."""

    carrier = "onesocket-blocking"


class UnixSocketFanOut(InterprocessFanOut):
    """A Unix socket, and nothing around it."""

    distribution = "onesocket"
    carrier = "bare"


class NatsFanOut(InterprocessFanOut):
    """nats-py, and nats-server."""

    distribution = "nats-py"
    carrier = "nats"
    server = ("nats-server", "-a", "127.0.0.1", "-p", "{port}")
    scheme = "nats"

    @classmethod
    def check(cls) -> None:
        """Both."""
        load("nats", cls.distribution)
        super().check()


class RedisFanOut(InterprocessFanOut):
    """redis-py, hiredis, and redis-server without persistence."""

    distribution = "redis"
    carrier = "redis"
    server = ("redis-server", "--port", "{port}", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
    scheme = "redis"

    @classmethod
    def check(cls) -> None:
        """All three."""
        load("redis.asyncio", cls.distribution)
        load("hiredis", "hiredis")
        super().check()
