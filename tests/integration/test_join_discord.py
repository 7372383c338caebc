"""A DiscordClient shared through the registry: one identify, whoever joins. The chat server counts."""

import asyncio
import json
import sys
import threading
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from onesocket import State, blocking, join
from onesocket.errors import EncodeError, InvalidOption
from onesocket.sharing.host import HostOptions
from onesocket_discord import DiscordClient, Intents
from onesocket_discord.pytest_plugin import chat_server as chat_server_fixture
from onesocket_discord.server import ChatServer

chat_server = chat_server_fixture
INTENTS = Intents.GUILDS | Intents.GUILD_MESSAGES | Intents.MESSAGE_CONTENT
DEADLINE = 20.0


def client_factory(token: str, url: str) -> Any:
    """As a program writes it, in as many places as it likes."""
    return lambda: DiscordClient(token, INTENTS, gateway_url=url)


async def ask(server: ChatServer, token: str, method: str, path: str, body: Any = None) -> Any:
    headers = {"Authorization": f"Bot {token}"}
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, f"{server.api_url}{path}", json=body, headers=headers) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def channel_of(server: ChatServer, token: str) -> str:
    """A channel that the bot sees."""
    guild = (await ask(server, token, "GET", "/users/@me/guilds"))[0]["id"]
    channels = await ask(server, token, "GET", f"/guilds/{guild}/channels")
    return str(next(channel["id"] for channel in channels if channel["type"] == 0))


async def post(server: ChatServer, token: str, channel: str, text: str) -> None:
    await ask(server, token, "POST", f"/channels/{channel}/messages", {"content": text})


async def test_two_joins_are_one_identify_and_events_come_by_name(chat_server: ChatServer) -> None:
    url = chat_server.gateway_url
    token = await chat_server.create_bot("robo")
    make = client_factory(token, url)
    heard: list[str] = []
    joined = threading.Event()

    def elsewhere() -> None:
        with (
            blocking.join(url, client_factory=make) as client,
            client.subscribe("MESSAGE_CREATE", gaps=False) as stream,
        ):
            joined.set()
            heard.append(stream.receive(timeout=DEADLINE).data.content)

    async with (
        join(url, client_factory=make),
        join(url, client_factory=make) as second,
    ):
        assert chat_server.stats.identifies == 1
        assert second.state is State.CONNECTED
        channel = await channel_of(chat_server, token)
        thread = threading.Thread(target=elsewhere, daemon=True)
        thread.start()
        assert await asyncio.to_thread(joined.wait, DEADLINE)
        async with asyncio.timeout(DEADLINE), second.subscribe("MESSAGE_CREATE", gaps=False) as stream:
            await post(chat_server, token, channel, "to all")
            message = await anext(stream)
        assert (message.event, message.data.content) == ("MESSAGE_CREATE", "to all")
        await asyncio.to_thread(thread.join, DEADLINE)
        assert heard == ["to all"]
        await second.send({"op": 3, "d": {"since": None, "activities": [], "status": "idle", "afk": False}})
        with pytest.raises(EncodeError):
            await second.send({"op": 2, "d": {}})
        assert (chat_server.stats.identifies, chat_server.stats.handshakes) == (1, 1)


_OTHER = """
import asyncio, json, sys
import onesocket
from onesocket_discord import DiscordClient, Intents
from onesocket.sharing.host import HostOptions

async def main(token, url, directory, intents):
    make = lambda: DiscordClient(token, Intents(intents), gateway_url=url)
    host = HostOptions(directory=directory)
    async with onesocket.join(url, key="robo", client_factory=make, scope="host", host_options=host) as client:
        async with asyncio.timeout(20), client.subscribe("MESSAGE_CREATE", gaps=False) as stream:
            print("joined", flush=True)
            message = await anext(stream)
            print(json.dumps([message.event, message.sequence, message.data.content]), flush=True)

asyncio.run(main(*json.loads(sys.argv[1])))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Unix only")
async def test_processes_share_one_identify(chat_server: ChatServer, tmp_path: Path) -> None:
    url = chat_server.gateway_url
    token = await chat_server.create_bot("robo")
    make = client_factory(token, url)
    directory = tmp_path / "run"
    host = HostOptions(directory=str(directory))
    with pytest.raises(InvalidOption, match="key="):
        join(url, client_factory=make, scope="host", host_options=host)
    async with join(url, key="robo", client_factory=make, scope="host", host_options=host) as client:
        channel = await channel_of(chat_server, token)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", _OTHER, json.dumps([token, url, str(directory), int(INTENTS)])),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(DEADLINE), client.subscribe("MESSAGE_CREATE", gaps=False) as stream:
                assert await process.stdout.readline() == b"joined\n"
                await post(chat_server, token, channel, "to both")
                mine = await anext(stream)
                theirs = json.loads(await process.stdout.readline())
                assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert [mine.event, mine.sequence, mine.data.content] == theirs
        assert theirs[2] == "to both"
        assert (chat_server.stats.identifies, chat_server.stats.handshakes) == (1, 1)
