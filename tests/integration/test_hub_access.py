"""Access to a hub: its tokens and origins, its address, and its status."""

import asyncio
import contextlib
import os
import socket
import stat
from pathlib import Path

import pytest
from websockets.asyncio.client import unix_connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from onesocket import State
from onesocket.hub import CannotListen, Endpoint, HubRunning, hubs
from onesocket.hub._hub_listener import HubListener
from onesocket.testing import FaultyServer
from onesocket.wire._http_response import HttpResponse
from onesocket.wire._request_parser import HttpRequest
from tests.integration.hub_clients import LOCAL, connected_program, next_message, running_hub
from tests.support.echo_listener import UPGRADE
from tests.support.waiting import DEADLINE, until

pytestmark = pytest.mark.usefixtures("private_runtime")


@pytest.mark.parametrize(
    ("headers", "path", "status"),
    [
        ({}, "", 401),
        ({"Authorization": "Bearer wrong"}, "", 401),
        ({"Authorization": "Basic c2VjcmV0"}, "", 401),
        ({}, "?token=wrong", 401),
        ({"Authorization": "Bearer s3cret"}, "", None),
        ({"Authorization": "bearer s3cret"}, "", None),
        ({}, "?token=s3cret", None),
    ],
)
async def test_the_local_token(headers: dict[str, str], path: str, status: int | None) -> None:
    async with FaultyServer() as server, running_hub(server, token="s3cret") as hub:
        if status is None:
            async with connected_program(hub, path, additional_headers=headers) as one:
                await one.send("in")
                assert await next_message(one) == "in"
        else:
            with pytest.raises(InvalidStatus) as refused:
                async with connected_program(hub, path, additional_headers=headers):
                    pass
            assert refused.value.response.status_code == status
            assert hub.counters.refused == 1
        assert "s3cret" not in repr(hub) + repr(hub.options) + repr(hub.access_policy)


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("https://evil.example", None, False),
        ("null", None, False),
        ("https://mine.example", None, True),
        ("HTTPS://Mine.example/", None, True),
        (None, "evil.example", False),
        (None, "evil.example:80", False),
        (None, "localhost:1234", True),
        (None, "app.localhost", True),
        (None, "hub:9000", True),
        (None, "[::1]:9000", True),
        (None, "192.168.1.5", True),
        (None, "[", False),
        # The hub's own address, as libraries for programs send it: that of the URL they connect to.
        ("http://127.0.0.1:8730", "127.0.0.1:8730", True),
        ("http://localhost:8730", "localhost:8730", True),
        ("http://[::1]:8730", "[::1]:8730", True),
        ("http://127.0.0.1", "127.0.0.1:80", True),
        ("https://HUB", "hub", True),
        # A page of another port, or by another name, is another's; a name that is not ours makes no origin ours.
        ("http://127.0.0.1:3000", "127.0.0.1:8730", False),
        ("http://localhost:8730", "127.0.0.1:8730", False),
        ("http://evil.example:8730", "evil.example:8730", False),
        ("file://127.0.0.1:8730", "127.0.0.1:8730", False),
        ("http://", "127.0.0.1:8730", False),
    ],
)
async def test_web_pages_and_names_that_were_bent(origin: str | None, host: str | None, allowed: bool) -> None:
    async with FaultyServer() as server, running_hub(
        server, allow_origins=["https://mine.example"], allow_hosts=["hub"]
    ) as hub:  # fmt: skip
        lines = ["GET / HTTP/1.1", f"Host: {host or '127.0.0.1'}", "Connection: keep-alive, Upgrade"]
        lines += ["Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="]
        lines += [f"Origin: {origin}"] if origin else []
        reader, writer = await asyncio.open_connection("127.0.0.1", hub.endpoint.port)
        writer.write("\r\n".join([*lines, "", ""]).encode())
        async with asyncio.timeout(DEADLINE):
            answer = await reader.readline()
            rest = b"" if allowed else await reader.read()
        assert answer.split()[1] == (b"101" if allowed else b"403")
        assert allowed or rest.endswith((b"start the hub with --allow-origin to let it", b"--allow-host to let it"))
        named = {text.encode() for text in (origin, (host or "").partition(":")[0]) if text}
        assert allowed or any(text in rest for text in named)
        writer.close()
        await writer.wait_closed()


async def test_a_name_in_the_target_is_checked_as_one_in_the_host_header_is() -> None:
    async with FaultyServer() as server, running_hub(server) as hub:
        for target, status in (("http://evil.example/", b"403"), ("http://127.0.0.1/", b"101"), ("//evil", b"101")):
            lines = [f"GET {target} HTTP/1.1", "Host: localhost", "Connection: Upgrade", "Upgrade: websocket"]
            lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="]
            reader, writer = await asyncio.open_connection("127.0.0.1", hub.endpoint.port)
            writer.write("\r\n".join([*lines, "", ""]).encode())
            async with asyncio.timeout(DEADLINE):
                answer = await reader.readline()
            assert answer.split()[1] == status
            writer.close()
            await writer.wait_closed()


@pytest.mark.parametrize(
    ("lines", "allowed"),
    [
        (["Connection: keep-alive", "Connection: UPGRADE", "Upgrade: h2c, WebSocket"], True),
        (["Connection: upgrade ,x", "Upgrade: h2c", "Upgrade: websocket"], True),
        (["Connection: keep-alive", "Upgrade: websocket"], False),
        (["Connection: Upgrade", "Upgrade: h2c"], False),
    ],
)
async def test_headers_that_are_lists_are_read_as_lists(lines: list[str], *, allowed: bool) -> None:
    async with FaultyServer() as server, running_hub(server) as hub:
        lines = ["GET / HTTP/1.1", "Host: 127.0.0.1", *lines]
        lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="]
        reader, writer = await asyncio.open_connection("127.0.0.1", hub.endpoint.port)
        writer.write("\r\n".join([*lines, "", ""]).encode())
        async with asyncio.timeout(DEADLINE):
            answer = await reader.readline()
        assert (answer.split()[1] == b"101") is allowed
        writer.close()
        await writer.wait_closed()


async def test_more_clients_than_may_be_are_told_so() -> None:
    async with FaultyServer() as server, running_hub(server, max_clients=1) as hub, connected_program(hub):
        with pytest.raises(InvalidStatus) as refused:
            async with connected_program(hub):
                pass
        assert refused.value.response.status_code == 503


async def test_connections_that_send_nothing_keep_no_client_out() -> None:
    async with (
        FaultyServer() as server,
        running_hub(server, max_clients=2) as hub,
        contextlib.AsyncExitStack() as stack,
    ):
        silent = [stack.enter_context(socket.create_connection(("127.0.0.1", hub.endpoint.port))) for _ in range(300)]
        for half in silent[::2]:
            half.sendall(b"GET / HTTP/1.1\r\n")
        for _ in range(2):
            one = await stack.enter_async_context(connected_program(hub))
            await one.send("hi")
            assert await next_message(one) == "hi"
        with pytest.raises(InvalidStatus, match="503"):
            await stack.enter_async_context(connected_program(hub))
        listener = hub._listener  # pyright: ignore[reportPrivateUsage] - the bound on descriptors
        assert repr(listener).endswith("clients=2 pending=256>")


async def test_all_clients_may_come_at_once() -> None:
    async with (
        FaultyServer() as server,
        running_hub(server, max_clients=300) as hub,
        contextlib.AsyncExitStack() as stack,
    ):
        address = "127.0.0.1", hub.endpoint.port
        clients = [stack.enter_context(socket.create_connection(address)) for _ in range(300)]
        await until(lambda: repr(hub._listener).endswith("pending=300>"))  # pyright: ignore[reportPrivateUsage]
        for client in clients:
            client.sendall(UPGRADE)
        await until(lambda: hub.frontend.clients == len(clients))


async def test_a_unix_socket_for_this_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "hub.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))  # left by a process that was killed
    async with FaultyServer() as server:
        async with running_hub(server, listen=Endpoint(path=str(path))) as hub:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            async with unix_connect(str(path), uri="ws://anything.example/") as one:
                await one.send("hi")
                assert await next_message(one) == "hi"
            with pytest.raises(CannotListen, match="a process listens there already"):
                async with running_hub(server, listen=Endpoint(path=str(path)), key="another"):
                    pass
            assert hub.url == "ws://localhost/"
        assert not path.exists()
        path.write_text("no socket")
        with pytest.raises(CannotListen, match="is no socket"):
            async with running_hub(server, listen=Endpoint(path=str(path))):
                pass
        assert path.read_text() == "no socket"


async def test_a_second_hub_for_the_same_connection_names_the_first(private_runtime: Path) -> None:
    async with FaultyServer() as server, running_hub(server) as hub:
        with pytest.raises(HubRunning, match=f"process {os.getpid()} .* on {hub.endpoint}") as caught:
            async with running_hub(server):
                pass
        assert caught.value.pid == os.getpid()
        assert server.counts.handshakes == 1
        async with running_hub(server, key="another"):
            listed = await asyncio.to_thread(hubs)
            assert {one.listen for one in listed} > {str(hub.endpoint)}
            assert {one.state for one in listed} == {State.CONNECTED}
    assert hubs() == []
    (private_runtime / "0123.hub").write_text("a leftover")
    assert hubs() == []


async def test_metrics_are_numbers_and_no_secrets() -> None:
    async with (
        FaultyServer(echo=False) as server,
        running_hub(server, metrics=LOCAL, token="s3cret", client_options={"token": "up-s3cret"}) as hub,
        connected_program(hub, "?token=s3cret") as one,
    ):
        await server.broadcast("12345")
        assert await next_message(one) == "12345"
        await one.send("abc")
        await server.wait_until(lambda counts: counts.messages_received == 1)
        await until(lambda: hub.counters.sent.total == 1)
        text = await scrape(hub.metrics_endpoint.port, "/metrics", "127.0.0.1")
        assert text.startswith("HTTP/1.1 200 OK")
        assert "text/plain; version=0.0.4" in text
        lines = text.partition("\r\n\r\n")[2].splitlines()
        values = dict(line.split() for line in lines if not line.startswith("#"))
        connected = '{onesocket_connection_state="connected",onesocket_connection_role="owner"}'
        assert values[f"onesocket_client_connection_state{connected}"] == "1"
        assert values["onesocket_client_received_messages_total"] == "1"
        assert values["onesocket_hub_received_messages_total"] == "1"
        assert values["onesocket_hub_received_bytes_total"] == "5"
        assert values["onesocket_hub_sent_bytes_total"] == "3"
        assert values["onesocket_hub_clients"] == "1"
        assert sum(line.startswith("# TYPE") for line in lines) == len({name.partition("{")[0] for name in values})
        assert "s3cret" not in text
        assert " 404 " in (await scrape(hub.metrics_endpoint.port, "/other", "127.0.0.1")).splitlines()[0]
        assert " 403 " in (await scrape(hub.metrics_endpoint.port, "/metrics", "evil.example")).splitlines()[0]
        assert "a name that is not ours, (empty): " in await scrape(hub.metrics_endpoint.port, "/metrics", "")
        upgrade = UPGRADE.decode().partition("Host: ")[2].removesuffix("\r\n\r\n")
        assert " 200 " in (await scrape(hub.metrics_endpoint.port, "/metrics", upgrade)).splitlines()[0]


async def scrape(port: int, path: str, host: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    async with asyncio.timeout(DEADLINE):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.decode()


async def test_pages_that_may_connect_and_a_browser_without_a_token() -> None:
    async with (
        FaultyServer() as server,
        running_hub(server, allow_origins=["*"]) as hub,
        connected_program(hub, origin=Origin("https://anywhere.example")) as one,
    ):
        await one.send("x")
        assert await next_message(one) == "x"


async def test_two_that_bound_the_same_port_can_not_both_listen() -> None:
    def respond(_: HttpRequest) -> HttpResponse:
        return HttpResponse.text(404, "")

    first, second = (HubListener(respond, max_clients=1) for _ in range(2))
    try:
        await first.bind(Endpoint("127.0.0.1", 0), "--listen")
        await second.bind(first.endpoint, "--listen")
        await first.serve()
        with pytest.raises(CannotListen, match="in use; choose another place with --listen"):
            await second.serve()
    finally:
        first.stop()
        second.stop()
