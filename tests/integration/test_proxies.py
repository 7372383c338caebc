"""Through proxies: what the proxy, the server and the caller see; and whose fault it is when it fails."""

import asyncio
import contextlib
import signal
import socket
import ssl
import struct
import sys
from collections.abc import Callable

import pytest
import trustme

from onesocket import Client, OnesocketError, ReconnectPolicy, State, join
from onesocket.errors import InvalidURL, NameResolutionFailed, OpenTimeout, ProxyFailed
from onesocket.testing import FaultyServer
from tests.support.commands import end_by_signal, read_introduction, run_command, start_command
from tests.support.proxies import Handler, HttpProxy, Socks4Proxy, Socks5Proxy, serving

DEADLINE = 10
FAST = ReconnectPolicy(initial=0.01, cap=0.05)


async def error_of(client: Client) -> OnesocketError:
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(OnesocketError) as caught:
            await client.connect()
        await client.aclose()
    return caught.value


# --- whose fault it is ----------------------------------------------------------------------------------------------


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)


async def hang_up_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    pass


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def stay_mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def speak_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    await reader.read()


@pytest.mark.parametrize("scheme", ["http", "https", "socks5h", "socks4a"])
@pytest.mark.parametrize("handler", [hang_up, hang_up_at_once, reset])
async def test_a_proxy_that_ends_the_connection_is_named(server: FaultyServer, scheme: str, handler: Handler) -> None:
    async with serving(handler) as port:
        error = await error_of(Client(server.url, proxy=f"{scheme}://127.0.0.1:{port}"))
    assert type(error) is ProxyFailed
    assert f"the proxy 127.0.0.1:{port} ended the connection" in str(error)
    assert error.retryable
    assert server.counts.tcp_accepted == 0


@pytest.mark.parametrize(
    ("scheme", "step"),
    [("http", "to connect to"), ("https", "TLS handshake with the proxy"), ("socks5h", "to connect")],
)
async def test_a_mute_proxy_is_named_by_the_deadline(server: FaultyServer, scheme: str, step: str) -> None:
    async with serving(stay_mute) as port:
        error = await error_of(Client(server.url, proxy=f"{scheme}://127.0.0.1:{port}", open_timeout=0.3))
    assert type(error) is OpenTimeout
    assert f"the proxy 127.0.0.1:{port}" in str(error)
    assert step in str(error)


@pytest.mark.parametrize("scheme", ["http", "https", "socks5h", "socks4a"])
async def test_a_port_that_is_no_proxy_is_final(server: FaultyServer, scheme: str) -> None:
    async with serving(speak_first) as port:
        error = await error_of(Client(server.url, proxy=f"{scheme}://127.0.0.1:{port}"))
    assert type(error) is ProxyFailed
    assert f"the proxy 127.0.0.1:{port}" in str(error)
    assert "proxy=" in str(error)
    assert not error.retryable


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def certificate(authority: trustme.CA) -> ssl.SSLContext:
    """The certificate of a server on 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


async def test_the_certificate_of_an_https_proxy_is_its_own_fault(
    server: FaultyServer, certificate: ssl.SSLContext
) -> None:
    proxy = HttpProxy()
    async with serving(proxy, certificate) as port:
        error = await error_of(Client(server.url, proxy=f"https://127.0.0.1:{port}"))
    assert type(error) is ProxyFailed
    assert "certificate can't be trusted" in str(error)
    assert "SSL_CERT_FILE" in str(error)
    assert not error.retryable
    assert not proxy.requests


@pytest.mark.parametrize(
    ("status", "retryable"),
    [("407 Proxy Authentication Required", False), ("403 Forbidden", False), ("502 Bad Gateway", True), ("504", True)],
)
async def test_the_status_of_a_refusal_decides(server: FaultyServer, status: str, retryable: bool) -> None:
    proxy = HttpProxy(answer=f"HTTP/1.1 {status}\r\nContent-Length: 3\r\n\r\nNo!".encode())
    async with serving(proxy) as port:
        error = await error_of(Client(server.url, proxy=f"http://127.0.0.1:{port}"))
    assert type(error) is ProxyFailed
    assert (error.status, error.retryable) == (int(status[:3]), retryable)
    assert f"the proxy 127.0.0.1:{port} did not connect to 127.0.0.1:{server.port}: HTTP {status[:3]}" in str(error)


async def test_a_busy_proxy_names_its_date(server: FaultyServer) -> None:
    proxy = HttpProxy(answer=b"HTTP/1.0 503 Busy\r\nRetry-After: 7\r\n\r\n")
    async with serving(proxy) as port:
        error = await error_of(Client(server.url, proxy=f"http://127.0.0.1:{port}"))
    assert isinstance(error, ProxyFailed)
    assert (error.status, error.retry_after, error.retryable) == (503, 7.0, True)
    assert "try again in 7 s" in str(error)
    assert error.copy().args == error.args


@pytest.mark.parametrize(
    ("reply", "retryable"),
    [(1, True), (2, False), (4, True), (5, True), (7, False), (8, False), (9, True), (0xF2, True)],  # 0xF2: Tor's
)
async def test_the_reply_of_a_socks_proxy_decides(server: FaultyServer, reply: int, retryable: bool) -> None:
    async with serving(Socks5Proxy(reply=reply)) as port:
        error = await error_of(Client(server.url, proxy=f"socks5h://127.0.0.1:{port}"))
    assert type(error) is ProxyFailed
    assert error.retryable is retryable
    assert f"the proxy 127.0.0.1:{port} did not connect to 127.0.0.1:{server.port}" in str(error)


@pytest.mark.parametrize(("reply", "retryable"), [(91, True), (92, False), (93, False), (94, True)])
async def test_the_reply_of_a_socks4_proxy_decides(server: FaultyServer, reply: int, retryable: bool) -> None:
    async with serving(Socks4Proxy(reply=reply)) as port:
        error = await error_of(Client(server.url, proxy=f"socks4://127.0.0.1:{port}"))
    assert type(error) is ProxyFailed
    assert error.retryable is retryable


async def test_tls_with_the_server_is_not_the_fault_of_the_proxy(certificate: ssl.SSLContext) -> None:
    async with FaultyServer(ssl=certificate) as server, serving(HttpProxy()) as port:
        error = await error_of(Client(server.url, proxy=f"http://127.0.0.1:{port}"))
    assert not isinstance(error, ProxyFailed)
    assert f"of 127.0.0.1:{server.port} (through the proxy 127.0.0.1:{port}) can't be trusted" in str(error)


# --- credentials ----------------------------------------------------------------------------------------------------

PROXIES: dict[str, Callable[[], HttpProxy | Socks5Proxy]] = {
    "http": lambda: HttpProxy(credentials="us@er:p@ss:w"),
    "socks5h": lambda: Socks5Proxy(credentials=("us@er", "p@ss:w")),
}


@pytest.mark.parametrize("scheme", PROXIES)
async def test_credentials_go_out_decoded_and_a_proxy_that_refuses_them_is_not_asked_again(
    server: FaultyServer, scheme: str
) -> None:
    proxy = PROXIES[scheme]()
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await proxy(reader, writer)

    async with serving(serve) as port:
        client = Client(server.url, proxy=f"{scheme}://us%40er:p%40ss%3Aw@127.0.0.1:{port}", reconnect=FAST)
        await client.connect()
        if isinstance(proxy, HttpProxy):
            proxy.credentials = "changed:changed"
        else:
            proxy.credentials = ("changed", "changed")
        server.kill_connections()
        async with asyncio.timeout(DEADLINE):
            await client.wait_for(State.FAILED)
        error = client.status.last_error
        assert type(error) is ProxyFailed
        assert "check the user name and the password in proxy=" in str(error)
        assert asked == 2
        await client.aclose()


@pytest.mark.parametrize(("scheme", "hint"), [("http", "put user:password@ into proxy="), ("socks5h", "user name")])
async def test_without_credentials_it_is_said_that_they_are_wanted(
    server: FaultyServer, scheme: str, hint: str
) -> None:
    async with serving(PROXIES[scheme]()) as port:
        error = await error_of(Client(server.url, proxy=f"{scheme}://127.0.0.1:{port}"))
    assert type(error) is ProxyFailed
    assert hint in str(error)
    assert not error.retryable


async def test_a_proxy_without_basic_says_what_it_wants(server: FaultyServer) -> None:
    answer = b"HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n\r\n"
    async with serving(HttpProxy(answer=answer)) as port:
        error = await error_of(Client(server.url, proxy=f"http://u:p@127.0.0.1:{port}"))
    assert "only Basic is supported, and it wants negotiate or ntlm" in str(error)


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scheme", "seen"), [("socks5h", "localhost"), ("socks5", "127.0.0.1")])
async def test_the_scheme_says_who_looks_up_names(server: FaultyServer, scheme: str, seen: str) -> None:
    proxy = Socks5Proxy()
    async with (
        serving(proxy) as port,
        Client(f"ws://localhost:{server.port}/", proxy=f"{scheme}://127.0.0.1:{port}") as client,
    ):
        await client.send("x")
    # The resolver may know localhost by IPv6, too, which this proxy writes in decimal numbers.
    assert proxy.targets in ([seen], ["0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1"] if scheme == "socks5" else [seen])


@pytest.mark.parametrize(("scheme", "seen"), [("socks4a", "localhost"), ("socks4", "127.0.0.1")])
async def test_socks4_looks_up_ipv4_addresses(server: FaultyServer, scheme: str, seen: str) -> None:
    proxy = Socks4Proxy()
    async with (
        serving(proxy) as port,
        Client(f"ws://localhost:{server.port}/", proxy=f"{scheme}://us%40er@127.0.0.1:{port}") as client,
    ):
        await client.send("x")
    assert (proxy.targets, proxy.users) == ([seen], ["us@er"])


async def test_a_name_that_is_looked_up_here_and_unknown_is_no_fault_of_the_proxy() -> None:
    async with serving(Socks5Proxy()) as port:
        error = await error_of(Client("ws://no-such-host.invalid/", proxy=f"socks5://127.0.0.1:{port}"))
    assert type(error) is NameResolutionFailed
    assert "no-such-host.invalid:80 has no address" in str(error)
    assert "with socks5h:// the proxy looks it up" in str(error)


async def test_an_unknown_proxy_is_named() -> None:
    error = await error_of(Client("ws://127.0.0.1:1/", proxy="http://no-such-proxy.invalid:3128"))
    assert type(error) is ProxyFailed
    assert "the proxy no-such-proxy.invalid:3128 can't be used: no-such-proxy.invalid:3128 has no address" in str(error)


# --- every way through ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("scheme", ["http", "https", "socks5h"])
@pytest.mark.parametrize("secure", [False, True])
async def test_messages_pass_whatever_is_below(
    scheme: str, secure: bool, loop: str, authority: trustme.CA, certificate: ssl.SSLContext
) -> None:
    """TLS in TLS too. In a program of its own: the trust of its https proxy is that of its environment."""
    script = """
import asyncio, sys
import uvloop
from onesocket import Client

async def main():
    async with Client(sys.argv[1], proxy=sys.argv[2]) as client:
        stream = client.subscribe()
        for size in (1, 100_000, 1_000_000):
            await client.send("x" * size)
            assert len(await anext(stream)) == size
        await client.reconnect()
        await client.send("y")
        assert [await anext(stream) for _ in range(2)][1] == "y"

asyncio.run(main()) if sys.argv[3] == "asyncio" else uvloop.run(main())
"""
    with authority.cert_pem.tempfile() as trusted:
        proxy = Socks5Proxy() if scheme == "socks5h" else HttpProxy()
        async with (
            FaultyServer(ssl=certificate if secure else None) as server,
            serving(proxy, certificate if scheme == "https" else None) as port,
        ):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", script, server.url, f"{scheme}://127.0.0.1:{port}", loop),
                env={"SSL_CERT_FILE": trusted},
            )
            assert await asyncio.wait_for(process.wait(), 30) == 0
            counts = await server.wait_until(lambda counts: counts.sockets_now == 0, timeout=DEADLINE)
            assert counts.close_codes == {1000: 2}
            assert counts.most_open == 1


# --- the environment ------------------------------------------------------------------------------------------------


async def test_the_environment_names_a_proxy_and_is_named_itself(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = HttpProxy()
    async with serving(proxy) as port:
        monkeypatch.setenv("HTTP_PROXY", f"http://u:s3cret@127.0.0.1:{port}")
        monkeypatch.setenv("NO_PROXY", "")
        client = Client(server.url, reconnect=None)
        await client.connect()
        assert len(proxy.requests) == 1
        await client.disconnect()
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")  # read for every attempt
        await client.reconnect()
        assert len(proxy.requests) == 1
        await client.disconnect()
        monkeypatch.setenv("NO_PROXY", "")
        proxy.answer = b"HTTP/1.1 407 No\r\n\r\n"
        with pytest.raises(ProxyFailed) as caught:
            await client.reconnect()
        await client.aclose()
        text = str(caught.value)
        assert f"the proxy 127.0.0.1:{port} (from http_proxy in the environment)" in text
        assert "check the user name and the password in http_proxy in the environment" in text
        assert "s3cret" not in text
        async with Client(server.url, proxy=None):
            pass
        assert len(proxy.requests) == 2


async def test_a_malformed_proxy_of_the_environment_is_final(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ws_proxy", "gopher://127.0.0.1")
    monkeypatch.setenv("no_proxy", "")
    error = await error_of(Client(server.url))
    assert type(error) is InvalidURL
    assert "ws_proxy in the environment" in str(error)


@pytest.mark.parametrize("scope", ["loop", "process"])
async def test_who_joins_with_another_proxy_wants_another_connection(
    server: FaultyServer, scope: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    async with join(server.url, scope=scope, key="k"):  # type: ignore[call-overload]
        async with join(server.url, scope=scope, key="k", proxy=True):  # type: ignore[call-overload]
            pass
        with pytest.raises(OnesocketError, match="another proxy="):
            await join(server.url, scope=scope, key="k", proxy=None)  # type: ignore[call-overload]


@pytest.mark.parametrize("given", ["--proxy", "environment"])
async def test_the_command_connects_through_a_proxy(server: FaultyServer, given: str) -> None:
    proxy = HttpProxy()
    async with serving(proxy) as port:
        url = f"http://127.0.0.1:{port}"
        options = ("--proxy", url) if given == "--proxy" else ()
        environment = {} if given == "--proxy" else {"HTTPS_PROXY": url}
        status, output, _ = await run_command("connect", server.url, *options, stdin="hello\n", env=environment)
        assert (status, output) == (0, "hello")
        assert len(proxy.requests) == 1
        status, _, _ = await run_command("connect", server.url, "--no-proxy", stdin="", env=environment)
        assert status == 0
        assert len(proxy.requests) == 1


async def test_the_hub_connects_its_upstream_through_a_proxy(server: FaultyServer) -> None:
    proxy = HttpProxy()
    async with serving(proxy) as port:
        options = ("--listen", "0", "--proxy", f"http://127.0.0.1:{port}", "--local-address", "127.0.0.6")
        process = await start_command("share", server.url, *options)
        lines = await read_introduction(process, "ready")
        assert lines[-1].startswith("ready"), lines
        assert [head.split(" HTTP", 1)[0] for head in proxy.requests] == [f"CONNECT 127.0.0.1:{server.port}"]
        status, _ = await end_by_signal(process, signal.SIGTERM)
        assert status == 0


async def test_the_command_refuses_a_proxy_that_is_none(server: FaultyServer) -> None:
    for options in (("--proxy", "ftp://p"), ("--proxy", "http://p", "--no-proxy")):
        status, _, errors = await run_command("connect", server.url, *options)
        assert status == 2
        assert "proxy" in errors


async def test_a_proxy_sees_the_reset_of_an_abort(server: FaultyServer) -> None:
    """Bytes that the proxy hasn't taken don't hold the connection: it is told of the end, over any scheme."""
    for scheme in ("http", "socks5h"):
        ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def serve(
            reader: asyncio.StreamReader,
            writer: asyncio.StreamWriter,
            scheme: str = scheme,
            ended: asyncio.Future[str] = ended,
        ) -> None:
            proxy = HttpProxy() if scheme == "http" else Socks5Proxy()
            with contextlib.suppress(ConnectionError):
                await proxy(reader, writer)
            error = reader.exception()
            ended.set_result("FIN" if error is None else type(error).__name__)

        async with serving(serve) as port:
            client = Client(server.url, proxy=f"{scheme}://127.0.0.1:{port}", close_timeout=0.2)
            await client.connect()
            server.connections[-1].stop_reading()
            await client.aclose()
            async with asyncio.timeout(DEADLINE):
                assert await ended == "ConnectionResetError"
            server.kill_connections()
