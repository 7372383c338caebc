"""The trial of a library: one bot, one person and one server for each row."""

from __future__ import annotations

import contextlib
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from onesocket.errors import OnesocketError
from onesocket_discord.server import ChatServer, GatewayOptions, Stats
from tests.campaigns.compat.bot_process import BotProcess, running_bot
from tests.campaigns.compat.libraries import NONE, PAYLOAD, ZLIB, ZSTD, TrialCase
from tests.campaigns.compat.person import Person, connected_person
from tests.campaigns.harness.worker_process import WorkerFailure

BOT: Final = "robo"
_SECONDS: Final = 30.0
"""For each step. Libraries wait a few seconds of their own accord before they come back."""
_AWAY_SECONDS: Final = 1.0
"""How long the server makes a bot wait that comes back, so that a message can be sent in the meantime."""

_LIMITED_SECONDS: Final = 0.4


class StepFailed(Exception):
    """The library did something else."""


@dataclass
class TrialResult:
    """A row of the table."""

    row: TrialCase
    steps: dict[str, str] = field(default_factory=dict[str, str])
    """By step: nothing if it went well, else why it didn't."""

    @property
    def failed(self) -> bool:
        """True if a step failed or was not reached."""
        return any(self.steps.get(step, "not reached") for step in STEPS)


@dataclass
class Trial:
    """The participants: server, person and bot."""

    server: ChatServer
    person: Person
    bot: BotProcess
    compression: str

    async def becomes_ready(self) -> None:
        """READY, by one Identify, with the compression of this row."""
        await self.bot.until(lambda: self.bot.ready > 0, "ready", _SECONDS)
        self._expect("identifies", self.server.stats.identifies, 2)  # the person is the other
        self._expect("compression", _asked_for(self.server.stats), self.compression)

    async def receives(self) -> None:
        """Receive a message of another user."""
        await self._tell("hello")

    async def sends(self) -> None:
        """Its answer is stored, and others see it."""
        await self.person.say("say pong")
        pong = BOT, "pong"
        seen = self.person.until(lambda: pong in self.person.seen)
        await self.bot.during(seen, "its message to be seen by others", _SECONDS)
        self._expect("copies of its message that are stored", (await self.person.history()).count(pong), 1)

    async def waits(self) -> None:
        """A 429: it waits as long as it's told, and sends its answer again."""
        with self.server.faults.delay_dispatches(_SECONDS, user=BOT):  # until the person has spoken, by the same route
            await self.person.say("say limited")
            limit = self.server.faults.rate_limit(_LIMITED_SECONDS, "POST /channels/*/messages")
        limited = BOT, "limited"
        seen = self.person.until(lambda: limited in self.person.seen)
        await self.bot.during(seen, "its message to be seen after a 429", _SECONDS)
        self._expect("requests that were refused", limit.happened, 1)
        self._expect("copies of its message that are stored", (await self.person.history()).count(limited), 1)

    async def resumes(self) -> None:
        """Op 7: back without a new session, and with what was said in the meantime, once."""
        before = self.server.stats
        with self.server.faults.slow_upgrade(_AWAY_SECONDS):
            self._expect("connections asked to reconnect", await self.server.faults.reconnect(user=BOT), 1)
            await self._counted("to leave", lambda stats: stats.open < before.open)
            await self.person.say("while you were away")
            self._expect("resumes before the message was sent", self.server.stats.resumes - before.resumes, 0)
            await self._counted(
                "to come back",
                lambda stats: stats.resumes > before.resumes or stats.identifies > before.identifies,
            )
        await self._tell("welcome back")
        after = self.server.stats
        self._expect("resumes", after.resumes - before.resumes, 1)
        self._expect("new sessions", after.identifies - before.identifies, 0)
        await self._got("while you were away")

    async def starts_afresh(self) -> None:
        """Op 9 without a session to resume: a new one."""
        before = self.server.stats
        told = await self.server.faults.invalid_session(resumable=False, user=BOT)
        self._expect("connections whose session was invalidated", told, 1)
        await self._counted("to identify again", lambda stats: stats.identifies > before.identifies)
        await self._tell("nice to meet you")
        after = self.server.stats
        self._expect("new sessions", after.identifies - before.identifies, 1)
        self._expect("resumes", after.resumes - before.resumes, 0)

    async def _tell(self, text: str) -> None:
        await self.person.say(text)
        await self._got(text)

    async def _got(self, text: str) -> None:
        await self.bot.until(lambda: text in self.bot.messages, f"to receive {text!r}", _SECONDS)
        twice = [message for message, times in Counter(self.bot.messages).items() if times > 1]
        self._expect("received more than once", twice, [])

    async def _counted(self, what: str, condition: Callable[[Stats], bool]) -> None:
        await self.bot.during(self.server.wait_for(condition, timeout=_SECONDS), what, _SECONDS)

    def _expect(self, what: str, number: object, wanted: object) -> None:
        if number != wanted:
            raise StepFailed(f"{what}: {number} instead of {wanted}")


STEPS: Final[dict[str, Callable[[Trial], Awaitable[None]]]] = {
    "ready": Trial.becomes_ready,
    "receives": Trial.receives,
    "sends": Trial.sends,
    "waits (429)": Trial.waits,
    "resumes (op 7)": Trial.resumes,
    "new session (op 9)": Trial.starts_afresh,
}
"""In this order; none is tried after one that failed."""


def _asked_for(stats: Stats) -> str:
    counted = {ZLIB: stats.zlib_stream, ZSTD: stats.zstd_stream, PAYLOAD: stats.packed}
    return ", ".join(name for name, number in counted.items() if number) or NONE


async def run_trial(
    row: TrialCase, program: list[str], script: Path, folder: Path, environment: dict[str, str]
) -> TrialResult:
    """Run a bot through every step."""
    result = TrialResult(row)
    step = next(iter(STEPS))
    try:
        async with contextlib.AsyncExitStack() as stack:
            server = await stack.enter_async_context(ChatServer(options=GatewayOptions(identify_interval=0)))
            token = await server.create_user("ann", "a secret of ann's")
            person = await stack.enter_async_context(connected_person(server.api_url, server.gateway_url, token))
            command = [*program, str(script), server.api_url, server.gateway_url, row.compression]
            variables = {**environment, "BOT_TOKEN": await server.create_bot(BOT)}
            bot = await stack.enter_async_context(running_bot(command, folder, variables))
            trial = Trial(server, person, bot, row.compression)
            for step, perform in STEPS.items():
                await perform(trial)
                result.steps[step] = ""
    except (StepFailed, WorkerFailure, OnesocketError) as error:
        result.steps[step] = str(error)
    except Exception as error:  # noqa: BLE001 - one row must not end the others
        result.steps[step] = f"{error!r}\n{''.join(traceback.format_exception(error))}"
    return result
