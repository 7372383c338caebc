"""An ended connection leaves nothing to the garbage collector: no cycle holds it."""

import asyncio
import gc
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trustme

from onesocket.errors import ProxyFailed
from onesocket.testing import Fault, FaultyServer
from onesocket.testing._checked_connection import CheckedConnection
from onesocket.transports._tcp import TcpSocket
from onesocket.transports._transport import Transport
from onesocket.transports._websocket import WebSocketTransport
from onesocket.wire._handshake import DialRequest
from tests.support.proxies import Handler, HttpProxy, Socks4Proxy, Socks5Proxy, serving

TRANSPORTS: list[Callable[[], Transport]] = [WebSocketTransport, partial(WebSocketTransport, compression="deflate")]


async def our_close(connection: CheckedConnection, server: FaultyServer) -> None:
    await connection.wait_open()
    await server.send("one")
    await connection.until(lambda: connection.messages == ["one"])
    connection.close()


async def the_peers_close(connection: CheckedConnection, server: FaultyServer) -> None:
    await connection.wait_open()
    await server.close_connections(1001)


async def an_abort(connection: CheckedConnection, _: FaultyServer) -> None:
    await connection.wait_open()
    connection.connection.abort()


async def a_refusal(connection: CheckedConnection, server: FaultyServer) -> None:
    del connection
    server.faults = Fault.refuse(503)


ENDS = (our_close, the_peers_close, an_abort, a_refusal)


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_an_ended_connection_is_freed_without_the_collector(
    transport: Callable[[], Transport], end: Callable[[CheckedConnection, FaultyServer], object], *, secure: bool
) -> None:
    authority = trustme.CA()
    context = client_context = None
    if secure:
        context, client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
        authority.issue_cert("127.0.0.1").configure_cert(context)
        authority.configure_trust(client_context)
    servers: list[FaultyServer] = []  # kept, as a server and its connections refer to each other

    async def act() -> None:
        async with FaultyServer(ssl=context) as server:
            servers.append(server)
            await _connect_and_end(transport(), DialRequest(server.url, ssl=client_context), server, end)

    assert not await _left_by(act)


PROXIES: dict[str, Callable[[], Handler]] = {
    "http": lambda: HttpProxy(answer=b"HTTP/1.1 503 Busy\r\n\r\n"),
    "socks5h": lambda: Socks5Proxy(reply=5),
    "socks4a": lambda: Socks4Proxy(reply=91),
}


@pytest.mark.parametrize("scheme", PROXIES)
async def test_a_dial_that_a_proxy_refuses_is_freed_too(scheme: str) -> None:
    async with serving(PROXIES[scheme]()) as port:
        request = DialRequest("ws://server.example/", proxy=f"{scheme}://127.0.0.1:{port}")

        async def act() -> None:
            connection = CheckedConnection(WebSocketTransport(), request)
            await connection.end()
            assert isinstance(connection.error, ProxyFailed)
            del connection.connection

        assert not await _left_by(act)


async def _left_by(act: Callable[[], Awaitable[None]]) -> Counter[str]:
    """The objects of ours that only the collector frees."""
    left: Counter[str] = Counter()
    for collecting in (False, True):  # the first time fills caches
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL if collecting else 0)
        try:
            await act()
            for _ in range(10):  # the last callbacks of the loop
                await asyncio.sleep(0)
            gc.collect()
            left = Counter(
                type(item).__qualname__
                for item in gc.garbage
                if type(item).__module__.startswith(("onesocket.transports", "onesocket.wire", "onesocket.errors"))
                # asyncio's socket transport refers to itself, and to its socket.
                and not isinstance(item, TcpSocket)
            )
        finally:
            gc.set_debug(0)
            gc.enable()
            gc.garbage.clear()
    return left


async def _connect_and_end(
    transport: Transport,
    request: DialRequest,
    server: FaultyServer,
    end: Callable[[CheckedConnection, FaultyServer], object],
) -> None:
    connection = CheckedConnection(transport, request)
    await end(connection, server)  # type: ignore[misc] # pyright: ignore[reportGeneralTypeIssues]
    await connection.end()
    server.faults = None
    del connection.connection  # the owner and its connection refer to one another
