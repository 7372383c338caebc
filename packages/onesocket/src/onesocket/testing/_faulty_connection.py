"""One connection of the faulty server: the upgrade, the messages, and its faults."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator

from ..errors import InvalidText
from ..wire._handshake import Data
from ._faults import CloseReply, Fault, FaultAction
from ._fragments import Fragments
from ._handshake_endpoint import ConnectionPhase, HandshakeEndpoint
from ._raw_frames import Opcode, deflate, encode_frame, encode_message
from ._server_context import ServerContext
from ._tcp_endpoint import ReadStop, TcpState
from ._websockets import Frame, ProtocolError, State, WireOpcode

log = logging.getLogger("onesocket.testing")

# Messages a handler may leave unread before the server stops reading from its client.
INBOX_LIMIT = 1_000


class FaultyConnection(HandshakeEndpoint):
    """One connection of a `FaultyServer`, from `FaultyServer.connections` or a callback.

    Not thread-safe: to be used on the server's event loop.
    """

    def __init__(self, host: ServerContext, number: int) -> None:
        super().__init__(host, number)
        self._frames: deque[tuple[Opcode, bytes, bool]] = deque()
        self._fragments = Fragments(None)  # the parser limits the size
        self._log = host.new_log()
        self.subscriptions = host.new_ledger()
        """The client's subscriptions on this connection."""
        self._arrivals: deque[float] = deque()
        self._messages = 0
        self._is_mute = False
        self._close_sent = False
        self._close_received = False
        self._pings: dict[bytes, asyncio.Future[None]] = {}
        self._inbox: asyncio.Queue[Data | None] | None = asyncio.Queue() if host.has_handler else None
        self._over = asyncio.Event()

    def __repr__(self) -> str:
        path = self.request_path.partition("?")[0]
        silent = " silent" if self._silent else ""
        fault = "" if self._fault == Fault() else f" fault={self._fault.label!r}"
        return (
            f"<FaultyConnection {self.number} {self._phase.name}{silent} path={path!r}"
            f" messages={self._messages} frames={len(self._frames)} bytes_held={len(self._held)}{fault}>"
        )

    # Public methods

    @property
    def received(self) -> list[Data]:
        """The messages received on this connection, oldest first; bounded like the server's own list."""
        return self._log.list()

    @property
    def can_send(self) -> bool:
        """True if the WebSocket is open and no CLOSE has been sent."""
        return self._phase is ConnectionPhase.OPEN and self._tcp is TcpState.OPEN and not self._close_sent

    @property
    def compresses(self) -> bool:
        """True if permessage-deflate was agreed on."""
        return bool(self._wire.extensions)

    @property
    def is_unresponsive(self) -> bool:
        """True if `go_silent()` or `stop_reading()` is in force."""
        return self._silent or bool(self._read_stops)

    def arrivals_within(self, seconds: float, most: int) -> int:
        """Note that a message has arrived, and return how many have in so many seconds; `most` are counted."""
        now = self._loop.time()
        self._arrivals.append(now)
        while self._arrivals[0] <= now - seconds or len(self._arrivals) > most:
            self._arrivals.popleft()
        return len(self._arrivals)

    async def drain(self) -> None:
        """Wait while the write buffer is full."""
        await self._writable.wait()

    async def send(self, message: Data) -> None:
        """Send `str` as a text message or `bytes` as a binary one; wait while the write buffer is full.

        Raises ConnectionResetError when the WebSocket isn't open, BufferError as `send_nowait()` does.
        """
        self.send_nowait(message)
        await self.drain()

    def send_nowait(self, message: Data) -> None:
        """Send without waiting. Raises BufferError when more than 16 MiB wait to be sent."""
        if not self.can_send:
            raise ConnectionResetError(f"the WebSocket isn't open: {self!r}")
        self._check_room()
        self._send(message)

    async def ping(self, timeout: float = 5.0) -> float:
        """Send a PING and return the seconds until its PONG came.

        Raises TimeoutError after `timeout` seconds, ConnectionResetError when the WebSocket isn't open
        or ends.
        """
        if not self.can_send:
            raise ConnectionResetError(f"the WebSocket isn't open: {self!r}")
        started = self._loop.time()
        payload = f"{self.number}-{started}-{len(self._pings)}".encode()
        future = self._pings[payload] = self._loop.create_future()
        self._write(encode_frame(Opcode.PING, payload))
        try:
            async with asyncio.timeout(timeout):
                await future
        finally:
            self._pings.pop(payload, None)
        return self._loop.time() - started

    async def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Do a close handshake and wait for its end: acknowledged, or TCP reset at the close timeout.

        Without effect on a connection that isn't open. Raises ValueError for a code or reason that must not
        be sent; `Fault.bad_close_code()` sends those.
        """
        self.close_nowait(code, reason)
        if self._phase is ConnectionPhase.OPEN:
            await self._over.wait()

    def close_nowait(self, code: int | None = 1000, reason: str = "") -> None:
        """Start the close handshake of `close()` without waiting for its end."""
        if self._phase is not ConnectionPhase.OPEN:
            return
        if self.can_send and self._wire.state is State.OPEN:
            try:
                self._wire.send_close(code, reason)
            except ProtocolError as error:
                raise ValueError(f"can't close with code {code}: {error}") from None
            self._flush()
        self._later(self._close_timeout, self._give_up)

    async def recv(self) -> Data:
        """Return the next message. Only for a server with a `handler`; raises RuntimeError without one.

        Raises ConnectionResetError when the WebSocket is over and everything was read.
        """
        if self._inbox is None:
            raise RuntimeError("recv() needs a server with a handler")
        message = await self._inbox.get()
        if message is None:
            self._inbox.put_nowait(None)
            raise ConnectionResetError(f"the WebSocket is over: {self!r}")
        if self._inbox.qsize() < INBOX_LIMIT:
            self._go_on_reading(ReadStop.INBOX)
        return message

    async def __aiter__(self) -> AsyncIterator[Data]:
        """Iterate over the messages until the WebSocket is over. Only for a server with a `handler`."""
        while True:
            try:
                message = await self.recv()
            except ConnectionResetError:
                return
            yield message

    def strike(self, fault: Fault) -> None:
        """Let the live part of `fault` strike now; the connection has this fault from here on."""
        if not self.can_send:
            return
        with self._counters.batch():
            self._fault = fault
            self._strike()

    # TCP

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport (asyncio calls this)."""
        if self._tcp is TcpState.LOST:
            return
        self._host.attached(self)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Take bytes (asyncio calls this)."""
        with self._counters.batch():
            try:
                super().data_received(data)
            except Exception:
                # No input of a client may end the server.
                log.exception("the faulty server failed on %r", self)
                self._count_error()
                self.kill()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the transport is closed (asyncio calls this)."""
        with self._counters.batch():
            super().connection_lost(exc)
        self._host.detached(self)

    def _keeps_tcp(self) -> bool:
        return super()._keeps_tcp() or self._fault.close_reply is not CloseReply.NORMAL

    def _bytes_received(self, data: bytes) -> None:
        if self._phase is ConnectionPhase.REQUEST:
            self._feed_request(data)
        elif self._phase is ConnectionPhase.OPEN:
            self._feed_frames(data)

    def _resumed(self) -> None:
        if self._phase is ConnectionPhase.OPEN:
            self._work()

    def _tcp_ended(self, *, by_client: bool) -> None:
        with self._counters.batch():
            self._look_for_close()
            if by_client and self._phase is ConnectionPhase.ANSWERING:
                self._counters.count("premature_closes")
            if by_client and self._phase is ConnectionPhase.OPEN and not self._close_received:
                self._counters.count("unclean_closes")
            self._leave(ConnectionPhase.GONE)

    def _look_for_close(self) -> None:
        """Count a CLOSE frame that came while the connection was silent: the client did close it."""
        if self._phase is not ConnectionPhase.OPEN:
            return
        if self._held:
            self._parse(bytes(self._held))
            self._held.clear()
        if any(opcode is Opcode.CLOSE for opcode, _, _ in self._frames):
            self._note_close()

    # Messages

    def _choose_fault(self) -> Fault:
        return self._host.choose_fault(self)

    def _register(self, *, takes_place: bool) -> None:
        self._host.upgraded(self, takes_place=takes_place)

    def _opened(self, head: bytes) -> None:
        if self._fault.after_messages == 0:
            self._strike(head)
        else:
            self._write_paced(head, lambda: None)

    def _feed_frames(self, data: bytes) -> None:
        self._parse(data)
        self._work()

    def _parse(self, data: bytes) -> None:
        self._wire.receive_data(data)
        for event in self._wire.events_received():
            if isinstance(event, Frame):
                self._frames.append((Opcode(int(event.opcode)), bytes(event.data), event.fin))

    def _work(self) -> None:
        while self._frames and not self._silent and self._tcp is TcpState.OPEN:
            opcode, data, fin = self._frames.popleft()
            self._on_frame(opcode, data, fin=fin)
        self._flush()

    def _on_frame(self, opcode: Opcode, data: bytes, *, fin: bool) -> None:
        if opcode is Opcode.CLOSE:
            self._note_close()
        elif opcode is Opcode.PING:
            self._counters.count("pings")
            self._host.ping_or_pong(self)
        elif opcode is Opcode.PONG:
            self._host.ping_or_pong(self)
            future = self._pings.get(data)
            if future is not None and not future.done():
                future.set_result(None)
        else:
            self._on_data(opcode, data, fin=fin)

    def _on_data(self, opcode: Opcode, data: bytes, *, fin: bool) -> None:
        if opcode is not Opcode.CONTINUATION:
            self._fragments.begin(is_text=opcode is Opcode.TEXT)
        try:
            message = self._fragments.add(data, last=fin)
        except InvalidText:
            self._frames.clear()
            self._count_error()
            self._wire.fail(1007, "invalid UTF-8")
            return
        if message is not None:
            self._on_message(message)

    def _on_message(self, message: Data) -> None:
        self._messages += 1
        self._log.add(message)
        self.subscriptions.note(message)
        self._counters.count("messages_received")
        reply = self._host.message(self, message)
        if reply is not None and self.can_send:
            self._send(reply)
            if not self._writable.is_set():
                # Replies to a client that never reads would pile up. (Writes of a fault don't stop the reading, so that
                # the client's answer is received.)
                self._stop_reading(ReadStop.WRITE_BUFFER)
        if self._inbox is not None:
            self._inbox.put_nowait(message)
            if self._inbox.qsize() >= INBOX_LIMIT:
                self._stop_reading(ReadStop.INBOX)
        if self._messages == self._fault.after_messages and self.can_send:
            self._strike()

    def _send(self, message: Data) -> None:
        if self._is_mute:
            return
        self._counters.count("messages_sent")
        if not self.compresses:
            self._write(encode_message(message))
            return
        opcode, payload = (Opcode.TEXT, message.encode()) if isinstance(message, str) else (Opcode.BINARY, message)
        if self._fault.final_blocks:
            self._write(encode_frame(opcode, deflate(payload, final=True), reserved=0b100))
            return
        self._write(Frame(WireOpcode(opcode), payload).serialize(mask=False, extensions=self._wire.extensions))

    # Faults, and the end

    def _strike(self, head: bytes = b"") -> None:
        fault = self._fault
        if head and fault.separate_write:
            self._write(head)
            self._loop.call_soon(self.strike, fault)
            return
        self._close_sent = self._close_sent or fault.sends_close
        self._write_paced(head + fault.frames, lambda: self._go_on(fault))

    def _go_on(self, fault: Fault) -> None:
        if fault.then is FaultAction.CLOSE:
            self.close_nowait(fault.close_code, fault.close_reason)
        elif fault.then is FaultAction.DROP:
            self._drop()
        elif fault.then is FaultAction.RESET:
            self.kill()
        elif fault.then is FaultAction.SILENCE:
            self.go_silent()
        elif fault.then is FaultAction.STOP_READING:
            self.stop_reading()
        elif fault.then is FaultAction.MUTE:
            self._is_mute = True

    def _give_up(self) -> None:
        if self._phase is ConnectionPhase.OPEN:
            self.kill()

    def _note_close(self) -> None:
        self._close_received = True
        close = self._wire.close_rcvd
        self._counters.count(close_code=1005 if close is None else int(close.code))

    def _flush(self) -> None:
        """Write the protocol's output, as far as the fault allows, and end the connection if it is over."""
        if self._silent or self._is_over():
            return
        if self._wire.parser_exc is not None:
            self._count_error()
        ends = False
        for data in self._wire.data_to_send():
            if not data:
                ends = True
            elif self._may_write(data[0] & 0xF):
                self._write(data)
        if self._close_sent and self._close_received:
            self._leave(ConnectionPhase.CLOSED)
        if ends and not (self._close_received and self._fault.close_reply is not CloseReply.NORMAL):
            self._finish()

    def _may_write(self, opcode: int) -> bool:
        if opcode == Opcode.PONG:
            return self._fault.pongs
        if opcode != Opcode.CLOSE:
            return True
        if self._close_sent or (self._close_received and self._fault.close_reply is CloseReply.NEVER):
            return False
        self._close_sent = True
        return True

    def _leave(self, phase: ConnectionPhase) -> None:
        """Leave the levels, once: the close was acknowledged, or the TCP connection has ended."""
        was, self._phase = self._phase, phase
        if was is ConnectionPhase.OPEN:
            self._counters.count(open_by=-1)
            self._host.over(self, clean=phase is ConnectionPhase.CLOSED)
        if self._counts_as_socket:
            self._counts_as_socket = False
            self._counters.count(sockets_by=-1)
        for future in self._pings.values():
            if not future.done():
                future.set_exception(ConnectionResetError(f"the WebSocket is over: {self!r}"))
        if self._inbox is not None:
            self._inbox.put_nowait(None)
        self._over.set()
