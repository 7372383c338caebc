"""Recovery from FAILED, or from a killed connection: onesocket, and check-then-connect with its real pauses."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import itertools
import os
import time
from typing import Any, ClassVar

import picows

from examples.demo.check_then_connect import CheckThenConnectClient, CheckThenConnectProvider
from onesocket import Client, Identity, OnesocketError, Provider, State
from onesocket.notices import CallableSink

from ..server_process import control
from ..workload import Sample, Workload
from .base import load
from .onesocket_client import OnesocketSubject

_NUMBERS = itertools.count()


class Recovery(OnesocketSubject):
    """Injects a fault, then measures the recovery; the fault itself isn't counted."""

    from_failed: ClassVar[bool]

    @classmethod
    def check(cls) -> None:
        """check-then-connect dials with websockets."""
        load("websockets", "websockets")

    async def open(self) -> None:
        """Each recovery has its own path, and so its own client."""
        self.server, _, _ = self.url.rpartition("/")

    async def close(self) -> None:
        """Each recovery has closed its own."""

    async def run(self, work: Workload) -> Sample | None:
        """So many recoveries, one after the other."""
        cpu = wall = 0.0
        for _ in range(work.count):
            self.path = f"/{'refuse' if self.from_failed else 'kill'}/{os.getpid()}-{next(_NUMBERS)}"
            self.make(self.server + self.path)
            with contextlib.suppress(OnesocketError, ConnectionError):
                await self.connect()
            wall_then, cpu_then = time.perf_counter(), time.process_time()
            if not self.from_failed:
                control(self.server, "KILL", self.path)
                await self.lost()
            await self.connect()
            cpu += time.process_time() - cpu_then
            wall += time.perf_counter() - wall_then
            if not self.is_up() or control(self.server, "COUNT", self.path) != 2:
                raise RuntimeError(f"{type(self).__name__} did not recover with one handshake")
            await self.clean_up()
        return Sample(cpu, wall)

    @abc.abstractmethod
    def make(self, url: str) -> None:
        """A fresh client."""

    @abc.abstractmethod
    async def connect(self) -> None:
        """Connect, as a component does."""

    @abc.abstractmethod
    async def lost(self) -> None:
        """Wait until the client knows that its connection is lost."""

    @abc.abstractmethod
    def is_up(self) -> bool:
        """Return whether the client is connected."""

    @abc.abstractmethod
    async def clean_up(self) -> None:
        """Close it for good."""


class ClientRecovery(Recovery):
    """`Client.connect()`."""

    def make(self, url: str) -> None:
        """With the defaults."""
        self.client = Client(url, ping_interval=None)

    async def connect(self) -> None:
        """One call."""
        await self.client.connect()

    async def lost(self) -> None:
        """Ask the client."""
        await self.client.wait_for(State.BACKING_OFF)

    def is_up(self) -> bool:
        """Ask the client."""
        return self.client.state is State.CONNECTED

    async def clean_up(self) -> None:
        """Close."""
        await self.client.aclose()


class ProviderRecovery(ClientRecovery):
    """`Provider.connect_if_authenticated()`."""

    def make(self, url: str) -> None:
        """Create a provider with a signed-in user."""
        auth = lambda: Identity("somebody", token="none")  # noqa: E731, S106 - invented
        self.provider = Provider(url, auth=auth, notices=CallableSink(lambda _notice: None, lambda _notice_id: None))

    async def connect(self) -> None:
        """One call."""
        try:
            await self.provider.connect_if_authenticated()
        finally:
            client = self.provider.client
            assert client is not None  # noqa: S101 - it has just been asked to connect
            self.client = client

    async def clean_up(self) -> None:
        """Close."""
        await self.provider.aclose()


class CheckThenConnectClientRecovery(Recovery):
    """`CheckThenConnectClient.connect()`: a pause of 100 ms."""

    def make(self, url: str) -> None:
        """Create the client."""
        self.theirs = CheckThenConnectClient(url)

    async def connect(self) -> None:
        """One call."""
        await self.theirs.connect()

    async def lost(self) -> None:
        """Its flags are down after that."""
        assert self.theirs.ws is not None  # noqa: S101 - it was connected
        await self.theirs.ws.wait_closed()

    def is_up(self) -> bool:
        """Ask the client."""
        return self.theirs.is_connected()

    async def clean_up(self) -> None:
        """Close every socket."""
        await self.theirs.force_cleanup()


class CheckThenConnectProviderRecovery(CheckThenConnectClientRecovery):
    """`CheckThenConnectProvider`: 200 ms more."""

    def make(self, url: str) -> None:
        """Create a provider with a signed-in user."""
        super().make(url)
        theirs = self.theirs
        self.their_provider = CheckThenConnectProvider(lambda: theirs)

    async def connect(self) -> None:
        """One call."""
        await self.their_provider.connect_if_authenticated()


class CloseAndHandshake(OnesocketSubject):
    """The lower bound: bare picows closes one connection and opens the next."""

    async def open(self) -> None:
        """Connect."""
        self.transport = await self._dial()

    async def close(self) -> None:
        """Close."""
        await self._hang_up()

    async def run(self, work: Workload) -> Sample | None:
        """So many times."""
        for _ in range(work.count):
            await self._hang_up()
            self.transport = await self._dial()
        return None

    async def _dial(self) -> Any:
        transport, _ = await picows.ws_connect(picows.WSListener, self.url)
        return transport

    async def _hang_up(self) -> None:
        self.transport.send_close(1000)
        self.transport.disconnect()
        await self.transport.wait_disconnected()


class Reconnect(OnesocketSubject):
    """`Client.reconnect()` on an open connection: a close handshake, then an upgrade."""

    async def run(self, work: Workload) -> Sample | None:
        """So many times."""
        for _ in range(work.count):
            await self.client.reconnect()
            await asyncio.sleep(0)
        return None


def subject(kind: type[Recovery], *, from_failed: bool) -> type[Recovery]:
    """Return a factory of this kind for this fault."""
    return type(f"{kind.__name__}From{'Failed' if from_failed else 'Killed'}", (kind,), {"from_failed": from_failed})
