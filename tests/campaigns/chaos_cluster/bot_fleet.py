"""The environment of a run with sessions: an engine, a Discord server that counts, and the hosts of one bot."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Final, Self

from onesocket import State
from onesocket.sharing.host import listing
from onesocket_discord.server import ChatServer, GatewayOptions
from tests.campaigns.chaos.findings import ChaosFindings
from tests.campaigns.harness.worker_process import Event, WorkerFailure, WorkerProcess
from tests.support.redis_server import free_port

from .cluster_harness import LEASE, MARGIN
from .engine_process import EngineProcess

_WORKER: Final = Path(__file__).with_name("session_worker.py")
_ENGINE_TIMEOUT: Final = 0.5
_BOOT_DEADLINE: Final = 60.0
_POST_EVERY: Final = 0.01


class BotHost:
    """One process with a runtime directory of its own."""

    def __init__(self, number: int, directory: Path) -> None:
        self.number = number
        self.directory = directory
        self.worker: WorkerProcess

    def __repr__(self) -> str:
        return f"<BotHost {self.number}>"

    def leads(self) -> bool:
        """True if it says that it leads, with a connection."""
        return any(one.cluster == "leads" and one.state is State.CONNECTED for one in listing(str(self.directory)))


class BotFleet:
    """Use it with ``async with``; whatever was started is ended with it."""

    def __init__(self, findings: ChaosFindings, engine: str) -> None:
        self.findings = findings
        self.hosts: list[BotHost] = []
        self.figures: list[dict[str, int]] = []
        """Of the hosts that have left."""
        self.posted = 0
        """Number of the last message."""
        self.most_open = 0
        """Connections at once, by the server's count at each message."""
        self._kind = engine
        self._numbers = 0
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            self._base = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="fleet-")))
            (self._base / "engine").mkdir()
            self.engine = EngineProcess(self._kind, self._base / "engine", free_port())
            self._stack.callback(self.engine.end)
            await self.engine.start()
            options = GatewayOptions(identify_interval=0)
            self.server = await self._stack.enter_async_context(ChatServer(options=options))
            service = self.server.service
            self._token = await self.server.create_bot("robo")
            writer = await service.authenticate(await self.server.create_bot("writer"))
            assert writer is not None
            self._writer = writer
            (channel,) = await service.channels.of_guild(writer, service.default_guild)
            self._channel = int(channel["id"])
            self._stack.push_async_callback(self._end_hosts)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def _end_hosts(self) -> None:
        for host in list(self.hosts):
            await self.end(host)

    # --- hosts ------------------------------------------------------------------------------------------------------

    async def boot(self) -> BotHost:
        """A new host, which has joined."""
        self._numbers += 1
        host = BotHost(self._numbers, self._base / f"host{self._numbers}")
        host.directory.mkdir(mode=0o700)
        setup = {
            "engine": self.engine.url("127.0.0.1", self.engine.port),
            "url": self.server.gateway_url,
            "token": self._token,
            "directory": str(host.directory),
            "lease": LEASE,
            "margin": MARGIN,
            "timeout": _ENGINE_TIMEOUT,
        }
        host.worker = await WorkerProcess.start(
            _WORKER, setup, name=f"host {host.number}", on_event=self._heard, collect_errors=True
        )
        self.hosts.append(host)
        await host.worker.do("join", within=_BOOT_DEADLINE)
        return host

    async def leave(self, host: BotHost) -> None:
        """Have a host leave in order."""
        self.hosts.remove(host)
        self.figures.append(await host.worker.do("close"))
        status = await host.worker.ended()
        self.findings.require(status == 0, f"host {host.number} ended with status {status}")
        await self._read_errors(host)

    async def interrupt(self, host: BotHost) -> None:
        """Press Ctrl-C in a host's terminal."""
        self.hosts.remove(host)
        host.worker.signal(signal.SIGINT)
        status = await host.worker.ended()
        self.findings.require(
            status == host.worker.interrupted, f"host {host.number} ended with status {status} by Ctrl-C"
        )
        await self._read_errors(host)

    async def end(self, host: BotHost) -> None:
        """Kill a host, if it still runs."""
        self.hosts.remove(host)
        await self._read_errors(host)

    async def _read_errors(self, host: BotHost) -> None:
        await host.worker.end()
        if host.worker.errors:
            self.findings.broken(f"host {host.number} wrote to stderr: {host.worker.errors[-2000:]}")

    async def leader(self) -> BotHost:
        """The host that leads."""
        deadline = time.monotonic() + 10.0
        while time.monotonic() < deadline:
            leads = await asyncio.gather(*(asyncio.to_thread(host.leads) for host in self.hosts))
            if sum(leads) == 1:
                return self.hosts[leads.index(True)]
            await asyncio.sleep(0.01)
        raise WorkerFailure("no single leader for 10 s")

    async def all_hear(self, hosts: Iterable[BotHost], number: int, within: float) -> list[float]:
        """Wait until each has a message after this one; returns the times."""
        times = await asyncio.gather(*(host.worker.do("until", number=number, within=within) for host in hosts))
        return [float(at) for at in times]

    async def describe(self) -> str:
        """The state of each host that answers, and the counts of the server, as a text."""
        asked = (host.worker.do("part", within=2.0) for host in self.hosts)
        parts = await asyncio.gather(*asked, return_exceptions=True)
        told = (f"host {host.number}: {part}" for host, part in zip(self.hosts, parts, strict=True))
        return "; ".join((f"message {self.posted}", str(self.server.stats), *told))

    async def gaps(self) -> dict[BotHost, int]:
        """Markers that the hosts have got so far."""
        figures = await asyncio.gather(*(host.worker.do("figures") for host in self.hosts))
        return {host: each["gaps"] for host, each in zip(self.hosts, figures, strict=True)}

    def _heard(self, worker: WorkerProcess, event: Event) -> bool:
        is_wrong: bool = event["event"] == "wrong"
        if is_wrong:
            self.findings.broken(f"{worker.name}: {event['text']}")
        return is_wrong

    # --- the server -------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def posting(self) -> AsyncIterator[None]:
        """Have somebody write numbered messages meanwhile."""
        task = asyncio.create_task(self._post())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
        if not task.cancelled():
            task.result()

    async def _post(self) -> None:
        while True:
            number = self.posted + 1
            await self.server.service.messages.post(self._writer, self._channel, {"content": str(number)})
            self.posted = number
            self.most_open = max(self.most_open, self.server.stats.open)
            await asyncio.sleep(_POST_EVERY)
