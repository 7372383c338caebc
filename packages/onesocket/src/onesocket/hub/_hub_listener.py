"""A listening socket whose requests somebody answers."""

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

from .._forking import ForkSafeSocket
from ..transports._connection_acceptor import AcceptedConnection, HandshakeAnswer
from ._access_policy import error_response
from ._endpoint import Endpoint
from ._errors import CannotListen
from ._unix_socket import UnixListener

_BACKLOG: Final = 1024
# So many over the limit are told so by an HTTP error; more are reset.
_EXTRA_REJECTIONS: Final = 64
_PROBE_TIMEOUT: Final = 1.0


class HubListener:
    """A `ConnectionAcceptor`: from `bind` to `stop`."""

    handshake_timeout: float = 10.0

    def __init__(self, respond: Callable[[WSUpgradeRequest], HandshakeAnswer], *, most: int, max_frame: int) -> None:
        self._respond = respond
        self._most = most
        self.max_frame = max_frame
        self._socket: socket.socket | None = None
        """Bound, until the server has it."""
        self._server: asyncio.Server | None = None
        self._accepted: set[asyncio.Transport] = set()
        self.endpoint = Endpoint()
        """Where it listens; port 0 has become a real one."""

    def __repr__(self) -> str:
        return f"<Listener {self.endpoint} connections={len(self._accepted)}>"

    async def bind(self, endpoint: Endpoint, option: str) -> None:
        """Take the port or the path; nobody can connect yet. Raises `CannotListen`."""
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
            why = error.strerror or str(error)
            raise CannotListen(f"can't listen on {endpoint}: {why}; choose another place with {option}") from error

    async def serve(self) -> None:
        """Accept from now on."""
        sock, self._socket = self._socket, None
        loop = asyncio.get_running_loop()
        if sock is not None and self.endpoint.path:
            self._server = await aiofastnet.create_unix_server(loop, self._accept, sock=sock, backlog=_BACKLOG)
        elif sock is not None:
            # What picows itself takes: its transports cost less for each write than asyncio's own.
            self._server = await aiofastnet.create_server(loop, self._accept, sock=sock, backlog=_BACKLOG)

    def stop(self) -> None:
        """Accept nobody any more. Who is connected stays."""
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
        """End what is still connected."""
        for transport in tuple(self._accepted):
            transport.abort()

    def _accept(self) -> AcceptedConnection:
        return AcceptedConnection(self)

    # --- Door -------------------------------------------------------------------------------------------------------

    def delay(self) -> float:
        """No wait."""
        return 0.0

    def accept(self, address: str, transport: asyncio.Transport) -> bool:
        """Whether a connection is taken."""
        del address
        if self._server is None or len(self._accepted) >= self._most + _EXTRA_REJECTIONS:
            return False
        self._accepted.add(transport)
        return True

    def connection_ended(self, address: str, transport: asyncio.Transport) -> None:
        """A connection that was taken has ended."""
        del address
        self._accepted.discard(transport)

    def answer_upgrade(self, request: WSUpgradeRequest, address: str) -> HandshakeAnswer:
        """A complete request."""
        del address
        if self._server is None or len(self._accepted) > self._most:
            return error_response(503, "there are as many connections as there may be", {"Retry-After": "5"})
        return self._respond(request)


async def _remove_stale_socket(path: str) -> None:
    """Remove the socket of one who is gone; raises OSError if somebody listens there, or it's no socket."""
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
        raise OSError("somebody listens there, and doesn't answer") from None
    else:
        writer.close()
        raise OSError("somebody listens there already")


def _bind_socket(family: int, address: Any) -> socket.socket:
    kind = UnixListener if family == socket.AF_UNIX else ForkSafeSocket
    sock = kind(family, socket.SOCK_STREAM)
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
