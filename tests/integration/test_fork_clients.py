"""A forked child keeps none of its parent's sockets, whoever made them; the server, or the other program, tells."""

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from websockets.asyncio.client import connect, unix_connect

from onesocket.testing import Fault, FaultyServer
from onesocket.wire._response_parser import accept_value
from tests.support.nats_server import NatsServer, nats_server
from tests.support.programs import running_python
from tests.support.proxies import HttpProxy, Socks5Proxy, serving
from tests.support.redis_server import free_port, redis_server

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")

DEADLINE = 20

# `fork(work)` runs the function in a child, which then lives until the parent ends.
PRELUDE = """
import asyncio, contextlib, logging, os, socket, ssl, subprocess, sys, traceback
import uvloop
from onesocket import Client, Identity, Provider, ReconnectPolicy, State, join
from onesocket_discord import DiscordClient, Intents
from onesocket.errors import ForkedCopy
from onesocket.sharing.host import HostOptions

url, loop, directory, *rest = sys.argv[1:]
TIMES = {"ping_interval": None, "close_timeout": 0.3, "open_timeout": 10.0}
if url.startswith("wss:"):
    TIMES["ssl"] = ssl.create_default_context(cafile=directory + "/ca.pem")
parent_ends, parent_lives = os.pipe()

def fork(work=lambda: None, lives=True):
    done, tell = os.pipe()
    if not (pid := os.fork()):
        os.close(parent_lives)
        try:
            work()
            os.write(tell, b"k")
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        os.close(tell)
        if lives:
            os.read(parent_ends, 1)
        os._exit(0)
    os.close(tell)
    assert os.read(done, 1) == b"k", "the child failed"
    os.close(done)
    if not lives:
        os.waitpid(pid, 0)

def tcp_sockets():
    found = []
    for fd in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(FileNotFoundError):  # the one that listed them
            if os.readlink(f"/proc/self/fd/{fd}").startswith("socket:"):
                with socket.socket(fileno=os.dup(fd)) as sock:
                    if sock.family in (socket.AF_INET, socket.AF_INET6):
                        found.append(fd)
    return found

def none_inherited():
    assert tcp_sockets() == [], tcp_sockets()

def run(main):
    asyncio.run(main()) if loop == "asyncio" else uvloop.run(main())
"""
LOOPS = ("asyncio", "uvloop")
TRANSPORTS = ("", "compression='deflate',")


@contextlib.asynccontextmanager
async def program(
    script: str, url: str, loop: str, directory: Path, *rest: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The script in a process of its own, which ends in order when its stdin does."""
    options = ("-W", "ignore::DeprecationWarning")
    async with running_python(*options, "-c", PRELUDE + script, url, loop, str(directory), *rest) as process:
        yield process
        if process.stdin is not None:
            process.stdin.close()
        output, _ = await asyncio.wait_for(process.communicate(), DEADLINE)
        assert process.returncode == 0, output.decode()
        assert not output, output.decode()


@pytest.fixture(autouse=True)
def _private_directory(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)


def server_certificate(directory: Path) -> ssl.SSLContext:
    """For a server; what its client trusts is in `directory`."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(directory / "ca.pem")
    return context


KINDS = {
    "Client": "client = end = Client(url, **TIMES); await client.connect()",
    "compressed": "client = end = Client(url, compression='deflate', **TIMES); await client.connect()",
    "Provider": (
        "end = Provider(lambda token: Client(url, token=token, **TIMES), auth=lambda: Identity('a', token='s3cret'));"
        "await end.connect_if_authenticated()"
    ),
    "DiscordClient": (
        "del TIMES['ping_interval'];"
        "client = end = DiscordClient('a.b.c', Intents.GUILDS, gateway_url=url, **TIMES);"
        "client.connect_nowait()\n"
        "    while client.stats.handshakes == 0: await asyncio.sleep(0.001)"
    ),
    "join, loop": "client = end = await join(url, scope='loop', **TIMES)",
    "join, process": "client = end = await join(url, scope='process', **TIMES)",
    "join, host": (
        "client = end = await join(url, key='us', scope='host', host_options=HostOptions(directory=directory), **TIMES)"
    ),
}
FORKS = {
    "os.fork": "fork()",
    "an inheriting subprocess": "child = subprocess.Popen(['cat'], stdin=parent_ends, stdout=-3, close_fds=False)",
}


@pytest.mark.parametrize(
    ("kind", "way", "secure", "loop"),
    [
        *((kind, "os.fork", False, "asyncio") for kind in KINDS),
        *((kind, "os.fork", True, loop) for kind in ("Client", "compressed") for loop in LOOPS),
        ("Client", "os.fork", False, "uvloop"),
        ("Client", "an inheriting subprocess", False, "asyncio"),
    ],
)
async def test_what_the_parent_aborts_is_gone_at_the_server_while_the_child_lives(
    kind: str, way: str, secure: bool, loop: str, tmp_path: Path
) -> None:
    script = f"""
async def main():
    {KINDS[kind]}
    {FORKS[way]}
    await end.aclose()
    await asyncio.to_thread(sys.stdin.read)
run(main)
"""
    async with (
        FaultyServer(
            ssl=server_certificate(tmp_path) if secure else None, faults=Fault.never_acknowledge_close()
        ) as server,
        program(script, server.url, loop, tmp_path),
    ):
        await server.wait_until(lambda counts: counts.upgraded == 1, timeout=DEADLINE)
        await server.wait_until(lambda counts: counts.sockets_now == 0, timeout=DEADLINE)
        assert server.counts.handshakes == 1


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the child's sockets are looked up in /proc")
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("engine", ["redis", "nats"])
async def test_a_child_keeps_no_connection_to_the_engine_of_a_cluster(engine: str, loop: str, tmp_path: Path) -> None:
    script = """
from unittest.mock import Mock
from onesocket import Raw
from onesocket.sharing._connection_key import ConnectionKey
from onesocket.sharing._upstream import ConnectionSpec
from onesocket.sharing.cluster._cluster_upstream import ClusterUpstream
from onesocket.sharing.cluster._named_engine import cluster_options

async def main():  # of a loop of the program's: all sockets of a loop in a thread of ours are known
    spec = ConnectionSpec(
        key=ConnectionKey.of(url),
        options=TIMES,
        protocol=Raw(),
        make_client=lambda: Client(url, **TIMES),
        host_options=HostOptions(directory=directory),
    )
    upstream = ClusterUpstream(spec, cluster_options(rest[0]))
    upstream.attach(Mock())
    await upstream.connect()
    sockets = len(tcp_sockets())
    assert sockets >= 2, "upstream, and to the engine"
    fork(none_inherited, lives=False)
    assert len(tcp_sockets()) == sockets, "the parent keeps its own"
    await upstream.send("parent")
    await upstream.reconnect()
    await upstream.aclose()
    await asyncio.to_thread(sys.stdin.read)
run(main)
"""
    port = free_port()
    with redis_server("--port", str(port)) if engine == "redis" else nats_server() as running:
        engine_url = running.url if isinstance(running, NatsServer) else f"redis://127.0.0.1:{port}"
        async with FaultyServer() as server, program(script, server.url, loop, tmp_path, engine_url):
            await server.wait_until(lambda counts: counts.upgraded == 2, timeout=DEADLINE)
        assert server.received == ["parent"]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the child's sockets are looked up in /proc")
@pytest.mark.parametrize(
    ("transport", "proxy", "secure", "loop"),
    [
        *((transport, "", True, loop) for transport in TRANSPORTS for loop in LOOPS),
        *((transport, proxy, False, "asyncio") for transport in TRANSPORTS for proxy in ("", "http", "socks5h")),
        *(("", proxy, False, loop) for loop in LOOPS for proxy in ("https", "socks4a")),
    ],
)
async def test_a_child_forked_at_any_moment_of_the_dial_has_no_socket_of_it(
    transport: str, proxy: str, secure: bool, loop: str, tmp_path: Path
) -> None:
    """The server, or the proxy, takes the connection and whatever it is sent, and answers nothing."""
    server_certificate(tmp_path)
    through = f"proxy='{proxy}' + url[2:]," if proxy else ""
    script = f"""
async def main():
    client = Client(url, {transport} {through} **TIMES)
    client.connect_nowait()
    for _ in range(12):
        fork(none_inherited, lives=False)
        await asyncio.sleep(0)
    while not tcp_sockets():
        if client.state is State.FAILED:  # on a slow machine: the forks took longer than open_timeout
            client.connect_nowait()
        await asyncio.sleep(0.001)
    fork(none_inherited)
    await client.disconnect()
    assert tcp_sockets() == [], "the parent's own"
    await asyncio.to_thread(sys.stdin.read)
TIMES["open_timeout"] = 0.5
logging.getLogger("onesocket").disabled = True  # of those failures
run(main)
"""
    over = asyncio.Event()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionResetError):
            while await reader.read(4096):
                pass
        over.set()
        writer.close()

    silent = await asyncio.start_server(take, "127.0.0.1", 0)
    url = f"{'wss' if secure else 'ws'}://127.0.0.1:{silent.sockets[0].getsockname()[1]}/"
    async with silent, program(script, url, loop, tmp_path), asyncio.timeout(DEADLINE):
        await over.wait()


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("scheme", ["http", "https", "socks5h"])
async def test_what_the_parent_aborts_behind_a_proxy_is_gone_while_the_child_lives(
    scheme: str, secure: bool, loop: str, tmp_path: Path
) -> None:
    certificate = server_certificate(tmp_path)
    script = """
async def main():
    client = Client(url, proxy=rest[0], **TIMES)
    await client.connect()
    fork(none_inherited)
    await client.aclose()
    await asyncio.to_thread(sys.stdin.read)
os.environ["SSL_CERT_FILE"] = directory + "/ca.pem"
run(main)
"""
    proxy = HttpProxy() if scheme.startswith("http") else Socks5Proxy()
    async with (
        FaultyServer(ssl=certificate if secure else None, faults=Fault.never_acknowledge_close()) as server,
        serving(proxy, certificate if scheme == "https" else None) as port,
        program(script, server.url, loop, tmp_path, f"{scheme}://127.0.0.1:{port}"),
    ):
        await server.wait_until(lambda counts: counts.upgraded == 1, timeout=DEADLINE)
        await server.wait_until(lambda counts: counts.sockets_now == 0, timeout=DEADLINE)
        assert server.counts.handshakes == 1


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("is_open", [False, True])
async def test_the_end_of_a_unix_socket_is_seen_while_the_child_lives(is_open: bool, loop: str, tmp_path: Path) -> None:
    script = f"""
async def main():
    client = Client(url, **TIMES)
    client.connect_nowait()
    if {is_open}:
        await client.connect()
    else:
        for _ in range(12):
            fork(lives=False)
            await asyncio.sleep(0)
    fork()
    await client.aclose()
    await asyncio.to_thread(sys.stdin.read)
run(main)
"""
    over = asyncio.Event()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if is_open:
            request = (await reader.readuntil(b"\r\n\r\n")).decode()
            key = request.partition("Sec-WebSocket-Key: ")[2].partition("\r\n")[0]
            writer.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: %s\r\n\r\n" % accept_value(key).encode()
            )
        with contextlib.suppress(ConnectionResetError):
            while await reader.read(4096):
                pass
        over.set()
        writer.close()

    silent = await asyncio.start_unix_server(take, str(tmp_path / "s"))
    async with silent, program(script, f"unix:{tmp_path}/s", loop, tmp_path), asyncio.timeout(DEADLINE):
        await over.wait()


USES = [
    "client.connect()",
    "client.reconnect()",
    "client.disconnect()",
    "client.aclose()",
    "client.send('x')",
    "client.wait_for(State.FAILED)",
    "anext(stream)",
    "anext(changes)",
]
CALLS = [
    "client.connect_nowait()",
    "client.send_nowait('x')",
    "client.subscribe()",
    "client.on(print)",
    "client.changes()",
]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("anew", [True, False])
async def test_in_the_child_every_use_of_the_client_says_whose_it_is(loop: str, anew: bool, tmp_path: Path) -> None:
    """On a loop of the child's own, and on the one that it inherited."""
    script = f"""
events = asyncio.new_event_loop() if loop == "asyncio" else uvloop.new_event_loop()
client = Client(url, **TIMES)
unused = Client(url, **TIMES)
provider = Provider(lambda token: Client(url, token=token, **TIMES), auth=lambda: None)
stream, changes = client.subscribe(), client.changes()

async def begin():
    await client.connect()
    await provider.connect_if_authenticated()
    await client.send("parent")

async def use():
    for use in [{", ".join(f"lambda: {use}" for use in USES)}, provider.connect_if_authenticated]:
        try:
            await asyncio.wait_for(use(), 5)
        except ForkedCopy as error:
            assert "fork" in str(error) and not error.retryable
        else:
            raise AssertionError(use)
    async with unused as mine:
        await mine.send("child")

def in_child():
    for call in [{", ".join(f"lambda: {call}" for call in CALLS)}]:
        try:
            call()
        except ForkedCopy:
            pass
        else:
            raise AssertionError(call)
    assert client.state is State.CONNECTED
    if {anew}:
        run(use)
    else:
        events.run_until_complete(use())
        events.close()

async def end():
    await client.send("parent still")
    await client.aclose()
    await provider.aclose()

events.run_until_complete(begin())
fork(in_child)
events.run_until_complete(end())
events.close()
"""
    async with FaultyServer(echo=False) as server:
        async with program(script, server.url, loop, tmp_path):
            pass
        assert sorted(map(str, server.received)) == ["child", "parent", "parent still"]
        assert server.counts.handshakes == 2
        assert server.counts.close_codes == {1000: 2}
        assert server.counts.unclean_closes == 0


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("at", ["token", "dial", "up", "retry"])
async def test_a_child_that_runs_its_parents_loop_dials_nothing_and_disturbs_nothing(
    at: str, transport: str, tmp_path: Path
) -> None:
    """The loop stood still at the fork, so Python lets the child run it; then the child ends the usual way."""
    script = f"""
gate = asyncio.Event()
async def token():
    await gate.wait()
    return "s3cret"

async def begin():
    global connecting
    connecting = asyncio.create_task(client.connect())
    await asyncio.sleep(0)
    if "{at}" == "dial":
        gate.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    elif "{at}" != "token":
        gate.set()
        await connecting
        if "{at}" == "retry":
            await client.send("drop")
            await client.wait_for(State.BACKING_OFF)

async def go_on():
    gate.set()
    for _ in range(30):
        await asyncio.sleep(0.01)
    rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)

async def end():
    gate.set()
    await connecting
    await client.connect()
    await client.send("parent")
    await client.aclose()

log = logging.getLogger("onesocket")
log.setLevel(logging.ERROR)  # that the parent's connection is lost is meant; from the child nothing may come
events = asyncio.new_event_loop()
client = Client(url, token=token, {transport} reconnect=ReconnectPolicy(initial=0.1, cap=0.1), **TIMES)
events.run_until_complete(begin())
if not (pid := os.fork()):
    log.setLevel(logging.WARNING)
    events.run_until_complete(go_on())
    events.close()
    sys.exit()
assert os.waitpid(pid, 0)[1] == 0
events.run_until_complete(end())
events.close()
"""
    drop = Fault.accept_then_drop().after(1) if at == "retry" else Fault()
    async with FaultyServer(echo=False, faults=[drop]) as server:
        async with program(script, server.url, "asyncio", tmp_path):
            pass
        assert [message for message in server.received if message != "drop"] == ["parent"]
        assert server.counts.handshakes == (2 if at == "retry" else 1)
        assert server.counts.most_sockets == 1
        assert server.counts.close_codes == {1000: 1}


async def test_a_child_of_a_hub_has_neither_its_door_nor_its_clients(tmp_path: Path) -> None:
    """While the child lives, the hub's clients see its end, and nobody can connect to it any more."""
    script = """
from onesocket.sharing._client_upstream import ClientUpstream
from onesocket.hub import Endpoint, Hub, HubOptions, RawFrontend

async def main():
    upstream = ClientUpstream(Client(url, **TIMES))
    for place in (Endpoint("127.0.0.1", int(rest[0])), Endpoint(path=directory + "/hub")):
        options = HubOptions(listen=place, directory=directory)
        hub = Hub(upstream, RawFrontend(upstream, options, None), options, key=url + str(place))
        await hub.start()
    print("serving", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    fork()
    print("forked", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    os._exit(0)
run(main)
"""
    port = socket.create_server(("127.0.0.1", 0))
    number = port.getsockname()[1]
    port.close()
    async with FaultyServer() as server, program(script, server.url, "asyncio", tmp_path, str(number)) as hub:
        await told(hub, "serving")
        clients = [
            await connect(f"ws://127.0.0.1:{number}/"),
            await unix_connect(str(tmp_path / "hub"), "ws://localhost/"),
        ]
        await tell(hub)
        await told(hub, "forked")
        await tell(hub)
        await asyncio.wait_for(hub.wait(), DEADLINE)
        for client in clients:
            await asyncio.wait_for(client.wait_closed(), DEADLINE)
        for dial in (asyncio.open_connection("127.0.0.1", number), asyncio.open_unix_connection(str(tmp_path / "hub"))):
            with pytest.raises(ConnectionRefusedError):
                await dial


async def told(process: asyncio.subprocess.Process, line: str) -> None:
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), DEADLINE) == f"{line}\n".encode()


async def tell(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.write(b"\n")
    await process.stdin.drain()
