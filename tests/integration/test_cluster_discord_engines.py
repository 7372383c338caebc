"""A bot's fleet of three processes with a real engine, of which leaders are killed or leave. The chat server counts."""

import asyncio
import contextlib
import json
from pathlib import Path

import pytest

from onesocket_discord.pytest_plugin import chat_server as chat_server_fixture
from onesocket_discord.server import ChatServer
from tests.support.programs import DEADLINE, running_python

pytestmark = pytest.mark.skipif(not hasattr(asyncio, "open_unix_connection"), reason="Unix only")
chat_server = chat_server_fixture
LEASE = 2.5
PROGRAM = str(Path(__file__).parent / "discord_host.py")


async def line_of(host: asyncio.subprocess.Process) -> str:
    assert host.stdout is not None
    line = await asyncio.wait_for(host.stdout.readline(), DEADLINE)
    try:
        return str(json.loads(line))
    except ValueError:
        raise AssertionError((line + await host.stdout.read()).decode()) from None


async def leave(host: asyncio.subprocess.Process) -> None:
    """Have a host leave in order."""
    assert host.stdin is not None
    host.stdin.write(b"\n")
    assert await asyncio.wait_for(host.wait(), DEADLINE) == 0


async def test_one_identify_for_a_fleet_whose_leaders_are_killed_and_leave(
    engine_url: str, chat_server: ChatServer, tmp_path: Path
) -> None:
    token = await chat_server.create_bot("robo")
    writer = await chat_server.service.authenticate(await chat_server.create_bot("writer"))
    assert writer is not None
    (channel,) = await chat_server.service.channels.of_guild(writer, chat_server.service.default_guild)

    async def say(text: str) -> None:
        await chat_server.service.messages.post(writer, int(channel["id"]), {"content": text})

    async def host(stack: contextlib.AsyncExitStack, name: str) -> asyncio.subprocess.Process:
        arguments = [token, chat_server.gateway_url, engine_url, LEASE, str(tmp_path / name)]
        process = await stack.enter_async_context(running_python(PROGRAM, json.dumps(arguments)))
        assert await line_of(process) == "joined"
        return process

    async with contextlib.AsyncExitStack() as stack:
        first = await host(stack, "1")
        second, third = await asyncio.gather(host(stack, "2"), host(stack, "3"))
        await say("one")
        assert [await line_of(each) for each in (first, second, third)] == ["one"] * 3
        first.kill()
        await chat_server.wait_for(lambda stats: stats.open == 0)
        await say("two")
        await chat_server.wait_for(lambda stats: stats.resumes >= 1)
        await say("three")
        assert [[await line_of(each) for _ in range(2)] for each in (second, third)] == [["two", "three"]] * 2
        await leave(second)
        await say("four")
        assert await line_of(third) == "four"
        await leave(third)
        assert chat_server.stats.identifies == 1
        assert chat_server.stats.resumes in (1, 2)  # the third host led already, or after the second one
