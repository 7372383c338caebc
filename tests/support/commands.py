"""The command ``onesocket`` in processes of its own."""

import asyncio
import signal
import sys
from collections.abc import Mapping

COMMAND = (sys.executable, "-m", "onesocket")
DEADLINE = 30.0
"""Seconds that a command may take to an answer or to its end."""


async def start_command(*arguments: str, env: Mapping[str, str] | None = None) -> asyncio.subprocess.Process:
    """Start ``onesocket`` with pipes for its input, output and errors; `env` is its whole environment."""
    return await asyncio.create_subprocess_exec(
        *(*COMMAND, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=env,
    )


async def run_command(*arguments: str, env: Mapping[str, str] | None = None, stdin: str = "") -> tuple[int, str, str]:
    """Run ``onesocket`` to its end; returns its status, output and errors."""
    process = await start_command(*arguments, env=env)
    async with asyncio.timeout(DEADLINE):
        output, errors = await process.communicate(stdin.encode())
    assert process.returncode is not None
    return process.returncode, output.decode().strip(), errors.decode().strip()


async def end_by_signal(process: asyncio.subprocess.Process, number: signal.Signals) -> tuple[int, str]:
    """Send a signal, and wait for the end; returns the status and the errors."""
    process.send_signal(number)
    async with asyncio.timeout(DEADLINE):
        _, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, errors.decode()


async def read_introduction(process: asyncio.subprocess.Process, last: str) -> list[str]:
    """The lines that a server prints at its start, up to the one that begins with `last`; fewer if it has ended."""
    lines: list[str] = []
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE):
        while not (lines and lines[-1].startswith(last)) and (line := await process.stdout.readline()):
            lines.append(line.decode().strip())
    return lines
