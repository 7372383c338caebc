"""Behaviour of real servers, proxies and edges, met by the client: odd answers, slow messages, headers."""

import asyncio
import contextlib
import importlib.metadata
import random
import socket
import ssl
import struct
import sys
from collections.abc import AsyncIterator, Callable

import pytest
import trustme

from onesocket import Client, Raw, ReconnectPolicy, State, TokenQuery, join
from onesocket.errors import DeliveryUnknown, HandshakeRejected, PingTimeout
from onesocket.testing import Fault, FaultyServer
from onesocket.testing._checked_connection import CheckedConnection
from onesocket.testing._raw_frames import encode_message
from onesocket.transports._transport import Transport
from onesocket.transports._websocket import WebSocketTransport
from onesocket.wire._handshake import DialRequest
from onesocket.wire._http_response import switching_protocols

DEADLINE = 20
FAST = ReconnectPolicy(initial=0.01, cap=0.02, busy_delay=0.02, retry_after_cap=0.02)
TRANSPORTS: dict[str, Callable[[], Transport]] = {
    "plain": WebSocketTransport,
    "compressed": lambda: WebSocketTransport(compression="deflate"),
}
VERSION = importlib.metadata.version("onesocket")


# --- an upgrade that is refused while the client resumes --------------------------------------------------------------


def answer(status: int, *, status_line: str = "", headers: str = "Content-Length: 0\r\n") -> Fault:
    return Fault.odd_answer(f"{status_line or f'HTTP/1.1 {status} Odd'}\r\n{headers}\r\n".encode())


ODD: dict[str, tuple[int, Fault]] = {
    **{str(status): (status, answer(status)) for status in (408, 425, 500, 501, 503, *range(520, 531), 599)},
    "429": (429, answer(429)),
    "429 with Retry-After": (429, answer(429, headers="Retry-After: 0\r\n")),
    "503 with a Retry-After of three years": (503, answer(503, headers="Retry-After: 99999999\r\n")),
    "HTTP/1.0 503": (503, answer(503, status_line="HTTP/1.0 503 Service Unavailable")),
    "HTTP/1.0 502, no phrase": (502, answer(502, status_line="HTTP/1.0 502", headers="")),
    "502, no phrase": (502, answer(502, status_line="HTTP/1.1 502")),
    "103, then 502": (
        502,
        answer(502, status_line="HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 502 Bad Gateway"),
    ),
    "520, the connection stays open": (520, Fault.odd_answer(b"HTTP/1.1 520 Odd\r\n\r\n<html>", keep_open=True)),
}


@pytest.mark.parametrize("case", ODD)
@pytest.mark.parametrize("transport", ["plain", "compressed"])
async def test_a_client_that_resumes_tries_again_and_says_why(server: FaultyServer, transport: str, case: str) -> None:
    status, fault = ODD[case]
    server.faults = [None, fault, fault, None]
    client = Client(server.url, transport=TRANSPORTS[transport](), reconnect=FAST)
    async with asyncio.timeout(DEADLINE), client:
        changes = client.changes()
        server.kill_connections()
        await server.wait_until(lambda counts: counts.upgraded == 2)
        said: list[str] = []
        async for change in changes:
            said += [str(change.error)] if change.error is not None else []
            if change.new is State.CONNECTED and len(said) > 2:
                break
        assert sum(f"HTTP {status}" in text for text in said) >= 2, said
        assert (server.counts.refused, server.counts.most_sockets) == (2, 1)


async def test_a_refusal_that_no_time_mends_still_ends_it(server: FaultyServer) -> None:
    server.faults = [None, answer(403, status_line="HTTP/1.0 403 No")]
    client = Client(server.url, reconnect=FAST)
    async with asyncio.timeout(DEADLINE), client:
        server.kill_connections()
        await client.wait_for(State.FAILED)
        error = client.status.last_error
        assert isinstance(error, HandshakeRejected)
        assert error.status == 403
    assert server.counts.handshakes == 2


@pytest.mark.parametrize("code", [1001, 3000, 4000])
async def test_control_characters_of_a_close_reason_are_shown_escaped(
    server: FaultyServer, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    reason = "bye\x1b[2J\r\nroot: \x9b31m\u202e\x00"
    caplog.set_level("DEBUG", "onesocket")
    async with asyncio.timeout(DEADLINE), Client(server.url, reconnect=FAST) as client:
        await server.close_connections(code, reason)
        await server.wait_until(lambda counts: counts.upgraded == 2)
        await client.wait_for(State.CONNECTED)
        loss = client.status.last_loss
        assert r"bye\u001b[2J\r\nroot: \u009b31m\u202e\u0000" in str(loss)
        for text in (str(loss), repr(loss), repr(client.status)):
            assert text.isprintable()
    shown = [record.getMessage() for record in caplog.records]
    assert any("bye" in line for line in shown)
    assert [line for line in shown if not line.isprintable()] == []


# --- every byte is a sign of life -------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_large_message_may_take_longer_than_the_ping_timeout(transport: str) -> None:
    message = "x" * 300_000
    async with FaultyServer(echo=False) as server:
        server.faults = [Fault.slow_message(message, rate=200_000)]  # its PONGs come behind it, after 1.5 s
        client = Client(server.url, transport=TRANSPORTS[transport](), ping_interval=0.1, ping_timeout=0.3)
        messages = client.subscribe()
        async with asyncio.timeout(DEADLINE), client:
            assert await anext(messages) == message
            counts = await server.wait_until(lambda counts: counts.pings > 2)
            assert (counts.handshakes, counts.unclean_closes) == (1, 0)


@contextlib.asynccontextmanager
async def slow_reader(rate: int | None) -> AsyncIterator[str]:
    """A server that says nothing, and reads so many bytes a second, or none; its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    listener.setblocking(False)
    loop = asyncio.get_running_loop()

    async def serve() -> None:
        sock, _ = await loop.sock_accept(listener)
        with sock:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += await loop.sock_recv(sock, 4096)
            key = head.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0].decode()
            await loop.sock_sendall(sock, switching_protocols(key))
            if rate is None:
                await asyncio.Event().wait()
            while rate is not None and await loop.sock_recv(sock, rate // 50):  # noqa: ASYNC110 - it paces
                await asyncio.sleep(0.02)  # that is the rate

    with listener:
        serving = asyncio.create_task(serve())
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/"
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await serving


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what the peer has acknowledged")
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_large_message_may_take_longer_than_the_ping_timeout_to_be_sent(transport: str) -> None:
    message = random.Random(1).randbytes(6_000_000)
    async with slow_reader(4_000_000) as url, asyncio.timeout(DEADLINE):
        client = Client(url, transport=TRANSPORTS[transport](), ping_interval=0.1, ping_timeout=0.3, close_timeout=0.1)
        async with client:
            await client.send(message)
            assert (client.epoch, client.status.last_loss) == (1, None)


async def test_a_server_that_takes_no_more_bytes_is_dead() -> None:
    async with slow_reader(None) as url, asyncio.timeout(DEADLINE):
        client = Client(url, ping_interval=0.1, ping_timeout=0.3, reconnect=None)
        await client.connect()
        with pytest.raises(DeliveryUnknown):
            await client.send(bytes(20_000_000))
        assert isinstance(client.status.last_error, PingTimeout)
        await client.aclose()


async def test_only_a_large_backlog_delays_the_judgement_of_a_ping() -> None:
    """A system acknowledges for a program that hangs: small messages without end must not hide that."""
    async with slow_reader(None) as url, asyncio.timeout(DEADLINE):
        checked = CheckedConnection(WebSocketTransport(), DialRequest(url=url))
        await checked.wait_open()
        for _ in range(100):
            checked.connection.send("small")
            assert checked.connection.backlog is None
        checked.connection.send(bytes(20_000_000))
        assert checked.connection.backlog is not None
        checked.connection.abort()
        await checked.end()


def records(data: bytes) -> list[bytes]:
    """The TLS records in `data`, whole (RFC 8446, section 5.1)."""
    found: list[bytes] = []
    while data:
        (size,) = struct.unpack("!H", data[3:5])
        found.append(data[: 5 + size])
        data = data[5 + size :]
    return found


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_bytes_of_a_tls_record_that_is_not_complete_are_signs_of_life(transport: str) -> None:
    """Between TLS and the client, a relay holds the end of a record back: no byte of the message can be read yet."""
    authority = trustme.CA()
    serves = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(serves)
    trusts = ssl.create_default_context()
    authority.configure_trust(trusts)
    message = "y" * 10_000
    held = bytearray()
    holding, arrived = asyncio.Event(), asyncio.Event()
    to_client: list[asyncio.StreamWriter] = []

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", secure.port)
        to_client.append(writer)

        async def up() -> None:
            while data := await reader.read(65536):
                upstream.write(data)
            upstream.close()

        async def down() -> None:
            while data := await upstream_reader.read(65536):
                if holding.is_set():
                    held.extend(data)
                    if len(held) > len(message):
                        arrived.set()
                else:
                    writer.write(data)
            writer.close()

        await asyncio.gather(up(), down())

    async with FaultyServer(ssl=serves, echo=False) as secure:
        between = await asyncio.start_server(relay, "127.0.0.1")
        url = f"wss://localhost:{between.sockets[0].getsockname()[1]}/"
        checked = CheckedConnection(TRANSPORTS[transport](), DialRequest(url=url, ssl=trusts, close_timeout=1.0))
        async with asyncio.timeout(DEADLINE):
            await checked.wait_open()
            await secure.send("settled")  # whatever TLS says after its handshake is behind us
            await checked.until(lambda: len(checked.messages) == 1)
            holding.set()
            secure.connections[0].write_raw(encode_message(message))
            await arrived.wait()
            assert len(records(bytes(held))) == 1
            for place in range(0, 4000, 1000):
                seen = checked.connection.activity
                to_client[0].write(bytes(held[place : place + 1000]))
                while checked.connection.activity == seen:  # noqa: ASYNC110 - the connection tells nobody of bytes
                    await asyncio.sleep(0)
            assert checked.messages == ["settled"]
            to_client[0].write(bytes(held[4000:]))
            holding.clear()
            await checked.until(lambda: len(checked.messages) == 2)
            assert checked.messages[1] == message
            checked.close()
            await checked.end()
        between.close()
    assert not checked.violations


# --- the request ------------------------------------------------------------------------------------------------------

QUERIES = [
    "",
    "X-Amz-Credential=A%2F2020%2Fus-east-1&X-Amz-Signature=ab%3D%3D",
    "x=%20",
    "flag",
    "q=a;b",
    "q=%ff",
    "q=~a*b",
    "q=100%",
    "streams=btcusdt@trade/ethusdt@depth",
    'q={"a":[1,2]}|^',
]


@pytest.mark.parametrize("query", QUERIES)
async def test_a_query_goes_out_byte_by_byte(server: FaultyServer, query: str) -> None:
    async with asyncio.timeout(DEADLINE):
        async with Client(f"{server.url}feed?{query}"):
            assert server.connections[0].request_path == f"/feed?{query}"
        async with Client(f"{server.url}feed?{query}", token="t+k", protocol=Raw(token_place=TokenQuery())):
            between = "&" if query else ""
            assert server.connections[0].request_path == f"/feed?{query}{between}token=t%2Bk"


# --- headers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("headers", "agents"),
    [
        (None, [f"onesocket/{VERSION}"]),
        ({"X-Key": "k"}, [f"onesocket/{VERSION}"]),
        ({"User-Agent": "mine/1"}, ["mine/1"]),
        ([("uSER-aGENT", "mine/2")], ["mine/2"]),
    ],
)
async def test_a_request_says_who_asks(
    server: FaultyServer, transport: str, headers: dict[str, str] | None, agents: list[str]
) -> None:
    async with asyncio.timeout(DEADLINE), Client(server.url, transport=TRANSPORTS[transport](), headers=headers):
        (connection,) = server.connections
        names = [name.lower() for name in connection.request_headers]
        assert names.count("user-agent") == 1
        assert [connection.request_headers["User-Agent"]] == agents
        assert connection.request_headers.get("X-Key") == dict(headers or {}).get("X-Key")


async def test_the_host_of_the_request_can_be_another_than_that_of_the_address(server: FaultyServer) -> None:
    async with asyncio.timeout(DEADLINE), Client(server.url, headers={"host": "example.org"}):
        assert server.connections[0].request_headers["Host"] == "example.org"  # it would raise if there were two


async def test_so_does_a_shared_connection(server: FaultyServer) -> None:
    async with asyncio.timeout(DEADLINE):
        client = await join(server.url, scope="process")
        assert server.connections[0].request_headers["User-Agent"] == f"onesocket/{VERSION}"
        await client.aclose()
