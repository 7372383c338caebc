"""The in-memory transport: the same port without a network, for tests on any event loop, a virtual-time one included.

A `MemoryServer` is the peer: it counts connections, and its owner decides the outcome of each dial. Every event arrives
in a turn of the loop of its own, in order, `latency` seconds later.
"""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from ..errors import ConnectAborted, OnesocketError, ProtocolViolation
from ..lifecycle._peer_errors import connection_reset, message_too_big
from ..wire._handshake import Data, DialRequest, Handshake, size_of
from ._delayed_channel import DelayedChannel
from ._transport import TransportEvents

SLICE = 128
"""Messages delivered in one turn of the loop."""


class MemoryServer:
    """The server of every connection of a `MemoryTransport`; counts each from its dial to its end.

    `on_dial` decides the outcome of each dial, at once or later, with the peer's `accept`, `refuse` or `drop`; without
    it every dial is accepted. `on_message` gets every message; without it messages are only recorded.
    """

    def __init__(
        self,
        on_dial: Callable[[MemoryPeer], object] | None = None,
        on_message: Callable[[MemoryPeer, Data], object] | None = None,
        *,
        latency: float = 0.0,
    ) -> None:
        self.on_dial = on_dial
        self.on_message = on_message
        self.latency = latency
        self.peers: list[MemoryPeer] = []
        """Every dial so far, in order."""
        self.open_now = 0
        self.most_open = 0
        """The most connections at once, each counted from its dial to its end."""

    def __repr__(self) -> str:
        return f"<MemoryServer dials={len(self.peers)} open={self.open_now} most={self.most_open}>"

    def transport(self) -> MemoryTransport:
        """Return a transport that connects to this server."""
        return MemoryTransport(self)


class MemoryTransport:
    """Opens connections to a `MemoryServer`."""

    name = "memory"

    def __init__(self, server: MemoryServer, *, compression: str | None = None) -> None:
        self._server = server
        self.compression = compression
        """``"deflate"``: a client may ask for it, though nothing is compressed here."""

    def __repr__(self) -> str:
        return f"<MemoryTransport {self._server!r}>"

    def __eq__(self, other: object) -> bool:
        """Transports to the same server are equal."""
        return isinstance(other, MemoryTransport) and self._server is other._server

    def __hash__(self) -> int:
        return hash(id(self._server))

    def dial(
        self, request: DialRequest, events: TransportEvents, received: Callable[[Data], object]
    ) -> MemoryConnection:
        """Begin to open one connection."""
        return MemoryConnection(self._server, request, events, received)


class MemoryPeer:
    """The server's end of one connection."""

    def __init__(self, connection: MemoryConnection, server: MemoryServer, request: DialRequest) -> None:
        self.request = request
        self.received: list[Data] = []
        self.close_code: int | None = None
        """The code of the client's CLOSE; None before it arrives."""
        self.ended_in_order = False
        """True once the client's CLOSE has arrived, after all that it had written."""
        self.is_open = False
        """True while the connection is accepted and has not ended."""
        self.answers_close = True
        self.answers_ping = True
        self.on_ping: Callable[[bytes], object] | None = None
        """Called with the payload of each PING instead of an answer."""
        self._connection = connection
        self._server = server

    def __repr__(self) -> str:
        return f"<MemoryPeer {'open' if self.is_open else 'not open'} received={len(self.received)}>"

    def accept(
        self, subprotocol: str | None = None, headers: dict[str, str] | None = None, *, greeting: Iterable[Data] = ()
    ) -> None:
        """Accept the dial (101); `greeting`: messages that arrive in the same turn of the loop."""
        if not self.is_open and not self._connection.is_over:
            self.is_open = True
            handshake = Handshake(subprotocol, tuple((name.lower(), value) for name, value in (headers or {}).items()))
            self._connection.down.put(self._connection.on_accept, handshake, tuple(greeting))

    def refuse(self, error: OnesocketError) -> None:
        """Let the dial fail with `error`."""
        self._connection.down.put(self._connection.end, error)

    def send(self, data: Data) -> None:
        """Send one message."""
        if self.is_open:
            self._connection.down.put(self._connection.on_message, data)

    def send_part(self) -> None:
        """Send some bytes of an incomplete message: a sign of life, and nothing to deliver."""
        if self.is_open:
            self._connection.down.put(self._connection.on_part)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Send CLOSE."""
        self._connection.down.put(self._connection.on_peer_close, code, reason)

    def violate(self, error: ProtocolViolation) -> None:
        """Break the rules, as the client's side reports it."""
        self._connection.down.put(self._connection.violate, error)

    def pong(self, payload: bytes) -> None:
        """Send a PONG."""
        self._connection.down.put(self._connection.on_pong, payload)

    def drop(self) -> None:
        """End the connection without a CLOSE."""
        self.is_open = False
        self._connection.down.put(self._connection.end, connection_reset())

    def stop_reading(self) -> None:
        """Stop reading: messages that the client writes from now on stay in its socket."""
        self._connection.congest()

    def resume_reading(self) -> None:
        """Read again, first the messages that have waited."""
        self._connection.relieve()

    def go_silent(self) -> None:
        """Make the connection half-open: nothing arrives any more in either direction, and no end is reported."""
        self.is_open = False
        self._connection.down.cut()
        self._connection.up.cut()
        self._connection.silent = True

    # --- arrivals ---------------------------------------------------------------------------------------------------

    def take(self, data: Data) -> None:
        """Take a message of the client."""
        self.received.append(data)
        if self._server.on_message is not None:
            self._server.on_message(self, data)

    def take_ping(self, payload: bytes) -> None:
        """Take a PING."""
        if self.on_ping is not None:
            self.on_ping(payload)
        elif self.answers_ping:
            self.pong(payload)

    def take_close(self, code: int) -> None:
        """Take the client's CLOSE."""
        self.close_code = code
        self.ended_in_order = True
        self.is_open = False
        if self.answers_close:
            self._connection.down.put(self._connection.on_close_answered)


class _MemoryStage(enum.Enum):
    """Progress of a connection; the value is its readable phase."""

    DIALLING = "waiting for the answer to the upgrade"
    OPEN = "open"
    CLOSING = "closing"
    """A CLOSE was sent or answered: nothing is written any more."""
    OVER = "over"


class MemoryConnection:
    """The client's end of one connection."""

    def __init__(
        self, server: MemoryServer, request: DialRequest, events: TransportEvents, received: Callable[[Data], object]
    ) -> None:
        self.up = DelayedChannel(server.latency)
        self.down = DelayedChannel(server.latency)
        self.silent = False
        self.activity = 0
        self.parts = 0
        self._server = server
        self._request = request
        self._counts = request.byte_counts
        """Of payloads: there are no frames here."""
        if self._counts is not None:
            self._counts.is_counting = True
        self._events = events
        self._received = received
        self._loop = asyncio.get_running_loop()
        self._stage = _MemoryStage.DIALLING
        self._wanted_close: tuple[int, str] | None = None
        self._paused = False
        self._drain_handle: asyncio.Handle | None = None
        self._held: deque[Data] = deque()
        self._congested = False
        """The server doesn't read."""
        self._unread: list[tuple[Callable[..., object], tuple[Any, ...]]] = []
        self._peer = MemoryPeer(self, server, request)
        server.peers.append(self._peer)
        server.open_now += 1
        server.most_open = max(server.most_open, server.open_now)
        self.up.put(self._arrive)

    def __repr__(self) -> str:
        return f"<MemoryConnection {self.phase}>"

    def _arrive(self) -> None:
        if self._server.on_dial is None:
            self._peer.accept()
        else:
            self._server.on_dial(self._peer)

    # --- the port ---------------------------------------------------------------------------------------------------

    @property
    def phase(self) -> str:
        """Readable description of the step that the connection waits for."""
        return self._stage.value

    @property
    def is_over(self) -> bool:
        """True once the connection has ended."""
        return self._stage is _MemoryStage.OVER

    @property
    def is_reading(self) -> bool:
        """True while messages are delivered as they arrive."""
        return not self._paused and not self._held

    @property
    def backlog(self) -> None:
        """None: the peer has what is written at once."""

    def set_receiver(
        self, received: Callable[[Data], object], many: Callable[[list[Data]], object] | None = None
    ) -> None:
        """Deliver each message to `received` from now on."""
        del many  # messages come one by one here
        self._received = received

    def send(self, data: Data) -> bool:
        """Write one message; False if the connection takes none any more."""
        if self._stage is not _MemoryStage.OPEN:
            return False
        if self._counts is not None:
            self._counts.sent += size_of(data)
        self._write(self._peer.take, data)
        return True

    def send_run(self, messages: list[Data]) -> bool:
        """Write several messages; False if the connection takes none any more."""
        for data in messages:
            if isinstance(data, str):
                data.encode()  # the error of one is raised before any is written
        return all(self.send(data) for data in messages)

    def ping(self, payload: bytes) -> None:
        """Write a PING."""
        if self._stage is _MemoryStage.OPEN:
            self._write(self._peer.take_ping, payload)

    def close(self, code: int, reason: str) -> None:
        """Close with the close handshake."""
        if self._stage is _MemoryStage.DIALLING:
            self._wanted_close = self._wanted_close or (code, reason)
        elif self._stage is _MemoryStage.OPEN:
            self._stage = _MemoryStage.CLOSING
            self._write(self._peer.take_close, code)
            self._paused = False
            self._deliver_all()

    def abort(self, code: int | None = None) -> None:
        """End the connection now."""
        if code is not None and self._stage is _MemoryStage.OPEN and not (self._congested or self.silent):
            self._stage = _MemoryStage.CLOSING
            self._peer.close_code = code
        self._peer.is_open = False
        self._loop.call_soon(self.end, ConnectAborted("the connection was given up"))

    def pause_reading(self) -> None:
        """Deliver no message until `resume_reading`."""
        if self._stage in (_MemoryStage.DIALLING, _MemoryStage.OPEN):
            self._paused = True

    def resume_reading(self) -> None:
        """Deliver the messages received before, then later ones as they arrive."""
        if self._paused:
            self._paused = False
            self.activity += 1  # the time without reading is no silence of the peer
            self._drain_soon()

    # --- arrivals ---------------------------------------------------------------------------------------------------

    def on_accept(self, handshake: Handshake, greeting: Iterable[Data] = ()) -> None:
        """Take the 101, with the messages behind it."""
        if self._stage is not _MemoryStage.DIALLING:
            return
        self._stage = _MemoryStage.OPEN
        self._events.opened(handshake)
        if self._wanted_close is not None:
            self.close(*self._wanted_close)
        for data in greeting:
            self.on_message(data)

    def on_message(self, data: Data) -> None:
        """Take a message."""
        self.activity += 1
        if self._stage in (_MemoryStage.DIALLING, _MemoryStage.OVER):
            return
        if self._counts is not None:
            self._counts.received += size_of(data)
        limit = self._request.max_size
        if limit is not None and size_of(data) > limit:
            self.violate(message_too_big(f"a message is larger than max_size ({limit} bytes)"))
        elif not self.is_reading:
            self._held.append(data)
        else:
            self._received(data)

    def on_part(self) -> None:
        """Take some bytes of an incomplete message."""
        self.activity += 1
        self.parts += 1

    def on_pong(self, payload: bytes) -> None:
        """Take a PONG."""
        self.activity += 1
        if not self.is_over:
            self._events.pong(payload)

    def on_peer_close(self, code: int, reason: str) -> None:
        """Take a CLOSE that the server sends first."""
        if self.is_over:
            return
        self._peer.is_open = False
        if self._stage is not _MemoryStage.CLOSING:
            self._deliver_all()
            self._stage = _MemoryStage.CLOSING
            self._events.peer_closed(code, reason)
        self.up.put(self.end, connection_reset())  # behind the messages written before

    def on_close_answered(self) -> None:
        """Take the server's answer to a CLOSE."""
        self.end(connection_reset())

    def end(self, error: OnesocketError) -> None:
        """End the connection, and report `error`."""
        if self.is_over:
            return
        self._stage = _MemoryStage.OVER
        self._peer.is_open = False
        self.up.cut()
        self.down.cut()
        self._paused = False
        self._deliver_all()
        self._server.open_now -= 1
        self._events.ended(error)

    def congest(self) -> None:
        """Note that the server stops reading."""
        self._congested = True

    def relieve(self) -> None:
        """Note that the server reads again."""
        if self._congested:
            self._congested = False
            unread, self._unread = self._unread, []
            for call, args in unread:
                self.up.put(call, *args)
            if unread and not self.is_over:
                self._events.writable(not self._congested)

    def _write(self, call: Callable[..., object], *args: object) -> None:
        if self.silent:
            return
        if self._congested:
            first = not self._unread
            self._unread.append((call, args))
            if first:
                self._events.writable(not self._congested)
        else:
            self.up.put(call, *args)

    def violate(self, error: ProtocolViolation) -> None:
        """Take what the rules forbid."""
        if self._stage is _MemoryStage.OPEN:
            self._stage = _MemoryStage.CLOSING
            self._write(self._peer.take_close, error.code)
            self._events.violated(error)

    def _drain_soon(self) -> None:
        if self._drain_handle is None:
            self._drain_handle = self._loop.call_soon(self._drain)

    def _drain(self) -> None:
        self._drain_handle = None
        for _ in range(SLICE):
            if self._paused or not self._held:
                return
            self._received(self._held.popleft())
        self._drain_soon()

    def _deliver_all(self) -> None:
        while self._held:
            self._received(self._held.popleft())
