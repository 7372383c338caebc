"""The chat in a real browser: a headless Chromium on ``onesocket chat --web``."""

import asyncio
import signal
from collections.abc import AsyncIterator

import aiohttp
import pytest
from playwright.async_api import Browser

from onesocket_discord import DiscordClient, Intents
from onesocket_discord.rest import Accounts, Rest
from onesocket_discord.server import ChatServer
from tools.screenshots import PASSWORD, TerminalPage, browser, web_chat

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def server() -> AsyncIterator[ChatServer]:
    async with ChatServer() as one:
        yield one


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    async with browser() as one:
        yield one


async def opened(chromium: Browser, url: str) -> TerminalPage:
    screen = TerminalPage(await chromium.new_page(viewport={"width": 1100, "height": 640}))
    await screen.page.goto(url, wait_until="commit")
    await screen.until_drawn("Password")
    await screen.begin()
    return screen


async def test_a_browser_and_a_bot_talk_through_a_lost_connection(server: ChatServer, chromium: Browser) -> None:
    bob_token = await server.create_user("bob", PASSWORD)
    async with (
        web_chat(server.api_url, "ada") as (url, _),
        Rest(bob_token, api_url=server.api_url, token_type=None) as rest,
        DiscordClient(bob_token, Intents.GUILD_MESSAGES, api_url=server.api_url, token_type=None) as bob,
        bob.subscribe("MESSAGE_CREATE", gaps=False) as heard,
    ):
        guild = (await rest.guilds())[0]["id"]
        general = (await rest.guild_channels(guild))[0]["id"]
        screen = await opened(chromium, url)
        await screen.press(PASSWORD, "F2")
        await screen.until_drawn("CONNECTED")
        await server.wait_for(lambda stats: stats.open == 2)

        await rest.send_message(general, "greetings to the browser")
        await screen.until_drawn("●")
        await screen.press("F2")
        await screen.until_drawn("greetings to the browser")

        await server.faults.drop_connection(user="ada")
        await rest.send_message(general, "said while the line was down")
        await screen.until_drawn("said while the line was down")

        await screen.press("typed in a browser", "Enter")
        async with asyncio.timeout(20):
            async for message in heard:
                if getattr(message.data.author, "username", "") == "ada":
                    assert message.plain["content"] == "typed in a browser"
                    break
        stored = [one["content"] async for one in rest.history(general)]
        assert stored == ["typed in a browser", "said while the line was down", "greetings to the browser"]
        assert server.stats.open == 2

        await screen.page.close()  # ends its application, which closes its connection in order
        await server.wait_for(lambda stats: stats.open == 1 and stats.sessions == 1, timeout=20)


async def test_it_ends_in_order_while_a_page_is_open(server: ChatServer, chromium: Browser) -> None:
    async with web_chat(server.api_url, "ada") as (url, process):
        screen = await opened(chromium, url)
        await screen.press(PASSWORD, "F2")
        await server.wait_for(lambda stats: stats.open == 1, timeout=20)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await process.wait() == 0
        await server.wait_for(lambda stats: stats.open == 0 and stats.sessions == 0)


async def test_it_works_by_the_name_of_the_machine_and_offers_no_other_server(
    server: ChatServer, chromium: Browser
) -> None:
    async with web_chat(server.api_url, "ada") as (url, _):
        screen = await opened(chromium, url.replace("127.0.0.1", "localhost"))
        assert "Name" in screen.drawn
        assert "Server" not in screen.drawn
        await screen.press("a" + PASSWORD, *["ArrowLeft"] * len(PASSWORD), "Backspace", "F2")
        await screen.until_drawn("CONNECTED")
        await server.wait_for(lambda stats: stats.open == 1)
        await screen.press("Enter", "typed at once, and sent", "Enter")
        token = await Accounts(server.api_url).login("ada", PASSWORD)
        async with Rest(token, api_url=server.api_url, token_type=None) as rest:
            guild = (await rest.guilds())[0]["id"]
            general = (await rest.guild_channels(guild))[0]["id"]
            async with (
                DiscordClient(token, Intents.GUILD_MESSAGES, api_url=server.api_url, token_type=None) as other,
                other.subscribe("MESSAGE_CREATE", gaps=False) as heard,
            ):
                await screen.press("second", "Enter")
                async with asyncio.timeout(20):
                    async for message in heard:
                        if message.plain["content"] == "second":
                            break
            stored = [one["content"] async for one in rest.history(general)]
        assert stored == ["second", "typed at once, and sent"]


async def test_other_sites_get_no_application(server: ChatServer) -> None:
    async with web_chat(server.api_url, "ada") as (url, _), aiohttp.ClientSession() as http:
        for origin in ("http://evil.example", "null", ""):
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                await http.ws_connect(f"{url}/ws", origin=origin or None)
        async with http.get(url) as page:
            assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
