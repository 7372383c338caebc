"""The in-memory transport: the same port without a network, for tests on any event loop, a virtual-time one included.

A `MemoryServer` stands for the other side: it counts what it sees, and whoever holds it decides what becomes of each
dial. Everything takes its turn on the loop, in order, `latency` seconds later.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from ..errors import ConnectAborted, InvalidText, MessageTooBig, OnesocketError
from ..lifecycle._peer_errors import connection_reset
from ..wire._handshake import Data, DialRequest, Handshake, size_of
from ._transport import TransportEvents

SLICE = 128
"""So many messages are handed over in one turn of the loop."""


class MemoryServer:
    """The other side of every line of a `MemoryTransport`; counted from the dial until nothing is left of it.

    `on_dial` decides what becomes of each dial, at once or later, with the peer's `accept`, `refuse` or `drop`;
    without it every dial is accepted. `on_message` gets every message; without it messages are only recorded.
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
        """The most lines at once, each counted from its dial until its end."""

    def __repr__(self) -> str:
        return f"<MemoryServer dials={len(self.peers)} open={self.open_now} most={self.most_open}>"

    def transport(self) -> MemoryTransport:
        """A transport whose lines lead here."""
        return MemoryTransport(self)


class MemoryTransport:
    """Makes lines to a `MemoryServer`."""

    name = "memory"

    def __init__(self, server: MemoryServer) -> None:
        self._server = server

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
        """Start opening one line."""
        return MemoryConnection(self._server, request, events, received)


class _DelayedChannel:
    """One direction: what is put in comes out in order, `latency` later. asyncio's timers alone don't keep order."""

    def __init__(self, latency: float) -> None:
        self._latency = latency
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[float, Callable[..., object], tuple[Any, ...]]] = deque()
        self._timer: asyncio.Handle | None = None

    def put(self, call: Callable[..., object], *args: object) -> None:
        self._queue.append((self._loop.time() + self._latency, call, args))
        if self._timer is None:
            self._arm()

    def cut(self) -> None:
        """What is on its way is lost."""
        self._queue.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        due = self._queue[0][0]
        late = due <= self._loop.time()
        self._timer = self._loop.call_soon(self._deliver) if late else self._loop.call_at(due, self._deliver)

    def _deliver(self) -> None:
        self._timer = None
        if not self._queue:
            return
        _, call, args = self._queue.popleft()
        try:
            call(*args)
        finally:
            if self._queue and self._timer is None:
                self._arm()


class MemoryPeer:
    """The server's end of one line."""

    def __init__(self, line: MemoryConnection, server: MemoryServer, request: DialRequest) -> None:
        self.request = request
        self.received: list[Data] = []
        self.close_code: int | None = None
        """The code of the client's CLOSE, once it came."""
        self.ended_in_order = False
        """The client's CLOSE arrived, behind everything that it had written."""
        self.is_open = False
        """Accepted, and not over."""
        self.answers_close = True
        self.answers_ping = True
        self._line = line
        self._server = server

    def __repr__(self) -> str:
        return f"<MemoryPeer {'open' if self.is_open else 'not open'} received={len(self.received)}>"

    def accept(
        self, subprotocol: str | None = None, headers: dict[str, str] | None = None, *, greeting: Iterable[Data] = ()
    ) -> None:
        """Answer 101; `greeting`: messages that arrive in the same turn of the loop."""
        if not self.is_open and not self._line.is_over:
            self.is_open = True
            handshake = Handshake(subprotocol, tuple((headers or {}).items()))
            self._line.down.put(self._line.on_accept, handshake, tuple(greeting))

    def refuse(self, error: OnesocketError) -> None:
        """Answer something else, or nothing: the dial fails with `error`."""
        self._line.down.put(self._line.end, error)

    def send(self, data: Data) -> None:
        """Send one message."""
        if self.is_open:
            self._line.down.put(self._line.on_message, data)

    def send_part(self) -> None:
        """Send some bytes of a message that is not complete yet: a sign of life, and nothing to hand over."""
        if self.is_open:
            self._line.down.put(self._line.on_part)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Send CLOSE."""
        self._line.down.put(self._line.on_peer_close, code, reason)

    def drop(self) -> None:
        """End it without a word."""
        self.is_open = False
        self._line.down.put(self._line.end, connection_reset())

    def stop_reading(self) -> None:
        """What the client writes from now on stays on its way."""
        self._line.congest()

    def resume_reading(self) -> None:
        """Take what was on its way."""
        self._line.relieve()

    def go_silent(self) -> None:
        """Half-open: nothing arrives any more in either direction, and nobody is told."""
        self.is_open = False
        self._line.down.cut()
        self._line.up.cut()
        self._line.silent = True

    # --- what arrives -----------------------------------------------------------------------------------------------

    def take(self, data: Data) -> None:
        """A message of the client arrived."""
        self.received.append(data)
        if self._server.on_message is not None:
            self._server.on_message(self, data)

    def take_ping(self, payload: bytes) -> None:
        """A PING arrived."""
        if self.answers_ping:
            self._line.down.put(self._line.on_pong, payload)

    def take_close(self, code: int) -> None:
        """The client's CLOSE arrived."""
        self.close_code = code
        self.ended_in_order = True
        self.is_open = False
        if self.answers_close:
            self._line.down.put(self._line.on_close_answered)


class MemoryConnection:
    """The client's end of one line."""

    def __init__(
        self, server: MemoryServer, request: DialRequest, events: TransportEvents, received: Callable[[Data], object]
    ) -> None:
        self.up = _DelayedChannel(server.latency)
        self.down = _DelayedChannel(server.latency)
        self.silent = False
        self.is_over = False
        self.activity = 0
        self.phase = "waiting for the answer to the upgrade"
        self._server = server
        self._request = request
        self._events = events
        self._received = received
        self._open = False
        self._close_wanted: tuple[int, str] | None = None
        self._close_sent = False
        self._paused = False
        self._drain_handle: asyncio.Handle | None = None
        self._held: deque[Data] = deque()
        self._congested = False
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

    def set_receiver(
        self, received: Callable[[Data], object], many: Callable[[list[Data]], object] | None = None
    ) -> None:
        """Hand every message to this from now on."""
        del many  # messages come one by one here
        self._received = received

    def send(self, data: Data) -> bool:
        """Write one message; False when none is taken any more."""
        if not self._open or self._close_sent or self.is_over:
            return False
        self._write(self._peer.take, data)
        return True

    def ping(self, payload: bytes) -> None:
        """Write a PING."""
        if self._open and not self._close_sent:
            self._write(self._peer.take_ping, payload)

    def close(self, code: int, reason: str) -> None:
        """End it in order."""
        if not self._open:
            self._close_wanted = self._close_wanted or (code, reason)
        elif not self._close_sent:
            self._close_sent = True
            self._write(self._peer.take_close, code)
            self._paused = False
            self._hand_over_all()

    def abort(self, code: int | None = None) -> None:
        """End it now."""
        if code is not None and self._open and not (self._close_sent or self._congested or self.silent or self.is_over):
            self._close_sent = True
            self._peer.close_code = code
        self._peer.is_open = False
        asyncio.get_running_loop().call_soon(self.end, ConnectAborted("the line was given up"))

    def pause_reading(self) -> None:
        """Hand over nothing more until `resume_reading`."""
        if not self._close_sent:
            self._paused = True

    def resume_reading(self) -> None:
        """Go on."""
        if self._paused:
            self._paused = False
            self.activity += 1  # silence counts from now on: we didn't listen
            self._drain_soon()

    # --- what arrives -----------------------------------------------------------------------------------------------

    def on_accept(self, handshake: Handshake, greeting: Iterable[Data] = ()) -> None:
        """The 101 arrived, with the messages behind it."""
        if self.is_over or self._open:
            return
        self._open = True
        self.phase = "open"
        self._events.opened(handshake)
        if self._close_wanted is not None:
            self.close(*self._close_wanted)
        for data in greeting:
            self.on_message(data)

    def on_message(self, data: Data) -> None:
        """A message arrived."""
        self.activity += 1
        if self.is_over or not self._open:
            return
        limit = self._request.max_size
        if limit is not None and size_of(data) > limit:
            self._violate(MessageTooBig(f"the server's message is larger than max_size ({limit} bytes)"))
        elif self._paused or self._held:
            self._held.append(data)
        else:
            self._received(data)

    def on_part(self) -> None:
        """Some bytes arrived."""
        self.activity += 1

    def on_pong(self, payload: bytes) -> None:
        """A PONG arrived."""
        self.activity += 1
        if not self.is_over:
            self._events.pong(payload)

    def on_peer_close(self, code: int, reason: str) -> None:
        """The server's CLOSE arrived first."""
        if self.is_over:
            return
        self._peer.is_open = False
        if not self._close_sent:
            self._hand_over_all()
            self._close_sent = True
            self._events.peer_closed(code, reason)
        self.up.put(self.end, connection_reset())  # behind what was written before

    def on_close_answered(self) -> None:
        """The server acknowledged our CLOSE."""
        self.end(connection_reset())

    def end(self, error: OnesocketError) -> None:
        """Nothing is left of it."""
        if self.is_over:
            return
        self.is_over = True
        self.phase = "over"
        self._peer.is_open = False
        self.up.cut()
        self.down.cut()
        self._paused = False
        self._hand_over_all()
        self._server.open_now -= 1
        self._events.ended(error)

    def congest(self) -> None:
        """The server stops reading."""
        self._congested = True

    def relieve(self) -> None:
        """The server reads again."""
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

    def _violate(self, error: MessageTooBig | InvalidText) -> None:
        if not self._close_sent:
            self._close_sent = True
            self._write(self._peer.take_close, error.code)
            self._events.violated(error)

    @property
    def is_reading(self) -> bool:
        """True if messages are taken as they come."""
        return not self._paused and not self._held

    def _drain_soon(self) -> None:
        if self._drain_handle is None:
            self._drain_handle = asyncio.get_running_loop().call_soon(self._drain)

    def _drain(self) -> None:
        self._drain_handle = None
        for _ in range(SLICE):
            if self._paused or not self._held:
                return
            self._received(self._held.popleft())
        self._drain_soon()

    def _hand_over_all(self) -> None:
        while self._held:
            self._received(self._held.popleft())
