"""Limits of HTTP connections, without a socket."""

import asyncio

from aiohttp import web

from onesocket_discord.server.rest import HttpConnectionLimiter


class RefusedTransport(asyncio.WriteTransport):
    """A transport that keeps what is written, and is closed at once."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.written = b""
        self.is_closed = False
        protocol.connection_made(self)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.is_closed = True
        self.protocol.connection_lost(None)


async def not_found(_: web.BaseRequest) -> web.StreamResponse:
    raise web.HTTPNotFound


async def test_refused_connections_wait_for_their_request_but_not_too_many_of_them() -> None:
    limiter = HttpConnectionLimiter(web.Server(not_found), 1)
    waiting = [RefusedTransport(limiter.too_many()) for _ in range(256)]
    assert (limiter.waiting_refusals, any(one.is_closed for one in waiting)) == (256, False)
    more = RefusedTransport(limiter.too_many())
    assert more.written.startswith(b"HTTP/1.1 429 ")
    assert more.is_closed
    waiting[0].close()  # it has left
    waiting[1].protocol.data_received(b"GET")
    assert waiting[1].written == more.written
    assert limiter.waiting_refusals == 254
    for one in waiting:
        one.close()
    assert limiter.waiting_refusals == 0
