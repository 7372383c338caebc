"""The driver's end of one process: orders down, answers up, each with a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final

ROOT: Final = Path(__file__).resolve().parents[3]
_LINE_LIMIT: Final = 1 << 24
_START: Final = 30.0


class ChaosFailure(Exception):
    """A promise was broken, or a deadline has passed; the text says by whom."""


class JoinRefused(Exception):
    """A process was refused, with a typed error."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind
        self.text = text


class MemberProcess:
    """One process."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, errors: IO[bytes]) -> None:
        self.name = name
        self.process = process
        self.on_event: Callable[[MemberProcess, dict[str, Any]], None] = _ignore
        self.said: deque[dict[str, Any]] = deque(maxlen=20)
        self._errors = errors
        self._orders: dict[int, asyncio.Future[Any]] = {}
        self._last = 0
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reading = asyncio.get_running_loop().create_task(self._read())

    def __repr__(self) -> str:
        return f"<Actor {self.name} pid={self.pid} {self.process.returncode}>"

    @property
    def pid(self) -> int:
        """Its process number."""
        return self.process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self.process.returncode is None

    @classmethod
    async def start(
        cls, name: str, setup: dict[str, Any], on_event: Callable[[MemberProcess, dict[str, Any]], None]
    ) -> MemberProcess:
        """A new process; ready to be told what to do."""
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.campaigns.chaos.worker", json.dumps({"name": name, **setup})),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            cwd=ROOT,
            limit=_LINE_LIMIT,
        )
        actor = cls(name, process, errors)
        actor.on_event = on_event
        try:
            async with asyncio.timeout(_START):
                await actor._ready
        except TimeoutError:
            await actor.end()
            raise ChaosFailure(f"{name} did not start within {_START:g} s: {actor.complaints()}") from None
        return actor

    def tell(self, do: str, **more: Any) -> asyncio.Future[Any]:
        """An order; the future has the answer."""
        self._last += 1
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_retrieve_exception)
        self._orders[self._last] = future
        if self.process.stdin is not None:
            self.process.stdin.write(json.dumps({"order": self._last, "do": do, **more}).encode() + b"\n")
        return future

    async def do(self, do: str, *, within: float = 20.0, **more: Any) -> Any:
        """An order and its answer. Raises `JoinRefused` or `ChaosFailure`."""
        return await self.answer(self.tell(do, **more), do, within=within)

    async def answer(self, future: asyncio.Future[Any], what: str, *, within: float = 20.0) -> Any:
        """The answer to an order. Raises `JoinRefused` or `ChaosFailure`."""
        try:
            async with asyncio.timeout(within):
                return await future
        except TimeoutError:
            raise ChaosFailure(
                f"{self.name} (pid {self.pid}): no {what!r} within {within:g} s; {list(self.said)}"
            ) from None

    def signal(self, number: signal.Signals) -> None:
        """Kill, stop or continue it."""
        self.process.send_signal(number)

    async def ended(self, within: float = 10.0) -> int:
        """Its exit status, and everything it said before."""
        try:
            async with asyncio.timeout(within):
                await self._reading
                return await self.process.wait()
        except TimeoutError:
            raise ChaosFailure(f"{self.name} (pid {self.pid}) did not end within {within:g} s") from None

    async def end(self) -> None:
        """It isn't needed any more."""
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
        await self.process.wait()
        self._reading.cancel()  # a forked child may have its stdout still
        await asyncio.wait([self._reading])

    def complaints(self) -> str:
        """What it wrote to stderr; whoever has nothing to complain about writes nothing."""
        if self._errors.closed:
            return ""
        self._errors.seek(0)
        text = self._errors.read().decode(errors="replace").strip()
        self._errors.close()
        return text

    async def _read(self) -> None:
        if self.process.stdout is None:
            return
        while line := await self.process.stdout.readline():
            self._heard(json.loads(line))
        gone = ChaosFailure(f"{self.name} (pid {self.pid}) has ended")
        for future in (*self._orders.values(), self._ready):
            if not future.done():
                future.set_exception(gone)
        self._ready.add_done_callback(_retrieve_exception)

    def _heard(self, thing: dict[str, Any]) -> None:
        if thing["event"] != "fate":
            self.said.append(thing)
        future = self._orders.pop(thing.get("order", 0), None)
        if future is not None and not future.done():
            if thing["event"] == "refused":
                future.set_exception(JoinRefused(thing["kind"], thing["text"]))
            else:
                future.set_result(thing["result"])
        elif thing["event"] == "ready":
            self._ready.set_result(None)
        else:
            self.on_event(self, thing)


def _ignore(_: MemberProcess, __: dict[str, Any]) -> None:
    pass


def _retrieve_exception(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()  # perhaps nobody waits for it any more
