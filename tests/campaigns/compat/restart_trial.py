"""The last trial: a server, two people at the chat and a bot, while the server is killed and started again."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from onesocket_discord.rest import Rest
from tests.campaigns.compat.bot_process import running_bot
from tests.campaigns.compat.chat_user import ChatUser, signed_in_user
from tests.campaigns.compat.ledger import StoredMessage, TrialLedger, bot_faults, screen_faults, store_faults
from tests.campaigns.compat.libraries import TrialCase
from tests.campaigns.compat.server_process import ServerProcess, running_server
from tests.campaigns.compat.trial import BOT, StepFailed

CHANNELS: Final = ("#general", "#plans", "#news")
"""Each person has a panel for each."""
_PEOPLE: Final = ("ada", "bob")
_STEP_SECONDS: Final = 200.0
"""For each step; most of what is waited for has a shorter time of its own."""
_SECONDS: Final = 150.0
"""For the bot: discord.py's back-off is drawn from an interval that doubles with every attempt of
its life."""
_BACK_SECONDS: Final = 12.0
"""For our own applications, from the server's listening until they are back and their outboxes empty. Up to 3.3 s are
back-off, and up to 5 s the pause that is prescribed after a refused resume."""
_TRAFFIC: Final = 4
"""Messages that each person types before the server is ended."""


class AnsweringBot(Protocol):
    """A bot that answers X to a message ``say X``."""

    @property
    def ready(self) -> int:
        """How often it became ready."""
        ...

    @property
    def messages(self) -> Collection[str]:
        """The messages that it saw, in this order."""
        ...

    @property
    def sent(self) -> Collection[str]:
        """Its answers that were acknowledged."""
        ...

    async def until(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        """Wait until this holds."""
        ...


@dataclass
class ServerOutage:
    """One end of the server, and the recovery of all clients."""

    cause: str
    in_flight: int = 0
    """Messages of people that were on their way when the signal was sent."""
    waiting: int = 0
    """Messages that were shown as pending while it was away."""
    away: float = 0.0
    """Seconds from the signal until it listened again."""
    clients_back: float = 0.0
    """Seconds from then until the people were back and their outboxes empty."""
    back: float = 0.0
    """Seconds from then until the bot was back, too."""
    stats: dict[str, int] = field(default_factory=dict[str, int])
    """The counts of the new server at the end."""


class RestartTrial:
    """The participants: server, users and bot."""

    def __init__(
        self, server: ServerProcess, people: Sequence[ChatUser], bot: AnsweringBot, ledger: TrialLedger
    ) -> None:
        self.absences: list[ServerOutage] = []
        self.stored = 0
        """Messages in the server's file when the ledger was compared with it."""
        self._server = server
        self._people = people
        self._bot = bot
        self._ledger = ledger
        self._auditor = ""
        self._ready = 0

    @property
    def typed(self) -> int:
        """How many messages people typed."""
        return sum(person.typed for person in self._people)

    async def gather(self) -> None:
        """Open three panels for each user; each application keeps one connection."""
        self._auditor = await self._server.create_bot("auditor")
        first = self._people[0].driver
        guild_id = first.channel(CHANNELS[0]).guild_id
        for name in CHANNELS[1:]:
            if guild_id is None or await first.session.create_channel(guild_id, name.removeprefix("#")) is None:
                raise StepFailed(f"{name} can't be made: {first.toasts}")
        for person in self._people:
            await person.open(CHANNELS)
        await self._bot.until(lambda: self._bot.ready > 0, "ready", _SECONDS)
        stats = await self._expect_connections()
        if stats["handshakes"] != len(self._people) + 1:
            raise StepFailed(f"{stats['handshakes']} connections were made: {stats}")

    async def talk(self) -> None:
        """Each user asks in each channel, and all see the question and the bot's answer."""
        for _ in CHANNELS:
            questions = [await person.say(question=True) for person in self._people]
            self._ledger.for_the_bot.update(questions)
            for question in questions:
                for person in self._people:
                    await person.until_shown(question)
                    await person.until_shown(question.removeprefix("say "))

    async def stop_server(self, number: signal.Signals) -> None:
        """In the middle of traffic; what is typed then is shown as pending."""
        absence = ServerOutage(number.name)
        self._ready = self._bot.ready
        enough = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for person in self._people:
                group.create_task(person.keep_typing(enough))
            await self._traffic()
            absence.in_flight = sum(person.in_flight for person in self._people)
            absence.away = -time.monotonic()
            self._server.kill(number)
            status = await self._server.gone()
            waiting = [content for person in self._people for content in await person.until_offline()]
            enough.set()
        if status != (0 if number is signal.SIGTERM else -number):
            raise StepFailed(f"the server ended with status {status} after {number.name}")
        for person in self._people:
            for channel_id in person.channels:
                self._ledger.on_screen.update((channel_id, *shown) for shown in person.shown(channel_id))
        absence.waiting = len(waiting)
        self.absences.append(absence)

    async def restart_server(self) -> None:
        """Check that all clients reconnect by themselves, with one connection each, and talk."""
        absence = self.absences[-1]
        await self._server.start()
        started = time.monotonic()
        absence.away += started
        async with asyncio.TaskGroup() as group:
            for person in self._people:
                group.create_task(person.until_back())
        absence.clients_back = time.monotonic() - started
        if absence.clients_back > _BACK_SECONDS:
            raise StepFailed(
                f"the people were back {absence.clients_back:.1f} s after its start, not {_BACK_SECONDS:g}"
            )
        await self._bot.until(lambda: self._bot.ready > self._ready, "ready again", _SECONDS)
        absence.back = time.monotonic() - started
        await self.talk()
        absence.stats = await self._expect_connections()

    async def agree(self) -> None:
        """The store, the screens, and what the bot saw."""
        while True:
            histories = await self._histories()
            await self._see(histories)
            if histories == await self._histories():  # the bot may have been about to answer
                break
        screens = {
            (person.name, channel_id): person.shown(channel_id)
            for person in self._people
            for channel_id in person.channels
        }
        seen = list(self._bot.messages)
        found = [
            *store_faults(self._ledger, BOT, self._bot.sent, histories),
            *screen_faults(histories, screens),
            *bot_faults(self._ledger, seen, histories),
        ]
        if found:
            raise StepFailed("; ".join(found))
        self.stored = sum(map(len, histories.values()))

    async def _traffic(self) -> None:
        """Wait until much was typed and something is just on its way."""
        wanted = [person.typed + _TRAFFIC for person in self._people]
        middle = asyncio.Event()

        def look() -> None:
            busy = any(person.in_flight for person in self._people)
            if busy and all(person.typed >= least for person, least in zip(self._people, wanted, strict=True)):
                middle.set()

        taps = [person.driver.session.store.listen(look) for person in self._people]
        try:
            await middle.wait()
        finally:
            for forget in taps:
                forget()

    async def _see(self, histories: dict[int, list[StoredMessage]]) -> None:
        """Wait until the newest message of each channel is on every screen: those before it are there, or missing."""
        for person in self._people:
            for history in histories.values():
                if history:
                    await person.until_shown(history[-1].content)

    async def _histories(self) -> dict[int, list[StoredMessage]]:
        async with Rest(self._auditor, api_url=self._server.api_url) as rest:
            return {
                channel_id: [_stored(one) async for one in rest.history(channel_id)][::-1]
                for channel_id in self._people[0].channels
            }

    async def _expect_connections(self) -> dict[str, int]:
        stats, wanted = await self._server.stats(), len(self._people) + 1
        for name in ("open", "sessions", "identifies"):
            if stats[name] != wanted:
                raise StepFailed(f"{name}: {stats[name]} instead of {wanted}; the server has counted {stats}")
        return stats


def _stored(message: dict[str, Any]) -> StoredMessage:
    return StoredMessage(int(message["id"]), str(message["author"]["username"]), str(message["content"]))


STEPS: Final[dict[str, Callable[[RestartTrial], Awaitable[None]]]] = {
    "all clients connect": RestartTrial.gather,
    "users and bot exchange messages": RestartTrial.talk,
    "killed in traffic (SIGKILL)": lambda all_of_them: all_of_them.stop_server(signal.SIGKILL),
    "all clients are back": RestartTrial.restart_server,
    "ended in traffic (SIGTERM)": lambda all_of_them: all_of_them.stop_server(signal.SIGTERM),
    "all clients are back again": RestartTrial.restart_server,
    "all agree": RestartTrial.agree,
}
"""In this order; none is tried after one that failed."""


@dataclass
class RestartTrialResult:
    """The outcome of the trial."""

    library: str
    steps: dict[str, str] = field(default_factory=dict[str, str])
    """By step: nothing if it went well, else why it didn't."""
    figures: str = ""

    @property
    def failed(self) -> bool:
        """True if a step failed or was not reached."""
        return any(self.steps.get(step, "not reached") for step in STEPS)


async def run_restart_trial(
    row: TrialCase, program: list[str], script: Path, folder: Path, environment: dict[str, str]
) -> RestartTrialResult:
    """Run the trial through every step; the bot is that of the row."""
    outcome = RestartTrialResult(f"{row.library.name} {row.library.version}")
    step, ledger = next(iter(STEPS)), TrialLedger()
    try:
        async with contextlib.AsyncExitStack() as stack:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="onesocket-together-")))
            server = await stack.enter_async_context(running_server(place))
            people = [await stack.enter_async_context(signed_in_user(server.api_url, name, ledger)) for name in _PEOPLE]
            command = [*program, str(script), server.api_url, server.gateway_url, row.compression]
            variables = {**environment, "BOT_TOKEN": await server.create_bot(BOT)}
            bot = await stack.enter_async_context(running_bot(command, folder, variables))
            trial = RestartTrial(server, people, bot, ledger)
            for step, perform in STEPS.items():
                async with asyncio.timeout(_STEP_SECONDS):
                    await perform(trial)
                outcome.steps[step] = ""
            outcome.figures = figures(trial, bot)
    except TimeoutError:
        outcome.steps[step] = f"not within {_STEP_SECONDS:g} s"
    except StepFailed as error:
        outcome.steps[step] = str(error)
    except Exception as error:  # noqa: BLE001 - it is the last trial, and those before it want their table
        outcome.steps[step] = f"{error}\n{''.join(traceback.format_exception(error))}"
    return outcome


def figures(trial: RestartTrial, bot: AnsweringBot) -> str:
    """The counts, as sentences."""
    ends = [
        f"{one.cause}: {one.in_flight} messages of people on their way, {one.waiting} pending while it was away "
        f"({one.away:.1f} s), they were back {one.clients_back:.1f} s after its start, the bot {one.back:.1f} s; "
        f"then {one.stats['open']} connections, "
        f"{one.stats['sessions']} sessions."
        for one in trial.absences
    ]
    counted = (
        f"{trial.typed} messages typed, {len(bot.sent)} answers of the bot acknowledged, {trial.stored} "
        f"messages stored, {len(bot.messages)} seen by the bot; none lost, none doubled."
    )
    return "\n".join([*ends, counted])
