"""Whatever comes, a typed error within its deadline that names what went wrong and what helps; nothing is left open."""

import asyncio
import contextlib
import socket
import ssl
from typing import Any

import pytest
import trustme

from onesocket import Client, OnesocketError, Raw, ReconnectPolicy, State, TokenHeader, TokenQuery
from onesocket import Json as JsonProtocol
from onesocket.errors import (
    CertificateInvalid,
    ClosedByPeer,
    ConnectionRefused,
    ConnectionReset,
    HandshakeRejected,
    InvalidHandshake,
    InvalidOption,
    InvalidText,
    InvalidURL,
    MessageTooBig,
    NameResolutionFailed,
    OpenTimeout,
    ProtocolViolation,
    ProxyFailed,
    ServerBusy,
    TLSFailed,
    WrongEventLoop,
)
from onesocket.testing import Fault, FaultyServer

DEADLINE = 10
SECRET = "s3cr3t-t0ken"


async def fails(client: Client, error: type[OnesocketError], text: str) -> OnesocketError:
    """`connect()` raises `error` within the deadline, for two callers alike; the client is FAILED."""
    async with asyncio.timeout(DEADLINE):
        results = await asyncio.gather(client.connect(), client.connect(), return_exceptions=True)
    assert [type(result) for result in results] == [error, error], results
    assert client.state is State.FAILED
    first = results[0]
    assert isinstance(first, OnesocketError)
    assert text in str(first), str(first)
    await client.aclose()
    return first


# --- URLs and options ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://example.org/", "did you mean ws://?"),
        ("https://example.org/", "did you mean wss://?"),
        ("example.org", "must begin with ws:// or wss://"),
        ("", "must begin with"),
        ("ws://", "names no host"),
        ("ws://:80/", "names no host"),
        ("ws://example.org:99999/", "port"),
        ("ws://example.org:0/", "port 0"),
        ("ws://example.org:abc/", "port"),
        ("ws://example.org/#part", "fragment"),
        ("ws://exa mple.org/", "white space"),
        ("ws://example.org/\r\nX: y", "white space"),
        ("ws://[::1/", "host can't be read"),
        (None, "must be a str, not NoneType"),
        (b"ws://example.org", "must be a str, not bytes"),
    ],
)
def test_bad_urls_are_refused_before_anything_is_dialled(url: Any, text: str) -> None:
    with pytest.raises(InvalidURL) as caught:
        Client(url)
    assert text in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_a_bad_url_shows_no_secret() -> None:
    with pytest.raises(InvalidURL) as caught:
        Client(f"http://user:{SECRET}@example.org/?token={SECRET}#{SECRET}")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"open_timeout": 0}, "open_timeout"),
        ({"open_timeout": float("nan")}, "open_timeout"),
        ({"open_timeout": "5"}, "open_timeout"),
        ({"close_timeout": -1}, "close_timeout"),
        ({"ping_interval": float("inf")}, "ping_interval"),
        ({"max_size": 0}, "max_size"),
        ({"headers": {"Bad Name": "x"}}, "not a header name"),
        ({"headers": {"X": "a\r\nY: b"}}, "header X"),
        ({"headers": [("Host", "a"), ("host", "a")]}, "Host twice"),
        ({"headers": [("Upgrade", "h2c")]}, "belongs to the WebSocket handshake"),
        ({"headers": {"Sec-WebSocket-Key": "x"}}, "belongs to the WebSocket handshake"),
        ({"subprotocols": "chat"}, "['chat']"),
        ({"subprotocols": ["a b"]}, "not a sub-protocol name"),
        ({"ssl": ssl.create_default_context()}, "use wss://"),
        ({"ssl": True}, "ssl.SSLContext, not bool"),
        ({"ssl": ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)}, "ssl.create_default_context() makes one"),
        (
            {"token": "a", "headers": {"authorization": "b"}},
            "token= goes into the header Authorization, which headers=",
        ),
        (
            {"token": "a", "protocol": Raw(token_place=TokenHeader("X-Key")), "headers": {"X-Key": "b"}},
            "token= goes into the header X-Key, which headers=",
        ),
        ({"token": 42}, "token must be a str or a callable, not int"),
        ({"proxy": "ftp://proxy"}, "proxy URL"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], text: str) -> None:
    with pytest.raises((InvalidOption, InvalidURL)) as caught:
        Client("ws://example.org/", **options)
    assert text in str(caught.value)


def test_bad_policies_are_named() -> None:
    broken: list[dict[str, Any]] = [{"initial": -1}, {"factor": 0.5}, {"max_attempts": 0}, {"cap": float("nan")}]
    for options in broken:
        with pytest.raises(InvalidOption, match=next(iter(options))):
            ReconnectPolicy(**options)


# --- before the upgrade -------------------------------------------------------------------------------------


async def test_an_unresolvable_host() -> None:
    error = await fails(Client("ws://no-such-host.invalid/"), NameResolutionFailed, "no-such-host.invalid:80")
    assert error.retryable
    assert error.__cause__ is not None


async def test_a_refused_port() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        error = await fails(Client(f"ws://127.0.0.1:{port}/"), ConnectionRefused, f"127.0.0.1:{port}")
    wanted = (
        f"no connection to 127.0.0.1:{port}: Connection refused [ECONNREFUSED]; is the server up, and the port right?"
    )
    assert str(error) == wanted
    assert error.retryable


async def test_a_server_that_accepts_tcp_and_says_nothing(server: FaultyServer) -> None:
    server.faults = Fault.never_answer()
    error = await fails(Client(server.url, open_timeout=0.2), OpenTimeout, "waiting for the answer to the upgrade")
    assert error.retryable
    await server.wait_until(lambda counts: counts.sockets_now == 0, timeout=DEADLINE)


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


async def test_tls_end_to_end(authority: trustme.CA) -> None:
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    async with FaultyServer(ssl=server_context(authority, "127.0.0.1")) as server:
        async with Client(server.url, ssl=trust) as client:
            stream = client.subscribe()
            await client.send("private" * 10_000)
            assert await anext(stream) == "private" * 10_000
            await client.reconnect()
        counts = await server.wait_until(lambda counts: counts.sockets_now == 0, timeout=DEADLINE)
        assert counts.close_codes == {1000: 2}
        assert counts.most_open == 1


async def test_an_untrusted_certificate(authority: trustme.CA) -> None:
    async with FaultyServer(ssl=server_context(authority, "127.0.0.1")) as server:
        error = await fails(Client(server.url), CertificateInvalid, "can't be trusted")
        assert not error.retryable
        assert server.counts.handshakes == 0


async def test_a_certificate_for_another_name(authority: trustme.CA) -> None:
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    async with FaultyServer(ssl=server_context(authority, "example.org")) as server:
        await fails(Client(server.url, ssl=trust), CertificateInvalid, "127.0.0.1")


async def test_tls_to_a_plain_port(server: FaultyServer) -> None:
    await fails(Client(server.url.replace("ws://", "wss://")), TLSFailed, "use ws:// instead")


async def test_tls_to_a_port_that_answers_in_plain_text() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    plain = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with plain:
        port = plain.sockets[0].getsockname()[1]
        error = await fails(Client(f"wss://127.0.0.1:{port}"), TLSFailed, "use ws:// instead")
        assert not error.retryable


async def test_a_tls_handshake_that_never_ends(loop_errors: list[dict[str, Any]]) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionResetError):  # a dial that is given up is reset
            await reader.read()
        writer.close()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with silent:
        port = silent.sockets[0].getsockname()[1]
        await fails(Client(f"wss://127.0.0.1:{port}", open_timeout=0.2), OpenTimeout, "TLS")
    assert loop_errors == []


async def test_plain_to_a_tls_port(authority: trustme.CA) -> None:
    async with FaultyServer(ssl=server_context(authority, "127.0.0.1")) as server:
        client = Client(server.url.replace("wss://", "ws://"))
        async with asyncio.timeout(DEADLINE):
            with pytest.raises((ConnectionReset, InvalidHandshake)) as caught:
                await client.connect()
        await client.aclose()
    assert f"127.0.0.1:{server.port} " in str(caught.value)
    assert "use wss:// instead of ws://" in str(caught.value)


async def test_a_proxy_that_is_not_there(server: FaultyServer) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        for scheme in ("http", "socks5"):
            proxy = f"{scheme}://user:{SECRET}@127.0.0.1:{port}"
            error = await fails(Client(server.url, proxy=proxy), ProxyFailed, f"127.0.0.1:{port}")
            assert SECRET not in str(error)
            assert "is the proxy up, and the port right?" in str(error)
    assert server.counts.tcp_accepted == 0


async def test_a_proxy_that_refuses(server: FaultyServer) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        await writer.drain()
        writer.close()

    proxy = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with proxy:
        port = proxy.sockets[0].getsockname()[1]
        await fails(Client(server.url, proxy=f"http://127.0.0.1:{port}"), ProxyFailed, "403")
    assert server.counts.tcp_accepted == 0


async def test_through_a_proxy(server: FaultyServer) -> None:
    asked: list[bytes] = []

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
            sink.close()

        await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))

    proxy = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    async with proxy:
        port = proxy.sockets[0].getsockname()[1]
        async with Client(server.url, proxy=f"http://127.0.0.1:{port}") as client:
            stream = client.subscribe()
            await client.send("through")
            assert await anext(stream) == "through"
        await server.wait_until(lambda counts: counts.sockets_now == 0, timeout=DEADLINE)
    assert asked[0].startswith(f"CONNECT 127.0.0.1:{server.port} ".encode())


# --- the answer to the upgrade ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error", "retryable", "text"),
    [
        (200, HandshakeRejected, False, "is this really a WebSocket endpoint?"),
        (301, HandshakeRejected, False, "redirects are not followed"),
        (400, HandshakeRejected, False, "check the path, the headers"),
        (401, HandshakeRejected, False, "check the token"),
        (403, HandshakeRejected, False, "may not connect here"),
        (404, HandshakeRejected, False, "check the path of the URL"),
        (429, ServerBusy, True, "HTTP 429"),
        (500, HandshakeRejected, True, "HTTP 500"),
        (503, HandshakeRejected, True, "HTTP 503"),
    ],
)
async def test_http_statuses(
    server: FaultyServer, status: int, error: type[OnesocketError], retryable: bool, text: str
) -> None:
    server.faults = Fault.refuse(status, headers={"Retry-After": "7"}, body=f"no, {SECRET}, no")
    client = Client(server.url, token=SECRET)
    raised = await fails(client, error, text)
    assert raised.retryable is retryable
    assert raised.retry_after == 7
    assert "no, ***, no" in str(raised), "an echoed token is not shown"
    assert server.counts.handshakes == 1


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [
        (Fault.garbage(), InvalidHandshake, "did not answer with a WebSocket upgrade"),
        (Fault.garbage(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), InvalidHandshake, "did not answer with a WebSocket upgrade"),
        (
            Fault.garbage(b"\x15\x03\x01\x00\x02\x02\x46"),
            InvalidHandshake,
            "TLS alert, so that port speaks TLS: use wss://",
        ),
        (Fault.garbage(b"x" * 100_000), InvalidHandshake, "did not answer with a WebSocket upgrade"),
        (
            Fault.truncated_upgrade(),
            ConnectionReset,
            "before it answered the upgrade; if that port speaks TLS, use wss://",
        ),
        (Fault.reset_during_upgrade(), ConnectionReset, "before it answered the upgrade; if that port speaks TLS"),
        (Fault.wrong_accept(), InvalidHandshake, "sec-websocket-accept"),
        (Fault.unrequested_subprotocol(), InvalidHandshake, "sub-protocol"),
        (Fault.unrequested_extension(), InvalidHandshake, "extension"),
    ],
)
async def test_broken_upgrades(server: FaultyServer, fault: Fault, error: type[OnesocketError], text: str) -> None:
    server.faults = fault
    await fails(Client(server.url), error, text)
    await server.wait_until(lambda counts: counts.sockets_now == 0, timeout=DEADLINE)
    assert server.counts.handshakes == 1
    server.faults = None
    async with Client(server.url) as client:
        assert client.status.is_connected


async def test_a_chosen_subprotocol_is_known() -> None:
    async with (
        FaultyServer(subprotocols=["v2"]) as server,
        Client(server.url, subprotocols=["v1", "v2"]) as client,
    ):
        assert client.status.subprotocol == "v2"


# --- frames -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        (Fault.oversize_frame(2000), MessageTooBig, 1009),
        (Fault.oversize_by_fragments(2000, 100), MessageTooBig, 1009),
        (Fault.invalid_utf8(), InvalidText, 1007),
        (Fault.invalid_utf8(split=True), InvalidText, 1007),
        (Fault.masked_frame(), ProtocolViolation, 1002),
        (Fault.reserved_bits(), ProtocolViolation, 1002),
        (Fault.orphan_continuation(), ProtocolViolation, 1002),
        (Fault.text_within_fragments(), ProtocolViolation, 1002),
        (Fault.bad_close_code(), ProtocolViolation, 1002),
        (Fault.truncated_frame(), ConnectionReset, None),
    ],
)
async def test_frames_that_break_the_rules(
    server: FaultyServer, fault: Fault, error: type[OnesocketError], code: int | None
) -> None:
    server.faults = [fault]
    client = Client(server.url, max_size=1000)
    stream = client.subscribe(gaps=False)
    changes = client.changes()
    await client.connect()
    async with asyncio.timeout(DEADLINE):
        async for change in changes:
            if change.error is not None:
                assert type(change.error) is error, change.error
                assert ("raise max_size= if" in str(change.error)) is (error is MessageTooBig)
                assert ("the server broke the WebSocket protocol" in str(change.error)) is (code in (1002, 1007))
                break
        await client.wait_for(State.CONNECTED)
        await client.send("and on it goes")
        assert await anext(stream) == "and on it goes", "nothing of the broken message reached a subscriber"
    await client.aclose()
    counts = server.counts
    assert counts.handshakes == 2
    assert counts.most_open == 1
    if code is not None:
        assert counts.close_codes.get(code) == 1, counts


async def test_what_follows_a_valid_close_in_the_same_read_does_not_count(server: FaultyServer) -> None:
    client = Client(server.url, reconnect=None)
    stream = client.subscribe()
    await client.connect()
    server.connections[0].write_raw(b"\x88\x02\x03\xe9" + b"\x83\x00")  # CLOSE 1001, then a reserved opcode
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(ClosedByPeer, match="1001"):
            await anext(stream)
    await client.aclose()
    counts = await server.wait_until(lambda counts: counts.sockets_now == 0, timeout=DEADLINE)
    assert counts.close_codes == {1001: 1}


async def test_text_that_is_not_utf8_is_refused_before_its_message_is_complete(server: FaultyServer) -> None:
    client = Client(server.url, reconnect=None)
    stream = client.subscribe()
    await client.connect()
    server.connections[0].write_raw(b"\x01\x02\xff\xfe")  # the first fragment, and no more to come
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(InvalidText):
            await anext(stream)
    await client.aclose()


async def test_fragments_and_control_frames_between_them_are_fine(server: FaultyServer) -> None:
    async with Client(server.url, max_size=1000) as client:
        stream = client.subscribe()
        connection = server.connections[0]
        connection.write_raw(b"\x01\x03\xe2\x98\x83" + b"\x89\x01p" + b"\x00\x01-" + b"\x80\x02ok")
        assert await anext(stream) == "☃-ok"
        connection.write_raw(b"\x02\x01a\x80\x01b")
        assert await anext(stream) == b"ab"


async def test_a_flood_of_pings_is_answered(server: FaultyServer) -> None:
    async with Client(server.url) as client:
        connection = server.connections[0]
        connection.write_raw(b"\x89\x02hi" * 1000)
        assert await connection.ping() >= 0
        assert client.status.is_connected


# --- secrets ------------------------------------------------------------------------------------------------


async def test_the_token_is_in_no_repr_log_or_error(server: FaultyServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)
    texts: list[str] = []
    server.faults = [None, Fault.accept_then_close(1008, f"bad {SECRET}"), Fault.garbage(SECRET.encode() + b"\r\n\r\n")]
    clients = [
        Client(f"{server.url}?api={SECRET}", token=lambda: SECRET, headers={"X-Key": SECRET}),
        Client(server.url, token=SECRET, protocol=JsonProtocol(token_place=TokenQuery("key"))),
        Client(f"ws://user:{SECRET}@{server.url[5:]}", token=SECRET),
    ]
    for client in clients:
        changes = client.changes()
        try:
            await client.connect()
        except OnesocketError as error:
            texts.append(repr(error) + repr(error.__cause__) + repr(error.__context__))
        else:
            stream = client.subscribe()
            if client is clients[1]:
                with pytest.raises(OnesocketError) as caught:
                    await anext(stream)
                texts.append(repr(caught.value))
        texts += [repr(part) for part in (client, client.status, client.stats, client._options, client._runner.attempt)]
        await client.aclose()
        texts += [repr(change) async for change in changes]
    texts += [record.getMessage() for record in caplog.records if record.name.startswith("onesocket")]
    assert "1008" in "".join(texts)
    assert "***" in "".join(texts)
    assert not [text for text in texts if SECRET in text]


# --- loops --------------------------------------------------------------------------------------------------


async def test_a_client_belongs_to_one_loop(server: FaultyServer) -> None:
    client = Client(server.url)
    await client.connect()

    def elsewhere() -> None:
        asyncio.run(client.connect())

    with pytest.raises(WrongEventLoop, match="another event loop"):
        await asyncio.to_thread(elsewhere)
    with pytest.raises(WrongEventLoop, match="running event loop"):
        await asyncio.to_thread(client.send_nowait, "x")
    await client.aclose()
