"""From an address to a TCP socket that tells when it was closed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import aiohappyeyeballs

from .. import forking
from ..forking import GuardedSocket
from ..urls import Address

# RFC 8305, section 5: how long one address may take before the next is tried beside it.
_HAPPY_EYEBALLS_DELAY: Final = 0.25


class WatchedSocket(GuardedSocket):
    """A socket that tells when it was closed, by whichever layer owns it at that time."""

    on_close: Callable[[], None] | None = None

    def close(self) -> None:
        """Close it."""
        super().close()
        if self.on_close is not None:
            self.on_close()

    def detach(self) -> int:
        """Give its descriptor away: uvloop does that at the moment it closes it."""
        descriptor = super().detach()
        if self.on_close is not None:
            self.on_close()
        return descriptor


S = TypeVar("S", bound=WatchedSocket)
_Info = tuple[int, int, int, str, tuple[Any, ...]]


async def open_tcp(address: Address, kind: type[S], found: Callable[[], None], process: object) -> S:
    """A connected socket of this kind; `found` is called between the look-up and the connecting.

    Raises OSError as the system does, and in a forked child of the `process` that it is for. It may be cancelled at any
    point, and leaves nothing open then.
    """

    def make(info: _Info) -> S:
        if forking.process() is not process:
            raise ConnectionAbortedError("this connection is dialled by the parent process")
        family, type_, protocol, _, _ = info
        return kind(family=family, type=type_, proto=protocol)

    loop = asyncio.get_running_loop()
    infos = _without_look_up(address) or await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    found()
    sock = await aiohappyeyeballs.start_connection(  # pyright: ignore[reportUnknownMemberType] - bare tuples
        infos, happy_eyeballs_delay=_HAPPY_EYEBALLS_DELAY, loop=loop, socket_factory=make
    )
    if not isinstance(sock, kind):
        raise TypeError("the socket is not the one that was asked for")
    return sock


def _without_look_up(address: Address) -> Sequence[_Info]:
    """What an IP address stands for, its scope included; nothing for a name.

    `loop.getaddrinfo` would ask a thread, and once the main thread has ended, Python lets nobody ask one.
    """
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    try:
        return socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=flags)
    except socket.gaierror:
        return ()
