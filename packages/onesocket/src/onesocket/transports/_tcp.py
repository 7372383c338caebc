"""Connects sockets, of TCP and Unix, that report their close."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import aiohappyeyeballs

from .. import _forking as forking
from .._forking import ForkSafeSocket
from ..urls import Address

if sys.platform == "linux":
    import fcntl
    import termios

# RFC 8305, section 5: how long one address may take before the next is tried beside it.
_HAPPY_EYEBALLS_DELAY: Final = 0.25
# Seconds between two polls of the bytes that the peer has not acknowledged: the kernel has no event for it.
_FIRST_POLL: Final = 0.001
_MAX_POLL: Final = 0.05
# Seconds between two tries to connect to a Unix socket whose listener is behind.
_BACKLOG_POLL: Final = 0.01
# Offset of tcpi_bytes_acked, 64 bits, in the kernel's struct tcp_info (linux/tcp.h).
_BYTES_ACKED: Final = 120
# Value of tcpi_state, the first byte, of a connection that has ended.
_TCP_CLOSE: Final = 7
_LINGER: Final = "hh" if sys.platform == "win32" else "ii"
RESET_ON_CLOSE: Final = struct.pack(_LINGER, 1, 0)
"""Value of SO_LINGER with which a close resets the connection (RST) and discards unsent bytes."""
_DELIVER_ON_CLOSE: Final = struct.pack(_LINGER, 0, 0)


class TcpSocket(ForkSafeSocket):
    """A TCP or Unix socket that reports its close, by whichever layer owns it at that time.

    After `reset_on_close` any close, the death of the process included, resets the connection (RST) and discards unsent
    bytes: otherwise the kernel keeps the connection open while the peer doesn't read, beside its successor.
    `deliver_on_close` lifts that, and so does a normal end of the interpreter.
    """

    __slots__ = ("on_close",)

    def __init__(self, *args: Any, **options: Any) -> None:
        self.on_close: Callable[[], None] | None = None
        super().__init__(*args, **options)

    def __del__(self) -> None:
        """Close a socket that was never closed without a reset: sent bytes are still delivered."""
        if self.fileno() >= 0:
            self.deliver_on_close()

    def reset_on_close(self) -> None:
        """Let the close reset the connection and discard unsent bytes."""
        self._linger(RESET_ON_CLOSE)

    def deliver_on_close(self) -> None:
        """Let the kernel deliver unsent bytes, and then a FIN, after the close."""
        self._linger(_DELIVER_ON_CLOSE)

    def unacknowledged(self) -> int:
        """Return the number of bytes that the peer may still acknowledge; 0 where the system doesn't report it.

        A Unix socket hands its bytes over at once, and so has none.
        """
        if sys.platform != "linux" or self.family == socket.AF_UNIX:
            return 0
        count = queued_bytes(self.fileno())
        try:
            is_reset = count > 0 and self.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_CLOSE
        except OSError:  # closed
            return 0
        return 0 if is_reset else count

    def acknowledged(self) -> int:
        """Return the number of bytes that the peer has acknowledged; 0 where the system doesn't report it."""
        if sys.platform != "linux" or self.family == socket.AF_UNIX:
            return 0
        try:
            info = self.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED + 8)
        except OSError:  # closed
            return 0
        return int.from_bytes(info[_BYTES_ACKED:], sys.byteorder)

    def _linger(self, how: bytes) -> None:
        with contextlib.suppress(OSError):  # closed, or detached in a forked child
            self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, how)

    def close(self) -> None:
        """Close the socket, and report it."""
        super().close()
        self._report_close()

    def detach(self) -> int:
        """Release the descriptor, and report the close: uvloop does that when it closes the socket."""
        descriptor = super().detach()
        self._report_close()
        return descriptor

    def _report_close(self) -> None:
        on_close, self.on_close = self.on_close, None  # which may refer to the owner of this socket: no cycle is left
        if on_close is not None:
            on_close()


def queued_bytes(descriptor: int) -> int:
    """Return the bytes that the kernel has of a socket, and the other end has not taken; 0 where it doesn't tell."""
    if sys.platform != "linux":
        return 0
    try:
        return int.from_bytes(fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    except (OSError, ValueError):  # closed
        return 0


def close_when_delivered(sock: TcpSocket, is_flushed: Callable[[], bool], close: Callable[[], None]) -> None:
    """Call `close` once the peer's system has acknowledged all bytes that were written.

    Closed before that, the connection would outlive its socket, as the peer may have stopped reading. `is_flushed`:
    whether the kernel has all bytes. There is no deadline here: a caller that has one aborts the connection, which
    ends this, too. Until then the end of the process resets the connection.
    """
    _poll_delivery(sock, is_flushed, close, _FIRST_POLL)


def _poll_delivery(sock: TcpSocket, is_flushed: Callable[[], bool], close: Callable[[], None], delay: float) -> None:
    # Not a closure that calls itself: that would be a cycle, and keep the connection after its end.
    if sock.fileno() < 0 or (is_flushed() and sock.unacknowledged() == 0):
        sock.deliver_on_close()
        close()
    else:
        next_delay = min(2 * delay, _MAX_POLL)
        asyncio.get_running_loop().call_later(delay, _poll_delivery, sock, is_flushed, close, next_delay)


def _deliver_at_exit() -> None:
    """Let the kernel deliver sent bytes after the interpreter's end, which closes no connection."""
    for sock in forking.fork_safe_sockets():
        if isinstance(sock, TcpSocket):
            sock.deliver_on_close()


atexit.register(_deliver_at_exit)

_AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]


async def open_tcp(
    address: Address,
    found: Callable[[], None],
    process: object | None = None,
    *,
    local_address: str | None = None,
    made: Callable[[TcpSocket], object] = id,
) -> TcpSocket:
    """Return a connected socket; `found` is called between name resolution and connecting.

    `made` is called with each socket before it is connected, and may raise an OSError that prevents that. Raises the
    system's OSError, and OSError in a forked child of `process` (by default this one). It may be cancelled at any
    point, and leaves nothing open then.
    """
    home = forking.process_token() if process is None else process

    def make(info: _AddressInfo) -> TcpSocket:
        _check_process(home)
        family, type_, protocol, _, _ = info
        sock = TcpSocket(family=family, type=type_, proto=protocol)
        sock.reset_on_close()  # also a dial that is given up leaves nothing in the kernel
        try:
            made(sock)
        except BaseException:
            sock.close()
            raise
        return sock

    loop = asyncio.get_running_loop()
    infos = await _address_infos(address, socket.AF_UNSPEC)
    found()
    sock = await aiohappyeyeballs.start_connection(  # pyright: ignore[reportUnknownMemberType] - bare tuples
        infos,
        local_addr_infos=None if local_address is None else _numeric_address_info(local_address, 0),
        happy_eyeballs_delay=_HAPPY_EYEBALLS_DELAY,
        loop=loop,
        socket_factory=make,
    )
    if not isinstance(sock, TcpSocket):
        raise TypeError("the socket is of another kind")
    return sock


async def open_unix(path: str, process: object, made: Callable[[TcpSocket], object]) -> TcpSocket:
    """Return a socket that is connected to the Unix socket at `path`; otherwise as `open_tcp`."""
    while True:
        _check_process(process)
        sock = TcpSocket(family=socket.AF_UNIX, type=socket.SOCK_STREAM)
        try:
            sock.settimeout(0)
            made(sock)
            sock.connect(path)  # never in progress: it succeeds or fails at once
        except BlockingIOError:  # the listener's backlog is full; there is no event for its turn
            sock.close()
            await asyncio.sleep(_BACKLOG_POLL)
        except BaseException:
            sock.close()
            raise
        else:
            return sock


async def resolve(address: Address, family: socket.AddressFamily) -> str:
    """Return the first IP address of a host. Raises the system's OSError."""
    return str((await _address_infos(address, family))[0][4][0])


def _check_process(home: object) -> None:
    if forking.process_token() is not home:
        raise ConnectionAbortedError("this connection is dialled by the parent process")


async def _address_infos(address: Address, family: socket.AddressFamily) -> Sequence[_AddressInfo]:
    numeric = _numeric_address_info(address.host, address.port, family)
    return numeric or await asyncio.get_running_loop().getaddrinfo(
        address.host, address.port, family=family, type=socket.SOCK_STREAM
    )


def _numeric_address_info(
    host: str, port: int, family: socket.AddressFamily = socket.AF_UNSPEC
) -> Sequence[_AddressInfo]:
    """Return the address information of an IP address, its scope included; nothing for a name.

    `loop.getaddrinfo` uses a thread, which Python refuses to start once the main thread has ended.
    """
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    try:
        return socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=flags)
    except socket.gaierror:
        return ()
