"""How many HTTP connections one address may hold, directly and behind a proxy, and how slow a request may be."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from onesocket_discord.server import ChatServer, GatewayOptions
from onesocket_discord.server._address_counter import UNCOUNTED, AddressCounter
from onesocket_discord.server._trusted_proxies import TrustedProxies
from tests.support.waiting import until

DEADLINE = 30.0
GET = b"GET /api/v10/gateway HTTP/1.1\r\nHost: x\r\n%b\r\n"
SLOW = b"POST /api/v10/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n%b\r\n{"
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def dialled(server: ChatServer) -> AsyncIterator[Stream]:
    url = urlsplit(server.api_url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    try:
        async with asyncio.timeout(DEADLINE):
            yield reader, writer
    finally:
        writer.close()


async def ask(stream: Stream, request: bytes) -> bytes:
    """Send a request on an open connection, which stays open; returns the head of the answer."""
    reader, writer = stream
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
    await reader.readexactly(length)
    return head


async def status(stream: Stream, request: bytes) -> int:
    """Send a request on an open connection, which stays open; returns the status of the answer."""
    return int((await ask(stream, request)).split()[1])


def forwarded(address: str) -> bytes:
    return b"X-Forwarded-For: %b\r\n" % address.encode()


def test_an_address_has_its_number_and_a_proxy_any() -> None:
    counter = AddressCounter(2, TrustedProxies(["10.0.0.0/8"]))
    networks = [counter.enter(address) for address in ("2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:1::1")]
    assert networks == ["2001:db8::/64", "2001:db8::/64", None, "2001:db8:1::/64"]
    for uncounted in ("10.1.1.1", ""):  # a proxy's, and that of who has left already
        assert [counter.enter(uncounted) for _ in range(5)] == [UNCOUNTED] * 5
    for network in ("2001:db8::/64", "2001:db8::/64", "2001:db8:1::/64", UNCOUNTED):
        counter.leave(network)
    assert not counter._open  # nothing stays of those who have left


async def test_an_address_holds_so_many_idle_connections_and_the_next_gets_429() -> None:
    async with ChatServer(options=GatewayOptions(max_http_per_address=2)) as server:
        async with dialled(server) as one, dialled(server) as other:
            assert [await status(stream, GET % b"") for stream in (one, other, one)] == [200, 200, 200]
            async with dialled(server) as refused:
                refused[1].write(GET % b"")
                answer = await refused[0].read()
            assert answer.startswith(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\nConnection: close")
            assert answer.endswith(b'"code":0}')
            assert await status(other, GET % b"") == 200
        assert server._http is not None
        limiter = server._http
        await until(lambda: limiter.open == 0)
        async with dialled(server) as later:
            assert await status(later, GET % b"") == 200


async def test_connections_that_ask_for_nothing_count_and_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onesocket_discord.server.rest._connection_limiter._PATIENCE", 0.05)
    async with ChatServer(options=GatewayOptions(max_per_address=1)) as server, dialled(server) as silent:
        silent[1].write(b"GET /")
        async with dialled(server) as other:
            assert (await other[0].read()).startswith(b"HTTP/1.1 429")  # without a request


async def test_behind_a_proxy_each_client_has_its_number_and_the_proxy_any() -> None:
    options = GatewayOptions(max_http_per_address=2, max_per_address=2)
    async with (
        ChatServer(trusted_proxies=["127.0.0.1"], options=options) as server,
        contextlib.AsyncExitStack() as stack,
    ):
        streams = [await stack.enter_async_context(dialled(server)) for _ in range(6)]
        assert [await status(stream, GET % forwarded("203.0.113.1")) for stream in streams] == [200] * 6
        for stream in streams[:2]:
            stream[1].write(SLOW % forwarded("203.0.113.1"))
        limited = streams[2]

        async def is_limited() -> bool:
            return b"X-RateLimit-Global: true" in await ask(limited, GET % forwarded("203.0.113.1"))

        while not await is_limited():  # the slow ones are on their way
            pass
        page = b"Origin: http://localhost:3000\r\n"
        answer = await ask(limited, GET % (forwarded("203.0.113.1") + page))
        assert b"\r\nAccess-Control-Allow-Origin: http://localhost:3000\r\n" in answer  # so that it can wait
        assert await status(streams[3], GET % forwarded("203.0.113.2")) == 200
        assert await status(streams[4], GET % b"") == 200  # the proxy's own
        for stream in streams[:2]:
            stream[1].write(b"}       ")
            assert (await stream[0].readline()).startswith(b"HTTP/1.1 400")
        while await is_limited():
            pass


@pytest.mark.parametrize("before", [b"", GET % b""])
async def test_a_head_that_comes_slowly_ends_its_connection(before: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ChatServer() as server, dialled(server) as stream:
        assert server._http is not None
        if before:
            assert await status(stream, before) == 200
        server._http.head_timeout = 0.05
        stream[1].write(b"GET /api/v10/gateway HTTP/1.1\r\nHo")
        with contextlib.suppress(ConnectionResetError):
            assert await stream[0].read() == b""
        async with dialled(server) as quick:
            assert await status(quick, GET % b"") == 200
            assert await status(quick, GET % b"") == 200
