"""A server that doesn't read, and a client that ends with bytes unsent: the server's kernel says what is left of it."""

import asyncio
import contextlib
import select
import signal
import socket
import ssl
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import trustme

from onesocket import Client, ReconnectPolicy, State
from onesocket.errors import OpenTimeout
from onesocket.testing import Fault, FaultyServer
from onesocket.transports import _tcp
from onesocket.wire._response_parser import accept_value
from tests.support.programs import running_python
from tests.support.proxies import HttpProxy, Socks5Proxy, forward, serving

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what its TCP still holds")

DEADLINE = 30.0
SIZE = 100_000
TRANSPORTS = [None, "deflate"]
CLOSE = b"\x88\x02\x03\xe8"
VIOLATION = b"\xff\xff\xff\xff"
FAST = ReconnectPolicy(initial=0.01, cap=0.05)


async def fill(client: Client) -> int:
    """Send until the kernel takes no more; how many messages it has."""
    sent = 0
    while client.status.outbox == 0:
        delivery = client.send_nowait(NOISE)
        await asyncio.sleep(0)
        sent += delivery.done
    return sent


def client_sockets(port: int, host: int = 1) -> list[str]:
    """States of the sockets connected to `port` of 127.0.0.`host`, by the kernel; one in TIME_WAIT holds nothing."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    # By address: the kernel lists a socket twice if others come while the list is read.
    states = {row[1]: row[3] for row in rows if row[2] == f"0{host}00007F:{port:04X}" and row[3] != "06"}
    return list(states.values())


async def upgraded(listener: socket.socket) -> socket.socket:
    """The next connection, after its upgrade. Nothing more is read."""
    loop = asyncio.get_running_loop()
    accepted, _ = await loop.sock_accept(listener)
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        request += await loop.sock_recv(accepted, 4096)
    key = request.decode().partition("Sec-WebSocket-Key: ")[2].partition("\r\n")[0]
    await loop.sock_sendall(
        accepted,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %s\r\n\r\n" % accept_value(key).encode(),
    )
    return accepted


# What compresses would never fill a buffer.
NOISE = bytes((number * number * 7919 >> 7) % 251 for number in range(SIZE))


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_reconnect_with_bytes_unsent_leaves_none_of_the_old_connection(transport: str | None) -> None:
    async with FaultyServer(echo=False, faults=[Fault.stop_reading()]) as server, asyncio.timeout(DEADLINE):
        client = Client(server.url, close_timeout=0.2, compression=transport)  # type: ignore[arg-type]
        await client.connect()
        await fill(client)
        assert server.established == 1
        await client.reconnect()
        assert server.established == server.most_established == 1
        assert client.epoch == 2
        await client.aclose()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_over_tls_too_nothing_is_left(transport: str | None) -> None:
    authority = trustme.CA()
    serves = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(serves)
    trusts = ssl.create_default_context()
    authority.configure_trust(trusts)
    async with FaultyServer(ssl=serves, echo=False, faults=[Fault.stop_reading()]) as server, asyncio.timeout(DEADLINE):
        client = Client(server.url, ssl=trusts, close_timeout=0.2, compression=transport)  # type: ignore[arg-type]
        await client.connect()
        await fill(client)
        await client.reconnect()
        assert server.established == server.most_established == 1
        await client.aclose()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_close_past_its_deadline_leaves_nothing(transport: str | None) -> None:
    async with FaultyServer(echo=False, faults=[Fault.stop_reading()]) as server, asyncio.timeout(DEADLINE):
        client = Client(server.url, close_timeout=0.2, compression=transport)  # type: ignore[arg-type]
        await client.connect()
        await fill(client)
        await client.aclose()
        assert server.established == 0


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_peer_that_closes_and_stops_reading_is_left_before_the_next_dial(transport: str | None) -> None:
    """Our answer to its CLOSE stays in our kernel."""
    async with (
        FaultyServer(echo=False, faults=[Fault.stop_reading()], close_timeout=DEADLINE) as server,
        asyncio.timeout(DEADLINE),
    ):
        client = Client(server.url, close_timeout=0.2, reconnect=FAST, compression=transport)  # type: ignore[arg-type]
        await client.connect()
        for _ in range(30):  # so much that its kernel doesn't take all, and ours does
            await client.send(NOISE)
        server.connections[0].close_nowait(1012)
        await client.wait_for(State.BACKING_OFF, State.CLOSING)
        await client.wait_for(State.CONNECTED)
        assert server.counts.handshakes == 2
        assert server.established == server.most_established == 1
        await client.aclose()
        server.kill_connections()


@pytest.mark.parametrize("ending", [CLOSE, VIOLATION])
async def test_a_peer_that_ends_its_half_and_reads_nothing_is_left_before_the_next_dial(ending: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        port = listener.getsockname()[1]
        client = Client(f"ws://127.0.0.1:{port}", close_timeout=0.1, reconnect=FAST)
        async with asyncio.timeout(DEADLINE):
            connecting = asyncio.create_task(client.connect())
            with await upgraded(listener) as accepted:
                await connecting
                for _ in range(30):  # so much that our kernel takes all, and the peer's doesn't
                    await client.send(NOISE)
                accepted.send(ending)
                accepted.shutdown(socket.SHUT_WR)
                with (await asyncio.get_running_loop().sock_accept(listener))[0]:
                    assert client_sockets(port) == ["01"]
            await client.aclose()


async def test_a_peer_that_closes_without_waiting_for_our_answer_is_not_waited_for() -> None:
    """Its system resets the connection when our CLOSE arrives."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        client = Client(f"ws://127.0.0.1:{listener.getsockname()[1]}", close_timeout=2 * DEADLINE, reconnect=FAST)
        async with asyncio.timeout(DEADLINE):
            connecting = asyncio.create_task(client.connect())
            with await upgraded(listener) as accepted:
                await connecting
                accepted.send(CLOSE)
            (await asyncio.get_running_loop().sock_accept(listener))[0].close()
            await client.aclose()


@pytest.mark.parametrize("way", ["ws", "wss", "http", "socks5h"])
async def test_nothing_is_left_of_a_dial_that_was_given_up(way: str) -> None:
    """The peer's system accepts the connection, and the peer never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        options: dict[str, Any] = {"proxy": f"{way}://127.0.0.1:{port}"} if way not in ("ws", "wss") else {}
        url = "ws://venue.test" if options else f"{way}://127.0.0.1:{port}"
        client = Client(url, open_timeout=0.05, close_timeout=0.05, reconnect=None, **options)
        with pytest.raises(OpenTimeout):
            await client.connect()
        assert client_sockets(port) == []
        await client.aclose()


async def test_of_addresses_that_are_tried_side_by_side_one_is_left_at_the_upgrade(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_tcp, "_HAPPY_EYEBALLS_DELAY", 0.01)
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket() as full,
        socket.socket() as first,
        socket.socket() as second,
    ):
        listener.settimeout(0)
        port = listener.getsockname()[1]
        full.bind(("127.0.0.2", port))
        full.listen(0)
        for filler in (first, second):
            filler.settimeout(0)
            filler.connect_ex(("127.0.0.2", port))
        loop = asyncio.get_running_loop()

        async def resolve(*_: object, **__: object) -> list[Any]:
            kind = socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, ""
            return [(*kind, ("127.0.0.2", port)), (*kind, ("127.0.0.1", port))]

        monkeypatch.setattr(loop, "getaddrinfo", resolve)
        client = Client(f"ws://venue.test:{port}", reconnect=None)
        async with asyncio.timeout(DEADLINE):
            connecting = asyncio.create_task(client.connect())
            while len(client_sockets(port, 2)) < 3:  # noqa: ASYNC110 - the kernel has no event for it
                await asyncio.sleep(0)
            accepted, _ = await loop.sock_accept(listener)
            with accepted:
                await loop.sock_recv(accepted, 1)
                assert len(client_sockets(port, 2)) == 2
                connecting.cancel()
                await asyncio.wait([connecting])
            await client.aclose()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_close_in_order_loses_nothing(transport: str | None) -> None:
    """The connection is not reset: a peer that reads again within the deadline gets every message, and 1000."""
    async with (
        FaultyServer(echo=False, compression=transport, faults=[Fault.stop_reading()]) as server,  # type: ignore[arg-type]
        asyncio.timeout(DEADLINE),
    ):
        client = Client(server.url, close_timeout=DEADLINE, compression=transport)  # type: ignore[arg-type]
        await client.connect()
        sent = await fill(client)
        closing = asyncio.create_task(client.aclose())
        await asyncio.sleep(0)
        server.connections[0].resume()
        await closing
        await server.wait_until(lambda counts: counts.open_now == 0, timeout=DEADLINE)
        assert server.counts.messages_received >= sent
        assert server.counts.close_codes == {1000: 1}
        assert server.counts.unclean_closes == 0


@pytest.mark.parametrize("way", ["tls", "http", "socks5h", "unix"])
async def test_a_close_in_order_loses_nothing_on_any_way(way: str, tmp_path: Path) -> None:
    """As above: over TLS, through proxies, and to a Unix socket."""
    authority = trustme.CA()
    certificate = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(certificate)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    async with contextlib.AsyncExitStack() as stack:
        secure = way == "tls"
        faults = [Fault.stop_reading()]
        server = FaultyServer(ssl=certificate if secure else None, echo=False, faults=faults)
        await stack.enter_async_context(server)
        url = server.url
        options: dict[str, Any] = {"ssl": trust} if secure else {}
        if way == "unix":
            relay = await asyncio.start_unix_server(
                lambda reader, writer: forward(reader, writer, server.port), str(tmp_path / "s")
            )
            stack.callback(relay.close)
            url = f"unix:{tmp_path}/s"
        elif not secure:
            port = await stack.enter_async_context(serving(HttpProxy() if way == "http" else Socks5Proxy()))
            options = {"proxy": f"{way}://127.0.0.1:{port}"}
        await stack.enter_async_context(asyncio.timeout(DEADLINE))
        client = Client(url, close_timeout=DEADLINE, **options)
        await client.connect()
        sent = await fill(client)
        closing = asyncio.create_task(client.aclose())
        await asyncio.sleep(0)
        server.connections[0].resume()
        await closing
        await server.wait_until(lambda counts: counts.open_now == 0, timeout=DEADLINE)
        assert server.counts.messages_received >= sent
        assert server.counts.close_codes == {1000: 1}
        assert server.counts.unclean_closes == 0


PROGRAM = """
import asyncio, os, sys
import uvloop
from onesocket import Client, Identity, Provider, State, blocking, join
from onesocket.sharing.host import HostOptions

url, directory = sys.argv[1:]
noise = bytes((number * number * 7919 >> 7) % 251 for number in range(100_000))

async def fill(client):
    sent = 0
    while client.status.outbox == 0 and sent < 300:
        try:
            await asyncio.wait_for(client.send(noise), 1)
        except TimeoutError:
            break
        sent += 1
    print(sent, flush=True)
"""


def program(script: str, url: str, directory: Path) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    return running_python("-c", PROGRAM + script, url, str(directory), merge_errors=False)


async def number_of(process: asyncio.subprocess.Process) -> int:
    assert process.stdout is not None
    return int(await process.stdout.readline())


HOLDERS = {
    "Client": "client = Client(url); await client.connect()",
    "compressed": "client = Client(url, compression='deflate'); await client.connect()",
    "Provider": (
        "end = Provider(lambda token: Client(url, token=token), auth=lambda: Identity('a', token='s3cret'));"
        "await end.connect_if_authenticated(); client = end.client"
    ),
    "join, loop": "client = await join(url, scope='loop')",
    "join, process": "client = await join(url, scope='process')",
    "join, host": "client = await join(url, scope='host', host_options=HostOptions(directory=directory))",
}


@pytest.mark.parametrize("run", ["asyncio.run", "uvloop.run"])
@pytest.mark.parametrize("holder", HOLDERS)
async def test_nothing_is_left_of_a_killed_process(holder: str, run: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)  # noqa: ASYNC240 - once
    script = f"""
async def main():
    {HOLDERS[holder]}
    await fill(client)
    await asyncio.to_thread(sys.stdin.read)
{run}(main())
"""
    async with (
        FaultyServer(echo=False, faults=[Fault.stop_reading()]) as server,
        program(script, server.url, tmp_path) as process,
        asyncio.timeout(DEADLINE),
    ):
        assert await number_of(process) > 0
        assert server.established == 1
        process.kill()
        assert await process.wait() == -signal.SIGKILL
        assert server.established == 0


@pytest.mark.parametrize("ending", [CLOSE, VIOLATION])
async def test_nothing_is_left_of_a_process_that_was_killed_while_it_answered_a_close(
    ending: bytes, tmp_path: Path
) -> None:
    script = """
async def main():
    client = Client(url)
    await client.connect()
    for _ in range(30):
        await client.send(noise)
    print(30, flush=True)
    await client.wait_for(State.CLOSING)
    print(1, flush=True)
    await asyncio.to_thread(sys.stdin.read)
asyncio.run(main())
"""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        port = listener.getsockname()[1]
        async with program(script, f"ws://127.0.0.1:{port}", tmp_path) as process, asyncio.timeout(DEADLINE):
            with await upgraded(listener) as accepted:
                await number_of(process)
                accepted.send(ending)
                await number_of(process)
                assert client_sockets(port) == ["01"]
                process.kill()
                await process.wait()
                assert client_sockets(port) == []


@pytest.mark.parametrize("run", ["asyncio.run", "uvloop.run"])
@pytest.mark.parametrize(("scheme", "secure"), [("", True), ("http", False), ("http", True), ("socks5h", False)])
async def test_behind_tls_and_proxies_too_the_next_host_is_told_of_a_killed_process(
    scheme: str, secure: bool, run: str, tmp_path: Path
) -> None:
    """The proxy, whose buffers are full, is told by its kernel as the server would be."""
    authority = trustme.CA()
    certificate = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(certificate)
    authority.cert_pem.write_to_path(tmp_path / "ca")
    hops: list[socket.socket] = []
    proxy = HttpProxy() if scheme == "http" else Socks5Proxy()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hops.append(writer.get_extra_info("socket"))
        await proxy(reader, writer)

    def is_established() -> bool:
        return hops[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == 1

    async with (
        FaultyServer(ssl=certificate if secure else None, echo=False, faults=[Fault.stop_reading()]) as server,
        serving(serve) as port,
    ):
        through = f"proxy='{scheme}://127.0.0.1:{port}'" if scheme else ""
        script = f"""
os.environ["SSL_CERT_FILE"] = directory + "/ca"
async def main():
    client = Client(url, {through})
    await client.connect()
    await fill(client)
    await asyncio.to_thread(sys.stdin.read)
{run}(main())
"""
        async with program(script, server.url, tmp_path) as process, asyncio.timeout(DEADLINE):
            assert await number_of(process) > 0
            assert is_established() if scheme else server.established == 1
            process.kill()
            assert await process.wait() == -signal.SIGKILL
            assert not is_established() if scheme else server.established == 0
            server.kill_connections()


async def test_the_kernel_ends_a_unix_socket_at_once_whatever_was_not_read(tmp_path: Path) -> None:
    """There is no RST on Unix sockets; a poll tells that the other side is gone."""
    script = """
async def main():
    client = Client(url)
    await client.connect()
    await fill(client)
    await asyncio.to_thread(sys.stdin.read)
asyncio.run(main())
"""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        listener.settimeout(0)
        async with program(script, f"unix:{path}", tmp_path) as process, asyncio.timeout(DEADLINE):
            with await upgraded(listener) as accepted:
                assert await number_of(process) > 0
                poll = select.poll()
                poll.register(accepted, 0)
                assert poll.poll(0) == []
                process.kill()
                await process.wait()
                assert poll.poll(0)[0][1] & select.POLLHUP


EXITS = {
    "main returns": "asyncio.run(main())",
    "main returns, uvloop": "uvloop.run(main())",
    "sys.exit": "async def leave():\n    await main()\n    sys.exit()\nasyncio.run(leave())",
    "an error": "async def leave():\n    await main()\n    1 / 0\nsys.stderr = None\nasyncio.run(leave())",
    "a loop that is closed": "loop = asyncio.new_event_loop(); loop.run_until_complete(main()); loop.close()",
    "a loop that just stops": "loop = asyncio.new_event_loop(); loop.run_until_complete(main())",
    "uvloop just stops": "loop = uvloop.new_event_loop(); loop.run_until_complete(main())",
}


@pytest.mark.parametrize("transport", ["", "compression='deflate'"])
@pytest.mark.parametrize("way", EXITS)
async def test_what_was_sent_survives_a_normal_end_of_the_program(way: str, transport: str, tmp_path: Path) -> None:
    """The client is left open, and the server reads only after the end of its process."""
    script = f"""
async def main():
    global client
    client = Client(url, {transport})
    await client.connect()
    await fill(client)
{EXITS[way]}
"""
    async with (
        FaultyServer(echo=False, faults=[Fault.stop_reading()]) as server,
        program(script, server.url, tmp_path) as process,
        asyncio.timeout(DEADLINE),
    ):
        sent = await number_of(process)
        await process.wait()
        server.connections[0].resume()
        await server.wait_until(lambda counts: counts.messages_received >= sent > 0, timeout=DEADLINE)
