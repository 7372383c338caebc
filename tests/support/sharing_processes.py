"""Processes that share one connection, and the fixtures of the tests that start them.

A test module takes the fixtures by ``server, group = sharing_processes.server, sharing_processes.group``.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, Self

import pytest

from onesocket.sharing._connection_key import ConnectionKey
from onesocket.sharing.host._runtime_paths import RuntimePaths
from onesocket.testing import FaultyServer
from tests.campaigns.harness.worker_process import DEADLINE, WorkerProcess

WORKER: Final = Path(__file__).parents[1] / "integration" / "host_worker.py"
QUICK: Final[dict[str, Any]] = {"heartbeat": 0.2, "stopped_after": 1.5, "attach_timeout": 1.5}


class SharingProcesses:
    """The processes of one test; at the end of an ``async with`` block they end."""

    def __init__(self, server: FaultyServer, directory: Path) -> None:
        self.server = server
        self.directory = directory
        self.members: list[WorkerProcess] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for process in self.members:
            await process.end()

    async def start(self, count: int = 1, *, connect: bool = True, **setup: Any) -> list[WorkerProcess]:
        host = {**QUICK, **setup.pop("host", {})}
        given = {"url": self.server.url, "directory": str(self.directory), "host": host, **setup}
        new = [await WorkerProcess.start(WORKER, given) for _ in range(count)]
        self.members += new
        for process in new:
            await process.until(lambda report: report["event"] in ("ready", "crashed"))
        if connect:
            await asyncio.gather(*(process.do("connect") for process in new))
        return new

    async def owner(self) -> WorkerProcess:
        """The one that holds the connection."""
        said: dict[int, Any] = {}
        try:
            async with asyncio.timeout(DEADLINE):
                while True:
                    for process in self.members:
                        if process.process.returncode is None:
                            said[process.pid] = await process.do("status")
                            if said[process.pid][2]:
                                return process
        except TimeoutError:
            raise AssertionError(f"nobody owns the connection: {said}") from None

    async def connected(self, epoch: int, processes: list[WorkerProcess]) -> None:
        """Every one of them knows that this connection is up."""

        def is_up(report: dict[str, Any]) -> bool:
            return report.get("new") == "CONNECTED" and report["epoch"] >= epoch

        await asyncio.gather(*(process.until(is_up) for process in processes))

    async def all_receive(self, message: str, processes: list[WorkerProcess]) -> None:
        """Send a message, and wait until every one of these processes has received it."""
        marks = [len(process.said) for process in processes]
        await self.server.broadcast(message)
        await asyncio.gather(*(process.got(message, mark) for process, mark in zip(processes, marks, strict=True)))

    @contextlib.asynccontextmanager
    async def load(self) -> AsyncIterator[None]:
        """The server sends all the time."""

        async def send() -> None:
            for number in itertools.count():
                for connection in self.server.connections:
                    if connection.can_send:
                        connection.send_nowait(f"load {number}")
                await asyncio.sleep(0.002)

        task = asyncio.get_running_loop().create_task(send())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])


def paths_of(group: SharingProcesses) -> RuntimePaths:
    """The files of the connection that these processes share."""
    return RuntimePaths.of(ConnectionKey.of(group.server.url).digest(), str(group.directory))


def assert_single_connection(server: FaultyServer) -> None:
    """Assert that the server never had two sockets at once, and that each connection ended as it should."""
    counts = server.counts
    assert counts.most_sockets == 1, counts
    assert counts.premature_closes == 0, counts
    assert counts.protocol_errors == 0, counts


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    """A server that doesn't echo."""
    async with FaultyServer(echo=False) as running:
        yield running


@pytest.fixture
async def group(server: FaultyServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SharingProcesses]:
    """Processes that share a connection to `server`.

    Their directory has a parent of its own, which a test may remove, and a short path, as sockets have to have one.
    """
    directory = tmp_path_factory.mktemp("above") / "run"
    directory.mkdir(mode=0o700)
    async with SharingProcesses(server, directory) as group:
        yield group
