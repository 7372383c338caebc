"""Hosts of a cluster, several in one process: each has a runtime directory of its own."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from onesocket import Client, Gap, OnesocketError, Raw, State, Status
from onesocket.client import GapReason
from onesocket.client._status import Change
from onesocket.errors import EngineUnavailable
from onesocket.protocols import Protocol
from onesocket.sharing._connection_key import ConnectionKey
from onesocket.sharing._upstream import ConnectionSpec
from onesocket.sharing.cluster._cluster_options import ClusterOptions
from onesocket.sharing.cluster._cluster_owner import ClusterOwner
from onesocket.sharing.cluster._cluster_upstream import ClusterUpstream
from onesocket.sharing.cluster._coordinator import ClusterEngine, ClusterKey
from onesocket.sharing.cluster._failed_dials import FailedDials
from onesocket.sharing.cluster._memory_engine import MemoryEngine
from onesocket.sharing.host import HostOptions
from onesocket.testing import FaultyServer

DEADLINE: Final = 10.0
LEASE: Final = 30.0
"""Longer than any test: none ends because the machine is slow."""
short_lease = pytest.mark.parametrize("lease", [1.5])
"""For tests in which a lease ends."""


def try_another_host_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a leader leave the lease to others after half a second of failed attempts, instead of a whole lease."""
    make = FailedDials.__init__
    monkeypatch.setattr(FailedDials, "__init__", lambda self, _, passes: make(self, 0.5, passes))


class Host:
    """A host of its own, by its runtime directory: what its reader gets, in order."""

    def __init__(
        self,
        url: str,
        directory: Path,
        cluster: ClusterOptions,
        protocol: Protocol[Any],
        key: ConnectionKey | None = None,
        *,
        source: Callable[[], str] | None = None,
        make_client: Callable[[], Client[Any]] | None = None,
        **options: Any,
    ) -> None:
        self.directory = directory
        self.key = ConnectionKey.of(url, key="account") if key is None else key
        self.items: list[Any] = []
        """Messages, gap markers and states."""
        self._added = asyncio.Event()
        self.upstream = ClusterUpstream(
            ConnectionSpec(
                key=self.key,
                options=options,
                protocol=protocol,
                make_client=make_client or (lambda: Client(source or url, protocol=protocol, **options)),
                host_options=HostOptions(directory=str(directory)),
            ),
            cluster,
        )
        self.upstream.attach(self)

    def _add(self, *items: Any) -> None:
        self.items += items
        self._added.set()

    def messages(self, batch: list[Any]) -> None:
        self._add(*batch)

    def gap(self, gap: Gap) -> None:
        self._add(gap)

    def changed(self, change: Change, status: Status) -> None:
        assert change.new is status.state
        self._add(change.new)

    def failed(self, error: OnesocketError) -> None:
        self._add(error)

    async def until(self, is_met: Callable[[Host], object]) -> None:
        """Wait until this holds."""
        try:
            async with asyncio.timeout(DEADLINE):
                while not is_met(self):
                    self._added.clear()
                    await self._added.wait()
        except TimeoutError:
            raise AssertionError(f"{self.upstream!r} has {self.items}") from None

    def look(self) -> None:
        """Have `until` look again."""
        self._added.set()

    async def got(self, item: Any) -> None:
        await self.until(lambda host: item in host.items)

    @property
    def owner_key(self) -> ClusterKey:
        """Its key at the engine."""
        return ClusterKey.of(self.key.digest())

    @property
    def owner(self) -> ClusterOwner:
        """The present role."""
        role = self.upstream._membership.role
        assert isinstance(role, ClusterOwner)
        return role

    async def reconnected(self) -> None:
        """Wait until it knows that another connection than the first one is up."""
        await self.until(lambda host: host.upstream.status.is_connected and host.upstream.status.epoch >= 2)

    @property
    def gap_reasons(self) -> set[GapReason]:
        """Reasons of the markers that its reader got."""
        return {item.reason for item in self.items if isinstance(item, Gap)}

    async def connected(self, epoch: int) -> None:
        """Wait until it knows that this connection is up."""
        await self.until(
            lambda host: (host.upstream.status.state, host.upstream.status.epoch) == (State.CONNECTED, epoch)
        )

    @property
    def received(self) -> list[Any]:
        return [item for item in self.items if not isinstance(item, State)]


class Cluster:
    """The hosts of one test."""

    def __init__(
        self, server: FaultyServer, directory: Path, engine: ClusterEngine | None = None, *, lease: float = LEASE
    ) -> None:
        self.server = server
        memory = MemoryEngine() if engine is None else engine
        if isinstance(memory, MemoryEngine):
            memory.before = self._fail_partitioned
        self.engine: Any = memory
        self._lease = lease
        self.hosts: list[Host] = []
        self._partitioned: set[str] = set()
        self._mute: set[str] = set()
        self._directory = directory
        self._numbers = itertools.count()

    def host(
        self,
        protocol: Protocol[Any] | None = None,
        *,
        rule: str = "close",
        beside: Host | None = None,
        key: ConnectionKey | None = None,
        **options: Any,
    ) -> Host:
        """Another host, or another process of the one that this one is beside."""
        cluster = ClusterOptions(engine=self.engine, lease=self._lease, margin=self._lease / 5, on_engine_lost=rule)
        directory = self._directory / str(next(self._numbers)) if beside is None else beside.directory
        host = Host(self.server.url, directory, cluster, protocol or Raw(), key, **options)
        self.hosts.append(host)
        return host

    def _fail_partitioned(self, member: str, operation: str) -> None:
        if member in self._partitioned or (member in self._mute and operation not in ("take", "publish")):
            raise EngineUnavailable(f"no {operation} for this host")

    def partition(self, host: Host) -> None:
        """Take the engine away from this host."""
        self._partitioned.add(host.owner._coordinator.member)
        self.engine.interrupt_waits()

    def mute(self, host: Host) -> None:
        """Have this host take what others submit, but answer nothing and renew nothing."""
        self._mute.add(host.owner._coordinator.member)

    def heal(self, host: Host) -> None:
        """Give it back."""
        self._partitioned.discard(host.owner._coordinator.member)

    def heal_all(self) -> None:
        """Give it back to all."""
        self._partitioned.clear()

    async def aclose(self) -> None:
        """Have all hosts leave, with an engine that serves them."""
        if isinstance(self.engine, MemoryEngine):
            self.engine.is_available = True
        await asyncio.gather(*(host.upstream.aclose() for host in self.hosts))

    async def connected(self, count: int, protocol: Callable[[], Protocol[Any]] = Raw, **options: Any) -> list[Host]:
        """So many hosts that are connected; the first one leads."""
        hosts = [self.host(protocol(), **options) for _ in range(count)]
        for host in hosts:
            await host.upstream.connect(retry=True)  # an engine on a slow machine may not answer in time
            await host.got(State.CONNECTED)
        return hosts
