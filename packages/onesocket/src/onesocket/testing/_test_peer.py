"""Whom a transport under test talks to: what a check may ask of the peer, and what the peer has counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final, Protocol

from ..lifecycle._peer_errors import handshake_rejected
from ..transports._memory import MemoryPeer, MemoryServer, MemoryTransport
from ..wire._handshake import Data
from ._faults import Fault
from ._faulty_connection import FaultyConnection
from ._faulty_server import FaultyServer

SUBPROTOCOL: Final = "v2"
"""What every other side speaks, when it is offered."""
_DEADLINE: Final = 5.0


class PeerFeature(Enum):
    """What not every other side has; its value says it for people."""

    BYTES = "bytes on a wire: broken frames and upgrades, fragments, control frames between them"
    ADDRESSES = "host names and ports"
    PRESSURE = "a peer that is held up while its messages are not read"
    PEER_PINGS = "PINGs of the peer"


class TransportTestPeer(Protocol):
    """The peer of one check at a time; what concerns one line concerns the newest."""

    unsupported: Mapping[PeerFeature, str]
    """The features that make no sense here, each with the reason."""

    async def start(self) -> None:
        """Begin anew: nothing is counted, everything is accepted."""

    async def aclose(self) -> None:
        """End it."""

    @property
    def url(self) -> str:
        """Where to dial."""
        ...

    @property
    def server(self) -> FaultyServer:
        """The server behind it, for checks that need `PeerFeature.BYTES`."""
        ...

    def refuse(self, status: int, body: str = "") -> None:
        """Answer every dial with this HTTP status from now on."""

    def hold(self) -> None:
        """Leave every dial unanswered until `release()`."""

    def release(self) -> None:
        """Accept what is held, and everything after it."""

    def ignore_close(self) -> None:
        """Never answer a CLOSE of the lines to come."""

    def send(self, *messages: Data) -> None:
        """Send these at once."""

    def close(self, code: int, reason: str = "") -> None:
        """Begin the close handshake."""

    def drop(self) -> None:
        """End the line without a CLOSE."""

    def stop_reading(self) -> None:
        """Read nothing more."""

    def resume_reading(self) -> None:
        """Go on reading."""

    @property
    def dials(self) -> int:
        """How many dials arrived."""
        ...

    @property
    def open_now(self) -> int:
        """How many lines there are now, counted from their dial on."""
        ...

    @property
    def most_open(self) -> int:
        """The high-water mark of that."""
        ...

    @property
    def unclean_closes(self) -> int:
        """How many lines the client has ended without the handshake that was due, or before the answer to it."""
        ...

    @property
    def close_codes(self) -> list[int]:
        """The codes of the CLOSEs that came, sorted."""
        ...

    @property
    def received(self) -> list[Data]:
        """Every message that came."""
        ...

    def header(self, name: str) -> str | None:
        """A header of the newest dial."""
        ...

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until this holds; raises `TimeoutError`."""


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
        """Start a server."""
        self._gate = asyncio.Event()
        self._server = FaultyServer(
            echo=False, subprotocols=[SUBPROTOCOL], compression="deflate" if self._compression else None
        )
        await self._server.start()

    async def aclose(self) -> None:
        """End it."""
        if self._server is not None:
            await self._server.aclose()

    @property
    def server(self) -> FaultyServer:
        """The server. Raises `LookupError` before `start()`."""
        if self._server is None:
            raise LookupError("start() it first")
        return self._server

    @property
    def url(self) -> str:
        """Where it listens."""
        return self.server.url

    def refuse(self, status: int, body: str = "") -> None:
        """Refuse every upgrade."""
        self.server.faults = Fault.refuse(status, body=body)

    def hold(self) -> None:
        """Leave upgrades unanswered."""
        self.server.faults = Fault.hold_upgrade(self._gate)

    def release(self) -> None:
        """Answer them."""
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
        """Go on."""
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
        """Codes that came."""
        return sorted(code for code, times in self.server.counts.close_codes.items() for _ in range(times))

    @property
    def received(self) -> list[Data]:
        """Messages that came."""
        return self.server.received

    def header(self, name: str) -> str | None:
        """A header of the newest upgrade request."""
        return self._newest.request_headers.get(name)

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for the counts."""
        await self.server.wait_until(lambda _: true(), timeout=_DEADLINE)

    @property
    def _newest(self) -> FaultyConnection:
        return self.server.connections[-1]


class MemoryTestPeer:
    """A `MemoryServer`. Its transport is to be made by `transport()`, as it leads to nobody else."""

    def __init__(self) -> None:
        self.unsupported: Mapping[PeerFeature, str] = {
            PeerFeature.BYTES: "messages are handed over whole; there are no bytes that could break a rule",
            PeerFeature.ADDRESSES: "every URL leads to the one server",
            PeerFeature.PRESSURE: "the wire has room for everything, so that a test never waits for it",
            PeerFeature.PEER_PINGS: "a MemoryPeer sends none",
        }
        self._server = MemoryServer()
        self._held: list[MemoryPeer] | None = None
        self._answers_close = True
        self._refusal: tuple[int, str] | None = None

    def __repr__(self) -> str:
        return f"<MemoryTestPeer {self._server!r}>"

    def transport(self) -> MemoryTransport:
        """A transport that leads here."""
        return self._server.transport()

    async def start(self) -> None:
        """Begin with a new server."""
        self._server = MemoryServer(self._dialled)
        self._held = None
        self._answers_close = True
        self._refusal = None

    async def aclose(self) -> None:
        """Nothing is left to be ended."""

    @property
    def server(self) -> FaultyServer:
        """There is none."""
        raise LookupError(self.unsupported[PeerFeature.BYTES])

    @property
    def url(self) -> str:
        """Anything."""
        return "ws://memory.test/"

    def refuse(self, status: int, body: str = "") -> None:
        """Refuse every dial."""
        self._refusal = (status, body)

    def hold(self) -> None:
        """Leave dials unanswered."""
        self._held = []

    def release(self) -> None:
        """Answer them."""
        held, self._held = self._held or [], None
        for peer in held:
            self._dialled(peer)

    def ignore_close(self) -> None:
        """Never answer a CLOSE."""
        self._answers_close = False

    def send(self, *messages: Data) -> None:
        """Send."""
        for message in messages:
            self._newest.send(message)

    def close(self, code: int, reason: str = "") -> None:
        """Send CLOSE."""
        self._newest.close(code, reason)

    def drop(self) -> None:
        """Drop the line."""
        self._newest.drop()

    def stop_reading(self) -> None:
        """Stop reading."""
        self._newest.stop_reading()

    def resume_reading(self) -> None:
        """Go on."""
        for peer in self._server.peers:
            peer.resume_reading()

    @property
    def dials(self) -> int:
        """Dials."""
        return len(self._server.peers)

    @property
    def open_now(self) -> int:
        """Lines now."""
        return self._server.open_now

    @property
    def most_open(self) -> int:
        """The most lines."""
        return self._server.most_open

    @property
    def unclean_closes(self) -> int:
        """It is not counted here: an end without a CLOSE has only one side."""
        return 0

    @property
    def close_codes(self) -> list[int]:
        """Codes that came."""
        return sorted(peer.close_code for peer in self._server.peers if peer.close_code is not None)

    @property
    def received(self) -> list[Data]:
        """Messages that came."""
        return [message for peer in self._server.peers for message in peer.received]

    def header(self, name: str) -> str | None:
        """A header of the newest dial."""
        return dict(self._newest.request.headers).get(name)

    async def until(self, true: Callable[[], bool]) -> None:
        """Look again in every turn: a MemoryServer tells nobody what it counts."""
        async with asyncio.timeout(_DEADLINE):
            while not true():  # noqa: ASYNC110 - see above
                await asyncio.sleep(0)

    def _dialled(self, peer: MemoryPeer) -> None:
        peer.answers_close = self._answers_close
        if self._held is not None:
            self._held.append(peer)
        elif self._refusal is not None:
            status, body = self._refusal
            peer.refuse(handshake_rejected(status, {}, peer.request.scrub(body)))
        else:
            peer.accept(SUBPROTOCOL if SUBPROTOCOL in peer.request.subprotocols else None)

    @property
    def _newest(self) -> MemoryPeer:
        return self._server.peers[-1]
