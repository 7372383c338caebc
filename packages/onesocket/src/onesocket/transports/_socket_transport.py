"""A transport over a connected stream socket; each read and write costs less than with the event loop's own.

For TCP and Unix sockets without TLS, on loops that watch descriptors (`add_reader`): asyncio's selector loop, uvloop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import warnings
from collections.abc import Callable
from typing import Any, Final

# Bytes of one read for a protocol that has no buffer of its own.
_READ_SIZE: Final = 65_536
_DEFAULT_HIGH: Final = 65_536

_RETRY: Final = (BlockingIOError, InterruptedError)
_NOTHING: Final = bytearray()
"""No unsent bytes: never changed, and shared by all."""


def watches_descriptors(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether a `SocketTransport` can run on this loop; Windows' proactor can't."""
    return sys.platform != "win32" or not isinstance(loop, asyncio.ProactorEventLoop)


async def open_transport(protocol: asyncio.BaseProtocol, sock: socket.socket) -> asyncio.Transport:
    """Return the transport of a connected socket; the loop's own where ours can't run."""
    loop = asyncio.get_running_loop()
    if watches_descriptors(loop):
        return SocketTransport(loop, sock, protocol)
    transport, _ = await loop.create_connection(lambda: protocol, sock=sock)  # type: ignore[unreachable, unused-ignore]
    return transport


class SocketTransport(asyncio.Transport):
    """Reads and writes one socket. It owns the socket, and closes it after `connection_lost`."""

    # A server with a thousand clients finds none of this in the processor's caches: few objects for each write.
    __slots__ = (
        "__weakref__",
        "_buffer_updated",
        "_fd",
        "_get_buffer",
        "_high",
        "_is_closing",
        "_is_full",
        "_is_lost",
        "_is_reading",
        "_loop",
        "_low",
        "_on_readable",
        "_protocol",
        "_read_once",
        "_receive",
        "_receive_into",
        "_reports_errors",
        "_send",
        "_socket",
        "_unsent",
        "taken",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, protocol: asyncio.BaseProtocol) -> None:
        """`sock`: connected. `protocol` gets `connection_made` at once, and reading begins."""
        super().__init__()
        self._loop = loop
        self._socket = sock
        self._fd = sock.fileno()
        self._send = sock.send
        self._receive = sock.recv
        self._receive_into = sock.recv_into
        self._unsent = _NOTHING
        self.taken = 0
        """Grows whenever the kernel takes bytes that it did not take at once."""
        self._high, self._low = _DEFAULT_HIGH, _DEFAULT_HIGH // 4
        self._is_full = False
        """The protocol was told to pause writing."""
        self._is_reading = False
        self._reports_errors = isinstance(loop, asyncio.SelectorEventLoop)
        """False: libuv, under uvloop, reports an error of the socket once, and then watches the socket no more."""
        self._is_closing = False
        self._is_lost = False
        """`connection_lost` is called, or will be in the next turn of the loop."""
        sock.setblocking(False)  # noqa: FBT003 - its only argument
        with contextlib.suppress(OSError):  # a Unix socket
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.set_protocol(protocol)
        self.resume_reading()
        try:
            protocol.connection_made(self)  # which may pause it
        except BaseException:
            self.pause_reading()  # the caller closes the socket, and its number may be another's soon
            self._is_lost = True
            raise

    def __repr__(self) -> str:
        state = "lost" if self._is_lost else "closing" if self._is_closing else "open"
        return f"<SocketTransport {state} fd={self._fd} unsent={len(self._unsent)}>"

    def __del__(self) -> None:
        """Close a socket that nobody closed, with a warning."""
        sock: socket.socket | None = getattr(self, "_socket", None)
        if sock is not None and sock.fileno() >= 0 and not self._is_lost:
            warnings.warn(f"unclosed transport {self!r}", ResourceWarning, source=self, stacklevel=1)
            sock.close()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return ``"socket"``, ``"peername"`` or ``"sockname"``."""
        match name:
            case "socket":
                return self._socket
            case "peername" | "sockname":
                try:
                    return self._socket.getpeername() if name == "peername" else self._socket.getsockname()
                except OSError:
                    return default
            case _:
                return default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Give all events to this protocol from now on."""
        self._protocol: Any = protocol
        if isinstance(protocol, asyncio.BufferedProtocol):
            self._get_buffer: Any = protocol.get_buffer
            self._buffer_updated: Any = protocol.buffer_updated
            self._read_once: Callable[[], bool] = self._read_into_buffer
        else:
            self._get_buffer = self._buffer_updated = None
            self._read_once = self._read
        self._on_readable = self._read_once if self._reports_errors else self._read_and_check
        if self._is_reading:
            self._loop.add_reader(self._fd, self._on_readable)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol."""
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    # --- reading ------------------------------------------------------------------------------------------------------

    def is_reading(self) -> bool:
        """Return whether the socket is read."""
        return self._is_reading

    def pause_reading(self) -> None:
        """Stop reading."""
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._fd)

    def resume_reading(self) -> None:
        """Read again."""
        if not self._is_reading and not self._is_closing:
            self._is_reading = True
            self._loop.add_reader(self._fd, self._on_readable)

    def _read_and_check(self) -> None:
        """Read once, and note an error that has come behind these bytes: it isn't reported again."""
        if self._read_once() and self._is_reading:
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                self._stop_writing(OSError(code, os.strerror(code)))

    def _read_into_buffer(self) -> bool:
        """Read once; returns whether bytes came."""
        if not self._is_reading:
            return False
        try:
            count = self._receive_into(self._get_buffer(-1))
        except _RETRY:
            return False
        except OSError as error:
            self._lose(error)
            return False
        except Exception as error:  # noqa: BLE001 - reported
            self._protocol_failed(error)
            return False
        except BaseException as interrupt:
            self._interrupted(interrupt)
            raise
        try:
            if count:
                self._buffer_updated(count)
            else:
                self._on_eof()
        except Exception as error:  # noqa: BLE001 - reported
            self._protocol_failed(error)
        except BaseException as interrupt:
            self._interrupted(interrupt)
            raise
        return count > 0

    def _read(self) -> bool:
        """Read once; returns whether bytes came."""
        if not self._is_reading:
            return False
        try:
            data = self._receive(_READ_SIZE)
        except _RETRY:
            return False
        except OSError as error:
            self._lose(error)
            return False
        except BaseException as interrupt:
            self._interrupted(interrupt)
            raise
        try:
            if data:
                self._protocol.data_received(data)
            else:
                self._on_eof()
        except Exception as error:  # noqa: BLE001 - reported
            self._protocol_failed(error)
        except BaseException as interrupt:
            self._interrupted(interrupt)
            raise
        return bool(data)

    def _on_eof(self) -> None:
        if self._protocol.eof_received():
            self.pause_reading()
        else:
            self.close()

    # --- writing ------------------------------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> bool:  # type: ignore[override]
        """Write these bytes, now or as soon as the kernel takes them; False if the transport takes none any more.

        A write that meets the end of the connection pauses writing for good: its bytes may have arrived, or not.
        """
        if self._is_closing:
            return False
        if self._unsent:
            self._unsent += data
        else:
            try:
                sent = self._send(data)
            except _RETRY:
                sent = 0
            except OSError as error:
                self._stop_writing(error)
                self._protocol.pause_writing()
                return True
            if sent == len(data):
                return True
            self._unsent = bytearray(memoryview(data)[sent:])
            self._loop.add_writer(self._fd, self._write_unsent)
        if len(self._unsent) > self._high and not self._is_full:
            self._is_full = True
            self._protocol.pause_writing()
        return True

    def _write_unsent(self) -> None:
        if self._is_lost or not self._unsent:
            return
        try:
            sent = self._send(self._unsent)
        except _RETRY:
            return
        except OSError as error:
            self._stop_writing(error)
            return
        self.taken += 1
        del self._unsent[:sent]
        if not self._unsent:
            self._unsent = _NOTHING
            self._loop.remove_writer(self._fd)
        if self._is_full and len(self._unsent) <= self._low:
            self._is_full = False
            self._protocol.resume_writing()  # which may write
        if self._is_closing and not self._unsent:
            self._lose(None)

    def _stop_writing(self, error: OSError) -> None:
        """Take no bytes any more, as the peer has gone; the kernel still has those that it sent before."""
        self.pause_reading()
        if self._is_closing:
            self._lose(error)
            return
        self._is_closing = True
        self._drop_unsent()
        self._loop.call_soon(self._read_rest, error)

    def _read_rest(self, error: OSError) -> None:
        """Read what has come, once in each turn of the loop and in spite of pauses, then report the end."""
        if self._is_lost:
            return
        self._is_reading = True
        if self._read_once():
            self._loop.call_soon(self._read_rest, error)
        else:
            self._lose(error)

    def can_write_eof(self) -> bool:
        """Return False: a WebSocket needs both directions."""
        return False

    def get_write_buffer_size(self) -> int:
        """Return the number of bytes that the kernel has not taken yet."""
        return len(self._unsent)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the low and the high mark, in bytes."""
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Pause writing above `high` unsent bytes, and resume it at `low` (by default a quarter of `high`)."""
        self._high = _DEFAULT_HIGH if high is None else high
        self._low = self._high // 4 if low is None else low

    # --- the end ------------------------------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        """Return whether the transport is closing or closed."""
        return self._is_closing

    def close(self) -> None:
        """Read no more, write what is unsent, then end."""
        if self._is_closing:
            return
        self.pause_reading()
        self._is_closing = True
        if not self._unsent:
            self._lose(None)

    def abort(self) -> None:
        """End now, and drop what is unsent."""
        self._lose(None)

    def _protocol_failed(self, error: Exception) -> None:
        """Report an error of the protocol, which can't go on: it may have lost bytes."""
        self._loop.call_exception_handler(
            {"message": "a protocol failed", "exception": error, "transport": self, "protocol": self._protocol}
        )
        self._lose(error)

    def _interrupted(self, interrupt: BaseException) -> None:
        """End the connection, as Ctrl-C may have lost bytes of it; the event loop may go on."""
        error = InterruptedError("the event loop was interrupted in the midst of a read")
        error.__cause__ = interrupt.with_traceback(None)
        self._lose(error)

    def _lose(self, error: Exception | None) -> None:
        if self._is_lost:
            return
        self._is_lost = True
        with contextlib.suppress(OSError):  # of epoll: the descriptor was released, as the connection has moved
            self.pause_reading()
        self._is_closing = True
        self._drop_unsent()
        self._loop.call_soon(self._report_lost, error)

    def _drop_unsent(self) -> None:
        if self._unsent:
            self._unsent = _NOTHING
            self._loop.remove_writer(self._fd)

    def _report_lost(self, error: Exception | None) -> None:
        protocol = self._protocol
        try:
            protocol.connection_lost(error)
        finally:
            self._socket.close()
            # Bound methods of this object and of the protocol: no cycle is left.
            del self._protocol, self._on_readable, self._read_once, self._send, self._receive, self._receive_into
            del self._get_buffer, self._buffer_updated
