"""A listening socket, TCP or Unix, that passes HTTP requests to a function."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import aiofastnet
from picows import WSUpgradeRequest

from .._forking import FORK_LOCK, ForkSafeSocket
from ..errors import CannotListen
from ..transports._connection_acceptor import AcceptedConnection, HandshakeAnswer
from ._access_policy import error_response
from ._endpoint import Endpoint

_BACKLOG: Final = 1024
_MAX_REJECTED: Final = 64
"""Connections over the limit that get an HTTP error; more are reset."""
_PROBE_TIMEOUT: Final = 1.0


class HubListener:
    """Accepts connections, from `serve` to `stop`, up to a limit."""

    handshake_timeout: float = 10.0

    def __init__(
        self, respond: Callable[[WSUpgradeRequest], HandshakeAnswer], *, max_connections: int, max_frame: int
    ) -> None:
        self._respond = respond
        self._max_connections = max_connections
        self.max_frame = max_frame
        self._socket: socket.socket | None = None
        """The bound socket, until `serve`."""
        self._server: asyncio.Server | None = None
        self._accepted: set[asyncio.Transport] = set()
        self.endpoint = Endpoint()
        """The address, with the port that the system chose for port 0."""

    def __repr__(self) -> str:
        return f"<HubListener {self.endpoint} connections={len(self._accepted)}>"

    async def bind(self, endpoint: Endpoint, option: str) -> None:
        """Bind the port or the path, without accepting connections yet. Raises `CannotListen`."""
        try:
            if endpoint.path:
                await _remove_stale_socket(endpoint.path)
                self._socket = _bind_socket(socket.AF_UNIX, endpoint.path)
                self.endpoint = endpoint
            else:
                loop = asyncio.get_running_loop()
                found = await loop.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
                self._socket = _bind_socket(found[0][0], found[0][4])
                self.endpoint = Endpoint(endpoint.host, self._socket.getsockname()[1])
        except OSError as error:
            reason = error.strerror or str(error)
            raise CannotListen(f"can't listen on {endpoint}: {reason}; choose another place with {option}") from error

    async def serve(self) -> None:
        """Accept connections from now on."""
        sock, self._socket = self._socket, None
        loop = asyncio.get_running_loop()
        if sock is not None and self.endpoint.path:
            self._server = await aiofastnet.create_unix_server(loop, self._accept, sock=sock, backlog=_BACKLOG)
        elif sock is not None:
            # What picows itself takes: its transports cost less for each write than asyncio's own.
            self._server = await aiofastnet.create_server(loop, self._accept, sock=sock, backlog=_BACKLOG)

    def stop(self) -> None:
        """Accept no more connections; the open ones stay."""
        sock, self._socket = self._socket, None
        server, self._server = self._server, None
        if sock is None and server is None:
            return
        if sock is not None:
            sock.close()
        if server is not None:
            server.close()
        if self.endpoint.path:
            with contextlib.suppress(OSError):
                Path(self.endpoint.path).unlink()

    def abort(self) -> None:
        """Abort the connections that are still open."""
        for transport in tuple(self._accepted):
            transport.abort()

    def _accept(self) -> AcceptedConnection:
        return AcceptedConnection(self)

    # --- ConnectionAcceptor -----------------------------------------------------------------------------------------

    def delay(self) -> float:
        """Seconds to wait before a new connection is read: none."""
        return 0.0

    def accept(self, address: str, transport: asyncio.Transport) -> bool:
        """Count a connection; returns False to refuse it."""
        del address
        if self._server is None or len(self._accepted) >= self._max_connections + _MAX_REJECTED:
            return False
        self._accepted.add(transport)
        return True

    def connection_ended(self, address: str, transport: asyncio.Transport) -> None:
        """Forget a connection that has ended."""
        del address
        self._accepted.discard(transport)

    def answer_upgrade(self, request: WSUpgradeRequest, address: str) -> HandshakeAnswer:
        """Answer a complete request."""
        del address
        if self._server is None or len(self._accepted) > self._max_connections:
            return error_response(503, "too many connections", {"Retry-After": "5"})
        return self._respond(request)


class _UnixStream(ForkSafeSocket):
    """An accepted Unix socket on which picows can set TCP options, without effect."""

    def setsockopt(self, level: int, *rest: Any) -> None:
        """Set the option; those of TCP are ignored."""
        if level != socket.IPPROTO_TCP:
            super().setsockopt(level, *rest)

    def getsockopt(self, level: int, *rest: Any) -> Any:
        """The value of the option; those of TCP are 0."""
        untyped: Any = super()
        return 0 if level == socket.IPPROTO_TCP else untyped.getsockopt(level, *rest)


class _UnixListener(ForkSafeSocket):
    """A listening Unix socket that returns `_UnixStream` connections."""

    def accept(self) -> tuple[_UnixStream, Any]:
        """Accept the next connection."""
        with FORK_LOCK:
            connection, address = super().accept()
            return _UnixStream(fileno=connection.detach()), address


async def _remove_stale_socket(path: str) -> None:
    """Remove the socket of a process that has ended; raises OSError if a process listens there, or it's no socket."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OSError(f"{path} is there already, and is no socket")
    except FileNotFoundError:
        return
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT):
            _, writer = await asyncio.open_unix_connection(path)
    except ConnectionRefusedError:
        Path(path).unlink()  # noqa: ASYNC240 - once, before anything else happens
    except FileNotFoundError:
        pass
    except TimeoutError:
        raise OSError("a process listens there, and doesn't answer") from None
    else:
        writer.close()
        raise OSError("a process listens there already")


def _bind_socket(family: int, address: Any) -> socket.socket:
    socket_class = _UnixListener if family == socket.AF_UNIX else ForkSafeSocket
    sock = socket_class(family, socket.SOCK_STREAM)
    before = os.umask(0o177)  # a Unix socket: this user alone may connect, from the first moment on
    try:
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    finally:
        os.umask(before)
    return sock
