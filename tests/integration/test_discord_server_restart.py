"""A server killed in the middle of traffic: two users of the chat and a bot come back, and the ledger agrees."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest

from onesocket import Gap, OnesocketError, ReconnectPolicy
from onesocket_chat.session import SessionOptions
from onesocket_discord import DiscordClient, Dispatch, Intents
from onesocket_discord.rest import Rest
from tests.campaigns.compat.chat_user import signed_in_user
from tests.campaigns.compat.ledger import StoredMessage, TrialLedger, bot_faults, screen_faults, store_faults
from tests.campaigns.compat.restart_trial import RestartTrial
from tests.campaigns.compat.server_process import running_server
from tests.campaigns.compat.trial import BOT

QUICK = ReconnectPolicy(initial=0.05, cap=0.3)


class EchoingBot:
    """Answers X to a message ``say X``."""

    def __init__(self, rest: Rest) -> None:
        self.ready = 0
        self.messages: list[str] = []
        self.sent: list[str] = []
        self.answering: set[asyncio.Task[None]] = set()
        self._rest = rest
        self._news = asyncio.Event()

    async def until(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        del what
        async with asyncio.timeout(seconds):
            while not condition():
                self._news.clear()
                await self._news.wait()

    def take(self, message: Dispatch | Gap) -> None:
        if isinstance(message, Gap):
            return
        if message.event == "GUILD_CREATE":
            self.ready += 1
        elif message.event == "MESSAGE_CREATE":
            data: Any = message.plain
            content = str(data["content"])
            self.messages.append(content)
            if content.startswith("say "):
                task = asyncio.create_task(self._answer(data["channel_id"], content.removeprefix("say ")))
                self.answering.add(task)
                task.add_done_callback(self.answering.discard)
        self._news.set()

    async def _answer(self, channel_id: str, content: str) -> None:
        with suppress(OnesocketError):  # the server was killed: nothing was acknowledged
            await self._rest.send_message(channel_id, content)
            self.sent.append(content)


@asynccontextmanager
async def bot(token: str, api_url: str) -> AsyncIterator[EchoingBot]:
    intents = Intents.GUILDS | Intents.GUILD_MESSAGES | Intents.MESSAGE_CONTENT
    async with Rest(token, api_url=api_url, max_retries=0) as rest:
        robo = EchoingBot(rest)
        client = DiscordClient(token, intents, api_url=api_url, reconnect=QUICK)
        client.on(robo.take)
        async with client:
            yield robo
        for task in robo.answering:
            task.cancel()


@pytest.mark.timeout(300)  # several processes and applications: long where the cores are busy
async def test_killed_in_traffic_everybody_comes_back_and_nothing_is_lost_or_doubled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onesocket_discord.protocol._gateway.INVALID_SESSION_WAIT", (0.0, 0.1))
    ledger, options = TrialLedger(), SessionOptions(reconnect=QUICK)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(running_server(tmp_path))
        people = [
            await stack.enter_async_context(signed_in_user(server.api_url, name, ledger, options=options))
            for name in ("ada", "bob")
        ]
        robo = await stack.enter_async_context(bot(await server.create_bot(BOT), server.api_url))
        everybody = RestartTrial(server, people, robo, ledger)
        await everybody.gather()
        await everybody.stop_server(SIGKILL)
        await everybody.restart_server()
        await everybody.agree()
        (absence,) = everybody.absences
        assert absence.waiting >= 2
        assert everybody.stored >= everybody.typed + len(robo.sent)


# --- the ledger finds each kind of fault -----------------------------------------------------------------------------

HISTORY = [StoredMessage(1, "ada", "say a"), StoredMessage(2, BOT, "a"), StoredMessage(3, "ada", "b")]
SHOWN = [(one.message_id, one.content) for one in HISTORY]


def recorded() -> TrialLedger:
    return TrialLedger({("ada", 7): ["say a", "b"]}, {"say a", "b"}, {(7, 1, "say a")}, {"b"})


def test_books_that_agree() -> None:
    assert store_faults(recorded(), BOT, ["a"], {7: HISTORY}) == []
    assert screen_faults({7: HISTORY}, {("ada", 7): SHOWN}) == []
    assert bot_faults(recorded(), ["a", "b"], {7: HISTORY}) == []


@pytest.mark.parametrize(
    ("history", "reason"),
    [
        (HISTORY[:2], "acknowledged and lost: b"),
        ([*HISTORY, replace(HISTORY[2], message_id=4)], "stored more than once: b"),
        ([HISTORY[2], *HISTORY[:2]], "ada in 7: in another order"),
        ([HISTORY[0], HISTORY[2]], "an answer of the bot acknowledged and lost: a"),
        ([replace(HISTORY[0], message_id=9), *HISTORY[1:]], "shown as stored and lost: say a"),
    ],
)
def test_what_the_store_lost_doubled_or_moved_is_found(history: list[StoredMessage], reason: str) -> None:
    assert any(reason in found for found in store_faults(recorded(), BOT, ["a"], {7: history}))


@pytest.mark.parametrize("shown", [SHOWN[:2], SHOWN[1:], [*SHOWN, SHOWN[2]], SHOWN[::-1], []])
def test_a_panel_that_shows_anything_else_is_found(shown: list[tuple[int, str]]) -> None:
    (found,) = screen_faults({7: HISTORY}, {("ada", 7): shown})
    assert "ada's panel of 7" in found


@pytest.mark.parametrize(
    ("seen", "reason"),
    [(["a", "b", "b"], "saw twice: b"), (["b", "c"], "isn't stored: c"), (["a"], "missed: b")],
)
def test_what_the_bot_saw_wrongly_is_found(seen: list[str], reason: str) -> None:
    assert any(reason in found for found in bot_faults(recorded(), seen, {7: HISTORY}))
