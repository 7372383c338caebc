"""Accepts the connections of listening sockets, TCP or Unix."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections.abc import Callable, Sequence
from typing import Any, Final

from .._forking import ForkSafeSocket
from ._socket_transport import SocketTransport, watches_descriptors

log = logging.getLogger("onesocket")

# Connections that are accepted in one turn of the loop: thousands may dial at once, and others want to be served.
_BATCH: Final = 64
# Seconds without accepting when the process or the system has no descriptor or memory left.
_PAUSE: Final = 0.25
_NOT_HERE: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})
_NOTHING_LEFT: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class SocketServer:
    """Accepts connections until it is closed; each gets a protocol. `ForkSafeSocket`s stay out of forked children."""

    def __init__(
        self, sockets: Sequence[ForkSafeSocket], make_protocol: Callable[[], asyncio.BaseProtocol], *, backlog: int
    ) -> None:
        """`sockets`: bound. `backlog`: connections that wait to be accepted; the kernel cuts it to its own limit."""
        self._loop = asyncio.get_running_loop()
        self._sockets = list(sockets)
        self._make_protocol = make_protocol
        self._pause: asyncio.TimerHandle | None = None
        for sock in self._sockets:
            sock.setblocking(False)  # noqa: FBT003 - its only argument
            sock.listen(backlog)
        self._start()

    def __repr__(self) -> str:
        return f"<SocketServer sockets={len(self._sockets)}{' paused' if self._pause is not None else ''}>"

    def close(self) -> None:
        """Accept no more connections; the open ones stay."""
        if self._pause is not None:
            self._pause.cancel()
        self._stop()
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()

    def _start(self) -> None:
        self._pause = None
        for sock in self._sockets:
            self._loop.add_reader(sock.fileno(), self._accept, sock)

    def _stop(self) -> None:
        for sock in self._sockets:
            self._loop.remove_reader(sock.fileno())

    def _accept(self, listener: ForkSafeSocket) -> None:
        for _ in range(_BATCH):
            try:
                sock, _ = listener.accept()
            except OSError as error:
                if error.errno in _NOTHING_LEFT:
                    self._pause_accepting(error)
                return  # nothing is waiting any more, or what was waiting has gone
            try:
                SocketTransport(self._loop, sock, self._make_protocol())
            except Exception:
                log.exception("accepting a connection failed")
                sock.close()

    def _pause_accepting(self, error: OSError) -> None:
        log.warning("no connection is accepted for %g seconds: %s", _PAUSE, error.strerror)
        self._stop()
        self._pause = self._loop.call_later(_PAUSE, self._start)


async def serve_sockets(
    sockets: Sequence[ForkSafeSocket], make_protocol: Callable[[], asyncio.BaseProtocol], *, backlog: int
) -> Callable[[], None]:
    """Accept connections of bound sockets until the returned function is called."""
    loop = asyncio.get_running_loop()
    if watches_descriptors(loop):
        return SocketServer(sockets, make_protocol, backlog=backlog).close
    servers = [await loop.create_server(make_protocol, sock=sock, backlog=backlog) for sock in sockets]

    def close() -> None:
        for server in servers:
            server.close()

    return close


def bind_socket(family: int, address: Any) -> ForkSafeSocket:
    """Return a socket that is bound to this address. Raises `OSError`."""
    sock = ForkSafeSocket(family, socket.SOCK_STREAM)
    try:
        if family in (socket.AF_INET, socket.AF_INET6) and os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock


async def bind_host(host: str, port: int) -> list[ForkSafeSocket]:
    """Return a socket for each address of a host; with port 0, they share the port that the system chose.

    Raises `OSError`.
    """
    infos = await asyncio.get_running_loop().getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sockets: list[ForkSafeSocket] = []
    unsupported: OSError | None = None
    with contextlib.ExitStack() as undo:
        for family, address in dict.fromkeys((info[0], info[4]) for info in infos):
            chosen = sockets[0].getsockname()[1] if sockets else port
            try:
                sock = bind_socket(family, (address[0], chosen, *address[2:]))
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
                unsupported = error  # as ::1 is where IPv6 is switched off
                continue
            undo.callback(sock.close)
            sockets.append(sock)
        if unsupported is not None and not sockets:
            raise unsupported
        undo.pop_all()
    return sockets
