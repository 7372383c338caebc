"""A test peer of the transport suite for any engine: its server, behind a relay that counts and holds connections.

What happens to TCP (held answers, a side that doesn't read, a reset) is the relay's; what happens to frames and
messages is the engine's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from onesocket.testing import FaultyServer, PeerFeature
from onesocket.testing._test_peer import SUBPROTOCOL
from onesocket.wire._deflate_parameters import DeflateParameters
from onesocket.wire._handshake import Data

from .endpoint import Endpoint, Engine, EngineServer, ServerSettings, Signal, reset_tcp

_HEAD_END: Final = b"\r\n\r\n"
_SWITCHING: Final = b"HTTP/1.1 101"
_DEADLINE: Final = 10.0


class _Half(asyncio.Protocol):
    """One of the two TCP connections of a relayed one."""

    def __init__(self, relayed: _Relayed, *, is_client: bool) -> None:
        self._relayed = relayed
        self._is_client = is_client
        self.transport: asyncio.Transport | None = None
        self.is_lost = False
        self._waits = False
        """The other half is full."""
        self._stopped = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self.transport = transport
            self._relayed.connected(self, transport)

    def data_received(self, data: bytes) -> None:
        if self._is_client:
            self._relayed.from_client(data)
        else:
            self._relayed.from_engine(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self._relayed.lost(self, exc)

    def pause_writing(self) -> None:
        self._relayed.other(self).wait(waits=True)

    def resume_writing(self) -> None:
        self._relayed.other(self).wait(waits=False)

    def wait(self, *, waits: bool) -> None:
        self._waits = waits
        self._read_or_not()

    def stop(self, *, stopped: bool) -> None:
        self._stopped = stopped
        self._read_or_not()

    def _read_or_not(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            if self._waits or self._stopped:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()


class _Relayed:
    """One connection through the relay."""

    def __init__(self, peer: EngineTestPeer) -> None:
        self.client = _Half(self, is_client=True)
        self.engine = _Half(self, is_client=False)
        self.engine_port = 0
        self.headers: dict[str, str] = {}
        self.has_request = False
        self.has_answer = False
        """Bytes of an answer were passed on."""
        self.is_accepted = False
        """The engine has answered 101."""
        self.ended_by_client = False
        self._peer = peer
        self._head = b""
        self._early: list[bytes] = []
        """Bytes of the client from before the connection to the engine."""
        self._held: list[bytes] = []
        self._muted = False

    def other(self, half: _Half) -> _Half:
        return self.engine if half is self.client else self.client

    def changed(self) -> None:
        """Wake the tasks that wait for the counts."""
        self._peer.signal.notify()

    @property
    def endpoint(self) -> Endpoint | None:
        return self._peer.endpoints.get(self.engine_port)

    @property
    def is_counted(self) -> bool:
        """True from the request until both ends know of the end."""
        if not self.has_request:
            return False
        if not (self.client.is_lost and self.engine.is_lost):
            return True
        return self.is_accepted and (self.endpoint is None or not self.endpoint.is_over)

    @property
    def is_unclean(self) -> bool:
        """True if the client has ended it without an answer, or without a CLOSE."""
        if not (self.has_request and self.ended_by_client):
            return False
        return not self.has_answer or (self.endpoint is not None and self.endpoint.closed is None)

    def from_client(self, data: bytes) -> None:
        if not self.has_request:
            self._head += data
            if _HEAD_END in self._head:
                lines = self._head.partition(_HEAD_END)[0].decode("latin-1").split("\r\n")[1:]
                self.headers = {
                    name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
                }
                self.has_request = True
                self._peer.dialled(self)
        if self.engine.transport is not None:
            self.engine.transport.write(data)
        else:
            self._early.append(data)

    def connected(self, half: _Half, transport: asyncio.Transport) -> None:
        if half is self.engine:
            self.engine_port = transport.get_extra_info("sockname")[1]
            if self.client.is_lost:
                transport.abort()
            else:
                transport.write(b"".join(self._early))
        self.changed()

    def from_engine(self, data: bytes) -> None:
        if not self.has_answer:
            self.is_accepted = self.is_accepted or data.startswith(_SWITCHING)
        if self._peer.is_holding:
            self._held.append(data)
        else:
            self._pass_on(data)
        self.changed()

    def _pass_on(self, data: bytes) -> None:
        if self._muted or self.client.transport is None:
            return
        if not self.has_answer:
            self._muted = self._peer.mutes and self.is_accepted
            if self._muted:
                data = data.partition(_HEAD_END)[0] + _HEAD_END
        self.has_answer = True
        self.client.transport.write(data)

    def release(self) -> None:
        held, self._held = self._held, []
        for data in held:
            self._pass_on(data)
        if self.engine.is_lost:
            self._close(self.client, None)

    def lost(self, half: _Half, exc: Exception | None) -> None:
        if half is self.client and not self.engine.is_lost:
            self.ended_by_client = True
        if half is self.client or not (self._muted or self._held):
            self._close(self.other(half), exc)
        self.changed()

    @staticmethod
    def _close(half: _Half, exc: Exception | None) -> None:
        if half.transport is not None:
            if exc is None:
                half.transport.close()
            else:
                reset_tcp(half.transport)

    def reset(self) -> None:
        """End both connections with RST."""
        for half in (self.client, self.engine):
            reset_tcp(half.transport)


class EngineTestPeer:
    """A `TransportTestPeer` of an engine."""

    def __init__(self, engine: Engine, *, compression: bool = False) -> None:
        raw = f"the server of {engine.name} sends no broken bytes: FaultyServer does"
        self.unsupported: Mapping[PeerFeature, str] = {
            PeerFeature.BYTES: raw,
            PeerFeature.PRESSURE: "the check waits for FaultyServer's own write buffer",
            PeerFeature.PEER_PINGS: raw,
        }
        self.signal = Signal()
        self.endpoints: dict[int, Endpoint] = {}
        """By the port of the relay's connection to the engine."""
        self.is_holding = False
        self.mutes = False
        self._engine = engine
        self._compression = compression
        self._settings = ServerSettings()
        self._engine_server: EngineServer | None = None
        self._relay: asyncio.Server | None = None
        self._connections: list[_Relayed] = []
        self._orders: list[Callable[[Endpoint], object]] = []
        self._most_open = 0
        self._connecting: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<EngineTestPeer {self._engine.name} dials={self.dials} open={self.open_now}>"

    async def start(self) -> None:
        """Start a new server and a new relay."""
        self.signal = Signal()
        self.endpoints = {}
        self.is_holding = self.mutes = False
        self._connections = []
        self._orders = []
        self._most_open = 0
        deflate = DeflateParameters() if self._compression else None
        self._settings = ServerSettings(deflate=deflate, subprotocol=SUBPROTOCOL)
        self._engine_server = await self._engine.serve(self._settings, self._opened, self.signal)
        self._relay = await asyncio.get_running_loop().create_server(self._accept, "127.0.0.1", 0)

    async def aclose(self) -> None:
        """Close both."""
        if self._relay is not None:
            self._relay.close()
        for task in tuple(self._connecting):
            task.cancel()
        for connection in self._connections:
            connection.reset()
        if self._engine_server is not None:
            await self._engine_server.aclose()
        for endpoint in self.endpoints.values():
            await endpoint.aclose()

    def _opened(self, endpoint: Endpoint) -> None:
        self.endpoints[endpoint.remote_port] = endpoint
        orders, self._orders = self._orders, []
        for order in orders:
            order(endpoint)
        self.signal.notify()

    def _accept(self) -> _Half:
        connection = _Relayed(self)
        self._connections.append(connection)
        return connection.client

    def dialled(self, connection: _Relayed) -> None:
        """Count a request, and connect to the engine."""
        self._most_open = max(self._most_open, self.open_now)
        task = asyncio.get_running_loop().create_task(self._connect(connection))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        self.signal.notify()

    async def _connect(self, connection: _Relayed) -> None:
        port = self._engine_server.port if self._engine_server is not None else 0
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: connection.engine, "127.0.0.1", port)

    # --- TransportTestPeer ------------------------------------------------------------------------------------------

    @property
    def server(self) -> FaultyServer:
        """There is none."""
        raise LookupError(self.unsupported[PeerFeature.BYTES])

    @property
    def url(self) -> str:
        """URL of the relay."""
        port = self._relay.sockets[0].getsockname()[1] if self._relay is not None else 0
        return f"ws://127.0.0.1:{port}/"

    def refuse(self, status: int, body: str = "") -> None:
        """Let the engine refuse."""
        self._settings.refusal = (status, body)
        changed = getattr(self._engine_server, "settings_changed", None)
        if changed is not None:
            changed()

    def hold(self) -> None:
        """Hold the answers of the engine back."""
        self.is_holding = True

    def release(self) -> None:
        """Pass them on."""
        self.is_holding = False
        for connection in self._connections:
            connection.release()

    def ignore_close(self) -> None:
        """Pass nothing on behind the answer to the upgrade."""
        self.mutes = True

    def send(self, *messages: Data) -> None:
        """Send."""
        for message in messages:
            self._order(partial(Endpoint.send, data=message))

    def close(self, code: int, reason: str = "") -> None:
        """Start the close handshake."""
        self._order(lambda endpoint: endpoint.close(code, reason))

    def drop(self) -> None:
        """Reset TCP."""
        self._connections[-1].reset()

    def stop_reading(self) -> None:
        """Stop reading from the client."""
        self._connections[-1].client.stop(stopped=True)

    def resume_reading(self) -> None:
        """Read again."""
        for connection in self._connections:
            connection.client.stop(stopped=False)

    @property
    def dials(self) -> int:
        """Upgrade requests."""
        return sum(connection.has_request for connection in self._connections)

    @property
    def open_now(self) -> int:
        """Connections now."""
        return sum(connection.is_counted for connection in self._connections)

    @property
    def most_open(self) -> int:
        """The most connections."""
        return self._most_open

    @property
    def unclean_closes(self) -> int:
        """Number of connections that the client ended without a CLOSE or before the answer."""
        return sum(connection.is_unclean for connection in self._connections)

    @property
    def close_codes(self) -> list[int]:
        """Codes of the received CLOSE frames, sorted."""
        return sorted(endpoint.closed[0] for endpoint in self.endpoints.values() if endpoint.closed is not None)

    @property
    def received(self) -> list[Data]:
        """All received messages."""
        return [message for endpoint in self.endpoints.values() for message in endpoint.received]

    def header(self, name: str) -> str | None:
        """A header of the newest request."""
        return self._connections[-1].headers.get(name.lower())

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for the counts."""
        await self.signal.until(condition, _DEADLINE)

    def _order(self, order: Callable[[Endpoint], object]) -> None:
        """Give an order to the newest endpoint, now or once the engine has reported it."""
        endpoint = self._connections[-1].endpoint
        if endpoint is None:
            self._orders.append(order)
        else:
            order(endpoint)
