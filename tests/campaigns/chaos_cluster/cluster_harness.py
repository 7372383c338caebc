"""The environment of a run: an engine, an upstream server, and hosts with their processes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any, Final, Self

from onesocket import State
from onesocket.sharing.host import listing
from onesocket.testing import FaultyConnection
from tests.campaigns.chaos.findings import ChaosFindings
from tests.campaigns.chaos.harness import ChaosHarness, CountingServer
from tests.campaigns.harness.socket_census import ClientSockets
from tests.campaigns.harness.worker_process import OrderRefused, WorkerFailure, WorkerProcess

from .cluster_host import ClusterHost
from .engine_process import EngineProcess
from .engine_proxy import EngineProxy
from .network import Network
from .window_census import WindowCensus, by_host

LEASE: Final = 1.0
"""Seconds; NATS counts whole ones."""
MARGIN: Final = 0.2
_ENGINE_TIMEOUT: Final = 0.5
_WORKER: Final = Path(__file__).with_name("worker.py")
_BOOT_DEADLINE: Final = 60.0
"""Seconds; a busy machine takes long for a new process."""
_JOIN_ATTEMPTS: Final = 5


class TimedServer(CountingServer):
    """Notes when connections begin and end."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.begun: dict[int, float] = {}
        """Times at which TCP connections were accepted, by their numbers."""
        self.ended: dict[int, float] = {}

    def attached(self, connection: FaultyConnection) -> None:
        """Note that the TCP connection is there."""
        self.begun[connection.number] = time.monotonic()
        super().attached(connection)

    def detached(self, connection: FaultyConnection) -> None:
        """Note that it is gone."""
        self.ended[connection.number] = time.monotonic()
        super().detached(connection)


class ClusterHarness(ChaosHarness):
    """Use it with ``async with``; whatever was started is ended with it."""

    server_type = TimedServer
    server: TimedServer
    census: WindowCensus | None = None

    def __init__(self, findings: ChaosFindings, network: Network, engine: str) -> None:
        super().__init__(findings)
        self.network = network
        self.server.host = network.upstream
        self.hosts: list[ClusterHost] = []
        self._kind = engine
        self._host_numbers = 0
        self.late_joins = 0
        """Number of attempts to join that failed, as the engine did not answer in time."""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        try:
            port = _free_port(self.network.engine)
            self.engine = EngineProcess(self._kind, self.base / "engine", port)
            self._stack.callback(self.engine.end)
            await self.engine.start()
            self._stack.push_async_callback(self._close_hosts)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    def new_census(self) -> WindowCensus:
        """A census of the sockets of all hosts."""
        self.census = WindowCensus(self.list_sockets)
        return self.census

    def list_sockets(self) -> ClientSockets:
        """The sockets of all hosts to the server."""
        port = self.server.port
        if not self.network.has_links:  # all hosts have the machine's table
            return super().list_sockets()
        return by_host({host.number: host.network.list_sockets(port) for host in tuple(self.hosts)})

    # --- hosts ------------------------------------------------------------------------------------------------------

    async def boot(self, processes: int, *, send_every: float) -> ClusterHost:
        """A new host, whose processes have joined."""
        self._host_numbers += 1
        number = self._host_numbers
        network = await self.network.add_host(number)
        proxy = None
        if number % 2 == 0 or not self.network.has_links:
            proxy = EngineProxy(self.network.engine, self.engine.port)
            await proxy.start()
        directory = self.base / f"host{number}"
        directory.mkdir(mode=0o700)
        host = ClusterHost(number, network, directory, proxy)
        self.hosts.append(host)
        await all_done(self.add_member(host, send_every=send_every) for _ in range(processes))
        return host

    async def add_member(self, host: ClusterHost, *, send_every: float) -> WorkerProcess:
        """A new process on a host, which has joined."""
        self._names += 1
        name = f"h{host.number}p{self._names}"
        port = self.engine.port if host.proxy is None else host.proxy.port
        setup = {
            "name": name,
            "url": self.server.url,
            "host": {**self.host, "directory": str(host.directory)},
            "engine": self.engine.url(self.network.engine, port),
            "lease": LEASE,
            "margin": MARGIN,
            "timeout": _ENGINE_TIMEOUT,
        }
        member = await self.add(
            WorkerProcess.start(
                _WORKER, setup, name=name, on_event=self._heard, collect_errors=True, prefix=host.network.enter
            )
        )
        await member.wait_for(lambda: bool(member.said), "start", _BOOT_DEADLINE)
        self.ledger.sender(name)
        await self._join(member, send_every)
        host.members.append(member)
        return member

    async def _join(self, member: WorkerProcess, send_every: float) -> None:
        """Join, as a program that tries again: a busy machine may let the engine take too long."""
        for attempts_left in reversed(range(_JOIN_ATTEMPTS)):
            answer = await member.answer(member.tell("join", send_every=send_every, padding=""), within=_BOOT_DEADLINE)
            if answer["event"] == "done":
                return
            if answer["kind"] != "EngineUnavailable" or not attempts_left:
                raise OrderRefused(answer)
            self.late_joins += 1

    async def power_off(self, host: ClusterHost) -> None:
        """No packet of it comes any more, and then its processes are gone."""
        await host.network.remove()
        for member in host.members:
            member.kill()
        for member in host.members:
            await member.ended()
        self.hosts.remove(host)
        await host.close()

    async def shut_down(self, host: ClusterHost) -> None:
        """All of its processes leave in order, at once."""
        await asyncio.gather(*(self.leave(member) for member in host.members))
        self.hosts.remove(host)
        await host.network.remove()
        await host.close()

    async def _close_hosts(self) -> None:
        for member in self.members:
            await member.end()
        for host in self.hosts:
            await host.close()

    @property
    def all_members(self) -> list[WorkerProcess]:
        """The processes of all hosts."""
        return [member for host in self.hosts for member in host.members]

    async def leader(self) -> tuple[ClusterHost, WorkerProcess, int]:
        """The host that leads, its process with the connection, and the server's number of that."""
        deadline = time.monotonic() + 10.0
        while time.monotonic() < deadline:
            open_now = [connection for connection in self.server.connections if connection.can_send]
            if len(leading := await self._leading()) == 1 and len(open_now) == 1:
                host, pid = leading[0]
                for member in host.members:
                    if member.pid == pid:
                        return host, member, open_now[0].number
            await asyncio.sleep(0.01)
        raise WorkerFailure(f"no single leader for 10 s; {await self.describe()}")

    async def _leading(self) -> list[tuple[ClusterHost, int]]:
        """The hosts that say they lead, with a connection, and the process ids of their members."""
        listed = await asyncio.gather(*(asyncio.to_thread(listing, str(host.directory)) for host in self.hosts))
        return [
            (host, one.pid)
            for host, found in zip(self.hosts, listed, strict=True)
            for one in found
            if one.cluster == "leads" and one.state is State.CONNECTED
        ]

    async def describe(self) -> str:
        """The state of each process that answers, as a text."""
        members = [member for member in self.all_members if member.is_alive]
        parts = await asyncio.gather(*(member.do("part", within=2.0) for member in members), return_exceptions=True)
        return "; ".join(f"{member.name}: {part}" for member, part in zip(members, parts, strict=True))

    # --- the server -------------------------------------------------------------------------------------------------

    def mark_broken(self) -> None:
        """Note that a kernel may lose messages with the connections that are open now."""
        self.ledger.broken_connections.update(connection.number for connection in self.server.connections)

    def reset_connections_of(self, numbers: list[int]) -> None:
        """End the server's side of connections whose host is gone, as a service would after a while."""
        for connection in self.server.connections:
            if connection.number in numbers:
                connection.kill()

    def feed_once(self) -> None:
        """Send one message on each open connection: its number, and that of the connection."""
        ready = [connection for connection in self.server.connections if connection.can_send]
        if ready:
            self.number += 1
            for connection in ready:
                with contextlib.suppress(BufferError):  # its host is gone
                    connection.send_nowait(f"{self.number} {connection.number}")


async def all_done(work: Iterable[Coroutine[Any, Any, object]]) -> None:
    """Wait until each has ended, also if one fails: what it started is ended with the harness. Raises its error."""
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


def _free_port(host: str) -> int:
    with socket.create_server((host, 0)) as listener:
        return int(listener.getsockname()[1])
