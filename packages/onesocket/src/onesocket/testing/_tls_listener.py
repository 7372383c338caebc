"""The TLS listener of the faulty server."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

from ._counters import Counters

# Seconds a client has for its TLS handshake.
_HANDSHAKE_TIMEOUT = 10.0

ProtocolFactory = Callable[[], asyncio.BaseProtocol]
StartTask = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


class TlsListener:
    """Accepts TCP connections and does the TLS handshake of each in a task of its own.

    `loop.create_server(ssl=...)` would do it, too, but a handshake under way can't be ended there.
    """

    def __init__(self, context: ssl.SSLContext, factory: ProtocolFactory, counters: Counters, start: StartTask) -> None:
        self._context = context
        self._factory = factory
        self._counters = counters
        self._start_task = start
        self._socket: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None

    def listen(self, host: str, port: int, family: socket.AddressFamily, backlog: int) -> int:
        """Listen, and return the port. Raises OSError if the port is taken."""
        # The protocol is named because asyncio turns Nagle's algorithm off only where it is.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listener.setblocking(False)  # noqa: FBT003 - the socket module's signature
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen(backlog)
        except BaseException:
            listener.close()
            raise
        self._socket = listener
        self._accepting = self._start_task(self._accept(listener))
        return int(listener.getsockname()[1])

    async def aclose(self) -> None:
        """Stop listening. Connections and handshakes go on."""
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.wait([self._accepting])
        if self._socket is not None:  # the task may never have begun
            self._socket.close()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                client, _ = await loop.sock_accept(listener)
                self._start_task(self._secure(client))

    async def _secure(self, client: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._factory,
                client,
                ssl=self._context,
                ssl_handshake_timeout=_HANDSHAKE_TIMEOUT,
                ssl_shutdown_timeout=1.0,
            )
        except ssl.SSLError:
            self._counters.count("protocol_errors")
        except OSError:
            # The client has ended the connection during the handshake, or took too long: nothing to count.
            client.close()
