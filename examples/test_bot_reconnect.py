# ruff: noqa: S101 - pytest's assert
"""Test that a discord.py bot reconnects and misses no message, against a local Discord server.

    pip install "onesocket-discord[server]" discord.py pytest pytest-asyncio
    pytest -o asyncio_mode=auto examples/test_bot_reconnect.py

The addresses of Discord are patched in two places; everything else is the bot as it runs in production.
"""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import discord
import pytest
import yarl

from onesocket_discord.server import ChatServer


class EchoBot(discord.Client):
    """The bot under test, which echoes the messages of users."""

    async def on_message(self, message: discord.Message) -> None:
        """Answer, but not to bots."""
        if not message.author.bot:
            await message.channel.send(f"you said {message.content}")


@pytest.fixture
async def bot(chat_server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EchoBot]:
    """Return the bot, ready, on a server of its own."""
    monkeypatch.setattr(discord.http.Route, "BASE", chat_server.api_url)
    monkeypatch.setattr(discord.gateway.DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(chat_server.gateway_url))
    bot = EchoBot(intents=discord.Intents.all())
    running = asyncio.ensure_future(bot.start(await chat_server.create_bot("echo")))
    await asyncio.wait_for(bot.wait_until_ready(), 10)
    yield bot
    await bot.close()
    await running


class ChatUser:
    """A user who sends messages to the bot, and reads its answers."""

    def __init__(self, server: ChatServer, token: str, channel: int) -> None:
        self._url = f"{server.api_url}/channels/{channel}/messages"
        self._headers = {"Authorization": token}

    async def say(self, text: str) -> None:
        """Send a message."""
        async with (
            aiohttp.ClientSession(headers=self._headers) as http,
            http.post(self._url, json={"content": text}) as answer,
        ):
            assert answer.status == 200

    async def sees(self, text: str) -> bool:
        """Return whether the text is in the channel's history."""
        async with aiohttp.ClientSession(headers=self._headers) as http, http.get(self._url) as answer:
            return text in [message["content"] for message in await answer.json()]


@pytest.fixture
async def user(chat_server: ChatServer, bot: EchoBot) -> ChatUser:
    """Return the user ann, in a channel of the bot."""
    token = await chat_server.create_user("ann", "correct horse")
    return ChatUser(chat_server, token, bot.guilds[0].text_channels[0].id)


async def wait_until_answered(bot: EchoBot) -> None:
    """Wait until the bot has received its own answer, which is stored by then."""
    await bot.wait_for("message", check=lambda message: message.author == bot.user, timeout=10)


async def test_asked_to_reconnect_it_resumes_and_answers(chat_server: ChatServer, bot: EchoBot, user: ChatUser) -> None:
    """Op 7 (reconnect)."""
    await chat_server.faults.reconnect(user="echo")
    await chat_server.wait_for(lambda stats: stats.resumes == 1)
    answer = asyncio.ensure_future(wait_until_answered(bot))
    await user.say("hello")
    await answer
    assert await user.sees("you said hello")
    assert chat_server.stats.identifies == 1


async def test_messages_sent_while_the_bot_is_disconnected_are_answered(
    chat_server: ChatServer, bot: EchoBot, user: ChatUser
) -> None:
    """A TCP reset, and then a server that refuses the upgrade once."""
    chat_server.faults.refuse_upgrade(503)  # so that the bot stays disconnected for a moment
    answer = asyncio.ensure_future(wait_until_answered(bot))
    await chat_server.faults.drop_connection(user="echo")
    await user.say("are you there?")
    await answer
    assert await user.sees("you said are you there?")
    assert (chat_server.stats.identifies, chat_server.stats.resumes) == (1, 1)


async def test_a_lost_session_makes_it_identify_again(chat_server: ChatServer, bot: EchoBot, user: ChatUser) -> None:
    """Op 9 (invalid session), `false`."""
    await chat_server.faults.invalid_session(resumable=False, user="echo")
    await chat_server.wait_for(lambda stats: stats.identifies == 2, timeout=20)
    answer = asyncio.ensure_future(wait_until_answered(bot))
    await user.say("hello")
    await answer
    assert await user.sees("you said hello")
