"""Python programs in processes of their own."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

DEADLINE = 30.0
"""Seconds that a program may take to its end."""


async def run_python(*arguments: str, stdin: bytes | None = None) -> tuple[int, str]:
    """Run ``python`` with these arguments to its end; returns its exit status and its output, with that on stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        stdin=None if stdin is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(stdin), DEADLINE)
    assert process.returncode is not None
    return process.returncode, output.decode()


async def output_of(*arguments: str, stdin: bytes | None = None) -> str:
    """Run ``python`` with these arguments, which has to end with status 0; returns its output, with that on stderr."""
    status, output = await run_python(*arguments, stdin=stdin)
    assert status == 0, output
    return output


@contextlib.asynccontextmanager
async def running_python(*arguments: str, merge_errors: bool = True) -> AsyncIterator[asyncio.subprocess.Process]:
    """``python`` with these arguments and pipes to its stdin and stdout; killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT if merge_errors else None,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
