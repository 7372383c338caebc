"""HTTP over raw sockets: what no client sends, and how long the server bears with it."""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web

from onesocket_discord.server import ChatServer, GatewayOptions, RequestRecord
from onesocket_discord.server.rest import HttpConnectionLimiter, make_app
from tests.support.waiting import until
from tests.unit.onesocket_discord.server.service_fixture import running_service

DEADLINE = 30.0
FORM = json.dumps({"username": "mallory", "password": "correct horse"}).encode()


def host_and_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 0


async def exchange(server: ChatServer, *lines: bytes, body: bytes = b"") -> tuple[int, dict[str, str], Any]:
    """One request as it stands here: the status, the headers and the body of the answer."""
    async with asyncio.timeout(DEADLINE):
        reader, writer = await asyncio.open_connection(*host_and_port(server.api_url))
        writer.write(b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"Connection: close", b"", body]))
        head, _, rest = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    first, *others = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in others)}
    return int(first.split()[1]), headers, json.loads(rest) if rest else None


@pytest.mark.parametrize(
    "lines",
    [
        (b"GET /api/v10/users/@me HTTP/1.1", b"Host: x", b"Authorization: SECRET\x01"),
        (b"GET /api/v10/users/SECRET\x01 HTTP/1.1", b"Host: x"),
        (b"GET /api/v10/users/@me HTTP/1.1", b"Host: x", b"Authorization: SECRET " + b"x" * 9000),
        (b"GET /api/v10/gateway HTTP/1.1", b"Host: x", b"Expect: SECRET\xff"),
        (b"SECRET",),
    ],
)
async def test_what_is_no_http_is_refused_as_discord_does_and_repeated_nowhere(
    lines: tuple[bytes, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with ChatServer() as server:
        status, headers, body = await exchange(server, *lines)
    assert (status, body) == (400, {"message": "400: Bad Request", "code": 0})
    assert (headers["content-type"], headers["server"]) == ("application/json", "onesocket")
    assert "SECRET" not in caplog.text


@pytest.mark.parametrize(
    ("more", "body"),
    [(b"X: y", b'{"login":"\xed\xa0\x80"}'), (b"X: y", b"\xff"), (b"Content-Encoding: gzip", b"no gzip at all")],
)
async def test_a_body_that_is_no_text_is_no_error_of_ours(more: bytes, body: bytes) -> None:
    async with ChatServer() as server:
        status, _, answer = await exchange(
            server, b"POST /api/v10/auth/login HTTP/1.1", b"Host: x", b"Content-Type: application/json", more, body=body
        )
    assert (status, answer["code"]) == (400, 50109)


async def test_headers_that_are_no_text_are_stored_as_text() -> None:
    async with ChatServer() as server:
        agent = b"User-Agent: Br\xffwser"
        status, _, registered = await exchange(
            server,
            b"POST /api/v10/auth/register HTTP/1.1",
            b"Host: x",
            b"Content-Type: application/json",
            agent,
            body=FORM,
        )
        assert status == 201
        token = b"Authorization: " + registered["token"].encode()
        _, _, logins = await exchange(server, b"GET /api/v10/auth/sessions HTTP/1.1", b"Host: x", token)
        assert logins["user_sessions"][0]["client_info"]["user_agent"] == "Br?wser"
        other = await server.service.authenticate(await server.create_user("ann", "correct horse"))
        guild = server.service.default_guild
        assert other is not None
        ban = f"/api/v10/guilds/{guild}/bans/{other.user_id} HTTP/1.1".encode()
        reason = b"X-Audit-Log-Reason: l\xffud %F0%9F%94%8A"
        status, _, _ = await exchange(server, b"PUT " + ban, b"Host: x", token, reason)
        assert status == 204
        _, _, banned = await exchange(server, b"GET " + ban, b"Host: x", token)
        assert banned["reason"] == "l?ud 🔊"


@pytest.mark.parametrize(
    ("name", "code"), [(b'name="\xff"; filename="a"', 50109), (b'name="files[0]"; filename="\0"', 50109)]
)
async def test_a_name_in_a_form_that_is_no_text_is_no_error_of_ours(name: bytes, code: int) -> None:
    part = b"--x\r\nContent-Disposition: form-data; " + name + b"\r\n\r\nb\r\n--x--\r\n"
    async with ChatServer() as server:
        token = (await server.create_user("mallory", "correct horse")).encode()
        status, _, answer = await exchange(
            server,
            b"POST /api/v10/channels/1/messages HTTP/1.1",
            b"Host: x",
            b"Authorization: " + token,
            b"Content-Type: multipart/form-data; boundary=x",
            body=part,
        )
    assert (status, answer["code"]) == (400, 50109)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"application/json", b'{"content":"too late"}'),
        (
            b"multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="payload_json"\r\n\r\n{"content":"too late"}\r\n--x--\r\n',
        ),
    ],
)
async def test_a_body_that_arrives_after_the_end_of_its_token_does_nothing(kind: bytes, body: bytes) -> None:
    async with ChatServer() as server, asyncio.timeout(DEADLINE):
        token = await server.create_user("mallory", "correct horse")
        account = await server.service.authenticate(token)
        assert account is not None
        guild = server.service.default_guild
        channel = (await server.service.channels.of_guild(account, guild))[0]["id"].encode()
        reader, writer = await asyncio.open_connection(*host_and_port(server.api_url))
        lines = (
            b"POST /api/v10/channels/%b/messages HTTP/1.1" % channel,
            b"Host: x",
            b"Authorization: " + token.encode(),
            b"Content-Type: " + kind,
            b"Content-Length: %d" % len(body),
            b"Expect: 100-continue",
            b"Connection: close",
        )
        writer.write(b"\r\n".join([*lines, b"", b""]))
        assert b"100" in await reader.readuntil(b"\r\n\r\n")  # aiohttp has begun, and reads the body
        writer.write(body[:5])
        await until(lambda: len(server.service.accounts._logins._known) > 0)
        await asyncio.sleep(0.1)
        await server.service.accounts.set_banned("mallory", banned=True)
        writer.write(body[5:])
        head = await reader.readline()
        writer.close()
        assert b" 401 " in head
        assert await server.service.messages.history(account, int(channel)) == []


@pytest.mark.parametrize("kind", [b"application/json", b"multipart/form-data; boundary=x"])
async def test_a_client_that_leaves_within_its_body_is_no_error_of_ours(
    kind: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """As a proxy does that tries another server: it was logged with a traceback, and counted as status 500."""
    seen: list[RequestRecord] = []
    async with ChatServer(on_request=seen.append) as server, asyncio.timeout(DEADLINE):
        token = (await server.create_user("mallory", "correct horse")).encode()
        reader, writer = await asyncio.open_connection(*host_and_port(server.api_url))
        lines = (
            b"POST /api/v10/channels/1/messages HTTP/1.1",
            b"Host: x",
            b"Authorization: " + token,
            b"Content-Type: " + kind,
            b"Content-Length: 100",
            b"Expect: 100-continue",
        )
        writer.write(b"\r\n".join([*lines, b"", b""]))
        assert b"100" in await reader.readuntil(b"\r\n\r\n")  # aiohttp has begun, and reads the body
        writer.write(b"--x\r\n")
        writer.close()
        await until(lambda: len(seen) == 1)
    assert seen[0].status == 400
    assert "failed" not in caplog.text


# --- browsers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (b"http://evil.example", 403),
        (b"http://localhost.evil.example", 403),
        (b"http://evil.example:80@192.0.2.1", 403),
        (b"http://[", 403),
        (b"null", 403),
        (b"http://localhost:3000", 201),
        (b"http://127.0.0.1:3000", 201),
        (b"http://[::1]:3000", 201),
    ],
)
async def test_a_web_page_of_another_host_can_not_register(origin: bytes, status: int) -> None:
    # Without JSON's content type a browser asks nobody before it sends this.
    lines = (b"POST /api/v10/auth/register HTTP/1.1", b"Host: 127.0.0.1", b"Content-Type: text/plain")
    async with ChatServer() as server:
        assert (await exchange(server, *lines, b"Origin: " + origin, body=FORM))[0] == status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (b"127.0.0.1:80", 200),
        (b"localhost", 200),
        (b"[::1]:80", 200),
        (b"0.0.0.0:80", 200),
        (b"evil.example:80", 403),
        (b"", 403),
        (b"127.0.0.1.evil.example", 403),
        (b"[", 403),
    ],
)
async def test_the_control_endpoint_is_at_an_address_and_not_at_a_name(host: bytes, status: int, tmp_path: Any) -> None:
    file = tmp_path / "control.json"
    async with ChatServer(control_file=file) as server:
        token = json.loads(file.read_text())["token"].encode()
        lines = (b"GET /control/stats HTTP/1.1", b"Authorization: Control " + token, b"Host: " + host)
        assert (await exchange(server, *lines))[0] == status
        assert (await exchange(server, *lines, b"Origin: http://evil.example"))[0] == 403


# --- how many, and for how long ---------------------------------------------------------------------------------------


async def test_connections_over_the_limit_are_told_so_until_there_is_room() -> None:
    async with ChatServer(options=GatewayOptions(max_connections=3)) as server, asyncio.timeout(DEADLINE):
        request = b"GET /api/v10/gateway HTTP/1.1\r\nHost: x\r\n\r\n"
        kept = [await asyncio.open_connection(*host_and_port(server.api_url)) for _ in range(3)]
        for _, writer in kept:
            writer.write(request)
        assert all([(await reader.readline()).startswith(b"HTTP/1.1 200") for reader, _ in kept])
        reader, writer = await asyncio.open_connection(*host_and_port(server.api_url))
        writer.write(request)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        assert head.startswith(b"HTTP/1.1 503")
        assert b"Retry-After: 5" in head
        assert json.loads(body)["code"] == 0
        kept[0][1].close()
        while True:  # the server sees the end when its loop comes to it
            try:
                status, _, _ = await exchange(server, b"GET /api/v10/gateway HTTP/1.1", b"Host: x")
            except (ConnectionError, json.JSONDecodeError, IndexError):
                continue
            if status == 200:
                break
        for _, writer in kept[1:]:
            writer.close()


@asynccontextmanager
async def app_with_deadlines(
    *, idle: float = DEADLINE, answer_timeout: float = DEADLINE
) -> AsyncIterator[tuple[Any, ...]]:
    """The application on a socket, with deadlines of one's own: the world, the connections, and where they are."""

    async def nothing(_: object) -> dict[str, Any]:
        return {}

    async with running_service() as world:
        app = make_app(
            world.service, gateway_url=lambda: "ws://x/", session_start_limit=nothing, answer_timeout=answer_timeout
        )
        runner = web.AppRunner(app, shutdown_timeout=1.0)
        await runner.setup()
        assert runner.server is not None
        connections = HttpConnectionLimiter(runner.server, 10, idle=idle)
        listener = await asyncio.get_running_loop().create_server(connections, "127.0.0.1", 0)
        try:
            yield world, connections, listener.sockets[0].getsockname()
        finally:
            listener.close()
            await runner.cleanup()


@pytest.mark.parametrize("begun", [b"", b"GET /api/v10/gateway HTTP/1.1\r\nHost", b"\r\n" * 10])
async def test_who_asks_for_nothing_is_let_go(begun: bytes) -> None:
    async with app_with_deadlines(idle=0.2) as (_, connections, where), asyncio.timeout(DEADLINE):
        reader, writer = await asyncio.open_connection(*where)
        writer.write(begun)
        assert await reader.read() == b""
        writer.close()
        assert connections.open == 0


async def test_who_does_not_read_is_let_go() -> None:
    async with app_with_deadlines(answer_timeout=0.3) as (world, connections, where), asyncio.timeout(DEADLINE):
        made = await world.service.accounts.register({"username": "ann", "password": "correct horse"})
        ann = await world.account(made["token"])
        channel = await world.general(ann)
        for _ in range(100):
            await world.say(ann, channel, "x" * 2000)
        with socket.create_connection(where) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            request = (
                f"GET /api/v10/channels/{channel}/messages?limit=100 HTTP/1.1\r\nHost: x\r\n"
                f"Authorization: {made['token']}\r\n\r\n"
            )
            client.setblocking(False)
            await asyncio.get_running_loop().sock_sendall(client, request.encode() * 60)
            await until(lambda: connections.open == 1)
            await until(lambda: connections.open == 0)


async def test_stopping_takes_no_longer_for_both_than_for_one() -> None:
    async with ChatServer(options=GatewayOptions(close_timeout=1.2)) as server, asyncio.timeout(DEADLINE):
        token = await server.create_user("ann", "correct horse")
        begun = asyncio.Event()

        async def post(*_: object, **__: object) -> None:
            begun.set()
            await asyncio.Event().wait()

        server.service.messages.post = post  # type: ignore[assignment]
        session = aiohttp.ClientSession()
        asked = asyncio.ensure_future(
            session.post(f"{server.api_url}/channels/1/messages", json={}, headers={"Authorization": token})
        )
        reader, writer = await asyncio.open_connection(*host_and_port(server.gateway_url))
        writer.write(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await reader.readuntil(b"heartbeat_interval")
        await begun.wait()
        before = asyncio.get_running_loop().time()
        await server.stop()
        assert asyncio.get_running_loop().time() - before < 2.6  # one after the other: 3.2 s
        with pytest.raises(aiohttp.ClientError):
            await asked
        writer.close()
        await session.close()
