"""The process of one bot."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from tests.campaigns.harness.worker_process import Event, WorkerProcess

T = TypeVar("T")


class BotProcess:
    """The events that a bot has reported, as `clients/told.py` describes them."""

    def __init__(self) -> None:
        self.ready = 0
        """Number of its reports that it is ready."""
        self.messages: list[str] = []
        """The contents of the messages that it got, in this order."""
        self.sent: list[str] = []
        """Its answers that were acknowledged, if it reports them."""
        self._process: WorkerProcess | None = None

    async def start(self, command: list[str], folder: Path, environment: dict[str, str]) -> None:
        """Start the process."""
        self._process = await WorkerProcess.run(
            command, "the bot", on_event=self._take, folder=folder, environment=environment
        )

    async def until(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        """Wait until its reports satisfy `condition`. Raises `WorkerFailure` after `seconds`, or at its end."""
        await self._started.wait_for(condition, what, seconds)

    async def during(self, work: Coroutine[Any, Any, T], what: str, seconds: float) -> T:
        """The result of `work`. Raises `WorkerFailure` after `seconds`, or when the bot has ended."""
        return await self._started.during(work, what, seconds)

    async def end(self) -> None:
        """Kill the process, and wait for its end."""
        if self._process is not None:
            await self._process.end()

    @property
    def _started(self) -> WorkerProcess:
        assert self._process is not None
        return self._process

    def _take(self, _: WorkerProcess, event: Event) -> bool:
        if event["event"] == "ready":
            self.ready += 1
        elif event["event"] == "message":
            self.messages.append(str(event["content"]))
        elif event["event"] == "sent":
            self.sent.append(str(event["content"]))
        return True


@contextlib.asynccontextmanager
async def running_bot(command: list[str], folder: Path, environment: dict[str, str]) -> AsyncIterator[BotProcess]:
    """A bot while it runs; its process is gone afterwards, whatever happens."""
    bot = BotProcess()
    await bot.start(command, folder, environment)
    try:
        yield bot
    finally:
        await bot.end()
