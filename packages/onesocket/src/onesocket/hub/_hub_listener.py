"""A listening socket, TCP or Unix, that passes HTTP requests to a function."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from .._forking import ForkSafeSocket
from ..errors import CannotListen
from ..transports._connection_acceptor import AcceptedConnection, RequestAnswer
from ..transports._socket_server import bind_socket, serve_sockets
from ..wire._http_response import HttpResponse
from ..wire._request_parser import HttpRequest
from ._endpoint import Endpoint

_BACKLOG: Final = 1024
_MIN_PENDING: Final = 256
"""Connections without a complete request, or whose answer is a refusal: as many as clients, and at least so many. The
oldest is aborted for one more."""
_PROBE_TIMEOUT: Final = 1.0


class HubListener:
    """Accepts connections, from `serve` to `stop`: WebSockets up to a limit, and a bounded number of others.

    The others compete among themselves alone, so connections that send nothing keep no client out.
    """

    handshake_timeout: float = 10.0

    def __init__(self, respond: Callable[[HttpRequest], RequestAnswer], *, max_clients: int = 0) -> None:
        """`max_clients`: 0 for an address that has none."""
        self._respond = respond
        self._max_clients = max_clients
        self._max_pending = max(_MIN_PENDING, max_clients)  # all clients may come at once
        self._socket: ForkSafeSocket | None = None
        """The bound socket, until `serve`."""
        self._close_server: Callable[[], None] | None = None
        self._option = ""
        """The option that names the address."""
        self._pending: dict[asyncio.Transport, None] = {}
        """Connections that are no WebSocket, the oldest first."""
        self._clients: set[asyncio.Transport] = set()
        self.endpoint = Endpoint()
        """The address, with the port that the system chose for port 0."""

    def __repr__(self) -> str:
        return f"<HubListener {self.endpoint} clients={len(self._clients)} pending={len(self._pending)}>"

    async def bind(self, endpoint: Endpoint, option: str) -> None:
        """Bind the port or the path, without accepting connections yet. Raises `CannotListen`."""
        try:
            if endpoint.path:
                await _remove_stale_socket(endpoint.path)
                self._socket = _bind_unix_socket(endpoint.path)
                self.endpoint = endpoint
            else:
                loop = asyncio.get_running_loop()
                found = await loop.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
                self._socket = bind_socket(found[0][0], found[0][4])
                self.endpoint = Endpoint(endpoint.host, self._socket.getsockname()[1])
        except OSError as error:
            raise _cannot_listen(endpoint, option, error) from error
        self._option = option

    async def serve(self) -> None:
        """Accept connections from now on. Raises `CannotListen` if another process listens there since `bind`."""
        if self._socket is None:
            return
        try:
            self._close_server = await serve_sockets([self._socket], self._accept, backlog=_BACKLOG)
        except OSError as error:
            raise _cannot_listen(self.endpoint, self._option, error) from error
        self._socket = None

    def stop(self) -> None:
        """Accept no more connections; the open ones stay."""
        sock, self._socket = self._socket, None
        close_server, self._close_server = self._close_server, None
        if sock is None and close_server is None:
            return
        if sock is not None:
            sock.close()
        if close_server is not None:
            close_server()
        if self.endpoint.path:
            with contextlib.suppress(OSError):
                Path(self.endpoint.path).unlink()

    def abort(self) -> None:
        """Abort the connections that are still open."""
        for transport in (*self._pending, *self._clients):
            transport.abort()

    def _accept(self) -> AcceptedConnection:
        return AcceptedConnection(self)

    # --- ConnectionAcceptor -----------------------------------------------------------------------------------------

    def delay(self) -> float:
        """Seconds to wait before a new connection is read: none."""
        return 0.0

    def accept(self, address: str, transport: asyncio.Transport) -> bool:
        """Make room for a connection; returns False to refuse it."""
        del address
        if self._close_server is None:
            return False
        if len(self._pending) >= self._max_pending:
            oldest = next(iter(self._pending))
            del self._pending[oldest]
            oldest.abort()
        self._pending[transport] = None
        return True

    def upgraded(self, transport: asyncio.Transport) -> None:
        """Count a client."""
        del self._pending[transport]
        self._clients.add(transport)

    def connection_ended(self, address: str, transport: asyncio.Transport) -> None:
        """Forget a connection that has ended."""
        del address
        self._pending.pop(transport, None)
        self._clients.discard(transport)

    def answer_request(self, request: HttpRequest, address: str) -> RequestAnswer:
        """Answer a complete request."""
        del address
        if self._close_server is None:
            return HttpResponse.text(503, "the hub is stopping", {"Retry-After": "5"})
        if request.is_upgrade and 0 < self._max_clients <= len(self._clients):
            return HttpResponse.text(503, "too many clients: see --max-clients", {"Retry-After": "5"})
        return self._respond(request)


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


def _cannot_listen(endpoint: Endpoint, option: str, error: OSError) -> CannotListen:
    return CannotListen(f"can't listen on {endpoint}: {error.strerror or error}; choose another place with {option}")


def _bind_unix_socket(path: str) -> ForkSafeSocket:
    before = os.umask(0o177)  # this user alone may connect, from the first moment on
    try:
        return bind_socket(socket.AF_UNIX, path)
    finally:
        os.umask(before)
