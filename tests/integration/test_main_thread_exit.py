"""Threads that go on when the main thread has ended: Python lets nobody ask an executor then, for a look-up say."""

import asyncio
import socket
import sys

import pytest

from onesocket.testing import FaultyServer
from onesocket.transports._tcp import TcpSocket, open_tcp
from onesocket.urls import Address, parse_url
from tests.support.programs import output_of

_starts_threads = pytest.mark.skipif(
    (3, 12) <= sys.version_info < (3, 12, 3), reason="no thread can be started then (CPython's gh-113964)"
)

# `after_main` runs the function in a thread, once the main thread has ended; what it prints is what the tests see.
PRELUDE = """
import asyncio, logging, sys, threading
logging.getLogger("onesocket").setLevel("ERROR")  # losses are meant
from onesocket import Client, Gap, blocking
from onesocket.transports._websocket import WebSocketTransport

url = sys.argv[1]

def after_main(work):
    def run():
        threading.main_thread().join()
        while True:  # until the executors know it, too
            try:
                asyncio.run(asyncio.to_thread(lambda: None))
            except RuntimeError:
                break
        work()
        print("done")
    threading.Thread(target=run).start()
"""


async def run(script: str, url: str) -> str:
    return await output_of("-c", PRELUDE + script, url)


@_starts_threads
@pytest.mark.parametrize("scope", ["process", "host"])
async def test_a_connection_is_opened_and_resumed(server: FaultyServer, scope: str, tmp_path: object) -> None:
    script = f"""
from onesocket.sharing.host import HostOptions
host = HostOptions(directory={str(tmp_path)!r} + "/run")
options = dict(scope="host", host_options=host) if {scope!r} == "host" else {{}}

def work():
    with blocking.join(url, **options) as client:
        client.send("hang up")
        while not isinstance(client.receive(timeout=5), Gap):
            pass
        client.send("here", timeout=5)
        while client.receive(timeout=5) != "here":
            pass
        print(client.status.epoch)
after_main(work)
"""
    hung_up = False

    def hang_up() -> bool:
        nonlocal hung_up
        if not hung_up and "hang up" in server.received:
            hung_up = True
            server.kill_connections()
        return hung_up

    running = asyncio.create_task(run(script, server.url))
    await server.wait_until(lambda _: hang_up())
    assert await running == "2\ndone\n"


@_starts_threads
async def test_a_plain_function_is_asked_for_the_token(server: FaultyServer) -> None:
    script = """
def token():
    return "secret"

def work():
    with blocking.join(url, token=token) as client:
        client.send("here", timeout=5)
        print(client.receive(timeout=5))
after_main(work)
"""
    seen: list[str] = []

    def look() -> bool:
        seen.extend(connection.request_headers["Authorization"] for connection in server.connections)
        return bool(seen)

    running = asyncio.create_task(run(script, server.url))
    await server.wait_until(lambda counts: counts.upgraded > 0 and look())
    assert await running == "here\ndone\n"
    assert set(seen) == {"Bearer secret"}


@pytest.mark.parametrize("transport", ["None", "WebSocketTransport(compression='deflate')"])
async def test_a_client_of_a_loop_opens_one_too(server: FaultyServer, transport: str) -> None:
    script = f"""
async def main():
    async with Client(url, transport={transport}) as client:
        await client.send("x")
after_main(lambda: asyncio.run(main()))
"""
    assert await run(script, server.url) == "done\n"
    await server.wait_until(lambda counts: counts.messages_received == 1)


@_starts_threads
@pytest.mark.parametrize("transport", ["None", "WebSocketTransport(compression='deflate')"])
@pytest.mark.parametrize("proxy", [None, "http://localhost:1/"])
async def test_a_name_is_refused_for_good(server: FaultyServer, transport: str, proxy: str | None) -> None:
    script = f"""
async def main():
    client = Client(url, transport={transport}, proxy={proxy!r})
    try:
        await client.connect()
    except Exception as error:
        print(type(error).__name__, error.retryable, error, client.state.name)
    await client.aclose()
after_main(lambda: asyncio.run(main()))
"""
    said = await run(script, server.url.replace("127.0.0.1", "localhost"))
    kind, retryable, text = said.split(" ", 2)
    assert (kind, retryable) == ("NameResolutionFailed" if proxy is None else "ProxyFailed", "False")
    assert "interpreter is shutting down" in text
    assert "IP address" in text
    assert text.endswith("FAILED\ndone\n")


# --- addresses, which no executor is asked for -------------------------------------------------------------------


def no_executor(*_: object) -> object:
    raise AssertionError("an executor was asked")


def zone() -> str:
    return next((f"fe80::1%{name}" for _, name in socket.if_nameindex()), "")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_an_address_is_not_looked_up(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip("this machine doesn't have that family")
    with listening:
        port = listening.getsockname()[1]
        monkeypatch.setattr(asyncio.get_running_loop(), "run_in_executor", no_executor)
        found: list[bool] = []
        address = parse_url(f"ws://[{host}]:{port}/" if ":" in host else f"ws://{host}:{port}/")
        with await open_tcp(address, lambda: found.append(True)) as sock:
            assert sock.getpeername()[:2] == (host, port)
            assert isinstance(sock, TcpSocket)
        assert found == [True]


@pytest.mark.skipif(not socket.has_ipv6 or not zone(), reason="there is no IPv6 here")
async def test_the_scope_of_an_address_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    dialled: list[object] = []

    async def connect(_: socket.socket, address: object) -> None:
        dialled.append(address)
        raise OSError

    monkeypatch.setattr(loop, "run_in_executor", no_executor)
    monkeypatch.setattr(loop, "sock_connect", connect)
    address = Address(url="", host=zone(), port=1, secure=False, authorization=None)
    with pytest.raises(OSError, match=r"^$"):
        await open_tcp(address, lambda: None)
    assert [found[3] for found in dialled] == [socket.if_nametoindex(zone().partition("%")[2])]  # type: ignore[index]


async def test_a_name_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    async def look_up(host: str, *_: object, **__: object) -> object:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    with pytest.raises(socket.gaierror):
        await open_tcp(parse_url("ws://example.invalid:80/"), lambda: None)
    assert asked == ["example.invalid"]
