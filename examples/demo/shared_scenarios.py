"""The plays of `onesocket.join`: tasks, threads and processes at one handshake."""

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
"""Seconds that the processes have to start, which isn't part of the window."""


async def threads(stage: Harness) -> None:
    """Each thread has an event loop of its own; all join at once."""
    loop = asyncio.get_running_loop()
    outcomes: asyncio.Queue[str] = asyncio.Queue()
    joiners = Joiners(
        stage.server.url,
        threads=THREADS,
        tasks=TASKS,
        tell=lambda outcome: loop.call_soon_threadsafe(outcomes.put_nowait, outcome),
        open_timeout=OPEN_TIMEOUT,
        close_timeout=CLOSE_TIMEOUT,
    )
    stage.begin()
    joiners.go()
    try:
        await _wait_all_joined(stage, outcomes, THREADS * TASKS)
    finally:
        gone = await asyncio.to_thread(joiners.stop, OPEN_TIMEOUT)
    stage.require(gone, "threads hang")
    stage.expect({JOINED: THREADS * TASKS})


async def processes(stage: Harness) -> None:
    """Each process has threads, each of them tasks; all join at once with scope="host"."""
    outcomes: asyncio.Queue[str] = asyncio.Queue()
    async with contextlib.AsyncExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="onesocket-demo-"))
        setup = {"url": stage.server.url, "directory": directory, "threads": THREADS, "tasks": TASKS}
        started = [await _start(stack, json.dumps(setup)) for _ in range(PROCESSES)]
        async with asyncio.timeout(_START):
            for process in started:
                await _line(process)  # it's ready
        stage.begin()
        hearing = [asyncio.ensure_future(_hear(process, outcomes)) for process in started]
        for process in started:
            _stdin(process).write(b"go\n")
        await _wait_all_joined(stage, outcomes, PROCESSES * THREADS * TASKS)
        # The owner leaves last: whoever is left behind by it would open the line again. One that is too busy to answer
        # is listed without its process, so it's asked until it says.
        pids, owners = {process.pid for process in started}, set[int]()
        async with asyncio.timeout(OPEN_TIMEOUT):
            while not owners:
                owners = pids & {shared.pid for shared in await asyncio.to_thread(listing, directory)}
        async with asyncio.timeout(OPEN_TIMEOUT + CLOSE_TIMEOUT):
            for process in sorted(started, key=lambda process: process.pid in owners):
                _stdin(process).close()
                stage.require(await process.wait() == 0, "a process failed")
        await asyncio.gather(*hearing)
    stage.expect({JOINED: PROCESSES * THREADS * TASKS})


async def _wait_all_joined(stage: Harness, outcomes: asyncio.Queue[str], count: int) -> None:
    stage.crowd.deadline = OPEN_TIMEOUT + CLOSE_TIMEOUT
    stage.crowd.race(outcomes.get, count)
    await stage.crowd.end()


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


async def _hear(process: asyncio.subprocess.Process, outcomes: asyncio.Queue[str]) -> None:
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
