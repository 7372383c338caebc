"""The test peer of the transport in memory."""

import asyncio
from collections.abc import Callable, Mapping

from onesocket.lifecycle._peer_errors import handshake_rejected
from onesocket.testing import FaultyServer, MemoryPeer, MemoryServer, MemoryTransport, PeerFeature
from onesocket.testing._test_peer import SUBPROTOCOL
from onesocket.wire._handshake import Data

DEADLINE = 5.0


class MemoryTestPeer:
    """A `MemoryServer`; the transport under test is made by `transport()`, as it connects only to this server."""

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
        return self._server.transport()

    async def start(self) -> None:
        self._server = MemoryServer(self._dialled)
        self._held = None
        self._answers_close = True
        self._refusal = None

    async def aclose(self) -> None:
        pass

    @property
    def server(self) -> FaultyServer:
        raise LookupError(self.unsupported[PeerFeature.BYTES])

    @property
    def url(self) -> str:
        return "ws://memory.test/"

    def refuse(self, status: int, body: str = "") -> None:
        self._refusal = (status, body)

    def hold(self) -> None:
        self._held = []

    def release(self) -> None:
        held, self._held = self._held or [], None
        for peer in held:
            self._dialled(peer)

    def ignore_close(self) -> None:
        self._answers_close = False

    def send(self, *messages: Data) -> None:
        for message in messages:
            self._newest.send(message)

    def close(self, code: int, reason: str = "") -> None:
        self._newest.close(code, reason)

    def drop(self) -> None:
        self._newest.drop()

    def stop_reading(self) -> None:
        self._newest.stop_reading()

    def resume_reading(self) -> None:
        for peer in self._server.peers:
            peer.resume_reading()

    @property
    def dials(self) -> int:
        return len(self._server.peers)

    @property
    def open_now(self) -> int:
        return self._server.open_now

    @property
    def most_open(self) -> int:
        return self._server.most_open

    @property
    def unclean_closes(self) -> int:
        return 0

    @property
    def close_codes(self) -> list[int]:
        return sorted(peer.close_code for peer in self._server.peers if peer.close_code is not None)

    @property
    def received(self) -> list[Data]:
        return [message for peer in self._server.peers for message in peer.received]

    def header(self, name: str) -> str | None:
        return dict(self._newest.request.headers).get(name)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not condition():  # noqa: ASYNC110 - see above
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
