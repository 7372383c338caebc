"""TCP of one connection of the faulty server: reading, writing, holding back, ending."""

from __future__ import annotations

import asyncio
import enum
import os
import socket
import sys
from collections.abc import Callable
from typing import cast

from ..transports._tcp import RESET_ON_CLOSE

# Bytes kept, in each direction, while a connection is silent. Beyond it the server stops reading and refuses
# to send.
HOLD_LIMIT = 16 << 20
_ESTABLISHED = 1  # TCP_ESTABLISHED of <netinet/tcp.h>


class TcpState(enum.Enum):
    """Ends of a TCP connection that the server has made or noticed."""

    OPEN = "open"
    ENDING = "ended by the server"
    CLIENT_ENDED = "ended by the client"
    ENDED = "ended by both"
    LOST = "the transport is closed"


class ReadStop(enum.Enum):
    """Reasons for which the server doesn't read."""

    COMMAND = enum.auto()
    HELD_BYTES = enum.auto()
    WRITE_BUFFER = enum.auto()
    INBOX = enum.auto()


_AFTER_SERVER_END = {TcpState.OPEN: TcpState.ENDING, TcpState.CLIENT_ENDED: TcpState.ENDED}
_AFTER_CLIENT_END = {TcpState.OPEN: TcpState.CLIENT_ENDED, TcpState.ENDING: TcpState.ENDED}


class TcpEndpoint(asyncio.Protocol):
    """A TCP connection whose state tells at any time if the client or the server has ended it."""

    def __init__(self, close_timeout: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._close_timeout = close_timeout
        self._timers: list[asyncio.TimerHandle] = []
        self._read_stops: set[ReadStop] = set()
        self._held: bytearray = bytearray()
        self._withheld: bytearray = bytearray()
        self._trickling: bytearray | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._silent = False
        self._tcp = TcpState.OPEN

    # Implemented by subclasses

    def _bytes_received(self, data: bytes) -> None:
        raise NotImplementedError

    def _resumed(self) -> None:
        raise NotImplementedError

    def _tcp_ended(self, *, by_client: bool) -> None:
        raise NotImplementedError

    def _holds_input(self) -> bool:
        return self._silent or (self._transport is None and self._tcp is not TcpState.LOST)

    def _keeps_tcp(self) -> bool:
        return self._silent

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport (asyncio calls this)."""
        # A cast, because the transports of uvloop have no base class to check for.
        self._transport = cast("asyncio.Transport", transport)
        self._release_held()

    def data_received(self, data: bytes) -> None:
        """Take bytes (asyncio calls this)."""
        if self._tcp is not TcpState.OPEN:
            return
        if not self._holds_input():
            self._bytes_received(data)
            return
        self._held += data
        if len(self._held) > HOLD_LIMIT:
            self._stop_reading(ReadStop.HELD_BYTES)

    def eof_received(self) -> bool:
        """Note that the client has ended its half of TCP (asyncio calls this)."""
        self._client_ended(_AFTER_CLIENT_END.get(self._tcp, self._tcp))
        # Answering a half-close with our own FIN would free a client that waits for just that. (TLS can't.)
        return self._keeps_tcp() and self._tcp is TcpState.CLIENT_ENDED and not self._is_tls()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Note that the transport is closed (asyncio calls this)."""
        for timer in self._timers:
            timer.cancel()
        self._writable.set()
        self._client_ended(TcpState.LOST)
        if self._is_tls():
            self._transport = None  # the server's history keeps this object, and TLS has buffers of 300 KB

    def pause_writing(self) -> None:
        """Note that the write buffer is full (asyncio calls this)."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Note that the write buffer has room again (asyncio calls this)."""
        self._writable.set()
        self._go_on_reading(ReadStop.WRITE_BUFFER)

    # Misbehaving on command

    def go_silent(self) -> None:
        """Be half-open: answer nothing, write nothing, keep TCP open. What arrives is held until `resume()`.

        Only the end of the TCP connection is still noticed, so that the counts stay true.
        """
        self._silent = True

    def stop_reading(self) -> None:
        """Read no more bytes until `resume()`, so that the client's send buffer fills. Writing goes on.

        Meanwhile not even the end of the TCP connection is noticed.
        """
        self._stop_reading(ReadStop.COMMAND)

    def resume(self) -> None:
        """End `go_silent()` and `stop_reading()`: bytes held back in both directions are processed."""
        self._silent = False
        withheld = bytes(self._withheld)
        self._withheld.clear()
        self._write(withheld)
        self._resumed()
        self._release_held()
        self._go_on_reading(ReadStop.COMMAND)
        if self._is_over():
            self._drop()

    def trickle(
        self, data: bytes, *, piece: int = 1, pause: float = 0.0, then: Callable[[], object] | None = None
    ) -> None:
        """Write in pieces of so many bytes, one each `pause` seconds, or one in each turn of the loop with 0.

        What else is to be written waits behind them; `then` is called when all is written.
        """
        self._trickling = bytearray(data)
        self._trickle_on(len(data), piece, pause, then)

    def _trickle_on(self, left: int, piece: int, pause: float, then: Callable[[], object] | None) -> None:
        rest, self._trickling = self._trickling, None
        if rest is None:
            return
        size = left if self._silent else min(left, piece)
        if left > size:
            self.write_raw(bytes(rest[:size]))
            self._trickling = rest[size:]
            self._later(pause, lambda: self._trickle_on(left - size, piece, pause, then))
            return
        self._write(bytes(rest))
        if then is not None:
            then()

    def write_raw(self, data: bytes) -> None:
        """Write these bytes unchecked, at once, even while silent. Without effect once TCP has ended."""
        if self._transport is not None and self._tcp is TcpState.OPEN and not self._transport.is_closing():
            self._transport.write(data)

    def is_established(self) -> bool:
        """True if the kernel holds the connection open both ways; known even while the server doesn't read.

        Elsewhere than on Linux: True until the end of the connection is noticed.
        """
        if self._transport is None or self._tcp is TcpState.LOST:
            return False
        connection = self._transport.get_extra_info("socket")
        if connection is None or connection.fileno() < 0:
            return False
        if sys.platform != "linux":
            return True
        with socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
            return duplicate.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _ESTABLISHED

    def kill(self) -> None:
        """Reset TCP (RST) at once: no CLOSE frame, no FIN. Idempotent."""
        self._end_by_server()
        if self._transport is None or self._tcp is TcpState.LOST:
            return
        connection = self._transport.get_extra_info("socket")
        if connection is not None and connection.fileno() >= 0:
            # A duplicate shares the options, and works for uvloop's sockets, which have no setsockopt.
            with socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
                duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self._transport.abort()

    # For the subclass

    def _write(self, data: bytes) -> None:
        if self._trickling is not None:
            self._trickling += data
        elif self._silent:
            self._withheld += data
        elif data:
            self.write_raw(data)

    def _check_room(self) -> None:
        buffered = self._transport.get_write_buffer_size() if self._transport is not None else 0
        if buffered + len(self._withheld) > HOLD_LIMIT:
            raise BufferError(f"more than {HOLD_LIMIT} bytes are waiting to be sent")

    def _drop(self) -> None:
        """End TCP with a FIN after the written bytes, and ignore further input."""
        self._end_by_server()
        if self._transport is not None:
            self._transport.close()
            self._later(self._close_timeout, self._transport.abort)

    def _finish(self) -> None:
        """End our half of TCP and wait, within the close timeout, for the client's half.

        Closing both halves at once could turn into a RST that destroys the last frames on their way.
        """
        if self._transport is None or self._is_tls() or self._is_over() or not self._transport.can_write_eof():
            self._drop()
            return
        if not self._transport.is_closing():
            try:
                self._transport.write_eof()
            except OSError:
                # The client has reset TCP, and the loop has yet to say so: that end is the client's.
                self._transport.abort()
                return
            self._read_stops.clear()
            self._transport.resume_reading()
        self._end_by_server()
        self._later(self._close_timeout, self._transport.abort)

    def _later(self, seconds: float, callback: Callable[[], object]) -> None:
        if self._tcp is not TcpState.LOST:
            self._timers.append(self._loop.call_later(seconds, callback))

    def _release_held(self) -> None:
        if self._held and not self._holds_input():
            data = bytes(self._held)
            self._held.clear()
            self._bytes_received(data)
        self._go_on_reading(ReadStop.HELD_BYTES)

    def _stop_reading(self, reason: ReadStop) -> None:
        self._read_stops.add(reason)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def _go_on_reading(self, reason: ReadStop) -> None:
        self._read_stops.discard(reason)
        if self._transport is not None and not self._read_stops and not self._transport.is_closing():
            self._transport.resume_reading()

    def _end_by_server(self) -> None:
        self._tcp = _AFTER_SERVER_END.get(self._tcp, self._tcp)

    def _client_ended(self, state: TcpState) -> None:
        was, self._tcp = self._tcp, state
        if was in _AFTER_CLIENT_END:
            self._tcp_ended(by_client=was is TcpState.OPEN)

    def _is_over(self) -> bool:
        return self._tcp not in _AFTER_CLIENT_END

    def _is_tls(self) -> bool:
        return self._transport is not None and self._transport.get_extra_info("ssl_object") is not None
