"""One file, one counting server, and a program that is killed again and again."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.campaigns.outbox.steps import SERVER_STEPS, Step

_RUN_TIMEOUT = 60.0
_LOSING = 0.1


@dataclass
class Ledger:
    """The messages that the server got, and the reports of the program."""

    arrivals: list[str] = field(default_factory=list[str])
    accepted: list[str] = field(default_factory=list[str])
    may_have_arrived: Counter[str] = field(default_factory=Counter[str])
    """How often a message was restored with the warning."""
    restored: dict[str, int] = field(default_factory=dict[str, int])
    """The newest run, counted from 0, that found the message in its file."""
    losses: int = 0
    """Number of connections that the server reset."""
    losses_before: list[int] = field(default_factory=list[int])
    """The losses before each run."""
    kills: int = 0
    problems: list[str] = field(default_factory=list[str])

    def check(self, *, acknowledges: bool) -> list[str]:
        """Every promise that is broken, in words."""
        problems = list(self.problems)
        first = list(dict.fromkeys(self.arrivals))
        if first != sorted(first):
            problems.append(f"the order of first arrivals is {first}")
        lost = [name for name in self.missing if acknowledges or not self._may_be_lost_in_the_kernel(name)]
        if lost:
            problems.append(f"accepted and lost: {lost}")
        for name, count in Counter(self.arrivals).items():
            if count > 1 + self.may_have_arrived[name] + self.losses:
                problems.append(f"{name} arrived {count} times, and was announced {self.may_have_arrived[name]} times")
        return problems

    def _may_be_lost_in_the_kernel(self, name: str) -> bool:
        """True unless the server read all that the run which found the message had sent.

        The server may reset the connection of a run, with the messages that it has not read, also during the next run.
        """
        run = self.restored.get(name)
        if run is None:
            return True
        losses = [*self.losses_before, self.losses]
        return losses[run] < losses[min(run + 2, len(losses) - 1)]

    @property
    def missing(self) -> list[str]:
        """Messages that were accepted and never arrived."""
        arrived = set(self.arrivals)
        return [name for name in self.accepted if name not in arrived]

    @property
    def doubled(self) -> int:
        """Number of arrivals that were not the first of their message."""
        return len(self.arrivals) - len(set(self.arrivals))


class Story:
    """The runs of a program with one file; use `async with`."""

    def __init__(self, path: Path, *, acknowledges: bool, seed: int = 0, loses: bool = False) -> None:
        self.ledger = Ledger()
        self._path = path
        self._acknowledges = acknowledges
        self._random = random.Random(seed)
        self._loses = loses
        """True if the server resets connections, and restarts."""
        self._server: Server | None = None
        self._port = 0
        self._process: asyncio.subprocess.Process
        self._pid: int | None = None
        """The process of the run under way, from the moment in which it has said its number."""
        self._server_step: tuple[str | None, int] = None, 0
        self._drops = False
        self._runs = itertools.count(1)

    async def __aenter__(self) -> Self:
        await self._listen()
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.campaigns.outbox.program"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _listen(self) -> None:
        self._server = await serve(self._handle, "127.0.0.1", self._port, compression=None)
        self._port = next(iter(self._server.sockets)).getsockname()[1]

    async def _restart(self) -> None:
        if self._server is not None:
            self._server.close(close_connections=False)
            for connection in list(self._server.connections):
                connection.transport.abort()
            await self._server.wait_closed()
        await self._listen()

    async def _handle(self, connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for text in connection:
                if self._reached(Step.SERVER_LOSES_IT):
                    self._drops = True
                if self._drops:
                    continue
                name = json.loads(text)["id"]
                self.ledger.arrivals.append(name)
                self._reached(Step.SERVER_HAS_IT)
                if self._loses and self._random.random() < 0.05:
                    self.ledger.losses += 1
                    connection.transport.abort()
                    return
                if self._acknowledges:
                    await connection.send(json.dumps({"ack": name}))
                    self._reached(Step.SERVER_ACKNOWLEDGED)

    def _reached(self, step: Step) -> bool:
        name, left = self._server_step
        if name != step:
            return False
        self._server_step = name, left - 1
        if left == 1:
            if step is Step.SERVER_LOSES_IT:  # a program that takes them for settled has the time to say so on disk
                asyncio.get_running_loop().call_later(_LOSING, self.kill)
            else:
                self.kill()
        return left == 1

    def kill(self) -> None:
        """Kill the run under way, if it has begun."""
        if self._pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)

    async def run(self, messages: int, *, step: Step | None = None, occurrence: int = 1) -> int:
        """One run, to its end or until it is killed; returns its exit status."""
        at_server = step in SERVER_STEPS
        self._server_step = (step, occurrence) if at_server else (None, 0)
        request = {
            "url": f"ws://127.0.0.1:{self._port}/",
            "path": str(self._path),
            "acknowledges": self._acknowledges,
            "run": next(self._runs),
            "messages": messages,
            "step": None if at_server else step,
            "occurrence": occurrence,
        }
        self._drops = False
        self.ledger.losses_before.append(self.ledger.losses)
        before = set(self.ledger.arrivals)
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(json.dumps(request).encode() + b"\n")
        async with asyncio.timeout(_RUN_TIMEOUT):
            async for words in self._lines():
                match words:
                    case ["pid", pid]:
                        self._pid = int(pid)
                    case ["accepted", name]:
                        self.ledger.accepted.append(name)
                    case ["restored", name, flag]:
                        self._restored(name, flag == "1", before)
                    case ["ended", status]:
                        self._pid = None
                        self.ledger.kills += int(status) == -signal.SIGKILL
                        return int(status)
                    case _:
                        self.ledger.problems.append(f"the program said {words}")
        raise EOFError("the program is gone")

    def _restored(self, name: str, may_have_arrived: bool, before: set[str]) -> None:
        self.ledger.restored[name] = len(self.ledger.losses_before) - 1
        self.ledger.may_have_arrived[name] += may_have_arrived
        if not may_have_arrived and name in before:
            self.ledger.problems.append(f"{name} had arrived, but its restart said that it can't have")

    async def _lines(self) -> AsyncIterator[list[str]]:
        stdout: Any = self._process.stdout
        async for line in stdout:
            yield line.decode().split()

    async def run_and_kill_at_random(self, messages: int) -> None:
        """One run, killed after a random time, at a server that restarts in between."""
        run = asyncio.ensure_future(self.run(messages))
        if self._loses and self._random.random() < 0.3:
            await asyncio.wait([run], timeout=self._random.uniform(0, 0.05))
            self.ledger.losses += 1
            await self._restart()
        await asyncio.wait([run], timeout=self._random.uniform(0, 0.1))
        if not run.done():
            self.kill()
        await run
