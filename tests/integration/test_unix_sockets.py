"""Clients of servers on Unix sockets: a foreign one, and the hub; the kernel and the peer tell what is left."""

import asyncio
import contextlib
import os
import select
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, unix_serve

from onesocket import Client, OnesocketError, ReconnectPolicy, State, blocking, join
from onesocket.errors import ConnectionRefused, InvalidOption, InvalidURL
from onesocket.hub import Endpoint, Hub, HubOptions, RawFrontend
from onesocket.sharing._client_upstream import ClientUpstream
from onesocket.sharing._connection_key import ConnectionKey
from onesocket.testing import FaultyServer
from onesocket.urls import CLIENT_SCHEMES, parse_url, redact
from tests.support.commands import run_command

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets here")
DEADLINE = 10
FAST = ReconnectPolicy(initial=0.01, cap=0.05)


class EchoServer:
    """An echo server of the library `websockets` on a Unix socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.requests: list[tuple[str, str]] = []
        self.open: list[ServerConnection] = []

    async def handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.requests.append((connection.request.path, connection.request.headers["Host"]))
        self.open.append(connection)
        async for message in connection:
            await connection.send(message)
        self.open.remove(connection)


@pytest.fixture
async def echo(tmp_path: Path) -> AsyncIterator[EchoServer]:
    server = EchoServer(tmp_path / "a:b c.sock")
    async with unix_serve(server.handle, str(server.path)):
        yield server


@pytest.mark.parametrize("form", ["ws+unix://{}", "ws+unix:{}", "unix://{}", "unix:{}"])
@pytest.mark.parametrize(("target", "seen"), [("", "/"), (":/", "/"), (":/chat?room=a%20b", "/chat?room=a%20b")])
async def test_every_form_of_the_url_connects(echo: EchoServer, form: str, target: str, seen: str) -> None:
    url = form.format(str(echo.path).replace(":", "%3A").replace(" ", "%20")) + target
    async with Client(url, proxy=True) as client:
        stream = client.subscribe()
        await client.send("x" * 300_000)
        assert await anext(stream) == "x" * 300_000
        assert client.status.url.startswith("ws+unix:///")
    assert echo.requests == [(seen, "localhost")]


async def test_a_lost_connection_is_resumed_and_the_token_goes_along(echo: EchoServer) -> None:
    url = f"ws+unix://{echo.path}".replace(":b", "%3Ab").replace(" ", "%20")
    async with Client(url, token="t", headers={"X-A": "b"}, reconnect=FAST) as client:
        echo.open[0].transport.abort()
        await client.wait_for(State.BACKING_OFF, State.CONNECTING)
        await client.wait_for(State.CONNECTED)
        assert client.epoch == 2
    assert len(echo.requests) == 2


async def test_all_forms_of_a_url_are_one_connection(echo: EchoServer) -> None:
    path = str(echo.path).replace(":", "%3A").replace(" ", "%20")
    async with join(f"unix:{path}") as one, join(f"ws+unix://{path}:/") as other:
        stream = other.subscribe()
        await one.send("x")
        assert await anext(stream) == "x"
    assert len(echo.requests) == 1

    def use() -> str:
        with blocking.join(f"unix:{path}") as client, client.subscribe() as stream:
            client.send("y")
            return str(next(stream))

    assert await asyncio.to_thread(use) == "y"


async def test_the_hub_on_a_unix_socket_is_a_server_as_any_other(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)  # noqa: ASYNC240 - once
    async with FaultyServer() as server:
        upstream = ClientUpstream(Client(server.url))
        options = HubOptions(listen=Endpoint(path=str(tmp_path / "hub")), directory=str(tmp_path))
        hub = Hub(upstream, RawFrontend(upstream, options, None), options, key="k")
        await hub.start()
        url = str(hub.endpoint)  # as `onesocket share` prints it
        assert url == f"unix:{tmp_path}/hub"
        async with Client(url) as client, join(url) as joined:
            streams = [client.subscribe(), joined.subscribe()]
            await client.send("to all")
            assert [await anext(stream) for stream in streams] == ["to all"] * 2
        status, _, errors = await run_command("connect", url, stdin="by the command\n")
        await hub.stop()
        assert status == 0, errors
        assert server.received == ["to all", "by the command"]
        assert server.counts.handshakes == 1


async def failure(url: str, **options: Any) -> OnesocketError:
    client = Client(url, reconnect=None, **options)
    with pytest.raises(OnesocketError) as caught:
        await client.connect()
    await client.aclose()
    return caught.value


@pytest.mark.parametrize("option", [{"ssl": ssl.create_default_context()}, {"server_hostname": "localhost"}])
def test_options_of_tls_are_refused_as_there_is_none(option: dict[str, Any]) -> None:
    with pytest.raises(
        InvalidOption, match=f"{next(iter(option))}= was given, but .* Unix socket, over which there is no"
    ):
        Client("ws+unix:///run/app.sock", **option)


async def test_a_missing_socket_and_one_without_a_listener_are_told(tmp_path: Path) -> None:
    error = await failure(f"unix:{tmp_path}/missing")
    assert type(error) is ConnectionRefused
    assert str(error) == (
        f"no connection to unix:{tmp_path}/missing: No such file or directory [ENOENT]; "
        "is the server up, and the path right?"
    )
    assert error.retryable
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "left"))
    error = await failure(f"unix:{tmp_path}/left")
    assert type(error) is ConnectionRefused
    assert "ECONNREFUSED" in str(error)


async def test_a_socket_that_this_user_may_not_use_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    # Asked of the kernel where the tests don't run as root, to which everything is permitted.
    closed = tmp_path / "closed"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(closed))
        listener.listen()
        closed.chmod(0)
        if os.geteuid() == 0:
            monkeypatch.setattr(socket.socket, "connect", deny)
        error = await failure(f"unix:{closed}")
    assert type(error) is ConnectionRefused
    assert "EACCES" in str(error)
    assert "may this user write to that socket" in str(error)


async def test_a_listener_that_is_behind_is_waited_for(tmp_path: Path) -> None:
    """The kernel says EAGAIN at once where TCP would wait; there is no event for the end of that."""
    path = str(tmp_path / "busy")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        waiting: list[socket.socket] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                waiting.append(sock := socket.socket(socket.AF_UNIX))
                sock.settimeout(0)
                sock.connect(path)
        client = Client(f"unix:{path}")
        connecting = asyncio.create_task(client.connect())
        while client.stats.attempts == 0:  # noqa: ASYNC110 - counted by the client
            await asyncio.sleep(0)
        for sock in waiting:
            sock.close()
        listener.settimeout(0)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(DEADLINE):
            request = b""
            while not request:
                accepted, _ = await loop.sock_accept(listener)
                with accepted:
                    request = await loop.sock_recv(accepted, 100)
        assert request.startswith(b"GET / HTTP/1.1")
        with pytest.raises(OnesocketError):
            await connecting
        await client.aclose()


LONG = 107 if sys.platform == "linux" else 103


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("ws+unix://relative.sock", "absolute path"),
        ("unix:relative.sock", "absolute path"),
        ("ws+unix://host/path", "absolute path"),
        ("unix:", "absolute path"),
        ("ws+unix:///a%00b", "absolute path"),
        ("ws+unix:///a#b", "fragment"),
        ("ws+unix:///a b", "white space"),
        (f"unix:/{'x' * LONG}", f"at most {LONG} bytes (this one has {LONG + 1})"),
        ("ws+unix://user:s3cret@/path", "absolute path"),
        ("wss+unix:///path", "must begin with ws://"),
    ],
)
def test_urls_that_name_no_socket_are_refused(url: str, text: str) -> None:
    with pytest.raises(InvalidURL) as caught:
        Client(url)
    assert text in str(caught.value)
    assert "s3cret" not in str(caught.value)
    with pytest.raises(InvalidURL):
        join(url)


def test_their_secrets_are_not_shown() -> None:
    url = "ws+unix:///run/a:/p?token=s3cret"
    assert redact(url) == "ws+unix:///run/a:/p?token=***"
    address = parse_url(url, schemes=CLIENT_SCHEMES)
    assert (address.unix_path, address.target, address.authority) == ("/run/a", "/p?token=s3cret", "localhost")
    assert "s3cret" not in repr(address)
    assert ConnectionKey.of("unix:/run/a").url == ConnectionKey.of("ws+unix:/run/a:/").url != ConnectionKey.of(url).url
    with pytest.raises(InvalidURL):
        parse_url(url)  # where a server names an address, it can't be a file of this machine


@pytest.mark.parametrize(
    "options",
    [{"proxy": "http://p:1"}, {"local_address": "127.0.0.1"}, {"server_hostname": "a"}],
    ids=lambda options: next(iter(options)),
)
def test_options_that_mean_nothing_there_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        Client("unix:/run/a", **options)


@pytest.mark.skipif(not hasattr(select, "poll"), reason="there is no poll here")
async def test_the_peer_is_told_of_an_abort_while_bytes_are_unsent(tmp_path: Path) -> None:
    """There is no RST on Unix sockets: the kernel ends the peer's side at once, whatever it has not read."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        listener.settimeout(0)
        loop = asyncio.get_running_loop()
        client = Client(f"unix:{path}", open_timeout=0.3, reconnect=None)
        connecting = asyncio.create_task(client.connect())
        accepted, _ = await loop.sock_accept(listener)
        with accepted:
            with pytest.raises(OnesocketError):
                await connecting
            poll = select.poll()
            poll.register(accepted, 0)
            assert poll.poll(0)[0][1] & select.POLLHUP
            assert accepted.recv(100).startswith(b"GET / ")
        await client.aclose()
