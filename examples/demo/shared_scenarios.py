"""The scenarios for `onesocket.join`: tasks, threads and processes with one handshake."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tempfile

from onesocket.sharing.host import listing

from .harness import CLOSE_TIMEOUT, OPEN_TIMEOUT, Harness
from .joiners import JOINED, Joiners

THREADS, TASKS, PROCESSES = 4, 8, 4
_START = 10.0
"""Seconds that the processes have to start, before the measurement."""


async def threads(harness: Harness) -> None:
    """Join at once from tasks of several threads, each with an event loop of its own."""
    loop = asyncio.get_running_loop()
    outcomes: asyncio.Queue[str] = asyncio.Queue()
    joiners = Joiners(
        harness.server.url,
        threads=THREADS,
        tasks=TASKS,
        tell=lambda outcome: loop.call_soon_threadsafe(outcomes.put_nowait, outcome),
        open_timeout=OPEN_TIMEOUT,
        close_timeout=CLOSE_TIMEOUT,
    )
    harness.begin()
    joiners.go()
    try:
        await _wait_all_joined(harness, outcomes, THREADS * TASKS)
    finally:
        gone = await asyncio.to_thread(joiners.stop, OPEN_TIMEOUT)
    harness.require(gone, "threads hang")
    harness.expect({JOINED: THREADS * TASKS})


async def processes(harness: Harness) -> None:
    """Join at once with scope="host" from tasks of several threads of several processes."""
    outcomes: asyncio.Queue[str] = asyncio.Queue()
    async with contextlib.AsyncExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="onesocket-demo-"))
        setup = {"url": harness.server.url, "directory": directory, "threads": THREADS, "tasks": TASKS}
        started = [await _start(stack, json.dumps(setup)) for _ in range(PROCESSES)]
        async with asyncio.timeout(_START):
            for process in started:
                await _line(process)  # "ready"
        harness.begin()
        readers = [asyncio.ensure_future(_read_outcomes(process, outcomes)) for process in started]
        for process in started:
            _stdin(process).write(b"go\n")
        await _wait_all_joined(harness, outcomes, PROCESSES * THREADS * TASKS)
        # The owner leaves last: else a follower would open the connection again. An owner that is too busy to answer
        # is listed without its process, so the listing is repeated.
        pids, owners = {process.pid for process in started}, set[int]()
        async with asyncio.timeout(OPEN_TIMEOUT):
            while not owners:
                owners = pids & {shared.pid for shared in await asyncio.to_thread(listing, directory)}
        async with asyncio.timeout(OPEN_TIMEOUT + CLOSE_TIMEOUT):
            for process in sorted(started, key=lambda process: process.pid in owners):
                _stdin(process).close()
                harness.require(await process.wait() == 0, "a process failed")
        await asyncio.gather(*readers)
    harness.expect({JOINED: PROCESSES * THREADS * TASKS})


async def _wait_all_joined(harness: Harness, outcomes: asyncio.Queue[str], count: int) -> None:
    harness.group.deadline = OPEN_TIMEOUT + CLOSE_TIMEOUT
    harness.group.race(outcomes.get, count)
    await harness.group.end()


async def _start(stack: contextlib.AsyncExitStack, setup: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", f"{__package__}.joiners", setup),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    stack.push_async_callback(_end, process)
    return process


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _read_outcomes(process: asyncio.subprocess.Process, outcomes: asyncio.Queue[str]) -> None:
    while outcome := await _line(process):
        outcomes.put_nowait(outcome)


async def _line(process: asyncio.subprocess.Process) -> str:
    if process.stdout is None:
        return ""
    return (await process.stdout.readline()).decode().strip()


def _stdin(process: asyncio.subprocess.Process) -> asyncio.StreamWriter:
    if process.stdin is None:
        raise RuntimeError("the process has no stdin")
    return process.stdin
