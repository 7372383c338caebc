"""One port for the page, HTTP and the gateway, and which web pages may use it."""

import asyncio
import contextlib
import hashlib
import itertools
import json
import re
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web

from onesocket.errors import InvalidOption
from onesocket_discord.server import ChatServer, GatewayOptions
from onesocket_discord.server._login_guard import LoginGuard
from onesocket_discord.server.rest import OriginPolicy, RateLimit, StaticPage
from tests.unit.onesocket_discord.server.gateway.raw_client import DEADLINE, dial

pytestmark = pytest.mark.timeout(60)

UPGRADE = (
    "GET /?v=10&encoding=json HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{more}\r\n"
)


@pytest.fixture
async def server() -> AsyncIterator[ChatServer]:
    async with ChatServer() as one:
        yield one


async def ask(server: ChatServer, *parts: str) -> bytes:
    """Send these parts, each in a segment of its own; returns the first line of the answer."""
    url = urlsplit(server.api_url)
    async with asyncio.timeout(DEADLINE):
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        try:
            for part in parts:
                writer.write(part.encode())
                await writer.drain()
                await asyncio.sleep(0)
            return await reader.readline()
        finally:
            writer.close()


async def test_http_and_the_gateway_share_the_port(server: ChatServer) -> None:
    assert urlsplit(server.api_url).netloc == urlsplit(server.gateway_url).netloc
    async with dial(server.gateway_url) as client, aiohttp.ClientSession() as http:
        await client.hello()
        async with http.get(f"{server.api_url}/gateway") as answer:
            assert await answer.json() == {"url": server.gateway_url}


async def test_a_request_may_come_in_pieces_and_its_body_is_no_upgrade(server: ChatServer) -> None:
    host = urlsplit(server.api_url).netloc
    whole = UPGRADE.format(host=host, more="")
    assert (await ask(server, whole[:40], whole[40:90], whole[90:])).startswith(b"HTTP/1.1 101")
    body = "\r\nUpgrade: websocket\r\n\r\n"
    post = f"POST /api/v10/auth/login HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n"
    assert (await ask(server, post + body)).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("cuts", [(), (1, 3, 50)])
async def test_an_upgrade_may_be_asked_for_on_a_connection_that_http_has_kept_alive(
    server: ChatServer, cuts: tuple[int, ...]
) -> None:
    """Libraries and reverse proxies send it on a connection of their pool."""
    url = urlsplit(server.api_url)
    get = f"GET {url.path}/gateway HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode()
    upgrade = UPGRADE.format(host=url.netloc, more="").encode()
    async with asyncio.timeout(DEADLINE):
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        for _ in range(2):
            writer.write(get)
            assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")
        for start, end in itertools.pairwise((0, *cuts, len(upgrade))):
            writer.write(upgrade[start:end])
            await writer.drain()
            await asyncio.sleep(0)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        assert (await reader.readexactly(2))[0] == 0x81  # HELLO
        writer.close()


async def test_a_library_that_reuses_its_connections_gets_to_the_gateway(server: ChatServer) -> None:
    connector = aiohttp.TCPConnector(limit=1)
    async with asyncio.timeout(DEADLINE), aiohttp.ClientSession(connector=connector) as http:
        for _ in range(3):
            async with http.get(f"{server.api_url}/gateway") as answer:
                await answer.read()
            async with http.ws_connect(f"{server.gateway_url}?v=10&encoding=json") as socket:
                assert (await socket.receive_json())["op"] == 10
    await server.wait_for(lambda stats: stats.open == 0, timeout=DEADLINE)


async def test_a_gateway_port_of_its_own_is_besides_the_shared_one() -> None:
    async with ChatServer(gateway_port=0) as server:
        assert urlsplit(server.api_url).port != urlsplit(server.gateway_url).port
        for url in (server.gateway_url, server.api_url.replace("http", "ws").removesuffix("api/v10")):
            async with dial(url) as client:
                await client.hello()


async def test_a_slow_upgrade_delays_the_gateway_alone(server: ChatServer) -> None:
    with server.faults.slow_upgrade(3600):
        upgrade = asyncio.create_task(ask(server, UPGRADE.format(host="127.0.0.1", more="")))
        async with aiohttp.ClientSession() as http, http.get(f"{server.api_url}/gateway") as answer:
            assert answer.status == 200
        assert not upgrade.done()
        upgrade.cancel()
        await asyncio.wait([upgrade])


async def test_a_connection_without_a_request_ends_with_the_server() -> None:
    async with ChatServer() as server:
        url = urlsplit(server.api_url)
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        writer.write(b"GET / HT")
        await ask(server, UPGRADE.format(host="127.0.0.1", more=""))
    async with asyncio.timeout(DEADLINE):
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
    writer.close()


async def test_too_many_connections_without_a_request_are_answered_503() -> None:
    async with ChatServer(options=GatewayOptions(max_connections=1)) as server:
        url = urlsplit(server.api_url)
        _, waits = await asyncio.open_connection(url.hostname, url.port)
        assert (await ask(server)).startswith(b"HTTP/1.1 503")
        waits.close()


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1.evil.example", "http://[", "file://"]
)
async def test_the_gateway_refuses_pages_of_other_sites(server: ChatServer, origin: str) -> None:
    host = urlsplit(server.api_url).netloc
    line = await ask(server, UPGRADE.format(host=host, more=f"Origin: {origin}\r\n"))
    assert line.startswith(b"HTTP/1.1 403")
    assert server.stats.open == 0


async def test_the_gateway_accepts_its_own_page_and_those_of_this_machine(server: ChatServer) -> None:
    host = urlsplit(server.api_url).netloc
    for origin in (f"http://{host}", "http://localhost:3000", f"https://{host}"):
        line = await ask(server, UPGRADE.format(host=host, more=f"Origin: {origin}\r\n"))
        assert line.startswith(b"HTTP/1.1 101"), origin


@pytest.mark.parametrize(
    ("origin", "host", "http", "gateway"),
    [
        (None, "chat.example", True, True),
        ("http://127.0.0.1:3000", "127.0.0.1:8720", True, True),
        ("http://192.168.1.5:8720", "192.168.1.5:8720", True, True),
        ("http://192.168.1.5", "192.168.1.5:80", True, True),
        ("http://192.168.1.6:8720", "192.168.1.5:8720", False, False),
        ("http://192.168.1.5:8721", "192.168.1.5:8720", False, False),
        # A name may have been pointed here; whoever has a token may connect, but nobody registers.
        ("http://rebound.example:8720", "rebound.example:8720", False, True),
        ("https://chat.example", "127.0.0.1:8720", True, True),
        ("https://chat.example:8443", "127.0.0.1:8720", False, False),
        ("https://chat.example.evil.example", "127.0.0.1:8720", False, False),
    ],
)
def test_which_origins_may(origin: str | None, host: str, *, http: bool, gateway: bool) -> None:
    policy = OriginPolicy(["https://chat.example/"])
    assert policy.allows(origin, host) is http
    assert policy.allows_gateway(origin, host) is gateway


@pytest.mark.parametrize(
    "origin", ["chat.example", "ftp://chat.example", "https://chat.example/page", "https://", "http://["]
)
def test_an_origin_has_a_scheme_and_a_host(origin: str) -> None:
    with pytest.raises(InvalidOption, match=r"https://chat\.example"):
        OriginPolicy([origin])


async def test_a_page_that_may_use_the_server_reads_its_answers_and_another_one_does_not() -> None:
    asks = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization,content-type"}
    async with ChatServer(origins=["https://app.example"]) as server, aiohttp.ClientSession() as http:
        url = f"{server.api_url}/users/@me"
        for origin, is_allowed in (("https://app.example", True), ("https://evil.example", False), ("null", False)):
            page = {"Origin": origin}
            async with http.options(url, headers=page | asks) as answer:
                assert (answer.status == 204) is is_allowed
                assert answer.headers.get("Access-Control-Allow-Origin") == (origin if is_allowed else None)
                named = answer.headers.get("Access-Control-Allow-Headers", "").lower()
                assert ("authorization" in named) is is_allowed
                assert "Access-Control-Allow-Credentials" not in answer.headers
            async with http.get(url, headers=page) as answer:  # also what goes wrong is told
                assert answer.status == (401 if is_allowed else 403)
                assert answer.headers.get("Access-Control-Allow-Origin") == (origin if is_allowed else None)
                assert answer.headers["Vary"] == "Origin"
        for path in ("/", "/healthz", "/control/stats"):  # these are for no other page
            async with http.get(server.page_url[:-1] + path, headers={"Origin": "https://app.example"}) as answer:
                assert "Access-Control-Allow-Origin" not in answer.headers
        async with http.get(url) as answer:
            assert not [name for name in answer.headers if name.startswith("Access-Control")]


async def test_the_page_has_strict_headers_and_is_not_sent_twice(server: ChatServer) -> None:
    assert server.page_url == server.api_url.removesuffix("api/v10")
    async with aiohttp.ClientSession() as http:
        async with http.get(server.page_url) as answer:
            body, headers = await answer.read(), answer.headers
        assert headers["Content-Type"] == "text/html; charset=utf-8"
        assert (headers["Cache-Control"], headers["Server"]) == ("no-cache", "onesocket")
        assert headers["X-Content-Type-Options"] == "nosniff"
        policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
        assert policy["default-src"] == "'self'"
        assert policy["require-trusted-types-for"] == "'script'"
        assert "unsafe" not in headers["Content-Security-Policy"]
        digest = hashlib.sha256(body).hexdigest()[:32]
        assert (headers["ETag"], headers["Content-Encoding"]) == (f'"{digest}-gzip"', "gzip")
        assert int(headers["Content-Length"]) < len(body) / 2
        for path in ("channels", "channels/", "channels/@me", "invite/AbC-1_2", "invite/AbC-1_2/"):
            async with http.get(server.page_url + path) as answer:
                assert await answer.read() == body
        async with http.get(f"{server.page_url}channels/@me/1", headers={"If-None-Match": headers["ETag"]}) as answer:
            assert (answer.status, await answer.read()) == (304, b"")
        for accepted in ("identity", "br, GZIP; q=0.0, x-gzip"):
            async with http.get(server.page_url, headers={"Accept-Encoding": accepted}) as answer:
                assert "Content-Encoding" not in answer.headers
                assert (answer.headers["ETag"], await answer.read()) == (f'"{digest}"', body)
                assert answer.headers["Vary"] == "Accept-Encoding"
        async with http.get(server.page_url, headers={"Accept-Encoding": "br, Gzip;q=0.5"}) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
        # Its files have addresses with their version, so they are asked for once; of another version there are none.
        (main,) = re.findall(r'src="/(assets/[0-9a-f]{16}/main.js)"', body.decode())
        for address, policy_of in ((main, "immutable"), ("assets/main.js", "no-cache"), ("start.js", "no-cache")):
            async with http.get(server.page_url + address) as answer:
                assert (answer.status, answer.headers["Content-Type"]) == (200, "text/javascript; charset=utf-8")
                assert answer.headers["Cache-Control"].endswith(policy_of)
        for path in (
            f"assets/{'0' * 16}/main.js",
            f"assets/{'0' * 16}/nothing.js",
            "assets/nothing.js",
            "../pyproject.toml",
            "assets/..%2f..%2f__init__.py",
        ):
            async with http.get(server.page_url + path) as answer:
                assert answer.status == 404, path
                assert json.loads(await answer.read())["code"] == 0


async def test_a_browser_at_an_unknown_address_is_shown_the_way_back() -> None:
    accept = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    async with ChatServer() as server, aiohttp.ClientSession(server.page_url) as http:
        for path in ("/settings", "/assets/nothing", "/attachments/1/2/gone.png"):
            async with http.get(path, headers=accept) as answer:
                assert (answer.status, answer.content_type) == (404, "text/html")
                assert '<a href="/">' in await answer.text()
                assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        for path, headers in (("/api/v10/nothing", accept), ("/api", accept), ("/settings", {"Accept": "*/*"})):
            async with http.get(path, headers=headers) as answer:
                assert (answer.status, answer.content_type) == (404, "application/json")
        async with http.post("/settings", headers=accept) as answer:
            assert answer.content_type == "application/json"


async def test_without_the_page_it_says_where_it_is() -> None:
    page = StaticPage({})
    assert not page.is_installed
    app = web.Application()
    page.add_routes(app.router)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{runner.addresses[0][1]}/") as answer:
            assert answer.status == 404
            assert "pip install onesocket-chat" in await answer.text()
    finally:
        await runner.cleanup()


async def test_behind_a_proxy_clients_are_told_its_addresses() -> None:
    async with ChatServer(public_url="https://chat.example", trusted_proxies=["127.0.0.1"]) as server:
        assert server.page_url == "https://chat.example/"
        token = await server.create_bot("robo")
        headers = {"Authorization": f"Bot {token}", "Host": "chat.example"}
        async with dial(server.gateway_url) as client, aiohttp.ClientSession(headers=headers) as http:
            await client.hello()
            await client.send(2, {"token": token, "intents": 1})
            assert (await client.until("READY"))["d"]["resume_gateway_url"] == "wss://chat.example/"
            channel = (await client.until("GUILD_CREATE"))["d"]["channels"][0]["id"]
            for path in ("", "/bot"):
                async with http.get(f"{server.api_url}/gateway{path}") as answer:
                    assert (await answer.json())["url"] == "wss://chat.example/"
            form = aiohttp.FormData()
            form.add_field("payload_json", "{}")
            form.add_field("files[0]", b"x", filename="a.txt")
            async with http.post(f"{server.api_url}/channels/{channel}/messages", data=form) as answer:
                file = (await answer.json())["attachments"][0]
            assert file["url"].startswith("https://chat.example/attachments/")
            here = server.api_url.removesuffix("/api/v10")
            async with http.get(file["url"].replace("https://chat.example", here)) as answer:
                assert await answer.read() == b"x"


async def test_the_gateway_and_http_refuse_other_pages_than_the_public_addresss() -> None:
    async with ChatServer(public_url="https://chat.example") as server:
        get = "GET /api/v10/gateway HTTP/1.1\r\nHost: chat.example\r\n{more}\r\n"
        for origin, status in (
            ("https://chat.example", (b"200", b"101")),
            ("http://localhost:3000", (b"403", b"403")),
            ("http://chat.example", (b"403", b"403")),
        ):
            for request, wanted in zip((get, UPGRADE), status, strict=True):
                line = await ask(server, request.format(host="chat.example", more=f"Origin: {origin}\r\n"))
                assert line.split()[1] == wanted, origin


async def test_the_gateway_counts_the_clients_that_a_trusted_proxy_names() -> None:
    options = GatewayOptions(max_per_address=2)
    async with ChatServer(trusted_proxies=["127.0.0.1"], options=options) as server:

        async def line(address: str) -> bytes:
            return await ask(server, UPGRADE.format(host="127.0.0.1", more=f"X-Forwarded-For: {address}\r\n"))

        async with contextlib.AsyncExitStack() as stack:
            for address in ("2001:db8::1", "2001:db8::2"):
                headers = {"X-Forwarded-For": address}
                await stack.enter_async_context(dial(server.gateway_url, additional_headers=headers))
            await server.wait_for(lambda stats: stats.open == 2)
            assert (await line("2001:db8::3")).startswith(b"HTTP/1.1 429")
            assert (await line("203.0.113.5")).startswith(b"HTTP/1.1 101")
            assert (await line("2001:db8::3, 203.0.113.5")).startswith(b"HTTP/1.1 101")
        await server.wait_for(lambda stats: stats.open == 0)
        assert not server._gateway.state.forwarded
        assert (await line("2001:db8::3")).startswith(b"HTTP/1.1 101")


async def test_the_gateway_looks_up_no_more_unknown_tokens_of_one_address(server: ChatServer) -> None:
    server._gateway.state.login_guard = LoginGuard(RateLimit(2, 60.0))
    codes = []
    for number in range(3):
        async with dial(server.gateway_url) as client:
            await client.hello()
            await client.send(2, {"token": f"guess{number}", "intents": 1})
            codes.append(await client.close_code())
    assert codes == [4004, 4004, 4008]


@pytest.mark.parametrize("header", ["X-Forwarded-For: 203.0.113.5", "X-Forwarded-Proto: https", "Forwarded: for=_a"])
async def test_the_control_endpoint_is_not_reached_through_a_proxy(server: ChatServer, header: str) -> None:
    """A proxy on this machine may ask by an address: every client would seem to be here."""
    request = "GET /control/stats HTTP/1.1\r\nHost: 127.0.0.1\r\n{more}\r\n"
    assert (await ask(server, request.format(more=""))).split()[1] == b"401"
    assert (await ask(server, request.format(more=f"{header}\r\n"))).split()[1] == b"403"
