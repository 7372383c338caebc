"""One bot's process: started, listened to, and ended by its process id."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

_STDERR_LINES: Final = 20
_LINE_BYTES: Final = 1 << 20
_MOST_MESSAGES: Final = 10_000
_END_SECONDS: Final = 5.0
_NEXT_LINE: Final = "\n    "

T = TypeVar("T")


class BotFailed(Exception):
    """The bot ended, or did not do in time what it was to do."""


class BotProcess:
    """The events that a bot has reported, as `clients/told.py` describes them."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.ready = 0
        """How often it said that it is ready."""
        self.messages: deque[str] = deque(maxlen=_MOST_MESSAGES)
        """The contents of the messages that it got, in this order."""
        self.sent: deque[str] = deque(maxlen=_MOST_MESSAGES)
        """Its answers that were acknowledged, if it tells."""
        self._process = process
        self._changed = asyncio.Event()
        self._said: deque[str] = deque(maxlen=_STDERR_LINES)
        self._listening = asyncio.create_task(self._listen())

    def __repr__(self) -> str:
        return f"<Bot {self._process.pid}, {len(self.messages)} messages>"

    async def until(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        """Wait until what it told satisfies `condition`. Raises `BotFailed` after `seconds`, or when it has ended."""

        async def told() -> None:
            while not condition():
                self._changed.clear()
                await self._changed.wait()

        await self.during(told(), what, seconds)

    async def during(self, work: Coroutine[Any, Any, T], what: str, seconds: float) -> T:
        """Wait for `work`, and return its result. Raises `BotFailed` after `seconds`, or when the bot has ended."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, self._listening}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            why = "the bot has ended" if self._listening.done() else f"not within {seconds:g} s"
            raise BotFailed(f"{what}: {why}{''.join(f'{_NEXT_LINE}{line}' for line in self._said)}")
        finally:
            task.cancel()

    async def end(self) -> None:
        """Kill it, and wait until it is gone and everything it told is read."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        async with asyncio.timeout(_END_SECONDS):
            await self._process.wait()
            await self._listening

    async def _listen(self) -> None:
        out, err = self._process.stdout, self._process.stderr
        if out is None or err is None:
            raise RuntimeError("the bot was started without pipes")
        await asyncio.gather(self._read(out, self._take), self._read(err, self._said.append))

    async def _read(self, stream: asyncio.StreamReader, take: Callable[[str], None]) -> None:
        while line := await stream.readline():
            take(line.decode("utf-8", "replace").rstrip())

    def _take(self, line: str) -> None:
        try:
            news: Any = json.loads(line)
            event = news["event"]
        except (ValueError, TypeError, KeyError):
            self._said.append(line)  # libraries print things of their own
            return
        if event == "ready":
            self.ready += 1
        elif event == "message":
            self.messages.append(str(news["content"]))
        elif event == "sent":
            self.sent.append(str(news["content"]))
        self._changed.set()


@contextlib.asynccontextmanager
async def running_bot(command: list[str], folder: Path, environment: dict[str, str]) -> AsyncIterator[BotProcess]:
    """A bot while it runs; its process is gone afterwards, whatever happens."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES,
    )
    bot = BotProcess(process)
    try:
        yield bot
    finally:
        await bot.end()
