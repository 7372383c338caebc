"""Discord's API and gateway through a proxy: one option, and one environment, for both."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from onesocket.errors import InvalidOption, InvalidURL, OnesocketError, ProxyFailed
from onesocket.testing import FaultyServer
from onesocket_discord import DiscordClient, Intents
from onesocket_discord.rest import Accounts, Rest
from tests.support.commands import run_command
from tests.support.proxies import HttpProxy, Socks5Proxy, serving

TOKEN = "MTIz.secret.token"
DEADLINE = 10


class Api:
    """The API of a gateway, and the peers that it was requested from."""

    def __init__(self, gateway: str) -> None:
        self.gateway = gateway
        self.peers: list[str] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.peers.append(str(request.remote))
        return web.json_response({"url": self.gateway, "id": "1"})


@pytest.fixture
async def api(server: FaultyServer) -> AsyncIterator[Api]:
    api = Api(server.url)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", api.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listener).start()
    api.url = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
    yield api
    await runner.cleanup()


async def until_upgraded(client: DiscordClient, server: FaultyServer) -> None:
    """Connect; no Discord is behind that gateway, so it isn't ready."""
    client.connect_nowait()
    await server.wait_until(lambda counts: counts.upgraded == 1, timeout=DEADLINE)
    await client.aclose()


@pytest.mark.parametrize("source", ["option", "environment"])
async def test_the_api_and_the_gateway_are_reached_through_the_same_proxy(
    api: Api, server: FaultyServer, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = HttpProxy(credentials="us@er:p@ss")
    async with serving(proxy) as port:
        url = f"http://us%40er:p%40ss@127.0.0.1:{port}"
        options: dict[str, Any] = {"proxy": url} if source == "option" else {}
        if source == "environment":
            monkeypatch.setenv("HTTP_PROXY", url)
        await until_upgraded(DiscordClient(TOKEN, Intents.GUILDS, api_url=api.url, **options), server)
        firsts = [head.split(" HTTP", 1)[0] for head in proxy.requests]
        assert firsts == [f"GET {api.url}/gateway/bot", f"CONNECT 127.0.0.1:{server.port}"]


async def test_the_api_is_requested_from_the_local_address(api: Api, server: FaultyServer) -> None:
    client = DiscordClient(TOKEN, Intents.GUILDS, api_url=api.url, local_address="127.0.0.5")
    await until_upgraded(client, server)
    assert api.peers == ["127.0.0.5"]


async def test_a_socks_proxy_of_the_environment_is_not_passed_by(
    api: Api, server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = Socks5Proxy()
    async with serving(proxy) as port:
        monkeypatch.setenv("ALL_PROXY", f"socks5h://127.0.0.1:{port}")
        for call in (
            DiscordClient(TOKEN, Intents.GUILDS, api_url=api.url).connect,
            Rest(TOKEN, api_url=api.url).me,
        ):
            with pytest.raises(InvalidOption, match="all_proxy in the environment names one of SOCKS"):
                await call()
        assert api.peers == []
        await until_upgraded(DiscordClient(TOKEN, Intents.GUILDS, gateway_url=server.url), server)
        assert proxy.targets == ["127.0.0.1"]


async def test_a_socks_proxy_is_refused_where_only_http_can_pass() -> None:
    with pytest.raises(InvalidOption, match="proxy= names one of SOCKS"):
        Rest(TOKEN, proxy="socks5h://127.0.0.1")
    with pytest.raises(InvalidOption, match="proxy= names one of SOCKS"):
        await Accounts("http://127.0.0.1:1/", proxy="socks5h://127.0.0.1").login("name", "password")
    with pytest.raises(InvalidOption):
        DiscordClient(TOKEN, Intents.GUILDS, proxy="socks5h://127.0.0.1")
    with pytest.raises(InvalidURL):
        Rest(TOKEN, proxy="ftp://127.0.0.1")


async def failure(rest: Rest) -> OnesocketError:
    async with rest, asyncio.timeout(DEADLINE):
        with pytest.raises(OnesocketError) as caught:
            await rest.me()
    return caught.value


async def test_a_proxy_that_fails_is_named_by_rest_too(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = HttpProxy(credentials="a:b")
    async with serving(proxy) as port:
        error = await failure(
            Rest(TOKEN, api_url="https://127.0.0.1:1/", proxy=f"http://u:s3cret@127.0.0.1:{port}", max_retries=0)
        )
    assert type(error) is ProxyFailed
    assert f"the proxy 127.0.0.1:{port} did not connect to the API: HTTP 407" in str(error)
    assert "s3cret" not in str(error)
    assert (error.status, error.retryable) == (407, False)
    monkeypatch.setenv("https_proxy", f"127.0.0.1:{port}")
    error = await failure(Rest(TOKEN, api_url="https://127.0.0.1:1/", max_retries=0))
    assert type(error) is ProxyFailed
    assert f"the proxy 127.0.0.1:{port} (from https_proxy in the environment) can't be used" in str(error)
    assert error.retryable


async def test_a_session_of_ones_own_has_its_own_proxy(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with aiohttp.ClientSession() as session, Rest(TOKEN, api_url=api.url, session=session) as rest:
        assert (await rest.me())["id"] == "1"
    async with Rest(TOKEN, api_url=api.url, proxy=None) as rest:
        assert (await rest.me())["id"] == "1"


async def test_the_hub_takes_the_same_options(api: Api) -> None:
    for options in (
        ("--proxy", "socks5h://p"),
        ("--proxy", "http://p", "--no-proxy"),
        ("--server-hostname", "a.example"),
        ("--local-address", "no address"),
    ):
        status, _, errors = await run_command("share", api.url, "--discord", "--token", TOKEN, *options)
        assert status == 2, errors
        assert any(word in errors for word in ("proxy", "--server-hostname", "--local-address"))
