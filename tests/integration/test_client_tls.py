"""TLS of a client: alerts of the server, the name that it sends, its default context, and its address."""

import asyncio
import contextlib
import datetime as dt
import errno
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from onesocket import Client, OnesocketError, join
from onesocket.errors import (
    CertificateInvalid,
    ConnectFailed,
    ConnectionReset,
    InvalidOption,
    TLSFailed,
)
from onesocket.testing import FaultyServer
from onesocket.transports import _default_tls_context as default_context
from onesocket.transports._connect_errors import connect_failed
from onesocket.transports._proxy import Proxy
from onesocket.transports._proxy_errors import ProxyStep, proxy_failed
from onesocket.wire._http_response import switching_protocols
from tests.support.commands import run_command
from tests.support.programs import output_of
from tests.support.proxies import serving

DEADLINE = 10


async def error_of(client: Client) -> OnesocketError:
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(OnesocketError) as caught:
            await client.connect()
        await client.aclose()
    return caught.value


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def serves(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


def trusts(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


# --- alerts -----------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def alerting(context: ssl.SSLContext) -> AsyncIterator[int]:
    """A server that sends its alert, and then reads to the end; asyncio's own closes before the alert is out."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        alerted = False
        while data := await reader.read(65536):
            incoming.write(data)
            if not alerted:
                try:
                    tls.do_handshake()
                except ssl.SSLWantReadError:
                    pass
                except ssl.SSLError:
                    alerted = True
                writer.write(outgoing.read())
                await writer.drain()
                if alerted:
                    with contextlib.suppress(OSError):  # the client may have gone by then
                        writer.write_eof()

    async with serving(handle) as port:
        yield port


CERTIFICATES = {
    "none": "client certificate",
    "of another authority": "refuses the client certificate",
    "expired": "refuses the client certificate",
}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("certificate", CERTIFICATES)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_a_server_that_refuses_the_client_certificate_is_told_with_what_helps(
    loop: str, certificate: str, version: ssl.TLSVersion, authority: trustme.CA, tmp_path: Path
) -> None:
    """With TLS 1.3 the alert comes after the handshake is complete on our side."""
    wants = serves(authority, "127.0.0.1")
    authority.configure_trust(wants)
    wants.verify_mode = ssl.CERT_REQUIRED
    wants.minimum_version = wants.maximum_version = version
    authority.cert_pem.write_to_path(tmp_path / "ca")
    if certificate != "none":
        issuer = trustme.CA() if certificate == "of another authority" else authority
        past = dt.datetime(2020, 1, 1, tzinfo=dt.UTC) if certificate == "expired" else None
        issuer.issue_cert("me", not_after=past).private_key_and_cert_chain_pem.write_to_path(tmp_path / "me")
    script = """
import asyncio, pathlib, ssl, sys
import uvloop
from onesocket import Client
from onesocket.errors import OnesocketError

async def main():
    url, directory = sys.argv[1:3]
    context = ssl.create_default_context(cafile=directory + "/ca")
    if pathlib.Path(directory, "me").exists():
        context.load_cert_chain(directory + "/me")
    client = Client(url, ssl=context, reconnect=None)
    try:
        await client.connect()
    except OnesocketError as error:
        print(type(error).__name__, error.retryable, error)
    await client.aclose()

asyncio.run(main()) if sys.argv[3] == "asyncio" else uvloop.run(main())
"""
    async with alerting(wants) as port:
        output = await output_of("-c", script, f"wss://127.0.0.1:{port}/", str(tmp_path), loop)
    assert output.startswith(f"TLSFailed False no TLS with 127.0.0.1:{port}: "), output
    assert "ALERT" in output
    assert CERTIFICATES[certificate] in output


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_server_that_resets_for_want_of_a_client_certificate_is_told(
    version: ssl.TLSVersion, authority: trustme.CA
) -> None:
    """Servers of asyncio close before their alert is out."""
    wants = serves(authority, "127.0.0.1")
    authority.configure_trust(wants)
    wants.verify_mode = ssl.CERT_REQUIRED
    wants.minimum_version = wants.maximum_version = version
    async with FaultyServer(ssl=wants) as server:
        error = await error_of(Client(f"wss://127.0.0.1:{server.port}/", ssl=trusts(authority)))
    assert isinstance(error, TLSFailed | ConnectionReset)
    assert "client certificate" in str(error)
    assert f"127.0.0.1:{server.port}" in str(error)


async def test_a_certificate_for_another_name_asks_for_that_name(authority: trustme.CA) -> None:
    async with FaultyServer(ssl=serves(authority, "service.example")) as server:
        error = await error_of(Client(f"wss://127.0.0.1:{server.port}/", ssl=trusts(authority)))
    assert isinstance(error, CertificateInvalid)
    assert "not valid for '127.0.0.1'; check the host in the URL, or pass the certificate's name as server_hos" in str(
        error
    )


async def test_an_expired_certificate_is_no_matter_of_trust(authority: trustme.CA) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", not_after=dt.datetime(2020, 1, 1, tzinfo=dt.UTC)).configure_cert(context)
    async with FaultyServer(ssl=context) as server:
        error = await error_of(Client(f"wss://127.0.0.1:{server.port}/", ssl=trusts(authority)))
    assert isinstance(error, CertificateInvalid)
    assert "it has to be renewed, unless the clock of this machine is wrong" in str(error)
    assert "ssl=" not in str(error)


async def test_a_version_that_the_server_does_not_speak(authority: trustme.CA) -> None:
    old = serves(authority, "127.0.0.1")
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    new = trusts(authority)
    new.minimum_version = ssl.TLSVersion.TLSv1_3
    async with alerting(old) as port:
        error = await error_of(Client(f"wss://127.0.0.1:{port}/", ssl=new))
    assert type(error) is TLSFailed
    assert "the server speaks none of the TLS versions that ssl= allows" in str(error)


@pytest.mark.parametrize(
    ("reason", "text", "retryable"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "load_cert_chain", False),
        ("SSLV3_ALERT_BAD_CERTIFICATE", "refuses the client certificate", False),
        ("SSLV3_ALERT_CERTIFICATE_REVOKED", "refuses the client certificate", False),
        ("TLSV1_ALERT_UNKNOWN_CA", "refuses the client certificate", False),
        ("TLSV1_ALERT_ACCESS_DENIED", "denies access", False),
        ("TLSV1_UNRECOGNIZED_NAME", "server_hostname=", False),
        ("TLSV1_ALERT_INTERNAL_ERROR", "a fault of its own", True),
        ("TLSV1_ALERT_NO_RENEGOTIATION", "with this alert", False),
        ("WRONG_VERSION_NUMBER", "use ws:// instead of wss://", False),
        (None, "handshake failed; if that port", False),
    ],
)
def test_each_alert_has_its_remedy(reason: str | None, text: str, retryable: bool) -> None:
    cause = ssl.SSLError(1, "handshake failed")
    cause.reason = reason  # type: ignore[assignment] # pyright: ignore[reportAttributeAccessIssue] - OpenSSL's
    error = connect_failed(cause, "example.org:443")
    assert type(error) is TLSFailed
    assert text in str(error)
    assert error.retryable is retryable
    assert error.__cause__ is cause


def test_an_address_is_named_once_and_that_of_a_host_name_beside_it() -> None:
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('192.0.2.1', 80)")
    assert "to 192.0.2.1:80: Connection refused [ECONNREFUSED];" in str(connect_failed(refused, "192.0.2.1:80"))
    named = str(connect_failed(refused, "example.org:80"))
    assert "to example.org:80: Connection refused (192.0.2.1) [ECONNREFUSED];" in named


def test_a_peer_that_speaks_before_tls_has_its_text() -> None:
    """Errors that are not OpenSSL's lack the attribute `reason`."""
    error = connect_failed(ssl.SSLError("it spoke first, and not TLS"), "example.org:443")
    assert type(error) is TLSFailed
    assert "no TLS with example.org:443: it spoke first, and not TLS; if that port" in str(error)
    proxy = Proxy.parse("https://p.example")
    failed = proxy_failed(ssl.SSLError("it spoke first, and not TLS"), proxy, "example.org:443", ProxyStep.TLS)
    assert "it spoke first, and not TLS; if it speaks plain HTTP, use http:// in proxy=" in str(failed)
    assert not failed.retryable


# --- names ------------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def naming(authority: trustme.CA, *names: str) -> AsyncIterator[tuple[FaultyServer, list[str | None]]]:
    """A server with a certificate for these names, and the names that clients ask it for."""
    asked: list[str | None] = []
    context = serves(authority, *names)
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    async with FaultyServer(ssl=context) as server:
        yield server, asked


async def test_sni_has_no_dot_at_its_end(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> None:
    async def look_up(host: str, port: int, **_: object) -> list[Any]:  # not every resolver knows localhost with a dot
        looked_up.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))]

    looked_up: list[str] = []
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    async with naming(authority, "service.example") as (server, asked):
        async with Client(f"wss://service.example.:{server.port}/", ssl=trusts(authority)) as client:
            await client.send("x")
        assert asked == ["service.example"]
        assert looked_up[0] == "service.example."  # the dot says that the name is complete
        await server.wait_until(lambda counts: counts.sockets_now == 0, timeout=DEADLINE)


async def test_another_name_may_be_given_for_sni_and_the_certificate(authority: trustme.CA) -> None:
    async with naming(authority, "service.example") as (server, asked):
        trust = trusts(authority)
        error = await error_of(Client(server.url, ssl=trust))
        assert type(error) is CertificateInvalid
        async with Client(server.url, ssl=trust, server_hostname="Service.example") as client:
            await client.send("x")
        async with join(server.url, ssl=trust, server_hostname="service.example") as joined:
            await joined.send("y")
            with pytest.raises(OnesocketError, match="another server_hostname="):
                await join(server.url, ssl=trust)
        assert asked[1:] == ["service.example"] * 2
        error = await error_of(Client(server.url, ssl=trust, server_hostname="other.example"))
        assert type(error) is CertificateInvalid
        await server.wait_until(lambda counts: counts.sockets_now == 0, timeout=DEADLINE)


async def test_the_command_sends_the_name_that_it_is_given(authority: trustme.CA) -> None:
    with authority.cert_pem.tempfile() as trusted:
        async with naming(authority, "service.example") as (server, asked):
            options = ("--server-hostname", "service.example", "--local-address", "127.0.0.3")
            environment = {"SSL_CERT_FILE": trusted}
            status, _, errors = await run_command("connect", server.url, *options, stdin="x\n", env=environment)
            assert status == 0, errors
            assert asked == ["service.example"]


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a:443", "u@a", 42, "a..b"])
def test_what_is_no_host_name_is_refused(name: object) -> None:
    with pytest.raises(InvalidOption, match="server_hostname"):
        Client("wss://example.org/", server_hostname=name)  # type: ignore[call-overload] # pyright: ignore[reportArgumentType]


def test_without_tls_there_is_no_sni() -> None:
    with pytest.raises(InvalidOption, match="use wss://"):
        Client("ws://example.org/", server_hostname="example.org")


# --- the default context ----------------------------------------------------------------------------------------------


async def test_one_context_is_made_for_all_and_in_a_thread(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    make = ssl.create_default_context

    def counting() -> ssl.SSLContext:
        threads.append(threading.get_ident())
        return make()

    monkeypatch.setattr(ssl, "create_default_context", counting)
    with authority.cert_pem.tempfile() as trusted:
        monkeypatch.setenv("SSL_CERT_FILE", trusted)
        async with FaultyServer(ssl=serves(authority, "127.0.0.1")) as server:
            for _ in range(2):
                async with Client(server.url) as client:
                    await client.reconnect()
            assert len(threads) == 1
            assert threads[0] != threading.get_ident()
            monkeypatch.delenv("SSL_CERT_FILE")  # noticed: the trust is another one
            error = await error_of(Client(server.url))
            assert type(error) is CertificateInvalid
            await server.wait_until(lambda counts: counts.sockets_now == 0, timeout=DEADLINE)


async def test_where_no_thread_can_be_started_it_is_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
    await asyncio.get_running_loop().shutdown_default_executor()
    context = await default_context.default_tls_context()
    assert context is await default_context.default_tls_context()


# --- the commands -----------------------------------------------------------------------------------------------------


async def test_a_command_names_its_options_and_they_help(authority: trustme.CA, tmp_path: Path) -> None:
    wants = serves(authority, "service.example")
    authority.configure_trust(wants)
    wants.verify_mode = ssl.CERT_REQUIRED
    authority.cert_pem.write_to_path(tmp_path / "ca")
    authority.issue_cert("me").private_key_and_cert_chain_pem.write_to_path(tmp_path / "me")
    options = [f"--cacert={tmp_path}/ca", f"--client-cert={tmp_path}/me", "--server-hostname=service.example"]
    async with FaultyServer(ssl=wants, handler=lambda connection: connection.send("too long")) as server:
        for given, told in (
            (options[1:], "pass --cacert to trust your own CA"),
            (options[:2], "pass the certificate's name as --server-hostname"),
            ([*options, "--max-size=3", "--no-reconnect", "--stay"], "raise --max-size if the server is meant to"),
        ):
            status, _, errors = await run_command("connect", *given, server.url)
            assert status == 1, errors
            assert told in errors
        assert server.counts.upgraded == 1


# --- the local address ------------------------------------------------------------------------------------------------


async def test_the_local_address_is_that_which_the_server_sees() -> None:
    seen: list[str] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("peername")[0])
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        for options in (
            {"local_address": "127.0.0.2"},
            {"local_address": "127.0.0.2", "proxy": f"http://127.0.0.1:{port}"},
        ):
            await error_of(Client(f"ws://127.0.0.1:{port}/", **options))  # type: ignore[call-overload] # pyright: ignore[reportArgumentType]
        async with asyncio.timeout(DEADLINE):
            while len(seen) < 2:  # noqa: ASYNC110 - seen in another task
                await asyncio.sleep(0)
    assert seen == ["127.0.0.2"] * 2


@pytest.mark.parametrize("address", ["192.0.2.1", "::1"])
async def test_an_address_that_is_not_of_this_machine_is_told(server: FaultyServer, address: str) -> None:
    error = await error_of(Client(server.url, local_address=address))
    assert isinstance(error, ConnectFailed)
    assert f"is local_address={address} an address of this machine" in str(error)


@pytest.mark.parametrize("address", ["", "localhost", "127.0.0.1:80", 42])
def test_what_is_no_address_is_refused(address: object) -> None:
    with pytest.raises(InvalidOption, match="local_address"):
        Client("ws://example.org/", local_address=address)  # type: ignore[call-overload] # pyright: ignore[reportArgumentType]


# --- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [b"\x88\x02\x03\xe8", b"\xff" * 100], ids=["CLOSE", "rubbish"])
async def test_a_server_that_never_ends_tls_does_not_cost_the_close_timeout(
    authority: trustme.CA, answer: bytes
) -> None:
    over = threading.Event()

    def serve(listener: socket.socket, context: ssl.SSLContext) -> None:
        accepted, _ = listener.accept()
        with context.wrap_socket(accepted, server_side=True) as sock:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += sock.recv(4096)
            key = head.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0].decode()
            sock.sendall(switching_protocols(key))
            sock.recv(100)  # the CLOSE
            sock.sendall(answer)
            over.wait()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"wss://localhost:{listener.getsockname()[1]}/"
        serving_it = asyncio.create_task(asyncio.to_thread(serve, listener, serves(authority, "localhost")))
        try:
            async with asyncio.timeout(DEADLINE):
                async with Client(url, ssl=trusts(authority), close_timeout=600.0):
                    pass
        finally:
            over.set()
            await serving_it
