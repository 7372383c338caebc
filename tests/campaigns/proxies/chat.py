"""The chat server behind each proxy, with TLS there, as `examples/chat` says. Each scenario raises `AssertionError`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl as ssl_module
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from onesocket import Gap
from onesocket.testing import FaultyServer
from onesocket_discord import DiscordClient, Dispatch, Intents
from onesocket_discord.server import ChatServer, GatewayOptions, RequestRecord
from tests.campaigns.proxies.chat_proxy import CADDY_ROOT, CHAT_CONFIGURATIONS
from tests.campaigns.proxies.proxy import Proxy, free_port
from tests.support.commands import end_by_signal, read_introduction, start_command

_SECONDS: Final = 20.0
_PAUSE: Final = 0.05
_INTENTS: Final = Intents.GUILDS | Intents.GUILD_MESSAGES | Intents.MESSAGE_CONTENT
_PASSWORD: Final = "correct horse and more"
_SPOOFED: Final = "203.0.113.99"
_RELOADS: Final = 3
_UPGRADE: Final = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{more}\r\n"
)


@dataclass(slots=True)
class ChatStage:
    """The programs of one scenario."""

    proxy: Proxy
    server: ChatServer
    trust: ssl_module.SSLContext
    requests: list[RequestRecord] = field(default_factory=list[RequestRecord])

    @property
    def origin(self) -> str:
        """The public address."""
        return self.server.public.origin

    @property
    def host(self) -> str:
        """The `Host` of the public address."""
        return f"localhost:{self.proxy.port}"

    @contextlib.asynccontextmanager
    async def browser(self, token: str | None = None) -> AsyncGenerator[aiohttp.ClientSession, None]:
        """Yield a client of HTTP that sends a made-up address along."""
        headers = {"X-Forwarded-For": _SPOOFED, "X-Forwarded-Proto": "gopher"}
        if token is not None:
            headers["Authorization"] = token
        connector = aiohttp.TCPConnector(ssl=self.trust)
        timeout = aiohttp.ClientTimeout(_SECONDS)
        async with aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout) as http:
            yield http

    async def register(self, name: str) -> str:
        """Register a person; returns the token."""
        async with self.browser() as http:
            body = {"username": name, "password": _PASSWORD}
            async with http.post(f"{self.server.public.api_url}/auth/register", json=body) as answer:
                _expect(answer.status == 201, f"registering: {answer.status}")
                return str((await answer.json())["token"])

    def client(self, token: str) -> DiscordClient:
        """Make a client of the gateway, whose address the API tells it."""
        return DiscordClient(
            token, _INTENTS, api_url=self.server.public.api_url, token_type=None, ssl=self.trust, proxy=None
        )

    async def raw(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a TLS connection to the proxy."""
        return await asyncio.open_connection("127.0.0.1", self.proxy.port, ssl=self.trust, server_hostname="localhost")


@contextlib.asynccontextmanager
async def chat_stage(
    name: str, program: str, folder: Path, certificate: Path, trust: ssl_module.SSLContext
) -> AsyncGenerator[ChatStage, None]:
    """Run a chat server behind a proxy."""
    port = free_port()
    proxy = Proxy(name, program, port, folder, certificate, configure=CHAT_CONFIGURATIONS[name])
    requests: list[RequestRecord] = []
    server = ChatServer(
        port=port,
        public_url=f"https://localhost:{proxy.port}",
        trusted_proxies=["127.0.0.1"],
        options=GatewayOptions(identify_interval=0),
        on_request=requests.append,
    )
    async with server:
        try:
            await proxy.start()
            if name == "caddy":  # it has written the certificate before it listens
                trust = ssl_module.create_default_context(cafile=str(folder.parent / "caddy" / CADDY_ROOT))
            stage = ChatStage(proxy, server, trust, requests)
            await _until_ready(stage)
            yield stage
        finally:
            await proxy.stop()


async def _until_ready(stage: ChatStage) -> None:
    """Wait until the proxy has its certificate and finds the server ready."""
    async with asyncio.timeout(_SECONDS), stage.browser() as http:
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                async with http.get(f"{stage.origin}/healthz") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(_PAUSE)


async def two_people_and_the_page(stage: ChatStage) -> str:
    """The page, registration, a file of 5 MB, and a message each way; addresses and schemes are the proxy's word."""
    ann, bob = await stage.register("ann"), await stage.register("bob")
    async with (
        stage.browser(ann) as http,
        stage.client(ann) as one,
        stage.client(bob) as other,
        one.subscribe("MESSAGE_CREATE") as to_ann,
        other.subscribe("MESSAGE_CREATE") as to_bob,
    ):
        async with http.get(stage.server.page_url) as answer:
            _expect(answer.status == 200 and "Content-Security-Policy" in answer.headers, f"the page: {answer.status}")
        async with http.get(f"{stage.origin}/control/stats") as answer:
            _expect(answer.status == 404, f"the control endpoint: {answer.status}")
        channel = await _channel(stage, http)
        form = aiohttp.FormData()
        form.add_field("payload_json", '{"content": "from ann"}')
        form.add_field("files[0]", bytes(5_000_000), filename="a.bin")
        async with http.post(f"{stage.server.public.api_url}/channels/{channel}/messages", data=form) as answer:
            _expect(answer.status == 200, f"a file: {answer.status}")
            url = (await answer.json())["attachments"][0]["url"]
        _expect(url.startswith(stage.origin), f"the file's address is {url}")
        async with http.get(url) as answer:
            _expect(await answer.read() == bytes(5_000_000), "the file is another one")
        async with stage.browser(bob) as https:
            await _say(stage, https, channel, "from bob")
        for stream in (to_ann, to_bob):
            _expect(await _read(stream, 2) == ["from ann", "from bob"], "other messages came")
    sources = {(request.address, request.scheme) for request in stage.requests if request.route != "/healthz"}
    _expect(sources == {("127.0.0.1", "https")}, f"the clients' addresses and schemes are {sources}")
    for origin, status in ((stage.origin, b"101"), ("https://evil.example", b"403")):
        line = await _ask_for_upgrade(stage, f"Origin: {origin}\r\n")
        _expect(line.split()[1] == status, f"a page of {origin}: {line!r}")
    return "one message each way, a file, the page"


async def a_reload_between_messages(stage: ChatStage) -> str:
    """Three reloads: nobody identifies again, and every message arrives once."""
    ann, bob = await stage.register("ann"), await stage.register("bob")
    async with (
        stage.browser(ann) as http,
        stage.client(ann) as one,
        stage.client(bob) as other,
        one.subscribe("MESSAGE_CREATE") as to_ann,
        other.subscribe("MESSAGE_CREATE") as to_bob,
    ):
        channel = await _channel(stage, http)
        wanted = []
        for number in range(_RELOADS):
            wanted += [f"before {number}", f"after {number}"]
            await _say(stage, http, channel, f"before {number}")
            await stage.proxy.reload()
            await _say(stage, http, channel, f"after {number}")
        for stream in (to_ann, to_bob):
            found = await _read(stream, len(wanted))
            _expect(found == wanted, f"{found} came")
        stats = stage.server.stats
        _expect(stats.identifies == 2, f"clients have identified again: {stats}")
    return f"every message once; {'resumed' if stats.resumes else 'connections survived'}"


async def an_upgrade_on_a_kept_alive_connection(stage: ChatStage) -> str:
    """A client's second request on one connection is the upgrade, again and again, and so may be the proxy's."""
    get = f"GET /api/v10/gateway HTTP/1.1\r\nHost: {stage.host}\r\n\r\n".encode()
    for _ in range(20):
        async with asyncio.timeout(_SECONDS):
            reader, writer = await stage.raw()
            writer.write(get)
            head = await reader.readuntil(b"\r\n\r\n")
            _expect(b" 200 " in head.splitlines()[0], f"the first request: {head!r}")
            await reader.readuntil(b"}")
            writer.write(_UPGRADE.format(path="/?v=10&encoding=json", host=stage.host, more="").encode())
            head = await reader.readuntil(b"\r\n\r\n")
            _expect(b" 101 " in head.splitlines()[0], f"the upgrade: {head!r}")
            _expect((await reader.readexactly(2))[0] == 0x81, "no HELLO came")
            writer.close()
    async with asyncio.timeout(_SECONDS):
        await stage.server.wait_for(lambda stats: stats.open == 0, timeout=_SECONDS)
    return "20 of 20"


async def a_hub_on_a_kept_alive_connection(stage: ChatStage) -> str:
    """The same at the port of a hub, `onesocket share`, in the chat server's place."""
    await stage.server.stop()
    port = stage.proxy.backend
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ONESOCKET_")}
    async with FaultyServer() as upstream:
        options = ("--listen", f"127.0.0.1:{port}", "--allow-host", "localhost", "--no-proxy")
        process = await start_command("share", upstream.url, *options, env=environment)
        try:
            lines = await read_introduction(process, "ready")
            _expect(lines and lines[-1].startswith("ready"), f"the hub has not started: {lines}")
            first = await _two_requests(stage, "GET /nothing HTTP/1.1\r\nHost: {host}\r\n\r\n")
            for _ in range(10):
                _expect(await _two_requests(stage, "GET /nothing HTTP/1.1\r\nHost: {host}\r\n\r\n") == first, "differs")
        finally:
            if process.returncode is None:
                await end_by_signal(process, signal.SIGTERM)
    return f"HTTP {first}, then 101"


async def _two_requests(stage: ChatStage, request: str) -> int:
    """A plain request, then an upgrade: on the same connection if it is kept alive; returns the first's status."""
    async with asyncio.timeout(_SECONDS):
        reader, writer = await stage.raw()
        writer.write(request.format(host=stage.host).encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.readexactly(int(head.partition("content-length: ")[2].split("\r\n")[0] or "0"))
        if "connection: close" in head:
            writer.close()
            reader, writer = await stage.raw()
        writer.write(_UPGRADE.format(path="/", host=stage.host, more="").encode())
        line = await reader.readline()
        writer.close()
        _expect(b" 101 " in line, f"the upgrade: {line!r}")
    return int(head.split()[1])


async def _ask_for_upgrade(stage: ChatStage, more: str) -> bytes:
    async with asyncio.timeout(_SECONDS):
        reader, writer = await stage.raw()
        writer.write(_UPGRADE.format(path="/?v=10&encoding=json", host=stage.host, more=more).encode())
        line = await reader.readline()
        writer.close()
        return line


async def _channel(stage: ChatStage, http: aiohttp.ClientSession) -> str:
    """The id of the default guild's channel."""
    async with http.get(f"{stage.server.public.api_url}/users/@me/guilds") as answer:
        (guild,) = await answer.json()
    async with http.get(f"{stage.server.public.api_url}/guilds/{guild['id']}/channels") as answer:
        return str((await answer.json())[0]["id"])


async def _say(stage: ChatStage, http: aiohttp.ClientSession, channel: str, text: str) -> None:
    """Send a message, again if its answer was lost: it is stored once."""
    url = f"{stage.server.public.api_url}/channels/{channel}/messages"
    body = {"content": text, "nonce": text, "enforce_nonce": True}
    async with asyncio.timeout(_SECONDS):
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with http.post(url, json=body) as answer:
                    if answer.status == 200:
                        return
                    _expect(answer.status in {502, 503, 504}, f"a message: {answer.status}")
            await asyncio.sleep(_PAUSE)


async def _read(stream: Any, number: int) -> list[str]:
    """The contents of so many messages."""
    found: list[str] = []
    async with asyncio.timeout(_SECONDS):
        while len(found) < number:
            item = await anext(stream)
            _expect(not isinstance(item, Gap), "a gap")
            if isinstance(item, Dispatch):
                found.append(item.data.content)
    return found


CHAT_SCENARIOS: Final[tuple[Callable[[ChatStage], Awaitable[str]], ...]] = (
    two_people_and_the_page,
    a_reload_between_messages,
    an_upgrade_on_a_kept_alive_connection,
    a_hub_on_a_kept_alive_connection,
)


def _expect(true: object, label: str) -> None:
    if not true:
        raise AssertionError(label)
