"""Unmodified bots at a hub. `make compat` and `make compat-python` run this once the libraries are installed."""

import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.campaigns.compat.bot_process import BotProcess, running_bot
from tests.integration.test_hub_discord import world

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setenv("ONESOCKET_RUNTIME_DIR", str(tmp_path))


async def told(bot: BotProcess, condition: Callable[[BotProcess], bool]) -> None:
    await bot.until(lambda: condition(bot), "what it waits for", 30)


async def test_two_unmodified_discord_py_bots() -> None:
    python = str(ROOT / ".compat/discord.py/bin/python")
    clients = ROOT / "tests/campaigns/compat/clients"
    async with world() as here, AsyncExitStack() as stack:
        variables = {**os.environ, "BOT_TOKEN": here.token, "PYTHONPATH": str(clients)}
        command = [python, str(clients / "discord_py.py"), here.server.api_url, here.hub.url, "zlib-stream"]
        bots = [await stack.enter_async_context(running_bot(command, ROOT, variables)) for _ in range(2)]
        for bot in bots:
            await told(bot, lambda bot: bot.ready == 1)
        await here.post("hello bots")
        for bot in bots:
            await told(bot, lambda bot: "hello bots" in bot.messages)
        await here.post("say pong")
        for bot in bots:
            await told(bot, lambda bot: list(bot.messages).count("pong") == 2)
        assert here.server.stats.identifies == 1
        assert here.server.stats.open == 1
        assert here.hub.frontend.clients == 2
