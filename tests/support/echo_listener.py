"""A WebSocket server of the engine that hub and gateway use, with an owner that the test steers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from onesocket.transports._connection_acceptor import AcceptedConnection, RequestAnswer
from onesocket.transports._server_connection import ServerConnection, ServerConnectionLimits, encode_message
from onesocket.transports._socket_server import bind_host, serve_sockets
from onesocket.wire._deflate_parameters import choose_offer
from onesocket.wire._http_response import HttpResponse
from onesocket.wire._request_parser import HttpRequest

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class EchoOwner:
    """Notes what comes, and echoes it unless `on_message` says something else."""

    def __init__(self, listener: "EchoListener", request: HttpRequest) -> None:
        self.listener = listener
        deflate = choose_offer(request.headers.getall("Sec-WebSocket-Extensions")) if listener.deflate else None
        self.connection = ServerConnection(self, listener.limits, deflate=deflate)
        self.received_messages: list[str | bytes] = []
        self.overflows = 0
        self.end: int | None = None

    def opened(self, connection: ServerConnection) -> None:
        assert connection is self.connection
        self.listener.on_open(self)

    def received(self, data: str | bytes) -> None:
        self.received_messages.append(data)
        self.listener.on_message(self, data)

    def overflowed(self) -> None:
        self.overflows += 1
        self.connection.abort()

    def drained(self) -> None:
        pass

    def ended(self, code: int) -> None:
        self.end = code

    def echo(self, data: str | bytes) -> None:
        if self.listener.deflate and isinstance(data, str):
            self.connection.writer()(data.encode())
        elif self.listener.deflate and isinstance(data, bytes):
            self.connection.writer(binary=True)(data)
        else:
            self.connection.write_frames(encode_message(data))


class EchoListener:
    """The acceptor; `owners` are those of the upgraded connections."""

    def __init__(self, *, deflate: bool = False, **limits: Any) -> None:
        self.deflate = deflate
        self.limits = ServerConnectionLimits(
            **{"max_size": 1 << 20, "write_buffer": 1 << 20, "close_timeout": 600.0, **limits}
        )
        self.handshake_timeout = 600.0
        self.on_open: Callable[[EchoOwner], object] = lambda _: None
        self.on_message: Callable[[EchoOwner, str | bytes], object] = EchoOwner.echo
        self.owners: list[EchoOwner] = []
        self.transports: set[asyncio.Transport] = set()
        self.port = 0

    @asynccontextmanager
    async def run(self) -> AsyncIterator["EchoListener"]:
        """Serve on loopback until the block ends."""
        sockets = await bind_host("127.0.0.1", 0)
        self.port = sockets[0].getsockname()[1]
        close = await serve_sockets(sockets, lambda: AcceptedConnection(self), backlog=4096)
        try:
            yield self
        finally:
            close()
            for transport in tuple(self.transports):
                transport.abort()
            while self.transports:  # noqa: ASYNC110 - an end in the next turns of the loop
                await asyncio.sleep(0)

    def delay(self) -> float:
        return 0.0

    def accept(self, address: str, transport: asyncio.Transport) -> bool:
        assert address == "127.0.0.1"
        self.transports.add(transport)
        return True

    def upgraded(self, transport: asyncio.Transport) -> None:
        assert transport in self.transports

    def connection_ended(self, address: str, transport: asyncio.Transport) -> None:
        assert address == "127.0.0.1"
        self.transports.remove(transport)

    def answer_request(self, request: HttpRequest, address: str) -> RequestAnswer:
        assert address == "127.0.0.1"
        if request.path == "/plain":
            return HttpResponse.text(200, "plain")
        if request.path == "/fails":
            raise RuntimeError("on purpose")
        owner = EchoOwner(self, request)
        self.owners.append(owner)
        return owner.connection
