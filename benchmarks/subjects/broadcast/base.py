"""The interface of all servers that broadcast."""

from __future__ import annotations

import abc
import asyncio
import socket
import struct
import subprocess
import sys
from typing import ClassVar, Final

from ...broadcast_readers import allow_files
from ...cores import spare
from ...server_process import ROOT
from ...workload import Sample, Workload
from ..base import Subject

READERS: Final = 1000
HOST: Final = "127.0.0.1"
_WARM_UP: Final = 3
_TOLERANCE: Final = 8  # bytes: sequence numbers have one digit or several
_PATIENCE: Final = 5.0


class Readers:
    """The process that reads, as the server sees it."""

    def __init__(self, port: int, count: int, dialect: str) -> None:
        self.count = count
        self._control, theirs = socket.socketpair()
        self._control.setblocking(False)  # noqa: FBT003 - its signature
        with theirs:
            fd = theirs.fileno()
            core = spare()
            arguments = [str(fd), str(port), str(count), dialect, *([] if core is None else [str(core)])]
            command = [sys.executable, "-m", "benchmarks.broadcast_readers", *arguments]
            self._process = subprocess.Popen(command, cwd=ROOT, pass_fds=[fd])  # noqa: S603 - our own

    async def answer(self) -> int:
        """Bytes: 0 when all are connected, later what all have read. Raises `ConnectionError` when they have ended."""
        data = await asyncio.get_running_loop().sock_recv(self._control, 8)
        if not data:
            raise ConnectionError("the readers have ended; their last words are on stderr")
        return int(struct.unpack("!Q", data)[0])

    async def read(self) -> int:
        """Have each read one message; bytes of them all."""
        await asyncio.get_running_loop().sock_sendall(self._control, b"?")
        return await self.answer()

    def close(self) -> None:
        """End them: by the end of their socket, or else by a signal."""
        self._control.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Broadcaster(Subject):
    """A server, in the measured process. An operation is one message delivered to one reader.

    There are as many readers as operations, up to `READERS`; every message goes to all of them, and the next one when
    all have it.
    """

    lasting = True
    dialect: ClassVar[str] = "plain"
    readers: Readers | None = None

    async def open(self) -> None:
        """Listen."""
        allow_files(READERS)
        self.port = await self.serve()

    async def close(self) -> None:
        """Readers first."""
        if self.readers is not None:
            self.readers.close()
        await self.stop()

    async def warm_up(self, work: Workload) -> None:
        """The readers connect, the first time; then a few messages."""
        if self.readers is None:
            count = min(READERS, work.count)
            self.readers = Readers(self.port, count, self.dialect)
            await self.readers.answer()
            while self.connected() < count:  # noqa: ASYNC110 - a turn or two: the last handler has still to go on
                await asyncio.sleep(0)
            self.gathered()
        await self.run(Workload(work.scenario, _WARM_UP * self.readers.count, work.size))

    async def run(self, work: Workload) -> Sample | None:
        """Broadcast one message after the other."""
        readers = self.readers
        if readers is None or work.count % readers.count:
            raise ValueError(f"{work.count} deliveries can't be had from these readers")
        for _ in range(work.count // readers.count):
            await self.broadcast(work.size)
            size = await readers.read() / readers.count
            if abs(size - work.size) > _TOLERANCE:
                raise RuntimeError(f"{type(self).__name__} sent {size:g} bytes for {work.size}")
        return None

    @abc.abstractmethod
    async def serve(self) -> int:
        """Listen on loopback; the port."""

    @abc.abstractmethod
    async def stop(self) -> None:
        """Leave nothing behind."""

    @abc.abstractmethod
    def connected(self) -> int:
        """Return the number of connections that would get a message now."""

    def gathered(self) -> None:
        """All readers are connected."""

    @abc.abstractmethod
    async def broadcast(self, size: int) -> None:
        """Broadcast one text of so many bytes to all connections."""
