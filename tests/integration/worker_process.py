"""A process of a test that is told what to do by lines of JSON, and says what happens in the same way."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

DEADLINE = 20


class WorkerProcess:
    """One worker, and what it has said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said: list[dict[str, Any]] = []
        self._news = asyncio.Condition()
        self._numbers = 0
        self._reading = asyncio.get_running_loop().create_task(self._read())

    @classmethod
    async def start(cls, program: Path, setup: dict[str, Any]) -> Self:
        """Start a Python program with this as its argument."""
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable,
                str(program),
                json.dumps(setup),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=2**26,
            )
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            async with self._news:
                self.said.append(json.loads(line))
                self._news.notify_all()
        async with self._news:
            self.said.append({"event": "over"})
            self._news.notify_all()

    async def until(self, wanted: Callable[[dict[str, Any]], bool], since: int = 0) -> dict[str, Any]:
        """The first thing said from `since` on that is wanted."""

        def found() -> dict[str, Any] | None:
            return next((thing for thing in self.said[since:] if wanted(thing)), None)

        try:
            async with asyncio.timeout(DEADLINE), self._news:
                await self._news.wait_for(lambda: found() is not None)
        except TimeoutError:
            raise AssertionError(f"{self.pid} did not say it: {self.said[since:][-20:]}") from None
        thing = found()
        assert thing is not None
        return thing

    def tell(self, do: str, **more: Any) -> int:
        self._numbers += 1
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, "number": self._numbers, **more}).encode() + b"\n")
        return self._numbers

    async def answer(self, number: int) -> dict[str, Any]:
        return await self.until(lambda thing: thing.get("number") == number)

    async def do(self, do: str, **more: Any) -> Any:
        answer = await self.answer(self.tell(do, **more))
        assert answer["event"] == "done", answer
        return answer["result"]

    async def refused(self, do: str, **more: Any) -> dict[str, Any]:
        answer = await self.answer(self.tell(do, **more))
        assert answer["event"] == "error", answer
        return answer

    async def got(self, message: Any, since: int = 0) -> dict[str, Any]:
        return await self.until(lambda thing: thing["event"] == "messages" and message in thing["batch"], since)

    @property
    def messages(self) -> list[Any]:
        return [message for thing in self.said if thing["event"] == "messages" for message in thing["batch"]]

    def kill(self, what: signal.Signals = signal.SIGKILL) -> None:
        self.process.send_signal(what)

    async def end(self) -> None:
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
        await self.process.wait()
        await self._reading
