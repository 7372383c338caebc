"""Test peers: servers that a transport is tested against, which count connections and messages.

`LoopbackTestPeer` serves every transport on sockets; for another one, write a `TransportTestPeer`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final, Protocol

from ..wire._handshake import Data
from ._faults import Fault
from ._faulty_connection import FaultyConnection
from ._faulty_server import FaultyServer

SUBPROTOCOL: Final = "v2"
"""Sub-protocol that every test peer speaks, if it is offered."""
_DEADLINE: Final = 5.0


class PeerFeature(StrEnum):
    """Feature that not every test peer has; its value is a readable description."""

    BYTES = "bytes on a wire: broken frames and upgrades, fragments, control frames between them"
    ADDRESSES = "host names and ports"
    PRESSURE = "a peer that is held up while its messages are not read"
    PEER_PINGS = "PINGs of the peer"


class TransportTestPeer(Protocol):
    """Server for one check at a time; methods that concern one connection use the newest."""

    unsupported: Mapping[PeerFeature, str]
    """Features that this peer lacks, each with the reason."""

    async def start(self) -> None:
        """Reset the counters, and accept every dial."""

    async def aclose(self) -> None:
        """Close the server."""

    @property
    def url(self) -> str:
        """URL to dial."""
        ...

    @property
    def server(self) -> FaultyServer:
        """The `FaultyServer`, for checks that need `PeerFeature.BYTES`."""
        ...

    def refuse(self, status: int, body: str = "") -> None:
        """Refuse every dial with this HTTP status from now on."""

    def hold(self) -> None:
        """Leave every dial unanswered until `release()`."""

    def release(self) -> None:
        """Accept the held dials, and later ones."""

    def ignore_close(self) -> None:
        """Never answer a CLOSE of later connections."""

    def send(self, *messages: Data) -> None:
        """Send the messages."""

    def close(self, code: int, reason: str = "") -> None:
        """Start the close handshake."""

    def drop(self) -> None:
        """End the connection without a CLOSE."""

    def stop_reading(self) -> None:
        """Stop reading."""

    def resume_reading(self) -> None:
        """Read again."""

    @property
    def dials(self) -> int:
        """Number of dials."""
        ...

    @property
    def open_now(self) -> int:
        """Number of connections now, each counted from its dial."""
        ...

    @property
    def most_open(self) -> int:
        """High-water mark of `open_now`."""
        ...

    @property
    def unclean_closes(self) -> int:
        """Number of connections that the client ended without the close handshake, or before its answer."""
        ...

    @property
    def close_codes(self) -> list[int]:
        """Codes of the received CLOSE frames, sorted."""
        ...

    @property
    def received(self) -> list[Data]:
        """All received messages."""
        ...

    def header(self, name: str) -> str | None:
        """Return a header of the newest dial."""
        ...

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds; raises `TimeoutError`."""


class LoopbackTestPeer:
    """A `FaultyServer` on loopback."""

    def __init__(self, *, compression: bool = False) -> None:
        self.unsupported: Mapping[PeerFeature, str] = {}
        self._compression = compression
        self._server: FaultyServer | None = None
        self._gate = asyncio.Event()

    def __repr__(self) -> str:
        return "<LoopbackTestPeer>"

    async def start(self) -> None:
        """Start a new server."""
        self._gate = asyncio.Event()
        self._server = FaultyServer(
            echo=False, subprotocols=[SUBPROTOCOL], compression="deflate" if self._compression else None
        )
        await self._server.start()

    async def aclose(self) -> None:
        """Close the server."""
        if self._server is not None:
            await self._server.aclose()

    @property
    def server(self) -> FaultyServer:
        """The server; raises `LookupError` before `start()`."""
        if self._server is None:
            raise LookupError("start() it first")
        return self._server

    @property
    def url(self) -> str:
        """URL of the server."""
        return self.server.url

    def refuse(self, status: int, body: str = "") -> None:
        """Refuse every upgrade."""
        self.server.faults = Fault.refuse(status, body=body)

    def hold(self) -> None:
        """Leave upgrades unanswered."""
        self.server.faults = Fault.hold_upgrade(self._gate)

    def release(self) -> None:
        """Accept the held dials."""
        self._gate.set()

    def ignore_close(self) -> None:
        """Never answer a CLOSE."""
        self.server.faults = Fault.never_acknowledge_close()

    def send(self, *messages: Data) -> None:
        """Send."""
        for message in messages:
            self._newest.send_nowait(message)

    def close(self, code: int, reason: str = "") -> None:
        """Send CLOSE."""
        self._newest.close_nowait(code, reason)

    def drop(self) -> None:
        """Reset TCP."""
        self._newest.kill()

    def stop_reading(self) -> None:
        """Stop reading."""
        self._newest.stop_reading()

    def resume_reading(self) -> None:
        """Read again."""
        for connection in self.server.connections:
            connection.resume()

    @property
    def dials(self) -> int:
        """Upgrade requests."""
        return self.server.counts.handshakes

    @property
    def open_now(self) -> int:
        """Sockets now."""
        return self.server.counts.sockets_now

    @property
    def most_open(self) -> int:
        """The most sockets."""
        return self.server.counts.most_sockets

    @property
    def unclean_closes(self) -> int:
        """Premature and unclean closes."""
        counts = self.server.counts
        return counts.premature_closes + counts.unclean_closes

    @property
    def close_codes(self) -> list[int]:
        """Codes of the received CLOSE frames, sorted."""
        return sorted(code for code, times in self.server.counts.close_codes.items() for _ in range(times))

    @property
    def received(self) -> list[Data]:
        """All received messages."""
        return self.server.received

    def header(self, name: str) -> str | None:
        """A header of the newest upgrade request."""
        return self._newest.request_headers.get(name)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for the counts."""
        await self.server.wait_until(lambda _: condition(), timeout=_DEADLINE)

    @property
    def _newest(self) -> FaultyConnection:
        return self.server.connections[-1]
