"""The network of the hosts: namespaces with a link to the engine and one to the upstream each, or loopback."""

from __future__ import annotations

import asyncio
import enum
import subprocess
from collections.abc import Sequence
from typing import Final, Protocol

from tests.campaigns.harness.socket_census import ClientSockets, list_client_sockets

from .namespaces import Namespace, run_ip, unshare_network

_UPSTREAM: Final = "10.99.0.1"
_ENGINE: Final = "10.99.0.2"
_SPARE_ADDRESSES: Final = 250


class Link(enum.Enum):
    """A cable of a host."""

    ENGINE = "engine"
    UPSTREAM = "upstream"


class HostNetwork(Protocol):
    """The network of one host."""

    @property
    def enter(self) -> Sequence[str]:
        """The words before a command that is to run on this host."""
        ...

    async def set_link(self, link: Link, *, up: bool) -> None:
        """Unplug a cable, or plug it in again."""

    async def remove(self) -> None:
        """Unplug both for good. What the host had to say is not heard any more."""

    def list_sockets(self, port: int) -> ClientSockets:
        """The sockets of this host that are connected, or are being connected, to a port."""
        ...

    def close(self) -> None:
        """Let go of it, after its processes."""


class Network(Protocol):
    """Where the driver's servers listen, and the hosts are."""

    upstream: str
    """Address of the upstream server, as all hosts know it."""
    engine: str
    title: str
    has_links: bool
    """False: links can't be unplugged; those to the engine are proxies."""

    async def add_host(self, number: int) -> HostNetwork:
        """The network of a new host."""
        ...


class NamespaceHost:
    """A namespace with two veth links to the driver's."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._place = number % _SPARE_ADDRESSES + 1
        self._namespace = Namespace()
        commands: list[str] = []
        inside: list[str] = []
        for net, link, address in ((1, Link.ENGINE, _ENGINE), (2, Link.UPSTREAM, _UPSTREAM)):
            name, prefix = self._name(link), f"10.{net}.{self._place}"
            commands += [
                f"link add {name} type veth peer name {link.value} netns {self._namespace.path}",
                f"addr add {prefix}.1/24 dev {name}",
                f"link set {name} up",
            ]
            inside += [
                f"addr add {prefix}.2/24 dev {link.value}",
                f"link set {link.value} up",
                f"route add {address}/32 via {prefix}.1 dev {link.value}",
            ]
        run_ip(commands)
        run_ip(inside, self._namespace.enter)

    @property
    def enter(self) -> Sequence[str]:
        """As `HostNetwork.enter`."""
        return self._namespace.enter

    def _name(self, link: Link) -> str:
        return f"{link.value[0]}{self._number}"

    async def set_link(self, link: Link, *, up: bool) -> None:
        """As `HostNetwork.set_link`."""
        await asyncio.to_thread(run_ip, [f"link set {self._name(link)} {'up' if up else 'down'}"])

    async def remove(self) -> None:
        """As `HostNetwork.remove`."""
        await asyncio.to_thread(run_ip, [f"link del {self._name(link)}" for link in Link])

    def list_sockets(self, port: int) -> ClientSockets:
        """As `HostNetwork.list_sockets`."""
        return self._namespace.list_sockets(port)

    def close(self) -> None:
        """As `HostNetwork.close`."""
        self._namespace.close()


class NamespaceNetwork:
    """The process of the driver gets a network namespace of its own. Made before it has threads; raises OSError."""

    upstream = _UPSTREAM
    engine = _ENGINE
    title = "each host a network namespace, with a veth link to the engine and one to the upstream server"
    has_links = True

    def __init__(self) -> None:
        unshare_network()
        run_ip(["link set lo up", *(f"addr add {address}/32 dev lo" for address in (_UPSTREAM, _ENGINE))])
        NamespaceHost(0).close()  # whether veth is there

    async def add_host(self, number: int) -> HostNetwork:
        """As `Network.add_host`."""
        return await asyncio.to_thread(NamespaceHost, number)


class LoopbackHost:
    """A host by its runtime directory alone."""

    enter: Sequence[str] = ()

    async def set_link(self, link: Link, *, up: bool) -> None:
        """Do nothing: the harness uses the proxy to the engine, and cuts no link to the upstream server."""

    async def remove(self) -> None:
        """Do nothing."""

    def list_sockets(self, port: int) -> ClientSockets:
        """All of the machine."""
        return list_client_sockets(port)

    def close(self) -> None:
        """Do nothing."""


class LoopbackNetwork:
    """All hosts on loopback."""

    upstream = engine = "127.0.0.1"
    has_links = False

    def __init__(self, reason: str) -> None:
        self.title = f"all hosts on loopback, links to the engine are proxies, those to the server stay ({reason})"

    async def add_host(self, number: int) -> HostNetwork:
        """As `Network.add_host`."""
        return LoopbackHost()


def new_network(*, loopback: bool) -> Network:
    """Namespaces where they are allowed, unless loopback is wanted."""
    if loopback:
        return LoopbackNetwork("as was asked for")
    try:
        return NamespaceNetwork()
    except (OSError, subprocess.CalledProcessError) as error:
        return LoopbackNetwork(f"no network namespaces: {error}")
